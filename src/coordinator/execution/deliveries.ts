import { HeuristicError } from '../participant/participant.js';
import {
  NO_BRANCHES,
  READY,
  acknowledged,
  attemptsExhausted,
  completionRound,
  heuristicBranches,
  heuristicReported,
  includes,
  onePhaseAnswered,
} from '../protocol/index.js';
import type { HeuristicKind, ProtocolEffects } from '../protocol/index.js';
import type { AmbientTransactions } from './ambient.js';
import { backoffMs } from './backoff.js';
import { type BranchRecord, CALL_NONE, CALL_ONE_PHASE, CALL_PREPARE, callDueAt } from './branch-record.js';
import { callParticipant } from './calls.js';
import type { Clock } from './clock.js';
import type { Deadlines } from './deadlines.js';
import { CompletionAttempt, Delivery, type DeliveryKind } from './delivery.js';
import { hold, isHeld } from './held.js';
import { ONE_PHASE_ANSWERS, isHeuristic } from './heuristics.js';
import { type Incident, describeAnswer, messageOf } from './incident.js';
import { NEVER } from './moments.js';
import type { TransactionObserver } from './observer.js';
import { refusalIn } from './refusals.js';
import type { Tracing } from './tracing.js';
import type { TransactionRecord } from './transaction-record.js';

