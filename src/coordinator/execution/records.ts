import type { CallerSignal } from '../gate/caller-signal.js';
import { AttemptAbandonedError, TransactionAbortedError, guardedController } from '../gate/guarded-signal.js';
import {
  type CommitDecision,
  type CommitRecord,
  DECIDED_BY_LOG,
  type DecisionLog,
} from '../log/decision-log.js';
import type { Outcome } from '../outcome.js';
import type { Branch, CoordinatorRun } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import {
  type BranchSet,
  type HeuristicKind,
  NO_BRANCHES,
  type ProtocolEffects,
  ProtocolTransaction,
  READY,
  STATES,
  type TransactionState,
  heuristicBranches,
  includes,
  isAbort,
  owes,
} from '../protocol/index.js';
import type { ServerLimit, Share } from './capacity/server-limit.js';
import { type Clock, NEVER, NOT_YET, epochMsOf } from './clock.js';
import type { Delivery } from './delivery.js';
import type { TransactionTrace } from './trace.js';

/**
 * What drives transactions, as their records and the parts of the execution know it: it carries out the effects of the
 * protocol, and takes what comes back.
 */
export interface TransactionExecutor extends ProtocolEffects<TransactionRecord> {
  readonly clock: Clock;
  /** The run of the coordinator that drives them. */
  readonly run: CoordinatorRun;
  /** A call made with a branch's own callbacks came back. */
  answered(branch: BranchRecord, value: unknown): void;
  failed(branch: BranchRecord, error: unknown): void;
  /** Nothing may keep the transaction any more. */
  settled(transaction: TransactionRecord): void;
  /** The caller's signal was aborted. */
  cancelled(transaction: TransactionRecord): void;
  /** A listener of a signal that participants were given threw. `owner` says whose signal it was. */
  listenerFailed(owner: string, error: unknown): void;
}

/** Something that went otherwise than it should, at one branch. */
export interface Incident {
  /** Microseconds since the transaction began. */
  readonly atUs: number;
  readonly type:
    | 'refused'
    | 'prepare-failed'
    | 'prepare-timed-out'
    | 'late-answer'
    | 'attempt-failed'
    | 'attempt-timed-out'
    | 'stalled'
    | 'held'
    | 'heuristic'
    | 'reopened'
    | 'record-unknown';
  /** The index of the branch, or -1 when none is concerned. */
  readonly branch: number;
  /** The attempt, from 1; 0 where there is none. */
  readonly attempt: number;
  readonly message: string;
}

/** The largest number that V8 keeps without an object of its own, in microseconds 35 minutes. */
const MAX_SMALL = 0x7fffffff;
/** Stands for never; with it, 12 days in milliseconds, the number is still kept in the object. */
const NEVER_MS = 0x3fffffff;

/** One transaction as the executor holds it: the state of the protocol, and what it takes to reach the participants. */
export class TransactionRecord extends ProtocolTransaction implements CommitDecision {
  /**
   * The branches hang on one another. An array for each transaction would cost more than its own bytes: the ones of
   * finished transactions outlive a collection of young garbage, from which V8 concludes that all of them should be
   * made old at once, and old ones keep the young objects they point to alive until the next full collection.
   */
  firstBranch: BranchRecord | undefined = undefined;
  private lastBranch: BranchRecord | undefined = undefined;
  /**
   * Moments are kept as whole microseconds (what is due: milliseconds) since the transaction began, which V8 stores in the object
   * itself, where each number with a fraction would be an object of its own. They are read by what is measured of each
   * transaction, and set by the moments below.
   */
  preparingUs = NOT_YET;
  decidedUs = NOT_YET;
  endedUs = NOT_YET;
  private dueMs: number;
  /** Resolves the caller's promise; gone once it is told. */
  settle: ((outcome: Outcome) => void) | undefined = undefined;
  /** Not longer than any time-out of its participants, in milliseconds: nothing of a call can be due before. */
  shortestTimeoutMs: number;
  extras: TransactionExtras | undefined = undefined;

  constructor(
    readonly executor: TransactionExecutor,
    readonly sequence: number,
    readonly id: string,
    readonly name: string,
    readonly startedAt: number,
    private readonly timeoutMs: number,
  ) {
    super();
    this.dueMs = timeoutMs;
    this.shortestTimeoutMs = timeoutMs;
  }

  addBranch(branch: BranchRecord): void {
    if (this.lastBranch === undefined) this.firstBranch = branch;
    else this.lastBranch.next = branch;
    this.lastBranch = branch;
    const { shortestTimeoutMs } = branch.participant;
    if (shortestTimeoutMs < this.shortestTimeoutMs) this.shortestTimeoutMs = shortestTimeoutMs;
  }

