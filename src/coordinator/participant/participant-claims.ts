import type { CoordinatorRun } from './participant.js';
import type { RegisteredParticipant } from './registered-participant.js';

/** Claims participants for a run of the coordinator. Each participant is claimed once. */
export interface ParticipantClaims {
  /** Whether a participant must be claimed before one of its branches starts. */
  isNeeded(participant: RegisteredParticipant): boolean;

  /** @returns a promise that rejects with the participant's error if the participant refuses the run. */
  claim(participant: RegisteredParticipant): Promise<void>;

  /**
   * Claims all the participants and waits for all the answers, so no claim is still running afterwards.
   *
   * @returns a promise that rejects with the first error of a participant.
   */
  claimAll(participants: readonly RegisteredParticipant[]): Promise<void>;

  /** Claims the participants for a later run of the same process from now on: each has to accept that one. */
  startAgain(run: CoordinatorRun): void;

  /** Claims one participant after the start. A refusal is logged and stops nothing else. */
  claimLater(participant: RegisteredParticipant): Promise<void>;
}
