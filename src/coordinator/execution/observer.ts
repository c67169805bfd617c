import { settled } from '../gate/settled.js';
import { messageOf } from '../gate/texts.js';
import type { Outcome } from '../outcome.js';
import type { BranchEnd } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { type StateNumber, Told, Voted, includes, isCommit } from '../protocol/index.js';
import type { Clock } from './clock.js';
import type { CompletionAttempt } from './delivery.js';
import type { IncidentType } from './incident.js';
import type { BranchRecord, TransactionRecord } from './records.js';
import type { TracedGroup } from './trace.js';

/** An answer to prepare that is not a yes. */
export interface PrepareProblem {
  readonly cause: 'refused' | 'failed';
  readonly message: string;
  /** The code of a refusal. */
  readonly code: string | undefined;
  /** Whether it only reports that the work stopped because its signal was aborted. */
  readonly isCancellation: boolean;
}

/**
 * When a vote expired: before its transaction was decided, or after that and before its branch was completed.
 */
export type ExpiryMoment = 'before-decision' | 'after-decision';

/**
 * Receives events after the fact: for log lines, statistics and listeners. No action and no error of an
 * observer changes a transaction.
 */
export interface TransactionObserver {
  /** Whether it wants to hear of each step of the state machine. @default true */
  readonly hearsSteps?: boolean;
  /** A step of the state machine. Called several times for every transaction, so it must be cheap. */
  entered(transaction: TransactionRecord, from: StateNumber): void;
  /** The abort was caused by this branch: it refused, failed or was late. */
  prepareFailed(branch: BranchRecord, cause: 'refused' | 'failed' | 'timed-out', message: string): void;
  /** An answer to prepare came after the abort. `problem` describes it, if it was not a yes. */
  lateAnswer(branch: BranchRecord, problem: PrepareProblem | undefined): void;
  /**
   * An attempt to complete failed. `retryInMs` is undefined for the last attempt before the branch stalls.
   */
  attemptFailed(branch: BranchRecord, message: string, retryInMs: number | undefined): void;
  /** A call was not answered in time. `waitedMs` counts as the durations of answered calls do. */
  unanswered?(branch: BranchRecord, phase: 'prepare' | 'completion', waitedMs: number): void;
  stalled(branch: BranchRecord, message: string): void;
  heuristic(branch: BranchRecord): void;
  /**
   * The vote of a branch is about to expire, and the branch is not completed. `leftMs` is the time until
   * then.
   */
  voteExpiring?(branch: BranchRecord, leftMs: number, message: string): void;
  /**
   * The vote of a branch has expired: before the decision, which is abort then, or before the branch was
   * completed.
   */
  voteExpired?(branch: BranchRecord, when: ExpiryMoment, message: string): void;
  /** It is unknown whether the decision is in the log. */
  recordUnknown(transaction: TransactionRecord, message: string): void;
  /**
   * This run decides nothing more. Called once for each run.
   *
   * @param isMember whether several members share the log: another one has fenced this one, and it goes on
   * with a new epoch. Otherwise another coordinator has claimed the log.
   */
  fenced(isMember: boolean): void;
  /** A note could not be written to the log: after the next start this completed work is repeated. */
  notNoted(transaction: TransactionRecord, message: string): void;
  /** A branch of an earlier epoch is prepared and has no decision: it is rolled back. */
  orphan(branch: BranchRecord): void;
  /** A participant could not list its prepared branches. */
  scanFailed(participant: RegisteredParticipant, message: string): void;
  /**
   * Branches of earlier epochs are prepared, but the log does not outlive an epoch, so their decisions are
   * unknown.
   */
  undecidable(participant: RegisteredParticipant, branches: number): void;
  /** A complete list of a participant was examined for branches that this coordinator cannot decide. */
  undecided?(participant: RegisteredParticipant, branches: UndecidedBranches): void;
  /** The participant has no undecidable branches any more. */
  decidable?(participant: RegisteredParticipant): void;
  /**
   * The participant has answered none of its last prepares in time: only a few transactions ask it from now
   * on.
   */
  silent?(participant: RegisteredParticipant): void;
  /** Every transaction asks the participant again. */
  heard?(participant: RegisteredParticipant): void;
  /** A pass of the recovery job has ended: each branch that was stalled at its start has been tried once. */
  recoveryPassed?(): void;
  /** Every start hook of the application has run, so the application's listeners exist. */
  applicationStarted?(): void;
  /** The caller was told the outcome. `committed` is not reported here: it coincides with the end. */
  told(transaction: TransactionRecord, outcome: Outcome): void;
  /** The transaction has ended. Called once. */
  ended(transaction: TransactionRecord): void;
  /** A group has ended, with that decision. Its members are told of one by one. */
  groupEnded?(group: TransactionRecord): void;
  /** A notification method of a participant, or a listener of a signal that it received, threw an error. */
  userCodeFailed?(message: string, transaction?: TransactionRecord): void;
  /**
   * A defect: code that must not throw threw an error.
   *
   * @param transaction whose course it may concern.
   */
  defect(error: unknown, where: string, transaction?: TransactionRecord): void;
}

