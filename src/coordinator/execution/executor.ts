import { answerOf } from '../gate/answer.js';
import { failureOf } from '../gate/failure.js';
import { reasonOf } from '../gate/texts.js';
import type { ClaimedLog } from '../log/claimed-log.js';
import type { CoordinatorRun } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import {
  type BranchSet,
  Branches,
  Cause,
  Decider,
  State,
  type StateNumber,
  Told,
  awaitsConfirmation,
  awaitsRecord,
  confirmed,
  deadlinePassed,
  forgetHeuristics,
  heuristicBranches,
  isUndecided,
  markRollbackOnly,
  only,
  recordAbsent,
  recorded,
  requestCommit,
  requestRollback,
} from '../protocol/index.js';
import type { AmbientTransactions } from './call.js';
import { type Clock, NEVER } from './clock.js';
import { Completion } from './completion.js';
import { Contention } from './contention.js';
import type { Deadlines } from './deadlines.js';
import { DecisionRecorder, UnforcedRecords } from './decision.js';
import { Endings } from './endings.js';
import { VoteExpiries } from './expiries.js';
import type { Observers } from './observer.js';
import { outcomeOf } from './outcomes.js';
import { type PayloadChange, isInLog, isOver } from './payloads.js';
import { type BranchRecord, Call, type TransactionExecutor, type TransactionRecord } from './records.js';
import type { TransactionRegistry } from './registry.js';
import type { Reruns } from './reruns.js';
import type { ServerLimits } from './capacity/server-limits.js';
import type { UnconfirmedEnds } from './unconfirmed-ends.js';
import { Voting } from './voting.js';

/**
 * The collaborators of the executor. Everything that is not certain (time, chance, storage) comes from
 * outside.
 */
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
  /** See the options of the coordinator with these names. */
  readonly expiryMarginMs: number;
  readonly expiryWarningMs: number;
  readonly reruns: Reruns;
  readonly limits: ServerLimits;
}

/**
 * Drives the protocol core: carries its effects to the participants and the log, and returns their answers,
 * and the passing of time, as events. It decides nothing. Its parts have the names of the protocol's phases.
 */
export class Executor implements TransactionExecutor {
  readonly clock: Clock;
  readonly voting: Voting;
  readonly completion: Completion;
  readonly records: UnforcedRecords;
  readonly expiries: VoteExpiries;
  /** Hears of a transaction whose request has a key that nothing is left to do for it. */
  keyedOver: (transaction: TransactionRecord) => void = () => {};
  private readonly recorder: DecisionRecorder;
  private readonly endings: Endings;
  private readonly observers: Observers;

  constructor(private readonly parts: ExecutorParts) {
    const { clock, random, log, registry, deadlines, ambient, observers, reruns, limits } = parts;
    this.clock = clock;
    this.observers = observers;
    const contention = new Contention(clock);
    const { expiryMarginMs: marginMs, expiryWarningMs: warningMs } = parts;
    const arm = deadlines.arm.bind(deadlines);
    const expiries = new VoteExpiries({ clock, arm, observers, marginMs, warningMs });
    this.expiries = expiries;
    this.voting = new Voting({ clock, deadlines, ambient, observers, contention, limits, expiries });
    this.recorder = new DecisionRecorder(log, registry, clock, random, deadlines, observers);
    this.records = new UnforcedRecords(log, observers);
    const { records } = this;
    const keyedOver = (transaction: TransactionRecord): void => this.keyedOver(transaction);
    this.endings = new Endings({ clock, registry, records, observers, reruns, limits, keyedOver });
    const { completionWaitMs, expiryMarginMs, unconfirmed } = parts;
    const { endings } = this;
    this.completion = new Completion({
      log,
      clock,
      random,
      deadlines,
      ambient,
      observers,
      endings,
      registry,
      unconfirmed,
      completionWaitMs,
      expiryMarginMs,
    });
  }

  get run(): CoordinatorRun {
    return this.parts.log.run;
  }

  /** Starts the voting. A repeat does nothing. */
  commitRequested(transaction: TransactionRecord): void {
    const { ambient } = this.parts;
    if (ambient.isEntered) {
      ambient.leave(() => this.commitRequested(transaction));
      return;
    }
    const { firstBranch, size } = transaction;
    // Another member answers for it when this one is gone: then what has no record is aborted.
    if (transaction.state === State.ACTIVE) transaction.recordsAll ||= this.parts.log.shared !== undefined;
    const decider = size === 1 && firstBranch!.participant.onePhase ? firstBranch!.index : Decider.LOG;
    requestCommit(transaction, decider, transaction.executor);
  }

  /** The caller rules commit out. Once the voting has started, it does nothing. */
  commitRuledOut(transaction: TransactionRecord, reason: unknown): void {
    if (transaction.state !== State.ACTIVE) return;
    transaction.needExtras().rollbackOnlyReason ??= reasonOf(reason);
    markRollbackOnly(transaction);
  }

