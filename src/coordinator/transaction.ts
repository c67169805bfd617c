import type { Admission } from './execution/admission.js';
import type { AmbientTransactions } from './execution/call.js';
import type { Executor } from './execution/executor.js';
import type { TransactionRecord } from './execution/records.js';
import type { Outcome } from './outcome.js';
import type { BranchRequest } from './participant/branch-request.js';
import type { TransactionState } from './protocol/index.js';

/** What a transaction in the hands of its caller works with. @internal */
export interface TransactionParts {
  readonly admission: Admission;
  readonly executor: Executor;
  readonly ambient: AmbientTransactions;
}

/**
 * A transaction that its caller drives step by step: enlist, then commit or roll back. When it is left alone its
 * deadline aborts it.
 *
 * @publicApi
 */
export class Transaction {
  /** @internal */
  constructor(
    private readonly record: TransactionRecord,
    private readonly outcome: Promise<Outcome>,
    private readonly parts: TransactionParts,
  ) {}

  /** Its id, which {@link Outcome}, events and log lines bear as `transactionId`. */
  get id(): string {
    return this.record.id;
  }

  /** What it is for, as the caller named it. */
  get name(): string {
    return this.record.name;
  }

  /** The state it is in now. */
  get state(): TransactionState {
    return this.record.stateName;
  }

  /** Whether it can only be rolled back. */
  get isRollbackOnly(): boolean {
    return this.record.rollbackOnly;
  }

  /**
   * Adds a branch. Its participant is called when commit is asked for, or rollback.
   *
   * @returns the id of the branch.
   * @throws NotActiveError when commit or rollback was asked for, the deadline has passed, or it can only be rolled back.
   * @throws BranchConflictError when the id is enlisted already for another participant, or with another payload.
   * @throws UnknownParticipantError, TooManyBranchesError, ParticipantPausedError, ParticipantStalledError,
   * InvalidRequestError; the transaction goes on without the branch.
   */
  enlist<P>(request: BranchRequest<P>): string {
    return this.parts.admission.enlist(this.record, request).branchId;
  }

  /**
   * Rules commit out: a later commit() rolls back instead. Without effect once the voting has begun.
   *
   * @param reason for the outcome, in words; at most 300 characters of it are kept.
   */
  setRollbackOnly(reason?: string): void {
    this.parts.executor.commitRuledOut(this.record, reason);
  }

  /**
   * Asks for commit. Asked again, or after a rollback, it answers with the one outcome of the transaction.
   *
   * @returns the outcome; it is never a rejection.
   */
  commit(): Promise<Outcome> {
    this.parts.executor.commitRequested(this.record);
    return this.outcome;
  }

  /**
   * Asks for rollback of every branch. When the commit is decided already it comes too late, and the outcome says so.
   *
   * @param reason for the outcome, in words; at most 300 characters of it are kept.
   */
  rollback(reason?: string): Promise<Outcome> {
    this.parts.executor.rollbackRequested(this.record, reason);
    return this.outcome;
  }

  /**
   * Runs `work`, and everything it awaits, with this as the ambient transaction: TransactionManager.current() finds
   * it there. It neither commits nor rolls back.
   */
  run<T>(work: () => T): T {
    return this.parts.ambient.run(this.record, work);
  }
}
