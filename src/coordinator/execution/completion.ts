import { type Answer, Refused, answerOf, describeUndecided } from '../gate/answer.js';
import { type Failure, failureOf } from '../gate/failure.js';
import type { ClaimedLog } from '../log/claimed-log.js';
import { GivenBranch } from '../participant/given-branch.js';
import {
  type BranchSet,
  Branches,
  type HeuristicKind,
  State,
  Told,
  acknowledged,
  attemptsExhausted,
  completionRound,
  hasLastResource,
  heuristicBranches,
  heuristicReported,
  includes,
  onePhaseAnswered,
  patienceEnded,
} from '../protocol/index.js';
import { backoffMs } from './backoff.js';
import {
  type AmbientTransactions,
  callParticipant,
  callToCommit,
  refuseAfterDeadline,
  refuseAfterExpiry,
  refuseWhilePaused,
} from './call.js';
import { type Clock, NEVER, msOf } from './clock.js';
import type { Deadlines } from './deadlines.js';
import { CompletionAttempt, Delivery, type DeliveryKind, methodOf, timeoutOf } from './delivery.js';
import type { Endings } from './endings.js';
import { byExpiry } from './expiries.js';
import type { Observers } from './observer.js';
import { askWhileOwn, refusedWhileOwn } from './ownership.js';
import {
  type BranchHeuristic,
  type BranchRecord,
  Call,
  type TransactionRecord,
  callDueAt,
  calledToCommitAt,
} from './records.js';
import type { TransactionRegistry } from './registry.js';
import type { UnconfirmedEnds } from './unconfirmed-ends.js';

/**
 * How long a last resource waits before it is looked at again whether the lease was renewed, in milliseconds.
 */
const LEASE_PAUSE_MS = 50;

interface CompletionParts {
  readonly log: ClaimedLog;
  readonly clock: Clock;
  readonly random: () => number;
  readonly deadlines: Deadlines;
  readonly ambient: AmbientTransactions;
  readonly observers: Observers;
  readonly endings: Endings;
  readonly registry: Pick<TransactionRegistry, 'isOfEarlierRun'>;
  readonly unconfirmed: UnconfirmedEnds;
  /** How long a caller waits for completion, in milliseconds. */
  readonly completionWaitMs: number;
  /** How long before a vote expires no last resource is called any more, in milliseconds. */
  readonly expiryMarginMs: number;
}

/**
 * Phase two. Delivers the decision to each branch independently. Each attempt has a deadline, and the pauses
 * between attempts grow with jitter. When the attempts are used up, the branch is stalled until the recovery
 * job continues it.
 *
 * Every attempt starts in {@link attempt}, and ends in {@link answered} or {@link threw}, or is given up in
 * {@link examine}. The first attempt to commit, and to commit in one phase, has no {@link Delivery} yet: its
 * participant receives the branch itself.
 */
export class Completion {
  constructor(private readonly parts: CompletionParts) {}