  /**
   * The caller asks for rollback. If it is too late, this does nothing, and the caller receives the other
   * outcome.
   */
  rollbackRequested(transaction: TransactionRecord, reason: unknown): void {
    if (isUndecided(transaction.state)) transaction.needExtras().abortReason = reasonOf(reason);
    this.parts.ambient.leave(() => requestRollback(transaction, Cause.ROLLED_BACK, transaction.executor));
  }

  cancelled(transaction: TransactionRecord): void {
    if (isUndecided(transaction.state)) {
      const extras = transaction.needExtras();
      extras.abortReason = `the caller cancelled: ${extras.callerSignal?.reason() ?? 'without a reason'}`;
    }
    this.parts.ambient.leave(() => requestRollback(transaction, Cause.CANCELLED, transaction.executor));
  }

  /**
   * The coordinator ends, so no caller can wait any longer: undecided transactions are aborted, and the
   * callers of decided ones are told that the outcome is pending.
   */
  stopWaiting(transaction: TransactionRecord): void {
    if (isUndecided(transaction.state)) {
      transaction.needExtras().abortReason = 'the coordinator shut down before it was decided';
    }
    deadlinePassed(transaction, transaction.executor);
  }

  /**
   * The run was fenced, so that nothing more can be decided in it: what was not sent to the log is aborted, and the log is
   * asked at once about what was sent.
   *
   * @returns a promise that resolves when the log has answered; it is never a rejection.
   */
  async abandon(): Promise<void> {
    const questions: Promise<void>[] = [];
    this.parts.registry.forEach((transaction) => {
      try {
        if (isUndecided(transaction.state)) this.abandonOne(transaction);
        else if (awaitsRecord(transaction) && !transaction.isMember && transaction.told === Told.NOTHING) {
          questions.push(this.recorder.inquire(transaction));
        }
      } catch (error) {
        // One transaction that cannot be ended keeps no other from its end.
        this.observers.defect(error, `abandoning ${transaction.id}`, transaction);
      }
    });
    await Promise.all(questions);
  }

  /**
   * Whether the log may know more than this member: its decision, or whether it is durable. A member of a group follows the
   * decision of its group.
   */
  asksForRecord(transaction: TransactionRecord): boolean {
    if (this.waitsForBranch(transaction)) return true;
    return (awaitsRecord(transaction) || awaitsConfirmation(transaction)) && !transaction.isMember;
  }

  /** Whether the branch that decides, and that a record names, was asked and has not said how it has ended. */
  waitsForBranch({ state, decider, branches, recordsAll }: TransactionRecord): boolean {
    const branch = branches[decider];
    return state === State.READY && recordsAll && branch !== undefined && branch.owes;
  }

  private abandonOne(transaction: TransactionRecord): void {
    transaction.needExtras().abortReason = 'this member was fenced before the decision was sent to the log';
    requestRollback(transaction, Cause.NOT_RECORDED, transaction.executor);
  }

  /** It was found out whether a transaction of an earlier run has committed. */
  foundOut(transaction: TransactionRecord, isRecorded: boolean): void {
    if (this.waitsForBranch(transaction))
      this.completion.foundOut(
        transaction.branches[transaction.decider]!,
        isRecorded ? 'commit' : 'rollback',
      );
    if (!isRecorded) recordAbsent(transaction, transaction.executor);
    else if (awaitsConfirmation(transaction)) confirmed(transaction, transaction.executor);
    else recorded(transaction, transaction.executor);
  }

  /**
   * An operator has dealt with the heuristic reports of a transaction.
   *
   * @param branch whose report. @default the branches of all reports
   * @returns whether there were any and the transaction has ended. Before its end, the caller has yet to
   * learn of them.
   */
  forget(transaction: TransactionRecord, branch?: BranchRecord): boolean {
    const open = heuristicBranches(transaction);
    const forgotten = branch === undefined ? open : open & only(branch.index);
    if (forgotten === Branches.NONE || transaction.endedAt === 0) return false;
    forgetHeuristics(transaction, forgotten);
    if (transaction.hasHeuristics) this.endings.reportForgotten(branch!);
    else this.endings.forgotten(transaction);
    return true;
  }

  /**
   * The participant of a branch is reached elsewhere, as its new payload says. The decision is delivered with it at once.
   *
   * @returns a promise that rejects when the log, which has the former payload, has not taken the new one.
   */
  async replacePayload(branch: BranchRecord, payload: unknown): Promise<PayloadChange> {
    const { transaction, participant } = branch;
    // The record that is on its way to the log has the former payload.
    if (awaitsRecord(transaction)) return 'later';
    if (isOver(branch)) return 'over';
    branch.payload = payload;
    // Written before the attempt can end the transaction: the log never gets back a record that has ended.
    const writing = isInLog(branch) ? this.records.replaced(transaction) : undefined;
    if (participant.paused === undefined) void this.completion.retryNow(branch);
    await writing;
    return 'replaced';
  }

  /**
   * A paused participant continues, and so do the held deliveries. Branches keep the participant they were
   * enlisted with, even if another has been registered under its name since.
   */
  resume(name: string): void {
    const resumed = new Set<RegisteredParticipant>();
    this.parts.registry.forEach((transaction) => {
      for (const branch of transaction.branches) {
        if (branch.participant.name !== name) continue;
        this.completion.release(branch);
        resumed.add(branch.participant);
      }
    });
    for (const participant of resumed) participant.paused = undefined;
  }

