import type { Answer } from '../gate/answer.js';
import type { Failure } from '../gate/failure.js';
import type { Outcome } from '../outcome.js';
import type { Branch } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { BranchRecord } from './branch-record.js';
import type { ParticipantMethod } from './calls.js';
import type { TransactionRecord } from './transaction-record.js';

/**
 * Follows transactions through the services that take part in them. It is asked once for each transaction; one that
 * is not followed has no trace, and costs nothing further. Nothing here throws, whatever becomes of the spans.
 */
export interface Tracing {
  /** A transaction begins, and whoever began it is running: gives it a trace, unless nobody traces. */
  begun(transaction: TransactionRecord): void;
  /** A transaction without a trace, such as one of an earlier run, is delivered: gives it one, unless nobody traces. */
  takenUp(transaction: TransactionRecord): void;
}

/** What is recorded of one transaction. */
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
  /** Nobody waits for this call any longer: its time is up. */
  timedOut(branch: Branch, message: string): void;
  /** The transaction has come to the state that it is in now. */
  entered(): void;
  /** The caller is told. */
  told(outcome: Outcome): void;
  /** A branch has used up its attempts, and may take for ever. */
  stalled(branch: BranchRecord, message: string): void;
  /** The transaction is over. */
  ended(): void;
}

/** What is recorded of one call of a participant. */
export interface CallTrace {
  /** Makes the call, so that whatever the participant does in it belongs to it. */
  run<T>(call: () => T): T;
  answered(answer: Answer): void;
  failed(failure: Failure): void;
}

/** Where nobody traces. */
export const NO_TRACING: Tracing = { begun() {}, takenUp() {} };