/** Traces transactions through the participating services. Nothing here throws, even if a span fails. */
export interface Tracing {
  /**
   * A transaction begins, and the code that began it is running. The transaction gets a trace if an
   * application traces.
   */
  begun(transaction: TransactionRecord): void;
  /**
   * A transaction without a trace, such as one of an earlier run, is delivered. It gets a trace if an
   * application traces.
   */
  takenUp(transaction: TransactionRecord): void;
}

/** No application traces. */
export const NO_TRACING: Tracing = { begun() {}, takenUp() {} };

/**
 * Why a coordinator cannot decide a prepared branch: it belongs to an earlier run without a durable log, to a
 * later run of the same log, to another log of the same name, or to another coordinator; or no coordinator
 * makes such an id.
 *
 * @publicApi
 */
export type UndecidedReason = 'earlier-run' | 'later-run' | 'other-log' | 'other-coordinator' | 'malformed';

/** A prepared branch that this coordinator cannot decide, and leaves unchanged. @publicApi */
export interface UndecidedBranch {
  /** As the participant lists them; null if it is not a text. */
  readonly transactionId: string | null;
  readonly branchId: string | null;
  readonly reason: UndecidedReason;
  /** When a complete list first contained it, on the coordinator's clock. */
  readonly since: number;
}

/** The prepared branches of one participant that this coordinator cannot decide. */
export interface UndecidedBranches {
  /** The number with this coordinator's name. */
  readonly undecidable: number;
  /** The number of other coordinators, or of none. They stay prepared. */
  readonly foreign: number;
  /** The oldest of both. */
  readonly oldest: readonly UndecidedBranch[];
}

const LATE_ANSWERS = ['voted commit', 'voted read-only', 'refused', 'failed'] as const;

/**
 * The only class that is told of events, by one call for each. From that call it derives the entry of the
 * timeline, the counts of the participant, the trace, and the notifications of the participant. Log lines,
 * statistics and events for listeners come from the observer that the coordinator was given. Nothing here
 * changes a transaction.
 *
 * A transaction that is not traced costs one comparison in each call.
 */
export class Observers {
  /** Whether {@link entered} has to be called for a transaction that is not traced. */
  readonly hearSteps: boolean;

  constructor(
    private readonly clock: Clock,
    private readonly observer: TransactionObserver,
    private readonly tracing: Tracing,
    /** Calls participants outside the transaction of the code that has caused the event. */
    private readonly outside: <T>(call: () => T) => T,
  ) {
    this.hearSteps = observer.hearsSteps !== false;
  }

