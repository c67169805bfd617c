import type { CallerSignal } from '../gate/caller-signal.js';
import { AttemptAbandonedError, TransactionAbortedError, guardedController } from '../gate/guarded-signal.js';
import { type CommitDecision, type CommitRecord, DECIDED_BY_LOG } from '../log/decision-log.js';
import type { Outcome } from '../outcome.js';
import type { Branch, CoordinatorRun } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import {
  type AbortCauseNumber,
  type BranchSet,
  Branches,
  Cause,
  CauseBranch,
  Decider,
  type ProtocolEffects,
  type ProtocolTransaction,
  STATES,
  State,
  type StateNumber,
  Told,
  type TransactionState,
  awaitsConfirmation,
  heuristicBranches,
  includes,
  isAbort,
  isCommit,
  only,
  owes,
} from '../protocol/index.js';
import { type Clock, Moment, NEVER, epochMsOf } from './clock.js';
import type { Delivery } from './delivery.js';
import { GroupFields } from './group-fields.js';
import type { Incident } from './incident.js';
import { type BranchHeuristic, type Refusal, type VoteExpiry, notesOf, recordOf } from './said.js';
import { TransactionExtras } from './transaction-extras.js';

export type { BranchHeuristic, Refusal } from './said.js';

/**
 * Drives transactions, as their records and the parts of the execution see it: it carries out the effects of
 * the protocol, and receives the answers.
 */
export interface TransactionExecutor extends ProtocolEffects<TransactionRecord> {
  readonly clock: Clock;
  /** The run of the coordinator that drives the transactions. */
  readonly run: CoordinatorRun;
  /** A call made with a branch's own callbacks was answered. */
  answered(branch: BranchRecord, value: unknown): void;
  failed(branch: BranchRecord, error: unknown): void;
  /** Nothing may keep the transaction any more. */
  settled(transaction: TransactionRecord): void;
  /** The caller's signal was aborted. */
  cancelled(transaction: TransactionRecord): void;
  /**
   * A listener of a signal that participants received threw an error. `owner` names the owner of the signal.
   */
  listenerFailed(owner: string, error: unknown, transaction: TransactionRecord): void;
}

/** The largest number that V8 stores without an object of its own; in microseconds 35 minutes. */
const MAX_SMALL = 0x7fffffff;
/** Stands for never. With it, 12 days in milliseconds, the number is still stored in the object. */
const NEVER_MS = 0x3fffffff;

/** One transaction in the executor: the state of the protocol, and the means to reach the participants. */
export class TransactionRecord implements ProtocolTransaction, CommitDecision {
  // The state of the protocol, as ProtocolTransaction explains it. To inherit it would cost each transaction
  // a second constructor, which V8 does not compile into the first.
  state: StateNumber = State.ACTIVE;
  size = 0;
  awaiting: BranchSet = Branches.NONE;
  yes: BranchSet = Branches.NONE;
  readOnly: BranchSet = Branches.NONE;
  refused: BranchSet = Branches.NONE;
  late: BranchSet = Branches.NONE;
  open: BranchSet = Branches.NONE;
  stalled: BranchSet = Branches.NONE;
  against: BranchSet = Branches.NONE;
  mixed: BranchSet = Branches.NONE;
  hazard: BranchSet = Branches.NONE;
  rollbackOnly = false;
  recordsAll = false;
  decider: number = Decider.LOG;
  cause: AbortCauseNumber = Cause.NONE;
  causeBranch: number = CauseBranch.NONE;
  told: Told = Told.NOTHING;
  /**
   * The branches form a linked list. An array for each transaction would cost more than its own bytes: arrays
   * of finished transactions survive a collection of young garbage, so V8 would allocate all of them as old
   * objects, and old ones keep the young objects they point to alive until the next full collection.
   */
  firstBranch: BranchRecord | undefined = undefined;
  private lastBranch: BranchRecord | undefined = undefined;
  /**
   * Moments are kept as whole microseconds (due times: as milliseconds) since the transaction began. V8
   * stores such a number in the object itself, while a number with a fraction would be an object of its own.
   * The measurements read these fields, and the accessors below set them.
   */
  preparingUs = Moment.NOT_YET;
  decidedUs = Moment.NOT_YET;
  endedUs = Moment.NOT_YET;
  private dueMs: number;
  /** Resolves the caller's promise; undefined once the caller is told. */
  settle: ((outcome: Outcome) => void) | undefined = undefined;
  /**
   * A lower bound of the participants' time-outs, in milliseconds: no time-out of a call can be due earlier.
   */
  shortestTimeoutMs: number;
  extras: TransactionExtras<TransactionRecord, BranchRecord> | undefined = undefined;
  /** Whether a participant may want to be told of the start or the end of its branch. */
  mayBeHeard = false;

