import type { Outcome } from '../outcome.js';
import { TOLD_COMMITTED, VOTE_COMMIT, type VOTE_READ_ONLY, type VoteNumber } from '../protocol/index.js';
import { tellEnded, tellStarted } from './branch-events.js';
import type { BranchRecord } from './branch-record.js';
import type { Clock } from './clock.js';
import type { CompletionAttempt } from './delivery.js';
import type { Incident } from './incident.js';
import type { PrepareProblem, TransactionObserver } from './observer.js';
import type { Tracing } from './tracing.js';
import type { TransactionRecord } from './transaction-record.js';

const LATE_ANSWERS = ['voted commit', 'voted read-only', 'refused', 'failed'] as const;

/**
 * The one place that is told what has happened, by one call for each event. From that call it derives the entry of the
 * timeline, the counts of the participant, the trace, and what a participant hears of its branches; log lines, statistics and
 * events for listeners come from the observer that the coordinator was given. Nothing here changes a transaction.
 *
 * A transaction that is not traced costs one comparison in each call.
 */
export class Observers {
  constructor(
    private readonly clock: Clock,
    private readonly observer: TransactionObserver,
    private readonly tracing: Tracing,
  ) {}

  /** A transaction is in flight from now on. */
  begun(transaction: TransactionRecord): void {
    this.tracing.begun(transaction);
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next)
      this.enlisted(branch);
  }

  /** A transaction in flight has one more branch. */
  enlisted(branch: BranchRecord): void {
    if (branch.participant.hearsStarts) tellStarted(branch);
  }

  entered(transaction: TransactionRecord, from: number): void {
    transaction.extras?.trace?.entered();
    this.observer.entered(transaction, from);
  }

  /** A branch has voted for commit in time. */
  voted({ participant }: BranchRecord, vote: typeof VOTE_COMMIT | typeof VOTE_READ_ONLY): void {
    if (vote === VOTE_COMMIT) participant.counts.commitVotes++;
    else participant.counts.readOnlyVotes++;
  }

  /** The abort was caused by this branch: it refused, failed or was late. */
  prepareFailed(branch: BranchRecord, cause: 'refused' | 'failed' | 'timed-out', message: string): void {
    const { counts } = branch.participant;
    if (cause === 'refused') counts.refusals++;
    else if (cause === 'failed') counts.failures++;
    else counts.timeouts++;
    this.note(branch, cause === 'refused' ? 'refused' : `prepare-${cause}`, 0, message);
    this.observer.prepareFailed(branch, cause, message);
  }

  /** An answer to prepare came after the abort. `problem` says what was wrong with it, when it was no yes. */
  lateAnswer(branch: BranchRecord, answer: VoteNumber, problem: PrepareProblem | undefined): void {
    const { counts } = branch.participant;
    counts.lateAnswers++;
    if (problem?.cause === 'failed' && !problem.isCancellation) counts.lateFailures++;
    const said = LATE_ANSWERS[answer];
    this.note(branch, 'late-answer', 0, problem === undefined ? said : `${said}: ${problem.message}`);
    this.observer.lateAnswer(branch, problem);
  }

  /** A further attempt to complete a branch starts. */
  attemptStarts({ transaction }: BranchRecord): void {
    if (transaction.extras?.trace === undefined) this.tracing.takenUp(transaction);
  }

  /** A branch has done what was decided, or has decided by itself. */
  completed({ participant }: BranchRecord, decision: 'commit' | 'rollback'): void {
    if (decision === 'commit') participant.counts.committed++;
    else participant.counts.rolledBack++;
  }

  /**
   * An attempt to complete failed.
   *
   * @param retryInMs undefined when it was the last before the branch stalls.
   */
  attemptFailed(branch: BranchRecord, message: string, retryInMs: number | undefined): void {
    branch.participant.counts.failedAttempts++;
    this.note(branch, 'attempt-failed', branch.attempts, message);
    this.observer.attemptFailed(branch, message, retryInMs);
  }

  /**
   * An attempt to complete was not answered in time, and so it failed.
   *
   * @param attempt what its participant was given.
   */
  attemptTimedOut(
    branch: BranchRecord,
    attempt: BranchRecord | CompletionAttempt,
    message: string,
    retryInMs: number | undefined,
  ): void {
    const { participant, transaction } = branch;
    participant.counts.failedAttempts++;
    participant.counts.timeouts++;
    transaction.extras?.trace?.timedOut(attempt, message);
    this.note(branch, 'attempt-timed-out', branch.attempts, message);
    this.observer.attemptFailed(branch, message, retryInMs);
  }

  /** The completion of a branch waits, because its participant is paused. */
  held(branch: BranchRecord): void {
    this.note(branch, 'held', branch.attempts, 'waits, because its participant is paused');
  }

  /** A branch has used up its attempts. */
  stalled(branch: BranchRecord, message: string): void {
    this.note(branch, 'stalled', branch.attempts, message);
    branch.transaction.extras?.trace?.stalled(branch, message);
    this.observer.stalled(branch, message);
  }

  /** A participant, or an operator in its place, has reported how the branch ended. */
  heuristic(branch: BranchRecord, message: string): void {
    branch.participant.counts.heuristicReports++;
    this.note(branch, 'heuristic', branch.attempts, message);
    this.observer.heuristic(branch);
  }

  /** A branch that was over by report is prepared still. */
  reopened(branch: BranchRecord): void {
    const message = 'is prepared still, though it was over by report: it is told the decision again';
    this.note(branch, 'reopened', branch.attempts, message);
  }

  /** Whether the decision is in the log cannot be told now. */
  recordUnknown(transaction: TransactionRecord, message: string): void {
    const atUs = transaction.elapsedUs(this.clock.now());
    const attempt = transaction.extras?.inquiries ?? 0;
    transaction.note({ atUs, type: 'record-unknown', branch: -1, attempt, message });
    this.observer.recordUnknown(transaction, message);
  }

  /** Something could not be noted in the log. */
  notNoted(transaction: TransactionRecord, message: string): void {
    this.observer.notNoted(transaction, message);
  }

  /** The caller is told. */
  told(transaction: TransactionRecord, outcome: Outcome): void {
    transaction.extras?.trace?.told(outcome);
    // It is the same moment as the end, which is reported as well.
    if (transaction.told !== TOLD_COMMITTED) this.observer.told(transaction, outcome);
  }

  /**
   * The transaction is over.
   *
   * @param isFirst whether it has not been over before: a late answer may have opened it again.
   */
  ended(transaction: TransactionRecord, isFirst: boolean): void {
    transaction.extras?.trace?.ended();
    if (!isFirst) return;
    this.observer.ended(transaction);
    tellEnded(transaction);
  }

  /** Something threw where nothing may. */
  defect(error: unknown, where: string): void {
    this.observer.defect(error, where);
  }

  private note(branch: BranchRecord, type: Incident['type'], attempt: number, message: string): void {
    const { transaction, index } = branch;
    const atUs = transaction.elapsedUs(this.clock.now());
    transaction.note({ atUs, type, branch: index, attempt, message });
  }
}