  /** The extras, made when they are needed for the first time. */
  needExtras(): TransactionExtras {
    this.extras ??= new TransactionExtras();
    return this.extras;
  }

  /** The branches in the order of their indices, for code that is not called often. */
  get branches(): BranchRecord[] {
    const branches: BranchRecord[] = [];
    for (let branch = this.firstBranch; branch !== undefined; branch = branch.next) branches.push(branch);
    return branches;
  }

  /** When the voting began, on the coordinator's clock in milliseconds; 0 while it has not. */
  get preparingAt(): number {
    return this.momentOf(this.preparingUs);
  }

  set preparingAt(now: number) {
    this.preparingUs = this.elapsedUs(now);
  }

  /** When the decision was made; 0 while it is not. */
  get decidedAt(): number {
    return this.momentOf(this.decidedUs);
  }

  set decidedAt(now: number) {
    this.decidedUs = this.elapsedUs(now);
  }

  /** When the last branch was done; 0 while one is not. */
  get endedAt(): number {
    return this.momentOf(this.endedUs);
  }

  set endedAt(now: number) {
    this.endedUs = this.elapsedUs(now);
  }

  /** When the decision must be made. */
  get deadlineAt(): number {
    return this.startedAt + this.timeoutMs;
  }

  /** Not later than the earliest moment at which something is due, or never. */
  get dueAt(): number {
    return this.dueMs === NEVER_MS ? NEVER : this.startedAt + this.dueMs;
  }

  set dueAt(moment: number) {
    // A moment too far off is looked at early, and then seen to be due later; never late.
    this.dueMs = moment === NEVER ? NEVER_MS : Math.min(Math.floor(moment - this.startedAt), NEVER_MS - 1);
  }

  get stateName(): TransactionState {
    return STATES[this.state]!;
  }

  get isStalled(): boolean {
    return this.stalled !== 0;
  }

  get hasHeuristics(): boolean {
    return heuristicBranches(this) !== 0;
  }

  /** Whether it is kept after its end: for a report that is not forgotten, or a branch that is over by word alone. */
  get isWatched(): boolean {
    return this.hasHeuristics || (this.extras !== undefined && this.extras.unconfirmed !== 0);
  }

  /** Whether it is over, and nothing is left to do for it. */
  get isSettled(): boolean {
    return this.endedAt !== 0 && this.open === 0 && !this.isWatched;
  }

  /** What the log is to keep: the branches that voted commit, each with what its commit needs. */
  toRecord(): CommitRecord {
    // Nothing is open before the decision, which is when the record is made.
    const open = this.state === READY ? this.yes : this.open;
    const branches = this.branches
      .filter(({ index }) => includes(this.yes, index))
      .map(({ index, branchId, participant, payload }) => {
        const completed = !includes(open, index);
        const { name, address } = participant;
        if (address === undefined) return { branchId, participant: name, payload, completed };
        return { branchId, participant: name, address, payload, completed };
      });
    const { clock } = this.executor;
    const decidedAt = clock.epochMs + (this.decidedAt === 0 ? clock.now() : this.decidedAt);
    const begunAt = clock.epochMs + this.startedAt;
    return { id: this.id, name: this.name, decider: DECIDED_BY_LOG, begunAt, decidedAt, branches };
  }

  /** @returns whole microseconds since the transaction began. */
  elapsedUs(now: number): number {
    const us = (now - this.startedAt) * 1000 + 0.5;
    return us < MAX_SMALL ? us | 0 : Math.floor(us);
  }

  /** The signal of every prepare of this transaction. */
  prepareSignal(): AbortSignal {
    const extras = this.needExtras();
    extras.prepareController ??= guardedController((error) =>
      this.executor.listenerFailed(`transaction ${this.id}`, error),
    );
    if (isAbort(this.state)) this.abortPrepares();
    return extras.prepareController.signal;
  }

  abortPrepares(): void {
    const controller = this.extras?.prepareController;
    if (controller === undefined || controller.signal.aborted) return;
    controller.abort(new TransactionAbortedError(this.id));
  }

  note(incident: Incident): void {
    this.needExtras().note(incident);
  }

  /** From now on the caller's signal can cancel the transaction. */
  listenTo(signal: CallerSignal): void {
    this.needExtras().callerSignal = signal;
    signal.tell(() => this.executor.cancelled(this));
  }

  stopListening(): void {
    const { extras } = this;
    if (extras?.callerSignal === undefined) return;
    extras.callerSignal.stop();
    extras.callerSignal = undefined;
  }

  private momentOf(us: number): number {
    return us === NOT_YET ? 0 : this.startedAt + us / 1000;
  }
}

