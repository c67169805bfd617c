import type { Admission } from './execution/admission.js';
import type { AmbientTransactions } from './execution/call.js';
import type { Executor } from './execution/executor.js';
import type { TransactionRecord } from './execution/records.js';
import type { Outcome } from './outcome.js';
import type { BranchRequest } from './participant/branch-request.js';
import type { TransactionState } from './protocol/index.js';

/** The collaborators of a transaction's handle. @internal */
export interface TransactionParts {
  readonly admission: Admission;
  readonly executor: Executor;
  readonly ambient: AmbientTransactions;
}

/**
 * A transaction that its caller drives step by step: enlist, then commit or roll back. If it is abandoned,
 * its deadline aborts it.
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

  /** Its id, which {@link Outcome}, events and log lines call `transactionId`. */
  get id(): string {
    return this.record.id;
  }

  /** Its purpose, as the caller named it. */
  get name(): string {
    return this.record.name;
  }

  /** Its present state. */
  get state(): TransactionState {
    return this.record.stateName;
  }

  /** Whether it can only be rolled back. */
  get isRollbackOnly(): boolean {
    return this.record.rollbackOnly;
  }

  /**
   * The outcome of its caller. This asks for nothing, and is never a rejection.
   *
   * @internal
   */
  get told(): Promise<Outcome> {
    return this.outcome;
  }

  /**
   * Adds a branch. Its participant is called after the request for commit or rollback.
   *
   * @returns the id of the branch.
   * @throws NotActiveError when commit or rollback was requested, the deadline has passed, or the transaction
   * is rollback-only.
   * @throws BranchConflictError when the id is already enlisted for another participant, or with another
   * payload.
   * @throws UnknownParticipantError, TooManyBranchesError, ParticipantPausedError, ParticipantSilentError,
   * ParticipantStalledError, InvalidRequestError; the transaction continues without the branch.
   */
  enlist<P>(request: BranchRequest<P>): string {
    return this.parts.admission.enlist(this.record, request).branchId;
  }

  /**
   * Rules commit out: a later commit() rolls back instead. Without effect once the voting has started.
   *
   * @param reason a text for the outcome. At most 300 characters of it are kept.
   */
  setRollbackOnly(reason?: string): void {
    this.parts.executor.commitRuledOut(this.record, reason);
  }

  /**
   * Asks for commit. A repeat, or a call after a rollback, returns the one outcome of the transaction.
   *
   * @returns the outcome; never a rejection.
   */
  commit(): Promise<Outcome> {
    this.parts.executor.commitRequested(this.record);
    return this.outcome;
  }

  /**
   * Asks for rollback of every branch. If commit is already decided, this comes too late, and the outcome
   * shows it.
   *
   * @param reason a text for the outcome. At most 300 characters of it are kept.
   */
  rollback(reason?: string): Promise<Outcome> {
    this.parts.executor.rollbackRequested(this.record, reason);
    return this.outcome;
  }

  /**
   * Runs `work`, and everything that it awaits, with this as the ambient transaction, so that
   * TransactionManager.current() finds it. It neither commits nor rolls back.
   */
  run<T>(work: () => T): T {
    return this.parts.ambient.run(this.record, work);
  }
}