  /** Effect: delivers commit to these branches. */
  commit(transaction: TransactionRecord, branches: BranchSet): void {
    const { clock, deadlines, completionWaitMs, ambient } = this.parts;
    if (ambient.isEntered) {
      ambient.leave(() => this.commit(transaction, branches));
      return;
    }
    const shortestMs = Math.min(transaction.shortestTimeoutMs, completionWaitMs);
    if (hasLastResource(transaction)) transaction.needExtras().confirmedAt = clock.now();
    deadlines.armIn(transaction, msOf(transaction.decidedUs) + shortestMs);
    const epochMs = clock.epochMs + calledToCommitAt(transaction);
    if (transaction.extras?.hasExpiries === true) {
      this.commitByExpiry(transaction, branches, epochMs);
      return;
    }
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      this.commitFirst(branch, branches, epochMs);
    }
  }

  private commitByExpiry(transaction: TransactionRecord, branches: BranchSet, calledAt: number): void {
    for (const branch of byExpiry(transaction)) this.commitFirst(branch, branches, calledAt);
  }

  /** @param calledAt in milliseconds since the epoch. */
  private commitFirst(branch: BranchRecord, branches: BranchSet, calledAt: number): void {
    if (!includes(branches, branch.index)) return;
    branch.call = Call.COMMIT;
    const { participant, delivery } = branch;
    if (participant.paused !== undefined || delivery !== undefined) {
      this.attempt(branch, 'commit');
      return;
    }
    branch.attempts++;
    const deadline = participant.commitDeadline.at(participant.commitDueAt(calledAt));
    callToCommit(branch, new GivenBranch(branch, deadline), this.parts.ambient);
  }

  /** Effect: asks the branch that makes the decision to commit in one phase. */
  commitOnePhase(transaction: TransactionRecord): void {
    const branch = transaction.branches[transaction.decider]!;
    branch.call = Call.ONE_PHASE;
    // Before that, the log has taken the record that names it, and other branches may have voted.
    if (transaction.recordsAll) transaction.needExtras().askedToDecideAt = this.parts.clock.now();
    this.parts.deadlines.arm(transaction, callDueAt(branch));
    this.attempt(branch, 'one-phase');
  }

  /**
   * The branch that decides is about to be called for the first time. A member that has adopted the
   * transaction asks it as well, so from then on this one only asks it again. A last resource can hold its
   * commit back no more once it was called, so it is called only while no other member can have adopted the
   * transaction.
   *
   * @returns whether it is called now. If not, its answer follows, or it is tried again when the lease was
   * renewed.
   */
  private mayDecide(branch: BranchRecord): boolean {
    const { transaction, participant } = branch;
    const { log, clock, expiryMarginMs, deadlines } = this.parts;
    const now = clock.now();
    const isUnsure = participant.isLastResource && !log.isSurelyOwn(now);
    if (this.mayBeAdopted(transaction) || (isUnsure && transaction.deadlineAt <= now)) {
      branch.attempts = 1;
      deliveryOf(branch, 'one-phase');
      return true;
    }
    if (isUnsure) {
      const dueAt = Math.min(now + LEASE_PAUSE_MS, transaction.deadlineAt);
      deliveryOf(branch, 'one-phase').rest(dueAt);
      deadlines.arm(transaction, dueAt);
      return false;
    }
    // A record names an ordinary branch only in a shared log: another member may have adopted it and asked
    // it, so only its own answer counts. A last resource is never called by another member.
    if (transaction.recordsAll && !participant.isLastResource) return true;
    if (participant.paused !== undefined) refuseWhilePaused(branch);
    else if (transaction.deadlineAt <= now) refuseAfterDeadline(branch);
    else if (hasExpired(transaction, now + expiryMarginMs)) refuseAfterExpiry(branch);
    else return true;
    return false;
  }

  /** Whether another member may have adopted the transaction by now, as far as this one knows. */
  private mayBeAdopted({ id }: TransactionRecord): boolean {
    const { log, registry } = this.parts;
    return registry.isOfEarlierRun(id) || (log.shared !== undefined && log.isLost);
  }

  /** Effect: rolls these branches back. A rollback of an earlier round is overtaken. */
  rollback(transaction: TransactionRecord, branches: BranchSet): void {
    // After the end of the transaction the sweep no longer examines it.
    if (transaction.endedAt !== 0) this.parts.endings.reopened(transaction);
    for (const branch of transaction.branches) {
      if (!includes(branches, branch.index)) continue;
      branch.delivery?.rest(NEVER);
      branch.delivery = new Delivery('rollback', completionRound(transaction, branch.index));
      this.attempt(branch, 'rollback');
    }
  }

  /** The first attempt was answered. */
  firstAnswered(branch: BranchRecord, value: unknown): void {
    if (branch.call === Call.COMMIT) this.acknowledge(branch, 'commit', 0);
    else this.firstDecided(branch, answerOf(value));
  }

  /**
   * A refusal counts only while no other member can have asked the branch as well: that one may have heard
   * something else.
   */
  private firstDecided(branch: BranchRecord, answer: Answer): void {
    const { transaction } = branch;
    const { log, clock } = this.parts;
    const isSure = !this.mayBeAdopted(transaction) && log.isSurelyOwn(clock.now());
    if (isSure || !transaction.recordsAll || !(answer instanceof Refused)) {
      this.decided(branch, answer, branch.delivery === undefined);
      return;
    }
    void refusedWhileOwn(transaction, log, answer).then(
      (known) => this.decided(branch, known, branch.delivery === undefined),
      (error: unknown) => this.threw(branch, 'one-phase', 0, failureOf(error), branch.delivery === undefined),
    );
  }

  /** The first attempt failed. */
  firstFailed(branch: BranchRecord, failure: Failure): void {
    this.threw(branch, firstKind(branch), 0, failure, branch.delivery === undefined);
  }

  /**
   * Ends the patience of the caller, gives up attempts whose time is up, and starts those whose pause is
   * over.
   */
  examine(transaction: TransactionRecord, now: number): void {
    if (
      transaction.state === State.COMMITTING &&
      transaction.decidedAt + this.parts.completionWaitMs <= now
    ) {
      patienceEnded(transaction, transaction.executor);
    }
    for (const branch of byExpiry(transaction)) {
      if (branchDueAt(branch) > now) continue;
      const { delivery } = branch;
      if (delivery === undefined) this.giveUpFirst(branch);
      else if (delivery.attempt === undefined) this.attempt(branch, delivery.kind);
      else this.attemptFailed(branch, delivery, lateMessage(branch, delivery.kind), delivery.attempt);
    }
  }

  /** @returns when the next step of the completion is due. */
  dueAt(transaction: TransactionRecord): number {
    let dueAt = NEVER;
    if (transaction.state === State.COMMITTING && transaction.told === Told.NOTHING) {
      dueAt = transaction.decidedAt + this.parts.completionWaitMs;
    }
    for (const branch of transaction.branches) dueAt = Math.min(dueAt, branchDueAt(branch));
    return dueAt;
  }

  /**
   * Tries a waiting branch at once, without waiting for the end of its pause.
   *
   * @returns a promise that resolves when the attempt has ended, with any result.
   */
  retryNow(branch: BranchRecord): Promise<void> {
    const { delivery } = branch;
    if (delivery === undefined || delivery.attempt !== undefined || !branch.owes) return Promise.resolve();
    if (hasKeptAnswer(branch)) {
      this.foundOut(branch, branch.heuristic!.kind);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      delivery.onAttemptOver = resolve;
      this.attempt(branch, delivery.kind);
    });
  }

  /**
   * The participant of a branch is about to be resumed: held deliveries continue, but not all at one moment.
   * A stalled branch still waits for the recovery job.
   */
  release(branch: BranchRecord): void {
    const { delivery, transaction, index, participant, isHeld } = branch;
    if (!isHeld || delivery!.dueAt !== NEVER || includes(transaction.stalled, index)) return;
    const { clock, random, deadlines } = this.parts;
    const dueAt = clock.now() + random() * participant.options.retryBaseMs;
    delivery!.rest(dueAt);
    deadlines.arm(transaction, dueAt);
  }

  /**
   * An operator states how a stalled or held branch has ended. This counts like the participant's own report.
   *
   * @returns whether it was accepted. It is not while an attempt is running.
   */
  resolve(branch: BranchRecord, kind: HeuristicKind, reason: string): boolean {
    const { delivery, transaction, index } = branch;
    if (delivery === undefined || delivery.attempt !== undefined || !branch.owes) return false;
    if (!includes(transaction.stalled, index) && !branch.isHeld) return false;
    this.report(branch, delivery.kind, delivery.round, { kind, reason });
    return true;
  }

  /** Starts an attempt, or holds it while the participant is paused. */
  private attempt(branch: BranchRecord, kind: DeliveryKind): void {
    const { participant, transaction } = branch;
    if (kind === 'one-phase' && branch.attempts === 0 && !this.mayDecide(branch)) return;
    if (participant.paused !== undefined) {
      this.hold(branch, kind);
      return;
    }
    const { delivery } = branch;
    branch.attempts++;
    if (delivery === undefined) {
      const { fulfilled, rejected } = branch;
      const { ambient } = this.parts;
      callParticipant(participant, methodOf(kind), branch, transaction, ambient, fulfilled, rejected);
    } else this.attemptOf(branch, kind, delivery);
  }

  /** A further attempt. It is apart from the first, which nearly always succeeds, and needs no closure. */
  private attemptOf(branch: BranchRecord, kind: DeliveryKind, delivery: Delivery): void {
    const { participant, transaction } = branch;
    const { clock, deadlines, ambient, observers, log } = this.parts;
    delivery.dueAt = clock.now() + timeoutOf(kind, participant);
    deadlines.arm(transaction, delivery.dueAt);
    const attempt = new CompletionAttempt(branch, branch.attempts, clock, delivery.dueAt, (error) =>
      transaction.executor.listenerFailed(`"${participant.name}"`, error, transaction),
    );
    delivery.attempt = attempt;
    observers.attemptStarts(branch);
    const call = (fulfilled: (value: unknown) => void, rejected: (error: unknown) => void): void =>
      callParticipant(participant, methodOf(kind), attempt, transaction, ambient, fulfilled, rejected);
    const answered = (value: unknown): void =>
      this.answered(branch, kind, delivery.round, value, delivery.isOver(attempt));
    const threw = (error: unknown): void =>
      this.threw(branch, kind, delivery.round, failureOf(error), delivery.isOver(attempt));
    // A last resource that waited for the lease is called before anything can move the claim.
    const isFirst = branch.attempts === 1;
    if (kind !== 'one-phase' || isFirst || log.shared === undefined) call(answered, threw);
    else {
      const ask = (): Promise<Answer> =>
        new Promise((resolve, reject) => call((value) => resolve(answerOf(value)), reject));
      void askWhileOwn(transaction, log, ask).then(answered, threw);
    }
  }

  /**
   * The participant is paused: the delivery waits until it is resumed. Nothing limits that time, so the
   * caller does not wait.
   */
  private hold(branch: BranchRecord, kind: DeliveryKind): void {
    const { transaction } = branch;
    this.parts.observers.held(branch);
    deliveryOf(branch, kind).rest(NEVER);
    patienceEnded(transaction, transaction.executor);
    this.parts.endings.setAside(transaction);
  }

  /** @param isCurrent whether it belongs to the running attempt, and not to one that was given up before. */
  private answered(
    branch: BranchRecord,
    kind: DeliveryKind,
    round: number,
    value: unknown,
    isCurrent: boolean,
  ): void {
    if (kind === 'one-phase') this.decided(branch, answerOf(value), isCurrent);
    else this.acknowledge(branch, kind, round);
  }

  /** A report counts from any attempt. The failure of an attempt that was given up before is ignored. */
  private threw(
    branch: BranchRecord,
    kind: DeliveryKind,
    round: number,
    { heuristic, message, code }: Failure,
    isCurrent: boolean,
  ): void {
    // An unknown answer of a last resource decides nothing: other branches wait for it.
    const isNoDecision = heuristic === 'hazard' && kind === 'one-phase' && branch.transaction.size > 1;
    if (heuristic !== undefined && !isNoDecision)
      this.report(branch, kind, round, { kind: heuristic, reason: message });
    else if (isCurrent) this.attemptFailed(branch, deliveryOf(branch, kind), message, undefined, code);
  }

  /** A branch acknowledged the decision. Repeats, and answers to an overtaken rollback, are dropped. */
  private acknowledge(branch: BranchRecord, kind: 'commit' | 'rollback', round: number): void {
    const { transaction, index } = branch;
    if (!includes(transaction.open, index) || round !== completionRound(transaction, index)) return;
    const { clock, observers, endings } = this.parts;
    observers.completed(branch, kind);
    branch.close(clock.now());
    acknowledged(transaction, index, round, transaction.executor);
    if (transaction.stalled !== Branches.NONE) endings.progressed(transaction);
    else if (transaction.extras !== undefined) endings.moved(transaction);
  }

  /**
   * An answer to a one-phase commit. A decision counts from any attempt, any other answer only from the
   * current one.
   */
  private decided(branch: BranchRecord, answer: Answer, isCurrent: boolean): void {
    if (!branch.owes) return;
    const { transaction } = branch;
    const { clock, observers } = this.parts;
    if (answer === 'commit') {
      observers.completed(branch, 'commit');
      branch.participant.silence.end();
      branch.close(clock.now());
      onePhaseAnswered(transaction, 'commit', transaction.executor);
    } else if (answer instanceof Refused) {
      const { code, reason, temporary } = answer;
      branch.refusal = { code, reason, error: undefined, temporary };
      observers.prepareFailed(branch, 'refused', reason);
      branch.close(clock.now());
      onePhaseAnswered(transaction, 'rollback', transaction.executor);
    } else if (isCurrent) {
      const description = describeUndecided(answer);
      const known = branch.participant.isLastResource ? 'committed nor never' : 'commit nor abort';
      const message = `answered ${description}, which is neither ${known}`;
      this.attemptFailed(branch, deliveryOf(branch, 'one-phase'), message);
    }
  }

  /**
   * The answer of the branch that decides is known without its call: an earlier run has kept it as a report,
   * and not the commit record that follows it, or another member has ended the transaction.
   */
  foundOut(branch: BranchRecord, kind: HeuristicKind): void {
    const { transaction } = branch;
    branch.close(this.parts.clock.now());
    onePhaseAnswered(transaction, kind, transaction.executor);
  }

  /** The time of the first attempt is up. A delivery takes over. */
  private giveUpFirst(branch: BranchRecord): void {
    const kind = firstKind(branch);
    const delivery = deliveryOf(branch, kind);
    branch.abandonFirstAttempt();
    this.attemptFailed(branch, delivery, lateMessage(branch, kind), branch);
  }

  /** @param late the branch that its participant received, when the attempt was not answered in time. */
  private attemptFailed(
    branch: BranchRecord,
    delivery: Delivery,
    message: string,
    late?: BranchRecord | CompletionAttempt,
    code?: string,
  ): void {
    if (!branch.owes) {
      delivery.rest(NEVER);
      return;
    }
    const { transaction, index, participant } = branch;
    const { clock, random, deadlines, observers, endings } = this.parts;
    const { maxAttempts, retryBaseMs, retryCapMs } = participant.options;
    const now = clock.now();
    delivery.failures++;
    delivery.lastError = message;
    delivery.lastCode = code;
    delivery.isLate = late !== undefined;
    const isExhausted = delivery.failures >= maxAttempts;
    const pauseMs = isExhausted ? undefined : backoffMs(delivery.failures, retryBaseMs, retryCapMs, random());
    if (late === undefined) observers.attemptFailed(branch, message, pauseMs);
    else {
      const since = transaction.decidedAt === 0 ? transaction.preparingAt : transaction.decidedAt;
      observers.attemptTimedOut(branch, late, message, pauseMs, now - since);
      transaction.extras?.group?.occupation?.timedOut(transaction, index);
    }
    const dueAt = now + (pauseMs ?? NEVER);
    delivery.rest(dueAt);
    if (pauseMs === undefined) attemptsExhausted(transaction, index, transaction.executor);
    else deadlines.arm(transaction, dueAt);
    endings.moved(transaction);
  }

  /** A participant, or an operator in its place, reports that the branch ended against the decision. */
  private report(branch: BranchRecord, kind: DeliveryKind, round: number, report: BranchHeuristic): void {
    const { transaction, index } = branch;
    if (!branch.owes || round !== completionRound(transaction, index)) return;
    const { clock, observers, endings, unconfirmed } = this.parts;
    branch.heuristic = report;
    observers.heuristic(branch, `${report.kind}: ${report.reason}`);
    branch.close(clock.now());
    unconfirmed.add(branch, clock.now());
    const wasReported = includes(heuristicBranches(transaction), index);
    if (kind === 'one-phase') onePhaseAnswered(transaction, report.kind, transaction.executor);
    else heuristicReported(transaction, index, report.kind, round, transaction.executor);
    // A report that agrees with the decision is ignored, and so is a repeated report.
    const isNews = !wasReported && includes(heuristicBranches(transaction), index);
    if (isNews) endings.reported(branch);
    else endings.progressed(transaction);
  }
}