/** The order in which the participants of a transaction prepare one after the other. */
export interface Turns {
  /** @returns the branch whose turn it is now; undefined when each has had its turn. */
  next(): BranchRecord | undefined;
  /** The participant of this branch is asked. */
  asks(branch: BranchRecord, now: number): void;
  /** @returns when its participant was asked, on the coordinator's clock; undefined while it has not been. */
  askedAt(branch: BranchRecord): number | undefined;
}

const MAX_INCIDENTS = 40;

/**
 * What a transaction needs only when it has a handle or a signal, or when something goes wrong. Kept apart, it costs
 * the others one field.
 */
export class TransactionExtras {
  /** The handle that callers hold. */
  handle: unknown = undefined;
  /** While it is traced. */
  trace: TransactionTrace | undefined = undefined;
  /** The caller's own signal, while it can still change anything. */
  callerSignal: CallerSignal | undefined = undefined;
  /** The signal of all prepares, once a participant has asked for it. */
  prepareController: AbortController | undefined = undefined;
  /** Why it is aborted, where the cause is not a participant. */
  abortReason: string | undefined = undefined;
  rollbackOnlyReason: string | undefined = undefined;
  /** Whether the caller wants the participants to prepare one after the other. */
  inTurn = false;
  /** The order in which they prepare, while they prepare one after the other: because the caller wants it, or after conflicts. */
  turns: Turns | undefined = undefined;
  /** Resolves the outcome of the handle; gone once it is told. */
  settleHandle: ((outcome: Outcome) => void) | undefined = undefined;
  /** Whether the caller's request is run again once this attempt is over. */
  isRunAgain = false;
  /** What it takes of database servers. */
  shares: Map<ServerLimit, Share> | undefined = undefined;
  /** Whether one of its branches at these servers has been asked to prepare. */
  isAtWork = false;
  /** How many attempts at the caller's request came before this one. */
  attemptsBefore = 0;
  /** When the log is asked again for a record that may be there; 0 when it need not be. */
  inquiryAt = 0;
  inquiries = 0;
  /** Branches that are over by word alone. */
  unconfirmed: BranchSet = NO_BRANCHES;
  /** Whether its reports are forgotten, and the log is to be told when no branch is over by word alone. */
  owesForget = false;
  /** The log that holds its record, where that is not the one of this coordinator. */
  log: DecisionLog | undefined = undefined;
  /** What went otherwise than it should, for the timeline. */
  readonly incidents: Incident[] = [];

  /** The caller has been told: its handle knows the outcome, and what was thrown with it, and is not kept for that. */
  letGoOfHandle(): void {
    this.settleHandle = undefined;
    if (typeof this.handle === 'object' && this.handle !== null) this.handle = new WeakRef(this.handle);
  }

  /** The transaction is over: what user code has hung on its signals and handle is let go of. */
  letGo(): void {
    this.handle = undefined;
    this.prepareController = undefined;
  }

  /** Keeps the first and the latest incidents, so that a branch that fails for days does not fill the memory. */
  note(incident: Incident): void {
    if (this.incidents.length >= MAX_INCIDENTS) this.incidents.splice(MAX_INCIDENTS / 2, 1);
    this.incidents.push(incident);
  }
}

/** No call was made yet. */
export const CALL_NONE = 0;
export const CALL_PREPARE = 1;
export const CALL_ONE_PHASE = 2;
/** The first attempt to commit. Further ones, and every rollback, are a {@link Delivery}'s. */
export const CALL_COMMIT = 3;

/** How an abort came about at one branch. */
export interface Refusal {
  readonly code: string | undefined;
  readonly reason: string;
  /** What was thrown, until the caller has been told. */
  error: unknown;
  /** Whether it met another transaction, and nothing else is wrong. */
  readonly conflict?: boolean;
  /** Whether the same request may succeed later. */
  readonly temporary?: boolean;
}

/** A participant's report that the branch ended otherwise than it was told. */
export interface BranchHeuristic {
  readonly kind: HeuristicKind;
  readonly reason: string;
}

/**
 * One branch as the executor holds it, and at the same time what its participant sees, through a GivenBranch: in prepare,
 * and in the first attempt to commit, which cannot overlap. A transaction in which nothing goes wrong thus keeps
 * one object and two callbacks for each branch, and no timer.
 */
export class BranchRecord implements Branch {
  /** The branch that was enlisted after this one. */
  next: BranchRecord | undefined = undefined;
  call = CALL_NONE;
  /** Completion attempts so far. */
  attempts = 0;
  /** Microseconds from the start of the transaction to the answer. */
  votedUs = NOT_YET;
  completedUs = NOT_YET;
  private extras: BranchExtras | undefined = undefined;

