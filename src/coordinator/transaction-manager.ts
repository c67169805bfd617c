import { Inject, Injectable } from '@nestjs/common';
import {
  BranchNotFoundError,
  InvalidRequestError,
  NoTransactionError,
  TransactionNotFoundError,
} from './errors.js';
import { CoordinatorRuntime, type Grouping } from './execution/coordinator-runtime.js';
import { inquire } from './execution/inquiry.js';
import { type Decision, inquiryAnswer } from './execution/inquiry-answer.js';
import { outcomeNow } from './execution/outcomes.js';
import { type KnownBranch, type PayloadChange, knownBranch } from './execution/payloads.js';
import type { TransactionRecord } from './execution/records.js';
import { CallerSignal } from './gate/caller-signal.js';
import { Groups } from './groups/groups.js';
import { type TransactionFilter, type TransactionPage, pageOf } from './observation/transaction-listing.js';
import { type TransactionSummary, type TransactionView, viewOf } from './observation/transaction-view.js';
import type { KnownOutcome, Outcome } from './outcome.js';
import type { BranchRequest } from './participant/branch-request.js';
import { Told } from './protocol/index.js';
import { Transaction } from './transaction.js';
import {
  type BeginOnceOptions,
  type BeginOptions,
  type RareFields,
  type ReadRequest,
  type TransactionRequest,
  readRequest,
} from './participant/transaction-request.js';
import type { TransactionScope } from './transaction-scope.js';

/**
 * The answer of `TransactionManager.beginOnce`: the transaction that was begun, or the outcome of the transaction that an earlier
 * request with the key has begun.
 *
 * @publicApi
 */
export type BegunOnce =
  | { readonly transaction: Transaction; readonly earlier?: never }
  | { readonly transaction?: never; readonly earlier: Outcome };

/**
 * Runs transactions over several participants: all of them commit, or none.
 *
 * @publicApi
 */
@Injectable()
export class TransactionManager {
  /** @internal */
  readonly scope: TransactionScope<Transaction>;
  /**
   * Asks the member that owns a transaction, where members can ask each other. It is never a rejection.
   *
   * @internal
   */
  askOwner: (known: KnownOutcome & { readonly status: 'elsewhere' }) => Promise<KnownOutcome> = async (
    known,
  ) => known;

  private readonly groups: Grouping;

  /** @internal */
  constructor(@Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime) {
    this.groups = Groups.of(runtime);
    // Only handles are put into it.
    this.scope = runtime.ambient.scope as TransactionScope<Transaction>;
  }