  /** Nothing may keep the transaction any more. */
  settled(transaction: TransactionRecord): void {
    this.endings.settled(transaction);
  }

  answered(branch: BranchRecord, value: unknown): void {
    if (branch.call !== Call.PREPARE) {
      this.completion.firstAnswered(branch, value);
      return;
    }
    const { transaction } = branch;
    const now = this.clock.now();
    // A vote after the deadline is late, even if no sweep has run since.
    if (transaction.isDueBefore(now)) this.settleDue(transaction, now);
    if (value === 'commit') this.voting.votedCommit(branch, now);
    else this.voting.answered(branch, answerOf(value));
    if (transaction.extras !== undefined) this.goOn(transaction);
  }

  failed(branch: BranchRecord, error: unknown): void {
    const failure = failureOf(error);
    if (branch.call !== Call.PREPARE) {
      this.completion.firstFailed(branch, failure);
      return;
    }
    const { transaction } = branch;
    this.voting.failed(branch, failure);
    if (transaction.extras !== undefined) this.goOn(transaction);
  }

  /** A prepare was answered: a request that is run again waits until all are. */
  private goOn(transaction: TransactionRecord): void {
    if (transaction.extras?.isRunAgain) this.parts.reruns.proceed(transaction);
  }

  listenerFailed(owner: string, error: unknown, transaction: TransactionRecord): void {
    this.observers.listenerFailed(owner, error, transaction);
  }

  /** Handles what is due in a transaction by now, before the next sweep does. */
  heedDeadline(transaction: TransactionRecord, now = this.clock.now()): void {
    if (transaction.isDueBefore(now)) this.settleDue(transaction, now);
  }

  private settleDue(transaction: TransactionRecord, now: number): void {
    this.parts.deadlines.settle(transaction, now, this.examine);
  }

  /** Handles everything that is due. */
  sweep(): void {
    this.parts.deadlines.sweep(this.clock.now(), this.examine);
  }

  /**
   * Handles what is due in one transaction.
   *
   * @returns when something is due next.
   */
  private readonly examine = (transaction: TransactionRecord): number => {
    const now = this.clock.now();
    try {
      this.expiries.examine(transaction, now);
      this.voting.examine(transaction, now);
      this.recorder.examine(transaction, now);
      this.completion.examine(transaction, now);
    } catch (error) {
      // One transaction that fails must not delay the deadline of another.
      this.observers.defect(error, `examining ${transaction.id}`, transaction);
    }
    const isUntold = transaction.decidedAt === 0 && transaction.told === Told.NOTHING;
    return Math.min(
      isUntold ? transaction.deadlineAt : NEVER,
      this.expiries.dueAt(transaction),
      this.voting.dueAt(transaction),
      this.recorder.dueAt(transaction),
      this.completion.dueAt(transaction),
    );
  };

  entered(transaction: TransactionRecord, from: StateNumber): void {
    const { state } = transaction;
    if (state === State.PREPARING) transaction.preparingUs = transaction.elapsedUs(this.clock.now());
    else if (state === State.COMMITTING || state === State.ABORTING)
      transaction.decidedUs = transaction.elapsedUs(this.clock.now());
    if (this.observers.hearSteps || transaction.extras !== undefined)
      this.observers.entered(transaction, from);
  }

  prepare(transaction: TransactionRecord): void {
    this.voting.prepare(transaction);
  }

  cancel(transaction: TransactionRecord): void {
    this.voting.cancel(transaction);
  }

  commitOnePhase(transaction: TransactionRecord): void {
    this.completion.commitOnePhase(transaction);
  }

  record(transaction: TransactionRecord): void {
    this.recorder.record(transaction);
  }

  confirm(transaction: TransactionRecord): void {
    this.recorder.confirm(transaction);
  }

  commit(transaction: TransactionRecord, branches: BranchSet): void {
    this.completion.commit(transaction, branches);
  }

  rollback(transaction: TransactionRecord, branches: BranchSet): void {
    this.completion.rollback(transaction, branches);
  }

  /** The caller is told the outcome, unless its request is run again. */
  tell(transaction: TransactionRecord, told: Told): void {
    const { settle } = transaction;
    transaction.settle = undefined;
    const outcome = outcomeOf(transaction, told);
    const isRunAgain = told === Told.ABORTED && this.parts.reruns.takes(transaction, outcome, settle);
    transaction.stopListening();
    this.observers.told(transaction, outcome);
    const { extras } = transaction;
    if (extras?.settleHandle !== undefined) {
      extras.settleHandle(outcome);
      extras.letGoOfHandle();
    }
    if (!isRunAgain) settle?.(outcome);
  }

  stalled(transaction: TransactionRecord, index: number): void {
    this.endings.setAside(transaction);
    const branch = transaction.branches[index]!;
    this.observers.stalled(branch, branch.delivery!.lastError!);
  }

  ended(transaction: TransactionRecord): void {
    this.endings.ended(transaction);
  }
}
