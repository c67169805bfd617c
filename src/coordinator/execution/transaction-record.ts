import type { CallerSignal } from '../gate/caller-signal.js';
import { guardedController } from '../gate/guarded-signal.js';
import { type CommitDecision, type CommitRecord, DECIDED_BY_LOG } from '../log/decision-log.js';
import type { Outcome } from '../outcome.js';
import type { CoordinatorRun } from '../participant/participant.js';
import {
  ProtocolTransaction,
  READY,
  STATES,
  type TransactionState,
  heuristicBranches,
  includes,
  isAbort,
} from '../protocol/index.js';
import { TransactionAbortedError } from './abandoned.js';
import { listenerFailed } from './branch-events.js';
import type { BranchRecord } from './branch-record.js';
import type { Clock } from './clock.js';
import type { Incident } from './incident.js';
import { NEVER, NOT_YET } from './moments.js';
import { TransactionExtras } from './transaction-extras.js';

/** What a transaction and its branches need of the executor that drives them. */
export interface TransactionDriver {
  readonly clock: Clock;
  /** The run of the coordinator that drives them. */
  readonly run: CoordinatorRun;
  /** A call made with a branch's own callbacks came back. */
  answered(branch: BranchRecord, value: unknown): void;
  failed(branch: BranchRecord, error: unknown): void;
  /** A branch was acknowledged while others are stalled. */
  progressed(transaction: TransactionRecord): void;
  /** The completion of a branch waits, because its participant is paused. */
  held(transaction: TransactionRecord): void;
  /** One of its branches was acknowledged, or an attempt to complete one has failed. */
  branchMoved(transaction: TransactionRecord): void;
  /** A participant's report that disagrees with the decision, or may, was taken. */
  heuristicReported(branch: BranchRecord): void;
  /** Nothing may keep it any more. */
  settled(transaction: TransactionRecord): void;
  /** The caller's signal was aborted. */
  cancelled(transaction: TransactionRecord): void;
}

/** The largest number that V8 keeps without an object of its own, in microseconds 35 minutes. */
const MAX_SMALL = 0x7fffffff;
/** Stands for never; with it, 12 days in milliseconds, the number is still kept in the object. */
const NEVER_MS = 0x3fffffff;

/** One transaction as the driver holds it: the state of the protocol, and what it takes to reach the participants. */
export class TransactionRecord extends ProtocolTransaction implements CommitDecision {
  /**
   * The branches hang on one another. An array for each transaction would cost more than its own bytes: the ones of
   * finished transactions outlive a collection of young garbage, from which V8 concludes that all of them should be
   * made old at once, and old ones keep the young objects they point to alive until the next full collection.
   */
  firstBranch: BranchRecord | undefined = undefined;
  private lastBranch: BranchRecord | undefined = undefined;
  /**
   * Moments are kept as whole microseconds (what is due: milliseconds) since the begin, which V8 stores in the object
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
    readonly driver: TransactionDriver,
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

  /** The branches in the order of their indices, for whoever is not in a hurry. */
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

  /** Whether it is over and nobody has to see to it any more. */
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
        return { branchId, participant: participant.name, payload, completed };
      });
    const { clock } = this.driver;
    const decidedAt = clock.epochMs + (this.decidedAt === 0 ? clock.now() : this.decidedAt);
    const begunAt = clock.epochMs + this.startedAt;
    return { id: this.id, name: this.name, decider: DECIDED_BY_LOG, begunAt, decidedAt, branches };
  }

  /** @returns whole microseconds since the begin. */
  elapsedUs(now: number): number {
    const us = (now - this.startedAt) * 1000 + 0.5;
    return us < MAX_SMALL ? us | 0 : Math.floor(us);
  }

  /** The signal of every prepare of this transaction. */
  prepareSignal(): AbortSignal {
    const extras = this.needExtras();
    extras.prepareController ??= guardedController((error) =>
      listenerFailed(`transaction ${this.id}`, error),
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
    signal.tell(() => this.driver.cancelled(this));
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
