import { type Answer, Refused, answerOf } from '../gate/answer.js';
import { type Failure, failureOf } from '../gate/failure.js';
import {
  NO_BRANCHES,
  acknowledged,
  attemptsExhausted,
  completionRound,
  heuristicBranches,
  heuristicReported,
  includes,
  onePhaseAnswered,
  owes,
} from '../protocol/index.js';
import type { HeuristicKind, ProtocolEffects } from '../protocol/index.js';
import type { AmbientTransactions } from './ambient.js';
import { backoffMs } from './backoff.js';
import {
  type BranchHeuristic,
  type BranchRecord,
  CALL_NONE,
  CALL_ONE_PHASE,
  CALL_PREPARE,
  callDueAt,
} from './branch-record.js';
import { callParticipant } from './calls.js';
import type { Clock } from './clock.js';
import type { Deadlines } from './deadlines.js';
import { CompletionAttempt, Delivery, type DeliveryKind } from './delivery.js';
import { isHeld } from './held.js';
import { NEVER } from './moments.js';
import type { Observers } from './observers.js';
import type { TransactionRecord } from './transaction-record.js';
import type { UnconfirmedEnds } from './unconfirmed-ends.js';

/**
 * Phase two. Brings the decision to each branch on its own: attempts with a deadline each, pauses that grow with
 * jitter between them, and when they are used up the branch is stalled until the recovery job comes for it.
 */
export class Deliveries {
  constructor(
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly deadlines: Deadlines,
    private readonly ambient: AmbientTransactions,
    private readonly observers: Observers,
    private readonly effects: ProtocolEffects<TransactionRecord>,
    private readonly unconfirmed: UnconfirmedEnds,
  ) {}

  /** Starts to roll a branch back; a rollback of an earlier round is overtaken. */
  rollback(branch: BranchRecord): void {
    branch.delivery?.rest(NEVER);
    branch.delivery = new Delivery(branch, 'rollback', completionRound(branch.transaction, branch.index));
    this.attempt(branch.delivery);
  }

  /** A branch acknowledged what it was told. Repeats, and answers to an overtaken rollback, are dropped. */
  acknowledge(branch: BranchRecord, kind: DeliveryKind, round: number): void {
    const { transaction, index } = branch;
    if (!includes(transaction.open, index) || round !== completionRound(transaction, index)) return;
    this.observers.completed(branch, kind === 'commit' ? 'commit' : 'rollback');
    this.closing(branch);
    acknowledged(transaction, index, round, this.effects);
    if (transaction.stalled !== NO_BRANCHES) transaction.driver.progressed(transaction);
    else transaction.driver.branchMoved(transaction);
  }

  /** The first attempt to commit, or the one-phase commit, came back without success. */
  firstAttemptFailed(branch: BranchRecord, kind: DeliveryKind, { heuristic, message }: Failure): void {
    if (heuristic !== undefined) this.heuristic(branch, kind, 0, { kind: heuristic, reason: message });
    // It was given up before, and its failure is no news.
    else if (branch.delivery === undefined) this.failed(this.takeOver(branch, kind), message);
  }

  /**
   * An answer to a one-phase commit. A decision counts from whichever attempt it comes; what is no answer counts
   * against the attempt in flight only.
   *
   * @param isCurrent whether it is from the attempt in flight.
   */
  onePhaseAnswer(branch: BranchRecord, answer: Answer, isCurrent: boolean): void {
    const { transaction } = branch;
    if (!owes(branch.transaction, branch.index)) return;
    if (answer === 'commit') {
      this.observers.completed(branch, 'commit');
      this.closing(branch);
      onePhaseAnswered(transaction, 'commit', this.effects);
      return;
    }
    if (answer instanceof Refused) {
      const { code, reason } = answer;
      branch.refusal = { code, reason, error: undefined };
      this.observers.prepareFailed(branch, 'refused', reason);
      this.closing(branch);
      onePhaseAnswered(transaction, 'rollback', this.effects);
    } else if (isCurrent) {
      const description = answer === 'read-only' ? 'a string' : answer.description;
      const message = `answered ${description}, which is neither commit nor abort`;
      this.failed(branch.delivery ?? this.takeOver(branch, 'one-phase'), message);
    }
  }

  /** Gives up an attempt whose time is up, or starts the next when its pause is over. */
  examine(branch: BranchRecord, now: number): void {
    if (!owes(branch.transaction, branch.index)) return;
    const { delivery } = branch;
    if (delivery === undefined) {
      if (this.dueAt(branch) > now) return;
      const kind = branch.call === CALL_ONE_PHASE ? 'one-phase' : 'commit';
      const taken = this.takeOver(branch, kind);
      branch.abandonFirstAttempt();
      this.failed(taken, taken.lateMessage, branch);
    } else if (delivery.dueAt <= now) {
      if (delivery.attempt === undefined) {
        this.attempt(delivery);
      } else {
        this.failed(delivery, delivery.lateMessage, delivery.attempt);
      }
    }
  }

  /** @returns when something of this branch's completion is due. */
  dueAt(branch: BranchRecord): number {
    if (!owes(branch.transaction, branch.index)) return NEVER;
    if (branch.delivery !== undefined) return branch.delivery.dueAt;
    return branch.call === CALL_NONE || branch.call === CALL_PREPARE ? NEVER : callDueAt(branch);
  }