  constructor(
    /** While it is a member of a group, the group drives it. */
    public executor: TransactionExecutor,
    readonly sequence: number,
    readonly id: string,
    readonly name: string,
    readonly startedAt: number,
    readonly timeoutMs: number,
  ) {
    this.dueMs = timeoutMs;
    this.shortestTimeoutMs = timeoutMs;
  }

  addBranch(branch: BranchRecord): void {
    if (this.lastBranch === undefined) this.firstBranch = branch;
    else this.lastBranch.next = branch;
    this.lastBranch = branch;
    const { shortestTimeoutMs, mayHear } = branch.participant;
    if (mayHear) this.mayBeHeard = true;
    if (shortestTimeoutMs < this.shortestTimeoutMs) this.shortestTimeoutMs = shortestTimeoutMs;
  }

  /** The extras, made when they are first needed. */
  needExtras(): TransactionExtras<TransactionRecord, BranchRecord> {
    this.extras ??= new TransactionExtras<TransactionRecord, BranchRecord>();
    return this.extras;
  }

  /** The fields for groups, made when they are first needed. */
  needGroup(): GroupFields<TransactionRecord> {
    return (this.needExtras().group ??= new GroupFields<TransactionRecord>());
  }

  /** The branches in the order of their indices, for code that does not run often. */
  get branches(): BranchRecord[] {
    const branches: BranchRecord[] = [];
    for (let branch = this.firstBranch; branch !== undefined; branch = branch.next) branches.push(branch);
    return branches;
  }

  /** When the voting started, on the coordinator's clock in milliseconds; 0 before that. */
  get preparingAt(): number {
    return this.momentOf(this.preparingUs);
  }

  set preparingAt(now: number) {
    this.preparingUs = this.elapsedUs(now);
  }

  /** When the decision was made; 0 before that. */
  get decidedAt(): number {
    return this.momentOf(this.decidedUs);
  }

  set decidedAt(now: number) {
    this.decidedUs = this.elapsedUs(now);
  }

  /** When the last branch was completed; 0 before that. */
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

  /** At the latest the earliest moment at which something is due, or never. */
  get dueAt(): number {
    return this.dueMs === NEVER_MS ? NEVER : this.startedAt + this.dueMs;
  }

  set dueAt(moment: number) {
    // If the moment is too far off, the examination comes early, finds nothing due, and is scheduled again.
    this.dueMs = moment === NEVER ? NEVER_MS : Math.min(Math.floor(moment - this.startedAt), NEVER_MS - 1);
  }

  /** Whether something may have been due before this moment. */
  isDueBefore(now: number): boolean {
    return this.dueMs < now - this.startedAt;
  }

  /** Something is due so many whole milliseconds after the start, or earlier. */
  dueIn(sinceStartMs: number): void {
    if (sinceStartMs < this.dueMs) this.dueMs = sinceStartMs;
    else if (this.dueMs === NEVER_MS) this.dueMs = NEVER_MS - 1;
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

  /**
   * Whether it is kept after its end, for a report that is not forgotten or a branch whose completion is
   * unconfirmed.
   */
  get isWatched(): boolean {
    return this.hasHeuristics || (this.extras !== undefined && this.extras.unconfirmed !== 0);
  }

  /** Whether it has ended, and nothing is left to do for it. */
  get isSettled(): boolean {
    return this.endedAt !== 0 && this.open === 0 && !this.isWatched;
  }

  /**
   * The record for the log: each branch that voted commit, or decides, with everything that its commit
   * needs. After an abort it throws.
   */
  toRecord(): CommitRecord {
    if (isAbort(this.state)) throw new Error(`${this.id} is aborted, so it has no commit record.`);
    const isDecided = isCommit(this.state);
    const decider = this.branches[this.decider];
    const named = decider === undefined ? this.yes : this.yes | only(decider.index);
    // Nothing is open before the decision is durable, which is when the record is made.
    const open = isDecided ? (awaitsConfirmation(this) ? named & ~only(this.decider) : this.open) : named;
    const branches = this.branches
      .filter(({ index }) => includes(named, index))
      .map((branch) => recordOf(branch, !includes(open, branch.index), this.executor.clock.epochMs));
    const { clock } = this.executor;
    const decidedAt = clock.epochMs + (this.decidedAt === 0 ? clock.now() : this.decidedAt);
    return {
      id: this.id,
      name: this.name,
      // The decision of a branch is a commit as any other.
      decider:
        decider === undefined || (isDecided && this.size > 1)
          ? DECIDED_BY_LOG
          : { kind: 'branch', branchId: decider.branchId },
      begunAt: clock.epochMs + this.startedAt,
      decidedAt,
      branches,
      ...(this.extras !== undefined && notesOf(this.extras)),
    };
  }

  /** The other transactions that its record commits, where it is a group. */
  get alsoCommits(): readonly string[] | undefined {
    return this.extras?.group?.members?.map(({ id }) => id);
  }

  /** Whether it is a member of a group now, and so has no record of its own and follows the group. */
  get isMember(): boolean {
    return this.extras?.group?.place !== undefined;
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
      this.executor.listenerFailed(`transaction ${this.id}`, error, this),
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

  /** Lets the caller's signal cancel the transaction from now on. */
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
    return us === Moment.NOT_YET ? 0 : this.startedAt + us / 1000;
  }
}

/** The latest call to the participant of a branch. */
export const enum Call {
  /** No call was made yet. */
  NONE,
  PREPARE,
  ONE_PHASE,
  /** The first attempt to commit. Further attempts, and every rollback, belong to a {@link Delivery}. */
  COMMIT,
}

/**
 * One branch in the executor. Through a GivenBranch it is also what its participant receives in prepare and
 * in the first attempt to commit, which cannot overlap. So a transaction in which nothing goes wrong keeps
 * one object and two callbacks for each branch, and no timer.
 */
export class BranchRecord implements Branch {
  /** The branch that was enlisted after this one. */
  next: BranchRecord | undefined = undefined;
  call = Call.NONE;
  /** Completion attempts so far. */
  attempts = 0;
  /** Microseconds from the start of the transaction to the answer. */
  votedUs = Moment.NOT_YET;
  completedUs = Moment.NOT_YET;
  private extras: BranchExtras | undefined = undefined;