  readonly fulfilled = (value: unknown): void => this.transaction.executor.answered(this, value);
  readonly rejected = (error: unknown): void => this.transaction.executor.failed(this, error);

  constructor(
    readonly transaction: TransactionRecord,
    readonly index: number,
    readonly participant: RegisteredParticipant,
    public payload: unknown,
    /** The id the caller chose, or made for a participant's second branch. */
    private readonly givenId: string | undefined,
  ) {}

  get transactionId(): string {
    return this.transaction.id;
  }

  get branchId(): string {
    return this.givenId ?? this.participant.name;
  }

  get deadline(): number {
    const { transaction } = this;
    return epochMsOf(transaction.executor.clock, callDueAt(this));
  }

  /** Made only when it is asked for; one serves all prepares of a transaction. */
  get signal(): AbortSignal {
    if (this.call !== CALL_COMMIT && this.call !== CALL_ONE_PHASE) return this.transaction.prepareSignal();
    const extras = this.needExtras();
    extras.completionController ??= guardedController((error) =>
      this.transaction.executor.listenerFailed(`"${this.participant.name}"`, error),
    );
    if (extras.delivery !== undefined) extras.completionController.abort(new AttemptAbandonedError());
    return extras.completionController.signal;
  }

  /** The first attempt to complete was given up: its participant may stop. */
  abandonFirstAttempt(): void {
    this.extras?.completionController?.abort(new AttemptAbandonedError());
  }

  /** No participant works for the branch any more: the listeners of its signal are not kept. */
  dropSignal(): void {
    if (this.extras !== undefined) this.extras.completionController = undefined;
  }

  get delivery(): Delivery | undefined {
    return this.extras?.delivery;
  }

  set delivery(delivery: Delivery) {
    this.needExtras().delivery = delivery;
  }

  get refusal(): Refusal | undefined {
    return this.extras?.refusal;
  }

  set refusal(refusal: Refusal) {
    this.needExtras().refusal = refusal;
  }

  get heuristic(): BranchHeuristic | undefined {
    return this.extras?.heuristic;
  }

  set heuristic(heuristic: BranchHeuristic) {
    this.needExtras().heuristic = heuristic;
  }

  /** Whether it owes an answer: the acknowledgement of the decision, or the decision, when it is to make it alone. */
  get owes(): boolean {
    return owes(this.transaction, this.index);
  }

  /** Whether it owes an answer, and its completion waits because its participant is paused. */
  get isHeld(): boolean {
    const { delivery } = this;
    return (
      this.participant.paused !== undefined &&
      delivery !== undefined &&
      delivery.attempt === undefined &&
      this.owes
    );
  }

  /** The next event closes the branch, and may end and show the transaction: its record is complete before. */
  close(now: number): void {
    this.completedUs = this.transaction.elapsedUs(now);
    this.delivery?.rest(NEVER);
  }

  get attempt(): number {
    return this.attempts;
  }

  get run(): CoordinatorRun {
    return this.transaction.executor.run;
  }

  toJSON(): object {
    const { transactionId, branchId, payload, deadline, attempt } = this;
    return { transactionId, branchId, payload, deadline, attempt };
  }

  private needExtras(): BranchExtras {
    this.extras ??= new BranchExtras();
    return this.extras;
  }
}

/** What a branch needs only when something goes wrong, or when its participant asks for the signal. */
class BranchExtras {
  delivery: Delivery | undefined = undefined;
  refusal: Refusal | undefined = undefined;
  heuristic: BranchHeuristic | undefined = undefined;
  completionController: AbortController | undefined = undefined;
}

/** @returns another branch of the transaction that is prepared at the same participant, if there is one. */
export function preparedSibling({ transaction, participant, index }: BranchRecord): BranchRecord | undefined {
  return transaction.branches.find(
    (other) =>
      other.participant === participant && other.index !== index && includes(transaction.yes, other.index),
  );
}

/** @returns when its participant was asked to prepare, on the coordinator's clock. */
export function calledToPrepareAt(branch: BranchRecord): number {
  const { transaction } = branch;
  return transaction.extras?.turns?.askedAt(branch) ?? transaction.preparingAt;
}

/** @returns when the call in flight is due, on the coordinator's clock. Only the first call of each kind is here. */
export function callDueAt(branch: BranchRecord): number {
  const { transaction, participant } = branch;
  if (branch.call === CALL_COMMIT) return transaction.decidedAt + participant.options.completionTimeoutMs;
  const prepareDueAt = calledToPrepareAt(branch) + participant.options.prepareTimeoutMs;
  return branch.call === CALL_ONE_PHASE ? prepareDueAt : Math.min(prepareDueAt, transaction.deadlineAt);
}