  /**
   * Runs one transaction from its start to its outcome. All participants prepare at once by default, the
   * first refusal decides, and a decision is delivered despite all failures.
   *
   * If a transaction was refused only because of a conflict with another transaction, it is run again within
   * its time, as a new transaction: the outcome has the id of the last one.
   *
   * @returns the outcome. No event after the start makes it a rejection. With a key that belongs to an earlier request, it is
   * what has become of that one, and nothing was begun.
   * @throws (as a rejection) KeyReusedError, OverloadedError, ServerBusyError, ShuttingDownError, DrainingError, FencedError,
   * LogUnavailableError, ParticipantPausedError, ParticipantSilentError, ParticipantStalledError, UnknownParticipantError,
   * TooManyBranchesError, BranchConflictError or InvalidRequestError. Nothing was started then.
   */
  run(request: TransactionRequest): Promise<Outcome> {
    try {
      const { admission, limits } = this.runtime;
      const read = readRequest(request, true);
      const { rare } = read;
      const signal = rare && signalIn(rare);
      const transaction = admission.create(read.name, read.timeoutMs, read.branchCount);
      if (rare !== undefined) note(rare, transaction);
      if (signal?.isAborted !== true) {
        admission.enlistAll(transaction, read.branches, read.branchCount);
        // An earlier request with the key gets its answer even if the participants cannot work now.
        if (rare?.requestKey === undefined) admission.checkSilence(transaction);
        // Everything that can fail happens before the start. After it the transaction has an outcome.
        signal?.listen();
      }
      // Nearly all requests have neither, and closures for the others would cost them an object each.
      if (signal !== undefined || rare?.requestKey !== undefined || limits.isActive)
        return this.startRun(read, transaction, signal);
      const outcome = outcomeOf(transaction);
      if (!this.groups.takes(transaction, undefined)) this.runtime.begin(transaction, undefined);
      return outcome;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private startRun(
    read: ReadRequest,
    transaction: TransactionRecord,
    signal: CallerSignal | undefined,
  ): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      transaction.settle = resolve;
      this.startWith(read, transaction, signal, resolve, reject);
    });
  }

  private startWith(
    read: ReadRequest,
    transaction: TransactionRecord,
    signal: CallerSignal | undefined,
    resolve: (outcome: Outcome) => void,
    reject: (error: Error) => void,
  ): void {
    heeding(signal, () => {
      if (read.rare?.requestKey !== undefined) this.runOnce(read, transaction, signal, resolve, reject);
      else if (signal?.isAborted === true) this.startCancelled(transaction, signal);
      else if (this.groups.takes(transaction, signal)) return;
      else if (this.runtime.limits.isActive) this.beginWithRoom(read, transaction, signal, resolve, reject);
      else this.runtime.begin(transaction, signal);
    });
  }

  /**
   * Begins a transaction whose branches are enlisted one by one.
   *
   * @throws OverloadedError, ShuttingDownError, DrainingError, FencedError, LogUnavailableError or
   * InvalidRequestError. Nothing was started then.
   */
  begin(options: BeginOptions = {}): Transaction {
    const read = readRequest(options, false);
    if (read.rare?.requestKey !== undefined)
      throw new InvalidRequestError('key', 'has to be reserved before the start: use run() or beginOnce()');
    const { transaction, signal } = this.make(read);
    const handle = this.handleOf(transaction);
    signal?.listen();
    heeding(signal, () => this.start(transaction, signal));
    return handle;
  }

  /**
   * Begins a transaction as {@link begin} does, for a request that must not run twice: its key is reserved first.
   *
   * @returns the transaction, or the outcome of the one that an earlier request with the key has begun.
   * @throws (as a rejection) KeyReusedError, and the errors of {@link begin}. Nothing was begun then.
   */
  async beginOnce(options: BeginOnceOptions): Promise<BegunOnce> {
    const read = readRequest(options, false);
    if (read.rare?.requestKey === undefined)
      throw new InvalidRequestError('key', 'is needed: begin() takes none');
    const { transaction, signal } = this.make(read);
    const handle = this.handleOf(transaction);
    signal?.listen();
    try {
      const earlier = await this.runtime.keys.reserve(transaction, () => {
        this.runtime.admission.checkAgain(transaction);
        this.start(transaction, signal);
      });
      if (earlier === undefined) return { transaction: handle };
      signal?.stop();
      return { earlier };
    } catch (error) {
      signal?.stop();
      throw error;
    }
  }

  /**
   * Whether a log that several members share keeps the keys of requests, for all of them and across crashes. Otherwise the
   * keys end with the process.
   */
  get sharesKeys(): boolean {
    return this.runtime.log.shared !== undefined;
  }

  /**
   * The transaction for which the calling code runs: within Transaction.run(), and within the methods of
   * participants with the option `ambient`.
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
   * The current transaction, or one that has ended while the decorated method that began it still runs.
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
   * @throws NoTransactionError when there is none; otherwise as Transaction.enlist.
   */
  enlist<P>(request: BranchRequest<P>): string {
    const transaction = this.enclosing();
    if (transaction === undefined) throw new NoTransactionError('TransactionManager.enlist()');
    return transaction.enlist(request);
  }

  /**
   * Finds a transaction that this process has begun, by its id: for code that was handed the id by another process.
   *
   * @returns undefined for one that this run has not begun, that has ended and is no longer kept, or that run() has begun and
   * that waits for a group or is a member of one.
   */
  attach(transactionId: string): Transaction | undefined {
    const { registry, ids } = this.runtime;
    const transaction = ids.isCurrent(transactionId) ? registry.find(transactionId) : undefined;
    return transaction === undefined || transaction.isMember ? undefined : this.handleOf(transaction);
  }

  /** Whether several members share the decision log, and with it the outcomes of all transactions. */
  get isShared(): boolean {
    return this.runtime.log.shared !== undefined;
  }

  /** @returns the present state of a transaction that is in flight or was kept after its end. */
  find(transactionId: string): TransactionView | undefined {
    const transaction = this.runtime.registry.find(transactionId);
    return transaction === undefined ? undefined : viewOf(transaction);
  }

  /**
   * Finds out what has become of a transaction, whichever member of the coordinator has begun it: from memory, from a log that
   * several members share, or from the member that owns it. Members ask each other if OperationsModule has the option `members`.
   *
   * @returns what is known now. It is never a guess and never a rejection: where nothing is known it says `unknown`, and where
   * another member knows more, and has not answered, it says which.
   */
  async outcomeOf(transactionId: string): Promise<KnownOutcome> {
    const known = await inquire(transactionId, this.runtime);
    return known.status === 'elsewhere' ? this.askOwner(known) : known;
  }

  /**
   * As {@link outcomeOf}, from the memory of this member and from the log alone: for code that has to find out whether another
   * member owns the transaction.
   *
   * @internal
   */
  outcomeHere(transactionId: string): Promise<KnownOutcome> {
    return inquire(transactionId, this.runtime);
  }

  /**
   * Answers a participant in doubt: a branch is prepared, and its decision has not come. Any member may be asked.
   *
   * @returns `commit` or `abort` only where that is the decision. `wait` while the transaction is still voting, where only
   * another member can know more, and for an id that this log has not given out. It never rejects.
   */
  async decisionFor(transactionId: string): Promise<Decision> {
    const { ids, log, registry, isRestored } = this.runtime;
    const known = await inquire(transactionId, this.runtime);
    const origin = ids.originOf(transactionId);
    const age = origin.kind === 'own' ? log.epoch - origin.epoch : -1;
    return inquiryAnswer({
      status: known.status,
      // Of a later start this run knows nothing, and of an earlier one only what a durable log has kept.
      isForgotten:
        known.status === 'unknown' &&
        known.because === 'forgotten' &&
        (age === 0 || (age > 0 && log.durable)),
      wasRecorded: registry.isRestoredDecision(transactionId),
      mayPresume: isRestored && !log.isLost,
    });
  }

  /**
   * @returns a page of the transactions in flight and of those kept after their end that match the filter.
   * @throws InvalidRequestError when a field of the filter is invalid.
   */
  page(filter: TransactionFilter = {}): TransactionPage {
    const { registry, parts } = this.runtime;
    return pageOf(registry, filter, parts.clock.now());
  }

  /** @returns the entries of the page that {@link page} returns, the latest first by default. */
  list(filter: TransactionFilter = {}): readonly TransactionSummary[] {
    return this.page(filter).transactions;
  }

  /**
   * Drops the heuristic reports of a transaction that has ended, after an operator has dealt with them. Its
   * branches still show what they reported.
   *
   * @param branchId of the only branch whose report is dropped. @default all branches
   * @returns whether there were any and the transaction has ended.
   * @throws TransactionNotFoundError when the transaction is not known; BranchNotFoundError when it has no such branch.
   */
  forget(transactionId: string, branchId?: string): boolean {
    const transaction = this.runtime.registry.find(transactionId);
    if (transaction === undefined) throw new TransactionNotFoundError(transactionId);
    const branch =
      branchId === undefined ? undefined : transaction.branches.find((one) => one.branchId === branchId);
    if (branchId !== undefined && branch === undefined)
      throw new BranchNotFoundError(transactionId, branchId);
    return this.runtime.executor.forget(transaction, branch);
  }

  /**
   * The branches of a transaction that this member has in memory, with their payloads: for participants whose payloads say where
   * they are reached.
   *
   * @returns an empty list for a transaction that is not in memory.
   * @internal
   */
  branchesOf(transactionId: string): readonly KnownBranch[] {
    const transaction = this.runtime.registry.find(transactionId);
    return transaction === undefined ? [] : transaction.branches.map(knownBranch);
  }

  /**
   * Replaces the payload of a branch, since its participant is reached elsewhere now. A decision is delivered there at once.
   *
   * @returns a promise of whether the log has the new payload wherever it has the branch. It rejects when the log has not taken it:
   * the decision is delivered with it all the same, but an earlier one comes back with the next start.
   * @internal
   */
  replacePayload(transactionId: string, branchId: string, payload: unknown): Promise<PayloadChange> {
    const transaction = this.runtime.registry.find(transactionId);
    const branch = transaction?.branches.find((candidate) => candidate.branchId === branchId);
    return branch === undefined
      ? Promise.resolve('over')
      : this.runtime.executor.replacePayload(branch, payload);
  }

  /** Makes the transaction of begin(), which is not begun yet. */
  private make({ name, timeoutMs, rare }: ReadRequest): {
    transaction: TransactionRecord;
    signal: CallerSignal | undefined;
  } {
    const signal = rare && signalIn(rare);
    const transaction = this.runtime.admission.create(name, timeoutMs, 0);
    if (rare !== undefined) note(rare, transaction);
    return { transaction, signal };
  }

  private start(transaction: TransactionRecord, signal: CallerSignal | undefined): void {
    if (signal?.isAborted === true) {
      this.startCancelled(transaction, signal);
      return;
    }
    this.runtime.admit(transaction);
    if (signal !== undefined) transaction.listenTo(signal);
  }

  /** Starts the transaction when its key is reserved, unless an earlier request has it. */
  private runOnce(
    read: ReadRequest,
    transaction: TransactionRecord,
    signal: CallerSignal | undefined,
    resolve: (outcome: Outcome) => void,
    reject: (error: Error) => void,
  ): void {
    const { admission, keys, limits } = this.runtime;
    const begin = (): void => {
      if (signal?.isAborted === true) {
        keys.free(transaction);
        this.cancelUnbegun(read, signal, resolve);
        return;
      }
      admission.checkAgain(transaction);
      if (this.groups.takes(transaction, signal)) return;
      if (limits.isActive) this.beginWithRoom(read, transaction, signal, resolve, reject);
      else this.runtime.begin(transaction, signal);
    };
    keys.reserve(transaction, begin).then(
      (earlier) => {
        if (earlier === undefined) return;
        signal?.stop();
        resolve(earlier);
      },
      (error: Error) => {
        signal?.stop();
        reject(error);
      },
    );
  }

  /** The caller has cancelled a transaction that waited. Its branches are asked nothing, so the outcome is another one's. */
  private cancelUnbegun(
    { name, timeoutMs }: ReadRequest,
    signal: CallerSignal,
    resolve: (outcome: Outcome) => void,
  ): void {
    const cancelled = this.runtime.admission.create(name, timeoutMs, 0);
    cancelled.settle = resolve;
    this.startCancelled(cancelled, signal);
  }

  /** Starts the transaction when its database servers have room for it. */
  private beginWithRoom(
    read: ReadRequest,
    transaction: TransactionRecord,
    signal: CallerSignal | undefined,
    resolve: (outcome: Outcome) => void,
    reject: (error: Error) => void,
  ): void {
    const { keys } = this.runtime;
    const refuse = (error: unknown): void => {
      keys.free(transaction);
      this.groups.dropped(transaction);
      signal?.stop();
      reject(error as Error);
    };
    const cancel = (): void => {
      try {
        keys.free(transaction);
        this.groups.dropped(transaction);
        this.cancelUnbegun(read, signal!, resolve);
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
    const made = new Transaction(transaction, this.outcomeFor(transaction), this.runtime);
    extras.handle = made;
    return made;
  }

  /** The outcome, for those that ask besides the caller of run(). */
  private outcomeFor(transaction: TransactionRecord): Promise<Outcome> {
    if (transaction.told !== Told.NOTHING) return Promise.resolve(outcomeNow(transaction));
    return new Promise((resolve) => {
      transaction.needExtras().settleHandle = resolve;
    });
  }
}

function signalIn({ signal }: RareFields): CallerSignal | undefined {
  return signal === undefined ? undefined : new CallerSignal(signal);
}

/** Notes in a transaction what its caller has asked for. */
function note(
  { prepareInTurn, attributes, requestId, requestKey }: RareFields,
  transaction: TransactionRecord,
): void {
  if (prepareInTurn) transaction.needExtras().inTurn = true;
  if (attributes !== undefined) transaction.needExtras().attributes = attributes;
  if (requestId !== undefined) transaction.needExtras().caller = { requestId };
  if (requestKey !== undefined) transaction.needExtras().requestKey = requestKey;
}

/** @returns the promise of the caller, which the transaction resolves when its outcome is told. */
function outcomeOf(transaction: TransactionRecord): Promise<Outcome> {
  return new Promise((resolve) => {
    transaction.settle = resolve;
  });
}

/** Starts a transaction with a signal that has a listener. If the start fails, the listener is removed. */
function heeding(signal: CallerSignal | undefined, start: () => void): void {
  try {
    start();
  } catch (error) {
    signal?.stop();
    throw error;
  }
}