  // Bound functions take less room than closures, which keep a context each.
  readonly fulfilled: (value: unknown) => void = answered.bind(this);
  readonly rejected: (error: unknown) => void = failed.bind(this);

  constructor(
    readonly transaction: TransactionRecord,
    readonly index: number,
    readonly participant: RegisteredParticipant,
    public payload: unknown,
    /** The id that the caller chose, or the generated one of a participant's second branch. */
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

  /** Made only on request. One serves all prepares of a transaction. */
  get signal(): AbortSignal {
    if (this.call !== Call.COMMIT && this.call !== Call.ONE_PHASE) return this.transaction.prepareSignal();
    const extras = this.needExtras();
    extras.completionController ??= guardedController((error) =>
      this.transaction.executor.listenerFailed(`"${this.participant.name}"`, error, this.transaction),
    );
    if (extras.delivery !== undefined) extras.completionController.abort(new AttemptAbandonedError());
    return extras.completionController.signal;
  }

  /** The first attempt to complete was given up: its participant may stop. */
  abandonFirstAttempt(): void {
    this.extras?.completionController?.abort(new AttemptAbandonedError());
  }

  /** No participant works for the branch any more: drops the listeners of its signal. */
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

  /** Until when it can commit; undefined if its vote does not expire. */
  get expiry(): VoteExpiry | undefined {
    return this.extras?.expiry;
  }

  set expiry(expiry: VoteExpiry) {
    this.needExtras().expiry = expiry;
  }

  /**
   * Whether it owes an answer: the acknowledgement of the decision, or the decision itself in a one-phase
   * commit.
   */
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

  /**
   * The next event closes the branch, and may end and show the transaction: its record must be complete
   * before.
   */
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

  get requestId(): string | undefined {
    return this.transaction.extras?.caller?.requestId;
  }

  private needExtras(): BranchExtras {
    this.extras ??= new BranchExtras();
    return this.extras;
  }
}

function answered(this: BranchRecord, value: unknown): void {
  this.transaction.executor.answered(this, value);
}

function failed(this: BranchRecord, error: unknown): void {
  this.transaction.executor.failed(this, error);
}

/** Fields that a branch needs only when something goes wrong, or when its participant requests the signal. */
class BranchExtras {
  delivery: Delivery | undefined = undefined;
  refusal: Refusal | undefined = undefined;
  heuristic: BranchHeuristic | undefined = undefined;
  expiry: VoteExpiry | undefined = undefined;
  completionController: AbortController | undefined = undefined;
}

/** @returns when its participant was asked to prepare, on the coordinator's clock. */
export function calledToPrepareAt(branch: BranchRecord): number {
  const { transaction } = branch;
  return transaction.extras?.turns?.askedAt(branch) ?? transaction.preparingAt;
}

/** @returns when the participants were first asked to commit, on the coordinator's clock. */
export function calledToCommitAt({ extras, decidedAt }: TransactionRecord): number {
  return extras?.confirmedAt ?? decidedAt;
}

/**
 * @returns when the running call is due, on the coordinator's clock. Only the first call of each kind is
 * here.
 */
export function callDueAt(branch: BranchRecord): number {
  const { transaction, participant } = branch;
  if (branch.call === Call.COMMIT) return participant.commitDueAt(calledToCommitAt(transaction));
  const decidingSince = branch.call === Call.ONE_PHASE ? transaction.extras?.askedToDecideAt : undefined;
  const calledAt = decidingSince ?? calledToPrepareAt(branch);
  return branch.call === Call.ONE_PHASE
    ? calledAt + participant.options.prepareTimeoutMs
    : participant.prepareDueAt(calledAt, transaction.deadlineAt);
}