  /** A transaction is in flight from now on. */
  begun(transaction: TransactionRecord): void {
    this.tracing.begun(transaction);
    if (!transaction.mayBeHeard) return;
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

  /** The transaction is prepared with a group, or is a group whose work runs. */
  grouped(transaction: TransactionRecord, note: TracedGroup, group?: TransactionRecord): void {
    transaction.extras?.trace?.grouped(note, group?.extras?.trace);
  }

  /** A branch has voted for commit in time. */
  voted({ participant }: BranchRecord, vote: Voted.COMMIT | Voted.READ_ONLY): void {
    if (vote === Voted.COMMIT) participant.counts.commitVotes++;
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

  /** A branch has not answered prepare in time. */
  prepareUnanswered(branch: BranchRecord, waitedMs: number): void {
    this.observer.unanswered?.(branch, 'prepare', waitedMs);
  }

  /** An answer to prepare came after the abort. `problem` describes it, if it was not a yes. */
  lateAnswer(branch: BranchRecord, answer: Voted, problem: PrepareProblem | undefined): void {
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

  /** A branch has executed the decision, or has decided by itself. */
  completed({ participant }: BranchRecord, decision: 'commit' | 'rollback'): void {
    if (decision === 'commit') participant.counts.committed++;
    else participant.counts.rolledBack++;
  }

  /**
   * An attempt to complete failed.
   *
   * @param retryInMs undefined for the last attempt before the branch stalls.
   */
  attemptFailed(branch: BranchRecord, message: string, retryInMs: number | undefined): void {
    branch.participant.counts.failedAttempts++;
    this.note(branch, 'attempt-failed', branch.attempts, message);
    this.observer.attemptFailed(branch, message, retryInMs);
  }

  /**
   * An attempt to complete was not answered in time, and so failed.
   *
   * @param attempt the branch of the call.
   * @param waitedMs since the decision, or since the call that decides.
   */
  attemptTimedOut(
    branch: BranchRecord,
    attempt: BranchRecord | CompletionAttempt,
    message: string,
    retryInMs: number | undefined,
    waitedMs: number,
  ): void {
    const { participant, transaction } = branch;
    this.observer.unanswered?.(branch, 'completion', waitedMs);
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

  /** The vote of a branch is about to expire. */
  voteExpiring(branch: BranchRecord, leftMs: number, message: string): void {
    this.note(branch, 'vote-expiring', 0, message);
    this.observer.voteExpiring?.(branch, leftMs, message);
  }

  /** The vote of a branch has expired. */
  voteExpired(branch: BranchRecord, when: ExpiryMoment, message: string): void {
    this.note(branch, 'vote-expired', 0, message);
    this.observer.voteExpired?.(branch, when, message);
  }

  /** A branch that was completed by a report is still prepared. */
  reopened(branch: BranchRecord): void {
    const message = 'is still prepared, although it was reported as ended: it receives the decision again';
    this.note(branch, 'reopened', branch.attempts, message);
  }

  /** It is unknown whether the decision is in the log. */
  recordUnknown(transaction: TransactionRecord, message: string): void {
    const atUs = transaction.elapsedUs(this.clock.now());
    const attempt = transaction.extras?.inquiries ?? 0;
    transaction.note({ atUs, type: 'record-unknown', branch: -1, attempt, message });
    this.observer.recordUnknown(transaction, message);
  }

  /** A note could not be written to the log. */
  notNoted(transaction: TransactionRecord, message: string): void {
    this.observer.notNoted(transaction, message);
  }

  /** The caller is told the outcome. */
  told(transaction: TransactionRecord, outcome: Outcome): void {
    transaction.extras?.trace?.told(outcome);
    // This coincides with the end, which is reported as well.
    if (transaction.told !== Told.COMMITTED) this.observer.told(transaction, outcome);
  }

  /**
   * The transaction has ended.
   *
   * @param isFirst whether it has not ended before: a late answer may have opened it again.
   */
  ended(transaction: TransactionRecord, isFirst: boolean): void {
    transaction.extras?.trace?.ended();
    if (!isFirst) return;
    if (transaction.extras?.group?.isGroup) {
      this.observer.groupEnded?.(transaction);
      return;
    }
    this.observer.ended(transaction);
    if (!transaction.mayBeHeard) return;
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      if (branch.participant.hearsEnds) void this.tellEnded(branch);
    }
  }

  silent(participant: RegisteredParticipant): void {
    this.observer.silent?.(participant);
  }

  heard(participant: RegisteredParticipant): void {
    this.observer.heard?.(participant);
  }

  /**
   * A listener of a signal that participants received threw an error. `owner` names the owner of the signal.
   */
  listenerFailed(owner: string, error: unknown, transaction: TransactionRecord): void {
    const message = `A listener of the signal of ${owner} failed: ${messageOf(error)}`;
    this.observer.userCodeFailed?.(message, transaction);
  }

  /** A method of a participant threw an error that changes nothing. */
  userCodeFailed(method: string, error: unknown): void {
    this.observer.userCodeFailed?.(`${method} failed: ${messageOf(error)}`);
  }

  /** Code that must not throw threw an error. */
  defect(error: unknown, where: string, transaction?: TransactionRecord): void {
    this.observer.defect(error, where, transaction);
  }

  private note(branch: BranchRecord, type: IncidentType, attempt: number, message: string): void {
    const { transaction, index } = branch;
    const atUs = transaction.elapsedUs(this.clock.now());
    transaction.note({ atUs, type, branch: index, attempt, message });
  }

  private tellStarted(branch: BranchRecord): Promise<void> {
    const { transactionId, branchId, payload, participant } = branch;
    const start = { transactionId, branchId, payload };
    return this.tell(branch, 'branchStarted', () => participant.instance.branchStarted?.(start));
  }

  private tellEnded(branch: BranchRecord): Promise<void> {
    const { participant } = branch;
    const end = endOf(branch);
    return this.tell(branch, 'branchEnded', () => participant.instance.branchEnded?.(end));
  }

  /** An error of the participant, synchronous or not, is its own defect and goes no further. */
  private async tell(
    { participant, transaction }: BranchRecord,
    method: string,
    call: () => unknown,
  ): Promise<void> {
    const told = await this.outside(() => settled(call));
    if (!('error' in told)) return;
    const message = `${method}() of "${participant.name}" failed: ${messageOf(told.error)}`;
    this.observer.userCodeFailed?.(message, transaction);
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