/**
 * Whether the branch that decides was restored together with a report that is its answer, so that it is not
 * called.
 */
export function hasKeptAnswer({ delivery, heuristic }: BranchRecord): boolean {
  return delivery?.kind === 'one-phase' && heuristic !== undefined;
}

/** Whether a branch that waits for the decision may not be able to commit at this moment any more. */
function hasExpired({ extras, branches, yes }: TransactionRecord, at: number): boolean {
  if (extras?.hasExpiries !== true) return false;
  return branches.some(
    ({ index, expiry }) => includes(yes, index) && expiry !== undefined && expiry.expiresAt <= at,
  );
}

/** @returns the delivery of the decision to the branch, from its first failure on. */
function deliveryOf(branch: BranchRecord, kind: DeliveryKind): Delivery {
  branch.delivery ??= new Delivery(kind, 0);
  return branch.delivery;
}

function firstKind({ call }: BranchRecord): 'commit' | 'one-phase' {
  return call === Call.ONE_PHASE ? 'one-phase' : 'commit';
}

/** @returns when the next step of this branch's completion is due. */
function branchDueAt(branch: BranchRecord): number {
  if (!branch.owes) return NEVER;
  if (branch.delivery !== undefined) return branch.delivery.dueAt;
  return branch.call === Call.NONE || branch.call === Call.PREPARE ? NEVER : callDueAt(branch);
}

function lateMessage({ participant, attempts }: BranchRecord, kind: DeliveryKind): string {
  const method = participant.isLastResource ? (attempts === 1 ? 'commit' : 'inquire') : methodOf(kind);
  return `did not answer ${method} within ${timeoutOf(kind, participant)} ms`;
}
