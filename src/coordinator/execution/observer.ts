import { settled } from '../gate/settled.js';
import { messageOf } from '../gate/texts.js';
import type { Outcome } from '../outcome.js';
import type { BranchEnd } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import {
  type StateNumber,
  TOLD_COMMITTED,
  VOTE_COMMIT,
  type VOTE_READ_ONLY,
  type VoteNumber,
  includes,
  isCommit,
} from '../protocol/index.js';
import type { Clock } from './clock.js';
import type { CompletionAttempt } from './delivery.js';
import type { BranchRecord, Incident, TransactionRecord } from './records.js';

/** An answer to prepare that is no yes. */
export interface PrepareProblem {
  readonly cause: 'refused' | 'failed';
  readonly message: string;
  /** Of a refusal. */
  readonly code: string | undefined;
  /** Whether it only says that the work was stopped because its signal was aborted. */
  readonly isCancellation: boolean;
}

/**
 * Hears what has happened, after the fact: for log lines, statistics and events. Nothing that an observer does, and nothing
 * that it throws, changes a transaction.
 */
export interface TransactionObserver {
  /** A step of the state machine. Called several times for every transaction, so it must be cheap. */
  entered(transaction: TransactionRecord, from: StateNumber): void;
  /** The abort was caused by this branch: it refused, failed or was late. */
  prepareFailed(branch: BranchRecord, cause: 'refused' | 'failed' | 'timed-out', message: string): void;
  /** An answer to prepare came after the abort. `problem` says what was wrong with it, when it was no yes. */
  lateAnswer(branch: BranchRecord, problem: PrepareProblem | undefined): void;
  /** An attempt to complete failed. `retryInMs` is undefined when it was the last before the branch stalls. */
  attemptFailed(branch: BranchRecord, message: string, retryInMs: number | undefined): void;
  stalled(branch: BranchRecord, message: string): void;
  heuristic(branch: BranchRecord): void;
  /** Whether the decision is in the log cannot be told now. */
  recordUnknown(transaction: TransactionRecord, message: string): void;
  /** Another coordinator has claimed the log: this one decides nothing more. Called once. */
  fenced(): void;
  /** Something could not be noted in the log: after the next start what was done is done once more. */
  notNoted(transaction: TransactionRecord, message: string): void;
  /** A branch of an earlier epoch is prepared and has no decision: it is rolled back. */
  orphan(branch: BranchRecord): void;
  /** A participant could not list its prepared branches. */
  scanFailed(participant: RegisteredParticipant, message: string): void;
  /** Branches of earlier epochs are prepared, and the log does not outlive an epoch: what was decided is not known. */
  undecidable(participant: RegisteredParticipant, branches: number): void;
  /** A complete list of a participant was looked at: what it has that this coordinator cannot decide. */
  undecided?(participant: RegisteredParticipant, branches: UndecidedBranches): void;
  /** None of its branches is undecidable any more. */
  decidable?(participant: RegisteredParticipant): void;
  /** A pass of the recovery job is over: what was stalled when it began has been tried once. */
  recoveryPassed?(): void;
  /** Every hook of the application's start has run, so that its listeners are there. */
  applicationStarted?(): void;
  /** The caller was told. `committed` is not reported here: it is the same moment as the end. */
  told(transaction: TransactionRecord, outcome: Outcome): void;
  /** The transaction is over. Called once. */
  ended(transaction: TransactionRecord): void;
  /** A method of a participant that only hears of its branches, or a listener of a signal that it was given, threw. */
  userCodeFailed?(message: string): void;
  /** A defect: something threw where nothing may. */
  defect(error: unknown, where: string): void;
}

/** Follows transactions through the services that take part in them. Nothing here throws, whatever becomes of the spans. */
export interface Tracing {
  /** A transaction begins, and the code that began it is running: gives it a trace, while an application traces. */
  begun(transaction: TransactionRecord): void;
  /** A transaction without a trace, such as one of an earlier run, is delivered: gives it one, while an application traces. */
  takenUp(transaction: TransactionRecord): void;
}

/** No application traces. */
export const NO_TRACING: Tracing = { begun() {}, takenUp() {} };

/**
 * Why a coordinator cannot decide a prepared branch: it is of an earlier run whose log was not durable, of a later run of this
 * very log, of another log of the same name, of another coordinator, or its id is none that a coordinator makes.
 *
 * @publicApi
 */
export type UndecidedReason = 'earlier-run' | 'later-run' | 'other-log' | 'other-coordinator' | 'malformed';

/** A prepared branch that this coordinator cannot decide, and leaves alone. */
export interface UndecidedBranch {
  /** As the participant lists them; null where it is no text. */
  readonly transactionId: string | null;
  readonly branchId: string | null;
  readonly reason: UndecidedReason;
  /** When a complete list had it first, on the coordinator's clock. */
  readonly since: number;
}

/** What one participant has prepared that this coordinator cannot decide. */
export interface UndecidedBranches {
  /** How many are of this coordinator's name. */
  readonly undecidable: number;
  /** How many are of other coordinators, or of none, and stay. */
  readonly foreign: number;
  /** The oldest of both. */
  readonly oldest: readonly UndecidedBranch[];
}

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
    if (branch.participant.hearsStarts) void this.tellStarted(branch);
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
    branch.transaction.extras?.trace?.stalled(branch.participant, message);
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
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      if (branch.participant.hearsEnds) void this.tellEnded(branch);
    }
  }

  /** A listener of a signal that participants were given threw. `owner` says whose signal it was. */
  listenerFailed(owner: string, error: unknown): void {
    this.observer.userCodeFailed?.(`A listener of the signal of ${owner} failed: ${messageOf(error)}`);
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

  private tellStarted({ transactionId, branchId, payload, participant }: BranchRecord): Promise<void> {
    const start = { transactionId, branchId, payload };
    return this.tell(participant, 'branchStarted', () => participant.instance.branchStarted?.(start));
  }

  private tellEnded(branch: BranchRecord): Promise<void> {
    const { participant } = branch;
    const end = endOf(branch);
    return this.tell(participant, 'branchEnded', () => participant.instance.branchEnded?.(end));
  }

  /** What the participant throws, at once or later, is its own defect, and goes no further. */
  private async tell(participant: RegisteredParticipant, method: string, call: () => unknown): Promise<void> {
    const told = await settled(call);
    if (!('error' in told)) return;
    participant.defects++;
    this.observer.userCodeFailed?.(`${method}() of "${participant.name}" failed: ${messageOf(told.error)}`);
  }
}

function endOf(branch: BranchRecord): BranchEnd {
  const { transactionId, branchId, heuristic } = branch;
  if (heuristic !== undefined) return { transactionId, branchId, state: 'heuristic', heuristic };
  return { transactionId, branchId, state: stateOf(branch) };
}

function stateOf({ transaction, index }: BranchRecord): Exclude<BranchEnd['state'], 'heuristic'> {
  if (includes(transaction.readOnly, index)) return 'read-only';
  if (includes(transaction.refused, index)) return 'refused';
  return isCommit(transaction.state) ? 'committed' : 'rolled-back';
}
