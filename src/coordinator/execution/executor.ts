import type { CoordinatorRun } from '../participant/participant.js';
import {
  ABORTING,
  ACTIVE,
  type BranchSet,
  CAUSE_CANCELLED,
  CAUSE_ROLLED_BACK,
  COMMITTING,
  PREPARING,
  type ProtocolEffects,
  type StateNumber,
  type ToldNumber,
  deadlinePassed,
  forgetHeuristics,
  includes,
  isUndecided,
  markRollbackOnly,
  patienceEnded,
  requestCommit,
  requestRollback,
} from '../protocol/index.js';
import { answerOf } from '../gate/answer.js';
import { failureOf } from '../gate/failure.js';
import { reasonOf } from '../gate/texts.js';
import type { AmbientTransactions } from './ambient.js';
import { type BranchRecord, CALL_COMMIT, CALL_PREPARE } from './branch-record.js';
import type { ClaimedLog } from './claimed-log.js';
import type { Clock } from './clock.js';
import { Contention } from './contention.js';
import type { Deadlines } from './deadlines.js';
import { DecisionRecorder } from './decision-recorder.js';
import { Deliveries } from './deliveries.js';
import { Ends } from './ends.js';
import { FirstCalls } from './first-calls.js';
import { LogNotes } from './log-notes.js';
import type { Observers } from './observers.js';
import type { Reruns } from './reruns.js';
import type { ServerLimits } from './server-limits.js';
import { Telling } from './telling.js';
import { Timeouts } from './timeouts.js';
import type { TransactionDriver, TransactionRecord } from './transaction-record.js';
import type { TransactionRegistry } from './transaction-registry.js';
import type { UnconfirmedEnds } from './unconfirmed-ends.js';
import { Votes } from './votes.js';

/** What the executor works with. Everything that is not certain (time, chance, storage) is handed in. */
export interface ExecutorParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: ClaimedLog;
  readonly registry: TransactionRegistry;
  readonly deadlines: Deadlines;
  readonly ambient: AmbientTransactions;
  readonly observers: Observers;
  readonly unconfirmed: UnconfirmedEnds;
  /** How long a caller waits for completion, in milliseconds. */
  readonly completionWaitMs: number;
  readonly reruns: Reruns;
  readonly limits: ServerLimits;
}

/**
 * Drives the protocol core: carries its effects to the participants and the log, and their answers, and the passing
 * of time, back to it as events. It decides nothing.
 */
export class Executor implements ProtocolEffects<TransactionRecord>, TransactionDriver {
  readonly clock: Clock;
  readonly run: CoordinatorRun;
  readonly deliveries: Deliveries;
  readonly firstCalls: FirstCalls;
  private readonly votes: Votes;
  private readonly timeouts: Timeouts;
  private readonly telling: Telling;
  private readonly recorder: DecisionRecorder;
  readonly notes: LogNotes;
  private readonly ends: Ends;
  private readonly registry: TransactionRegistry;
  private readonly deadlines: Deadlines;
  private readonly observers: Observers;

  constructor(private readonly parts: ExecutorParts) {
    const { clock, random, log, registry, deadlines, ambient, observers } = parts;
    this.clock = clock;
    this.run = log.run;
    this.registry = registry;
    this.deadlines = deadlines;
    this.observers = observers;
    this.deliveries = new Deliveries(clock, random, deadlines, ambient, observers, this, parts.unconfirmed);
    const contention = new Contention(clock);
    this.firstCalls = new FirstCalls(clock, deadlines, ambient, this.deliveries, contention, parts.limits);
    this.votes = new Votes(clock, this.deliveries, observers, this, contention);
    this.recorder = new DecisionRecorder(log, registry, clock, random, deadlines, observers, this);
    this.notes = new LogNotes(log, observers);
    this.ends = new Ends(clock, registry, this.notes);
    this.telling = new Telling(parts.reruns, observers);
    this.timeouts = new Timeouts(
      clock,
      parts.completionWaitMs,
      this.deliveries,
      this.recorder,
      observers,
      this,
    );
  }

  /** Starts the voting. Asked again, it does nothing. */
  commitRequested(transaction: TransactionRecord): void {
    const onePhase = transaction.size === 1 && transaction.firstBranch!.participant.onePhase;
    requestCommit(transaction, onePhase, this);
  }

  /** The caller rules commit out. Once the voting has begun, it does nothing. */
  commitRuledOut(transaction: TransactionRecord, reason: unknown): void {
    if (transaction.state !== ACTIVE) return;
    transaction.needExtras().rollbackOnlyReason ??= reasonOf(reason);
    markRollbackOnly(transaction);
  }

  /** The caller asks for rollback. Too late, it does nothing: the outcome that has won is what it is told. */
  rollbackRequested(transaction: TransactionRecord, reason: unknown): void {
    if (isUndecided(transaction.state)) transaction.needExtras().abortReason = reasonOf(reason);
    requestRollback(transaction, CAUSE_ROLLED_BACK, this);
  }

  /**
   * Nobody can wait any longer, because the coordinator ends: what is undecided is aborted, and the caller of what is
   * decided is told that it is pending.
   */
  stopWaiting(transaction: TransactionRecord): void {
    if (isUndecided(transaction.state)) {
      transaction.needExtras().abortReason = 'the coordinator shut down before it was decided';
    }
    deadlinePassed(transaction, this);
  }

  /** Deals with all that is due. */
  sweep(): void {
    this.deadlines.sweep(this.clock.now(), this.timeouts.examine);
  }

