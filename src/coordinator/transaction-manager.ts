import { Inject, Injectable } from '@nestjs/common';
import { NoTransactionError, TransactionNotFoundError } from './errors.js';
import { CoordinatorRuntime } from './execution/coordinator-runtime.js';
import { outcomeNow } from './execution/outcomes.js';
import type { TransactionRecord } from './execution/records.js';
import { CallerSignal } from './gate/caller-signal.js';
import { type ReadRequest, branchAt, readRequest } from './gate/request.js';
import { type TransactionFilter, type TransactionPage, pageOf } from './observation/transaction-listing.js';
import { type TransactionSummary, type TransactionView, viewOf } from './observation/transaction-view.js';
import type { Outcome } from './outcome.js';
import type { BranchRequest } from './participant/branch-request.js';
import { TOLD_NOTHING } from './protocol/index.js';
import { Transaction } from './transaction.js';
import type { BeginOptions, TransactionRequest } from './transaction-request.js';
import { TransactionScope } from './transaction-scope.js';

/**
 * Runs transactions over several participants: all of them commit, or none.
 *
 * @publicApi
 */
@Injectable()
export class TransactionManager {
  /** @internal */
  readonly scope = new TransactionScope();

  constructor(@Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime) {}

  /**
   * Runs one transaction from its begin to its outcome. All participants prepare at once, unless it is said otherwise, the first
   * refusal decides, and a decision is delivered whatever fails.
   *
   * One that was refused only because it met another transaction is run again within its time, as a new transaction:
   * the outcome bears the id of the last.
   *
   * @returns the outcome; it is never a rejection for anything that happens after the start.
   * @throws (as a rejection) OverloadedError, ServerBusyError, ShuttingDownError, DrainingError, FencedError, LogUnavailableError, ParticipantPausedError,
   * ParticipantStalledError,
   * UnknownParticipantError, TooManyBranchesError, BranchConflictError or InvalidRequestError. Then nothing was begun.
   */
  run(request: TransactionRequest): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const { admission, limits } = this.runtime;
      const read = readRequest(request, true);
      const signal = read.signal === undefined ? undefined : new CallerSignal(read.signal);
      const transaction = admission.create(read.name, read.timeoutMs, read.branchCount);
      if (read.prepareInTurn) transaction.needExtras().inTurn = true;
      transaction.settle = resolve;
      if (signal?.isAborted !== true) {
        for (let index = 0; index < read.branchCount; index++) {
          admission.enlist(transaction, branchAt(read.branches, index));
        }
        // What can fail is tried before it starts: from then on the transaction has an outcome.
        signal?.listen();
      }
      heeding(signal, () => {
        if (signal?.isAborted === true) this.startCancelled(transaction, signal);
        else if (limits.isActive) this.beginWithRoom(read, transaction, signal, resolve, reject);
        else this.runtime.begin(transaction, signal);
      });
    });
  }

  /**
   * Begins a transaction whose branches come one by one.
   *
   * @throws OverloadedError, ShuttingDownError, DrainingError, FencedError, LogUnavailableError or InvalidRequestError. Then
   * nothing was begun.
   */
  begin(options: BeginOptions = {}): Transaction {
    const { name, timeoutMs, prepareInTurn, signal: given } = readRequest(options, false);
    const signal = given === undefined ? undefined : new CallerSignal(given);
    const transaction = this.runtime.admission.create(name, timeoutMs, 0);
    if (prepareInTurn) transaction.needExtras().inTurn = true;
    const handle = this.handleOf(transaction);
    signal?.listen();
    heeding(signal, () => {
      if (signal?.isAborted === true) {
        this.startCancelled(transaction, signal);
        return;
      }
      this.runtime.admit(transaction);
      if (signal !== undefined) transaction.listenTo(signal);
    });
    return handle;
  }

  /**
   * The transaction that the calling code runs for: within Transaction.run(), and within the methods of participants
   * whose option `ambient` is on.
   *
   * @returns undefined outside any transaction, and after its end.
   */
  current(): Transaction | undefined {
    const transaction = this.runtime.ambient.current();
    if (transaction === undefined) return undefined;
    const handle = this.handleOf(transaction);
    return this.scope.hides(handle) ? undefined : handle;
  }

  /**
   * The current transaction; or one that is over, while the decorated method that has begun it is not.
   *
   * @internal
   */
  enclosing(): Transaction | undefined {
    return this.current() ?? this.scope.enclosing;
  }

  /**
   * Adds a branch to the {@link current} transaction.
   *
   * @returns the id of the branch.
   * @throws NoTransactionError where there is none; else as Transaction.enlist.
   */
  enlist<P>(request: BranchRequest<P>): string {
    const transaction = this.enclosing();
    if (transaction === undefined) throw new NoTransactionError('TransactionManager.enlist()');
    return transaction.enlist(request);
  }

  /** @returns a transaction that is in flight or was kept after its end, as it is now. */
  find(transactionId: string): TransactionView | undefined {
    const transaction = this.runtime.registry.find(transactionId);
    return transaction === undefined ? undefined : viewOf(transaction);
  }

  /**
   * @returns the transactions in flight and those kept after their end that fit the filter, a page of them.
   * @throws InvalidRequestError when a field of the filter makes no sense.
   */
  page(filter: TransactionFilter = {}): TransactionPage {
    const { registry, parts } = this.runtime;
    return pageOf(registry, filter, parts.clock.now());
  }

  /** @returns what is on the page that {@link page} answers with, the youngest first by default. */
  list(filter: TransactionFilter = {}): readonly TransactionSummary[] {
    return this.page(filter).transactions;
  }

  /**
   * Drops the heuristic reports of a transaction that is over, once an operator has dealt with what they tell. Its
   * branches go on to show what they reported.
   *
   * @returns whether there were any, and it is over.
   * @throws TransactionNotFoundError when the transaction is not known.
   */
  forget(transactionId: string): boolean {
    const transaction = this.runtime.registry.find(transactionId);
    if (transaction === undefined) throw new TransactionNotFoundError(transactionId);
    return this.runtime.executor.forget(transaction);
  }

  /** The transaction begins when its database servers have room for it. */
  private beginWithRoom(
    { name, timeoutMs }: ReadRequest,
    transaction: TransactionRecord,
    signal: CallerSignal | undefined,
    resolve: (outcome: Outcome) => void,
    reject: (error: Error) => void,
  ): void {
    const refuse = (error: unknown): void => {
      signal?.stop();
      reject(error as Error);
    };
    const cancel = (): void => {
      try {
        const cancelled = this.runtime.admission.create(name, timeoutMs, 0);
        cancelled.settle = resolve;
        this.startCancelled(cancelled, signal!);
      } catch (error) {
        refuse(error);
      }
    };
    const begin = (): void => this.runtime.begin(transaction, signal);
    try {
      this.runtime.limits.admit({ transaction, signal, isRerun: false, begin, refuse, cancel });
    } catch (error) {
      refuse(error);
    }
  }

  /** The caller had cancelled before the start: no participant is asked to prepare. */
  private startCancelled(transaction: TransactionRecord, signal: CallerSignal): void {
    this.runtime.admit(transaction);
    transaction.listenTo(signal);
    this.runtime.executor.cancelled(transaction);
  }

  private handleOf(transaction: TransactionRecord): Transaction {
    const extras = transaction.needExtras();
    const { handle } = extras;
    const kept: unknown = handle instanceof WeakRef ? handle.deref() : handle;
    if (kept !== undefined) return kept as Transaction;
    const made = new Transaction(transaction, this.outcomeOf(transaction), this.runtime);
    extras.handle = made;
    return made;
  }

  /** The outcome, for those that ask besides the caller of run(). */
  private outcomeOf(transaction: TransactionRecord): Promise<Outcome> {
    if (transaction.told !== TOLD_NOTHING) return Promise.resolve(outcomeNow(transaction));
    return new Promise((resolve) => {
      transaction.needExtras().settleHandle = resolve;
    });
  }
}

/** Starts what has a signal that is listened to. What cannot be started leaves no listener on it. */
function heeding(signal: CallerSignal | undefined, start: () => void): void {
  try {
    start();
  } catch (error) {
    signal?.stop();
    throw error;
  }
}
