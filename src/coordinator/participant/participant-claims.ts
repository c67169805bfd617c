import type { RegisteredParticipant } from './registered-participant.js';

/** Claims participants for a run of the coordinator. Each is claimed once. */
export interface ParticipantClaims {
  /** Whether a participant has to be claimed before a branch of it is begun. */
  isNeeded(participant: RegisteredParticipant): boolean;

  /** @returns a promise that rejects with what the participant throws: it does not let the run in. */
  claim(participant: RegisteredParticipant): Promise<void>;

  /**
   * Claims all of them, and waits for the answers of all: what one of them is at work on has ended then.
   *
   * @returns a promise that rejects with what the first of them throws.
   */
  claimAll(participants: readonly RegisteredParticipant[]): Promise<void>;

  /** Claims one after the start: that it does not let the run in is logged, and stops nothing else. */
  claimLater(participant: RegisteredParticipant): Promise<void>;
}
