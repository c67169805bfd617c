import type { Answer } from '../gate/answer.js';
import type { Failure } from '../gate/failure.js';
import type { Outcome } from '../outcome.js';
import type { Branch } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';

/** A method of a participant that gets a branch. */
export type ParticipantMethod = 'prepare' | 'commit' | 'rollback' | 'commitOnePhase';

/** What is recorded of one transaction while it is traced. Nothing here throws. */
export interface TransactionTrace {
  /** Runs `work`, and everything it starts, as a part of the transaction. */
  run<T>(work: () => T): T;
  /**
   * A participant is about to be called.
   *
   * @returns the trace of the call, or undefined when it has none.
   */
  calling(
    participant: RegisteredParticipant,
    method: ParticipantMethod,
    branch: Branch,
  ): CallTrace | undefined;
  /** The coordinator waits no longer for this call: its time is up. */
  timedOut(branch: Branch, message: string): void;
  /** The transaction has come to the state that it is in now. */
  entered(): void;
  /** The caller is told. */
  told(outcome: Outcome): void;
  /** A branch of this participant has used up its attempts. How long it takes from now on is not known. */
  stalled(participant: RegisteredParticipant, message: string): void;
  /** The transaction is over. */
  ended(): void;
}

/** What is recorded of one call of a participant. */
export interface CallTrace {
  /** Makes the call, so that all that the participant does in it belongs to it. */
  run<T>(call: () => T): T;
  answered(answer: Answer): void;
  failed(failure: Failure): void;
}
