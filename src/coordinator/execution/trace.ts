import type { Answer } from '../gate/answer.js';
import type { Failure } from '../gate/failure.js';
import type { Outcome } from '../outcome.js';
import type { Branch } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';

/** A method of a participant that receives a branch. */
export type ParticipantMethod = 'prepare' | 'commit' | 'rollback' | 'commitOnePhase';

/** A group, as a trace shows it. */
export interface TracedGroup {
  readonly id: string;
  /** How many members it has. */
  readonly size: number;
  /** How often its work has run. */
  readonly runs: number;
}

/** Records one transaction while it is traced. Nothing here throws. */
export interface TransactionTrace {
  /** Runs `work`, and everything that it starts, as a part of the transaction. */
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
  /** The coordinator no longer waits for this call: its time is up. */
  timedOut(branch: Branch, message: string): void;
  /** The transaction has entered its present state. */
  entered(): void;
  /**
   * The transaction is prepared as a member of a group, or is a group whose work runs.
   *
   * @param group the trace of its group.
   */
  grouped(note: TracedGroup, group: TransactionTrace | undefined): void;
  /** The caller is told the outcome. */
  told(outcome: Outcome): void;
  /** A branch of this participant has used up its attempts. Nothing limits its further duration. */
  stalled(participant: RegisteredParticipant, message: string): void;
  /** The transaction has ended. */
  ended(): void;
}

/** Records one call of a participant. */
export interface CallTrace {
  /** Makes the call, so that the participant's work in it belongs to its trace. */
  run<T>(call: () => T): T;
  answered(answer: Answer): void;
  failed(failure: Failure): void;
}