  /**
   * Tries a waiting branch at once, whatever its pause.
   *
   * @returns a promise that resolves when the attempt is over, whatever came of it.
   */
  retryNow(branch: BranchRecord): Promise<void> {
    const { delivery } = branch;
    if (delivery === undefined || delivery.attempt !== undefined || !owes(branch.transaction, branch.index))
      return Promise.resolve();
    return new Promise((resolve) => {
      delivery.onAttemptOver = resolve;
      this.attempt(delivery);
    });
  }

  /** The participant of the branch is paused, so that commit is not even sent. */
  holdFirst(branch: BranchRecord): void {
    this.hold(this.takeOver(branch, 'commit'));
  }

  /**
   * An operator says how a branch has ended that has stalled or is held. It counts as the participant's own report would.
   *
   * @returns whether it was taken: not while an attempt is under way.
   */
  resolve(branch: BranchRecord, kind: HeuristicKind, reason: string): boolean {
    const { delivery, transaction, index } = branch;
    if (delivery === undefined || delivery.attempt !== undefined || !owes(branch.transaction, branch.index))
      return false;
    if (!includes(transaction.stalled, index) && !isHeld(branch)) return false;
    this.heuristic(branch, delivery.kind, delivery.round, { kind, reason });
    return true;
  }

  /** The next event closes the branch, and may end and show the transaction: its record is completed before. */
  closing(branch: BranchRecord): void {
    branch.completedUs = branch.transaction.elapsedUs(this.clock.now());
    branch.delivery?.rest(NEVER);
  }

  private attempt(delivery: Delivery): void {
    const { branch, kind } = delivery;
    const { transaction, participant } = branch;
    if (participant.paused !== undefined) {
      this.hold(delivery);
      return;
    }
    delivery.dueAt = this.clock.now() + delivery.timeoutMs;
    this.deadlines.arm(transaction, delivery.dueAt);
    const attempt = new CompletionAttempt(branch, ++branch.attempts, this.clock, delivery.dueAt);
    delivery.attempt = attempt;
    this.observers.attemptStarts(branch);
    callParticipant(
      participant,
      delivery.method,
      attempt,
      transaction,
      this.ambient,
      (value) => {
        const isCurrent = delivery.isOver(attempt);
        if (kind === 'one-phase') this.onePhaseAnswer(branch, answerOf(value), isCurrent);
        else this.acknowledge(branch, kind, delivery.round);
      },
      (error) => {
        const isCurrent = delivery.isOver(attempt);
        const { heuristic, message } = failureOf(error);
        if (heuristic !== undefined) {
          this.heuristic(branch, kind, delivery.round, { kind: heuristic, reason: message });
        } else if (isCurrent) this.failed(delivery, message);
      },
    );
  }

  /** The first attempt was the branch's own; from now on a delivery sees to it. */
  private takeOver(branch: BranchRecord, kind: DeliveryKind): Delivery {
    branch.delivery = new Delivery(branch, kind, 0);
    return branch.delivery;
  }

  /** The participant is paused: the delivery waits until it is resumed. */
  private hold(delivery: Delivery): void {
    const { branch } = delivery;
    this.observers.held(branch);
    delivery.rest(NEVER);
    branch.transaction.driver.held(branch.transaction);
  }

  /** @param late what its participant was given, when the attempt was not answered in time. */
  private failed(delivery: Delivery, message: string, late?: BranchRecord | CompletionAttempt): void {
    const { branch } = delivery;
    const { transaction, index, participant } = branch;
    if (!owes(transaction, index) || branch.delivery !== delivery) {
      delivery.rest(NEVER);
      return;
    }
    const now = this.clock.now();
    const { options } = participant;
    delivery.failures++;
    delivery.lastError = message;
    const exhausted = delivery.failures >= options.maxAttempts;
    const pauseMs = exhausted
      ? undefined
      : backoffMs(delivery.failures, options.retryBaseMs, options.retryCapMs, this.random());
    if (late === undefined) this.observers.attemptFailed(branch, message, pauseMs);
    else this.observers.attemptTimedOut(branch, late, message, pauseMs);
    const dueAt = now + (pauseMs ?? NEVER);
    delivery.rest(dueAt);
    if (pauseMs === undefined) attemptsExhausted(transaction, index, this.effects);
    else this.deadlines.arm(transaction, dueAt);
    transaction.driver.branchMoved(transaction);
  }

  private heuristic(branch: BranchRecord, kind: DeliveryKind, round: number, report: BranchHeuristic): void {
    const { transaction, index } = branch;
    if (!owes(transaction, index) || round !== completionRound(transaction, index)) return;
    branch.heuristic = report;
    this.observers.heuristic(branch, `${report.kind}: ${report.reason}`);
    this.closing(branch);
    this.unconfirmed.add(branch, this.clock.now());
    const wasReported = includes(heuristicBranches(transaction), index);
    if (kind === 'one-phase') onePhaseAnswered(transaction, report.kind, this.effects);
    else heuristicReported(transaction, index, report.kind, round, this.effects);
    // A report that agrees with the decision is none, and one that is made again is no second one.
    const isNews = !wasReported && includes(heuristicBranches(transaction), index);
    if (isNews) transaction.driver.heuristicReported(branch);
    else transaction.driver.progressed(transaction);
  }
}