  cancelled(transaction: TransactionRecord): void {
    if (isUndecided(transaction.state)) {
      const extras = transaction.needExtras();
      extras.abortReason = `the caller cancelled: ${extras.callerSignal?.reason() ?? 'without a reason'}`;
    }
    requestRollback(transaction, CAUSE_CANCELLED, this);
  }

  entered(transaction: TransactionRecord, from: StateNumber): void {
    const { state } = transaction;
    if (state === PREPARING) transaction.preparingAt = this.clock.now();
    else if (state === COMMITTING || state === ABORTING) transaction.decidedAt = this.clock.now();
    this.observers.entered(transaction, from);
  }

  prepare(transaction: TransactionRecord): void {
    this.firstCalls.prepare(transaction);
  }

  commitOnePhase(transaction: TransactionRecord): void {
    this.firstCalls.commitOnePhase(transaction);
  }

  record(transaction: TransactionRecord): void {
    this.recorder.record(transaction);
  }

  commit(transaction: TransactionRecord, branches: BranchSet): void {
    const shortestMs = Math.min(transaction.shortestTimeoutMs, this.parts.completionWaitMs);
    this.deadlines.arm(transaction, transaction.decidedAt + shortestMs);
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      if (!includes(branches, branch.index)) continue;
      branch.call = CALL_COMMIT;
      branch.attempts = 1;
      this.firstCalls.call(branch, 'commit');
    }
  }

  rollback(transaction: TransactionRecord, branches: BranchSet): void {
    // After the end it is no longer among those that are looked after, so it comes back for as long as it takes.
    if (transaction.endedAt !== 0) this.registry.setAside(transaction);
    for (const branch of transaction.branches) {
      if (includes(branches, branch.index)) this.deliveries.rollback(branch);
    }
  }

  cancel(transaction: TransactionRecord): void {
    transaction.abortPrepares();
    this.firstCalls.leave(transaction);
    this.parts.limits.keep(transaction);
  }

  tell(transaction: TransactionRecord, told: ToldNumber): void {
    this.telling.tell(transaction, told);
  }

  stalled(transaction: TransactionRecord, index: number): void {
    this.setAside(transaction);
    const branch = transaction.branches[index]!;
    this.observers.stalled(branch, branch.delivery!.lastError!);
  }

  /** Nobody knows for how long, so its caller does not wait, and it gives its place in flight to another. */
  held(transaction: TransactionRecord): void {
    patienceEnded(transaction, this);
    this.setAside(transaction);
  }

  progressed(transaction: TransactionRecord): void {
    this.parts.limits.release(transaction);
    this.ends.progressed(transaction);
  }

  ended(transaction: TransactionRecord): void {
    const first = this.ends.ended(transaction);
    const { extras } = transaction;
    this.observers.ended(transaction, first);
    if (extras?.rerun !== undefined) this.parts.reruns.proceed(transaction);
    if (extras?.shares !== undefined) this.parts.limits.release(transaction);
  }

  /**
   * An operator has dealt with the heuristic reports of a transaction.
   *
   * @returns whether there were any, and it is over: while it goes on, the caller has yet to hear of them.
   */
  forget(transaction: TransactionRecord): boolean {
    if (!transaction.hasHeuristics || transaction.endedAt === 0) return false;
    forgetHeuristics(transaction);
    this.ends.forgotten(transaction);
    return true;
  }

  settled(transaction: TransactionRecord): void {
    this.ends.settled(transaction);
  }

  /** One of its branches was acknowledged, or an attempt to complete one has failed. */
  branchMoved(transaction: TransactionRecord): void {
    if (transaction.extras?.shares !== undefined) this.parts.limits.release(transaction);
  }

  heuristicReported(branch: BranchRecord): void {
    this.ends.reported(branch);
  }

  answered(branch: BranchRecord, value: unknown): void {
    const { transaction } = branch;
    if (branch.call === CALL_PREPARE) {
      const now = this.clock.now();
      // A vote after the deadline is late, also when the sweep has not come by yet.
      if (transaction.dueAt < now) this.deadlines.settle(transaction, now, this.timeouts.examine);
      this.votes.answered(branch, answerOf(value));
      this.prepared(branch);
    } else if (branch.call === CALL_COMMIT) {
      this.deliveries.acknowledge(branch, 'commit', 0);
    } else {
      this.deliveries.onePhaseAnswer(branch, answerOf(value), branch.delivery === undefined);
    }
  }

  failed(branch: BranchRecord, error: unknown): void {
    const failure = failureOf(error);
    if (branch.call === CALL_PREPARE) {
      this.votes.failed(branch, failure);
      this.prepared(branch);
    } else {
      this.deliveries.firstAttemptFailed(
        branch,
        branch.call === CALL_COMMIT ? 'commit' : 'one-phase',
        failure,
      );
    }
  }

  /** An answer to prepare, of any kind, was dealt with. */
  private prepared(branch: BranchRecord): void {
    const { participant, transaction } = branch;
    participant.places?.release(branch);
    const { extras } = transaction;
    if (extras === undefined) return;
    if (extras.shares !== undefined) this.parts.limits.keep(transaction);
    if (extras.turns !== undefined) this.firstCalls.takeTurn(transaction);
    if (extras.rerun !== undefined) this.parts.reruns.proceed(transaction);
  }

  private setAside(transaction: TransactionRecord): void {
    this.registry.setAside(transaction);
    if (transaction.extras?.rerun !== undefined) this.parts.reruns.stalled(transaction);
    this.parts.limits.release(transaction);
    this.ends.progressed(transaction);
  }
}
