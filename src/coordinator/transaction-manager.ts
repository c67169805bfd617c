import { Inject, Injectable } from '@nestjs/common';
import { InvalidRequestError, TransactionNotFoundError } from './errors.js';
import { CoordinatorRuntime } from './execution/coordinator-runtime.js';
import { outcomeNow } from './execution/outcomes.js';
import type { TransactionRecord } from './execution/transaction-record.js';
import { type TransactionView, viewOf } from './observation/transaction-view.js';
import type { Outcome } from './outcome.js';
import type { BranchRequest } from './participant/branch-request.js';
import {
  TOLD_NOTHING,
  forgetHeuristics,
  heuristicBranches,
  includes,
  type TransactionState,
} from './protocol/index.js';
import { Transaction } from './transaction.js';

/** What {@link TransactionManager.begin} takes. @publicApi */
export interface BeginOptions {
  /** What the transaction is for: in logs and listings. At most 100 characters. @default 'transaction' */
  readonly name?: string;
  /**
   * How long it may take until its decision, in milliseconds, from 1 to 86_400_000.
   *
   * @default the coordinator's `timeoutMs`
   */
  readonly timeoutMs?: number;
  /** Aborts the transaction, as long as its voting has not ended. */
  readonly signal?: AbortSignal;
}

/** What {@link TransactionManager.run} takes. @publicApi */
export interface TransactionRequest extends BeginOptions {
  /** The branches, all known beforehand. None at all commits at once. */
  readonly branches: readonly BranchRequest<never>[] | readonly BranchRequest[];
}

/** What {@link TransactionManager.list} selects. @publicApi */
export interface TransactionFilter {
  readonly state?: TransactionState;
  readonly stalled?: boolean;
  /** How many at most, from 1 to 1,000. @default 100 */
  readonly limit?: number;
}

const DEFAULT_LIST_LIMIT = 100;
const MAX_LIST_LIMIT = 1_000;

/**
 * Runs transactions over several participants: all of them commit, or none.
 *
 * @publicApi
 */
@Injectable()
export class TransactionManager {
  constructor(@Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime) {}

  /**
   * Runs one transaction from its begin to its outcome. All participants prepare at once, the first refusal
   * decides, and a decision is delivered whatever fails.
   *
   * @returns the outcome; it is never a rejection for anything that happens after the begin.
   * @throws (as a rejection) OverloadedError, ShuttingDownError, FencedError, LogUnavailableError, ParticipantStalledError,
   * UnknownParticipantError, TooManyBranchesError, BranchConflictError or InvalidRequestError. Then nothing was begun.
   */
  run(request: TransactionRequest): Promise<Outcome> {
    return new Promise((resolve) => {
      const { branches, signal } = request;
      if (!Array.isArray(branches)) throw new InvalidRequestError('branches', 'must be a list of branches');
      checkSignal(signal);
      const { admission, executor } = this.runtime;
      const transaction = admission.create(request.name, request.timeoutMs, branches.length);
      transaction.settle = resolve;
      if (signal?.aborted) {
        this.startCancelled(transaction, signal);
        return;
      }
      for (const branch of branches as readonly BranchRequest[]) admission.enlist(transaction, branch);
      admission.admit(transaction);
      if (signal !== undefined) transaction.listenTo(signal);
      executor.commitRequested(transaction);
    });
  }

  /**
   * Begins a transaction whose branches come one by one.
   *
   * @throws OverloadedError, ShuttingDownError, FencedError, LogUnavailableError or InvalidRequestError. Then nothing was begun.
   */
  begin(options: BeginOptions = {}): Transaction {
    const { signal } = options;
    checkSignal(signal);
    const transaction = this.runtime.admission.create(options.name, options.timeoutMs, 0);
    const handle = this.handleOf(transaction);
    if (signal?.aborted) {
      this.startCancelled(transaction, signal);
      return handle;
    }
    this.runtime.admission.admit(transaction);
    if (signal !== undefined) transaction.listenTo(signal);
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
    return transaction === undefined ? undefined : this.handleOf(transaction);
  }

  /** @returns a transaction that is in flight or was kept after its end, as it is now. */
  find(transactionId: string): TransactionView | undefined {
    const transaction = this.runtime.registry.find(transactionId);
    return transaction === undefined ? undefined : viewOf(transaction);
  }

  /**
   * @returns the transactions in flight and those kept after their end, the youngest first.
   * @throws InvalidRequestError when the limit is not a whole number from 1 to 1,000.
   */
  list(filter: TransactionFilter = {}): TransactionView[] {
    const limit = filter.limit ?? DEFAULT_LIST_LIMIT;
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIST_LIMIT) {
      throw new InvalidRequestError('limit', `must be a whole number from 1 to ${MAX_LIST_LIMIT}`);
    }
    const found: TransactionRecord[] = [];
    this.runtime.registry.forEach((transaction) => {
      if (filter.state !== undefined && transaction.stateName !== filter.state) return;
      if (filter.stalled !== undefined && transaction.isStalled !== filter.stalled) return;
      found.push(transaction);
    });
    found.sort((a, b) => b.sequence - a.sequence);
    return found.slice(0, limit).map(viewOf);
  }

  /**
   * Drops the heuristic reports of a transaction that is over, once somebody has dealt with what they tell. Its
   * branches go on to show what they reported.
   *
   * @returns whether there were any, and it is over.
   * @throws TransactionNotFoundError when the transaction is not known.
   */
  forget(transactionId: string): boolean {
    const transaction = this.runtime.registry.find(transactionId);
    if (transaction === undefined) throw new TransactionNotFoundError(transactionId);
    // While it goes on, the caller has yet to hear of them.
    if (!transaction.hasHeuristics || transaction.endedAt === 0) return false;
    const reported = heuristicBranches(transaction);
    for (const { index, participant } of transaction.branches) {
      if (includes(reported, index)) participant.unforgottenReports--;
    }
    forgetHeuristics(transaction);
    this.runtime.executor.forgotten(transaction);
    return true;
  }

  /** The caller had cancelled before the begin: no participant is contacted. */
  private startCancelled(transaction: TransactionRecord, signal: AbortSignal): void {
    this.runtime.admission.admit(transaction);
    transaction.needExtras().callerSignal = signal;
    this.runtime.executor.cancelled(transaction);
  }

  private handleOf(transaction: TransactionRecord): Transaction {
    const extras = transaction.needExtras();
    extras.handle ??= new Transaction(transaction, this.outcomeOf(transaction), this.runtime);
    return extras.handle as Transaction;
  }

  /** The outcome, for whoever asks besides the caller of run(). */
  private outcomeOf(transaction: TransactionRecord): Promise<Outcome> {
    if (transaction.told !== TOLD_NOTHING) return Promise.resolve(outcomeNow(transaction));
    return new Promise((resolve) => {
      const { settle } = transaction;
      transaction.settle = (outcome) => {
        settle?.(outcome);
        resolve(outcome);
      };
    });
  }
}

/** A signal of another realm, or of a polyfill, will do; what cannot be listened to will not. */
function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  if (typeof signal?.addEventListener !== 'function' || typeof signal.removeEventListener !== 'function') {
    throw new InvalidRequestError('signal', 'must be an AbortSignal');
  }
}