const METHOD_OF = { commit: 'commit', rollback: 'rollback', 'one-phase': 'commitOnePhase' } as const;

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
    private readonly observer: TransactionObserver,
    private readonly tracing: Tracing,
    private readonly effects: ProtocolEffects<TransactionRecord>,
  ) {}

  /** Whether the branch owes an answer that a delivery is to bring. */
  owes(branch: BranchRecord): boolean {
    const { transaction } = branch;
    // Before the decision only a one-phase commit is awaited in READY.
    return includes(transaction.state === READY ? transaction.awaiting : transaction.open, branch.index);
  }

  /** Starts to roll a branch back; a rollback of an earlier round is overtaken. */
  rollback(branch: BranchRecord): void {
    branch.delivery?.rest(NEVER);
    branch.delivery = new Delivery(branch, 'rollback', completionRound(branch.transaction, branch.index));
    this.attempt(branch.delivery);
  }

  /** A branch acknowledged what it was told. Repeats, and answers to an overtaken rollback, are dropped. */
  acknowledge(branch: BranchRecord, kind: DeliveryKind, round: number): void {
    const { transaction, index, participant } = branch;
    if (!includes(transaction.open, index) || round !== completionRound(transaction, index)) return;
    if (kind === 'commit') participant.counts.committed++;
    else participant.counts.rolledBack++;
    this.closing(branch);
    acknowledged(transaction, index, round, this.effects);
    if (transaction.stalled !== NO_BRANCHES) transaction.driver.progressed(transaction);
  }

  /** The first attempt to commit, or the one-phase commit, came back without success. */
  firstAttemptFailed(branch: BranchRecord, kind: DeliveryKind, error: unknown): void {
    if (isHeuristic(error)) this.heuristic(branch, kind, 0, error);
    // It was given up before, and its failure is no news.
    else if (branch.delivery === undefined)
      this.failed(this.takeOver(branch, kind), messageOf(error), 'attempt-failed');
  }

  /**
   * An answer to a one-phase commit. A decision counts from whichever attempt it comes; what is no answer counts
   * against the attempt in flight only.
   *
   * @param isCurrent whether it is from the attempt in flight.
   */
  onePhaseAnswer(branch: BranchRecord, value: unknown, isCurrent: boolean): void {
    const { transaction } = branch;
    if (!this.owes(branch)) return;
    if (value === 'commit') {
      branch.participant.counts.committed++;
      this.closing(branch);
      onePhaseAnswered(transaction, 'committed', this.effects);
      return;
    }
    const refusal = refusalIn(value);
    if (refusal !== undefined) {
      branch.refusal = refusal;
      branch.participant.counts.refusals++;
      this.observer.prepareFailed(branch, 'refused', refusal.reason);
      this.closing(branch);
      onePhaseAnswered(transaction, 'aborted', this.effects);
    } else if (isCurrent) {
      const error = new Error(`answered ${describeAnswer(value)}, which is neither commit nor abort`);
      const { delivery } = branch;
      if (delivery === undefined) this.firstAttemptFailed(branch, 'one-phase', error);
      else this.failed(delivery, error.message, 'attempt-failed');
    }
  }

  /** Gives up an attempt whose time is up, or starts the next when its pause is over. */
  examine(branch: BranchRecord, now: number): void {
    if (!this.owes(branch)) return;
    const { delivery } = branch;
    if (delivery === undefined) {
      if (this.dueAt(branch) > now) return;
      const kind = branch.call === CALL_ONE_PHASE ? 'one-phase' : 'commit';
      const taken = this.takeOver(branch, kind);
      branch.abandonFirstAttempt();
      this.failed(taken, lateMessage(taken), 'attempt-timed-out');
    } else if (delivery.dueAt <= now) {
      if (delivery.attempt === undefined) {
        this.attempt(delivery);
      } else {
        this.failed(delivery, lateMessage(delivery), 'attempt-timed-out');
      }
    }
  }

  /** @returns when something of this branch's completion is due. */
  dueAt(branch: BranchRecord): number {
    if (!this.owes(branch)) return NEVER;
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
    if (delivery === undefined || delivery.attempt !== undefined || !this.owes(branch))
      return Promise.resolve();
    return new Promise((resolve) => {
      delivery.onAttemptOver = resolve;
      this.attempt(delivery);
    });
  }

  /** The participant of the branch is paused, so that commit is not even sent. */
  holdFirst(branch: BranchRecord): void {
    hold(this.takeOver(branch, 'commit'), this.clock);
  }

  /**
   * An operator says how a branch has ended that has stalled or is held. It counts as the participant's own report would.
   *
   * @returns whether it was taken: not while an attempt is under way.
   */
  resolve(branch: BranchRecord, kind: HeuristicKind, reason: string): boolean {
    const { delivery, transaction, index } = branch;
    if (delivery === undefined || delivery.attempt !== undefined || !this.owes(branch)) return false;
    if (!includes(transaction.stalled, index) && !isHeld(branch)) return false;
    this.heuristic(branch, delivery.kind, delivery.round, new HeuristicError(kind, reason));
    return true;
  }

  /** The next event closes the branch, and may end and show the transaction: its record is completed before. */
  closing(branch: BranchRecord): void {
    const { transaction, index, participant } = branch;
    branch.completedUs = transaction.elapsedUs(this.clock.now());
    if (branch.delivery === undefined) return;
    if (includes(transaction.stalled, index)) participant.counts.stalled--;
    branch.delivery.rest(NEVER);
  }

  private attempt(delivery: Delivery): void {
    const { branch, kind } = delivery;
    const { transaction, participant } = branch;
    if (participant.paused !== undefined) {
      hold(delivery, this.clock);
      return;
    }
    const { options } = participant;
    const timeoutMs = kind === 'one-phase' ? options.prepareTimeoutMs : options.completionTimeoutMs;
    delivery.dueAt = this.clock.now() + timeoutMs;
    this.deadlines.arm(transaction, delivery.dueAt);
    const attempt = new CompletionAttempt(branch, ++branch.attempts, this.clock.epochMs + delivery.dueAt);
    delivery.attempt = attempt;
    if (transaction.extras?.trace === undefined) this.tracing.takenUp(transaction);
    callParticipant(
      participant,
      METHOD_OF[kind],
      attempt,
      transaction,
      this.ambient,
      (value) => {
        const isCurrent = delivery.isOver(attempt);
        if (kind === 'one-phase') this.onePhaseAnswer(branch, value, isCurrent);
        else this.acknowledge(branch, kind, delivery.round);
      },
      (error) => {
        const isCurrent = delivery.isOver(attempt);
        if (isHeuristic(error)) this.heuristic(branch, kind, delivery.round, error);
        else if (isCurrent) this.failed(delivery, messageOf(error), 'attempt-failed');
      },
    );
  }

  /** The first attempt was the branch's own; from now on a delivery sees to it. */
  private takeOver(branch: BranchRecord, kind: DeliveryKind): Delivery {
    branch.delivery = new Delivery(branch, kind, 0);
    return branch.delivery;
  }

  private failed(delivery: Delivery, message: string, type: Incident['type']): void {
    const { branch } = delivery;
    const { transaction, index, participant } = branch;
    if (!this.owes(branch) || branch.delivery !== delivery) {
      delivery.rest(NEVER);
      return;
    }
    const now = this.clock.now();
    const { options, counts } = participant;
    delivery.failures++;
    delivery.lastError = message;
    counts.failedAttempts++;
    if (type === 'attempt-timed-out') {
      counts.timeouts++;
      transaction.extras?.trace?.timedOut(delivery.attempt ?? branch, message);
    }
    transaction.note({
      atUs: transaction.elapsedUs(now),
      type,
      branch: index,
      attempt: branch.attempts,
      message,
    });

    const exhausted = delivery.failures >= options.maxAttempts;
    const pauseMs = exhausted
      ? undefined
      : backoffMs(delivery.failures, options.retryBaseMs, options.retryCapMs, this.random());
    this.observer.attemptFailed(branch, message, pauseMs);
    const dueAt = now + (pauseMs ?? NEVER);
    delivery.rest(dueAt);
    if (pauseMs === undefined) attemptsExhausted(transaction, index, this.effects);
    else this.deadlines.arm(transaction, dueAt);
  }

  private heuristic(branch: BranchRecord, kind: DeliveryKind, round: number, error: HeuristicError): void {
    const { transaction, index, participant } = branch;
    if (!this.owes(branch) || round !== completionRound(transaction, index)) return;
    branch.heuristic = { kind: error.kind, reason: messageOf(error) };
    participant.counts.heuristicReports++;
    const atUs = transaction.elapsedUs(this.clock.now());
    const message = `${error.kind}: ${branch.heuristic.reason}`;
    transaction.note({ atUs, type: 'heuristic', branch: index, attempt: branch.attempts, message });
    this.observer.heuristic(branch);
    this.closing(branch);
    const wasReported = includes(heuristicBranches(transaction), index);
    if (kind === 'one-phase') onePhaseAnswered(transaction, ONE_PHASE_ANSWERS[error.kind], this.effects);
    else heuristicReported(transaction, index, error.kind, round, this.effects);
    // A report that agrees with the decision is none, and one that is made again is no second one.
    if (wasReported || !includes(heuristicBranches(transaction), index)) {
      transaction.driver.progressed(transaction);
      return;
    }
    participant.unforgottenReports++;
    transaction.driver.heuristicReported(branch);
  }
}

function lateMessage({ branch, kind }: Delivery): string {
  const { options } = branch.participant;
  const timeoutMs = kind === 'one-phase' ? options.prepareTimeoutMs : options.completionTimeoutMs;
  return `did not answer ${METHOD_OF[kind]} within ${timeoutMs} ms`;
}
