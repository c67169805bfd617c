import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { TRANSACTION_LINES } from '../coordinator.tokens.js';
import type { BranchRecord, TransactionRecord } from '../execution/records.js';
import { LogLine } from '../gate/log-line.js';
import { messageOf } from '../gate/texts.js';
import type {
  ExpiryMoment,
  PrepareProblem,
  TransactionObserver,
  UndecidedBranches,
} from '../execution/observer.js';
import { stackOf } from '../gate/failure.js';
import type { Outcome } from '../outcome.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { COMMITTED, STATES, type StateNumber } from '../protocol/index.js';
import type { LineLimit } from './line-limit.js';
import { Measurements } from './metrics/measurements.js';
import { measurementsOf } from './metrics/participant-measurements.js';
import { newStatistics } from './statistics.js';
import { TransactionEvents } from './transaction-events.js';
import { FinishedTransaction, type TransactionLines } from './transaction-lines.js';

/**
 * Reports events to the log, the counters and the listeners: one line at the end of each transaction, a
 * warning for each irregular event, and the steps of the state machine at debug. No line holds a payload.
 */
@Injectable()
export class Reporter implements TransactionObserver, OnApplicationShutdown {
  readonly statistics = newStatistics();
  readonly measurements = new Measurements();
  private readonly logger = new Logger('Transaction');
  private readonly userCodeLogger = new Logger('BranchEvents');
  private readonly logsSteps: boolean;

  constructor(
    @Inject(TRANSACTION_LINES) private readonly lines: TransactionLines,
    private readonly events: TransactionEvents,
  ) {
    this.logsSteps = lines.logsSteps !== false;
  }

  entered(transaction: TransactionRecord, from: StateNumber): void {
    if (this.logsSteps) this.logStep(transaction, from);
  }

  private logStep(transaction: TransactionRecord, from: StateNumber): void {
    try {
      if (!this.lines.isDebugEnabled()) return;
      const { id: transactionId, name, stateName } = transaction;
      this.logger.debug(new LogLine(`${STATES[from]} to ${stateName}`, { transactionId, name }));
    } catch {
      // As in safely(), without a closure: this is called at every step of every transaction.
      this.statistics.defects++;
    }
  }

  prepareFailed(branch: BranchRecord, cause: 'refused' | 'failed' | 'timed-out', message: string): void {
    const code = branch.refusal?.code;
    const more = code === undefined ? {} : { code };
    if (cause === 'refused') {
      this.statistics.refusals++;
      // It decides its transaction, whose line at the end says which participant has refused, and why.
      this.debug(branch, `prepare refused: ${message}`, more);
      return;
    }
    if (cause === 'timed-out') this.statistics.timeouts++;
    this.warn(branch, `prepare ${cause}: ${message}`, more);
  }

  /**
   * An error that only says that its signal was aborted is not reported. Every other failure is, whichever
   * branch failed first.
   */
  lateAnswer(branch: BranchRecord, problem?: PrepareProblem): void {
    this.statistics.lateAnswers++;
    if (problem === undefined || problem.isCancellation) {
      this.debug(branch, 'prepare was answered after the abort');
      return;
    }
    const { cause, message, code } = problem;
    this.warn(branch, `prepare ${cause} after the abort: ${message}`, code === undefined ? {} : { code });
  }

  attemptFailed(branch: BranchRecord, message: string, retryInMs: number | undefined): void {
    this.statistics.retries++;
    const next = retryInMs === undefined ? 'attempts used up' : `next in ${Math.round(retryInMs)} ms`;
    this.warn(branch, `${completionOf(branch)} failed, ${next}: ${message}`);
  }

  unanswered({ participant }: BranchRecord, phase: 'prepare' | 'completion', waitedMs: number): void {
    const { recentPrepares, recentCompletions } = measurementsOf(participant);
    const recent = phase === 'prepare' ? recentPrepares : recentCompletions;
    recent.unansweredUs.observe(Math.max(0, waitedMs) * 1_000);
  }

  stalled(branch: BranchRecord, message: string): void {
    this.fail(`stalled, left to the recovery job: ${message}`, fieldsOf(branch));
    this.safely(() => this.events.stalled(branch, message));
  }

  heuristic(branch: BranchRecord): void {
    this.statistics.heuristicReports++;
    const { heuristic } = branch;
    this.fail(`heuristic ${heuristic?.kind}: ${heuristic?.reason}`, fieldsOf(branch));
    this.safely(() => this.events.heuristic(branch));
  }

  /** At most one line in a while for each participant: all its votes may expire at once. */
  voteExpiring(branch: BranchRecord, leftMs: number, message: string): void {
    this.warnOfVote(branch, measurementsOf(branch.participant).expiringLines, message);
    this.safely(() => this.events.expiring(branch, leftMs));
  }

  voteExpired(branch: BranchRecord, when: ExpiryMoment, message: string): void {
    const measured = measurementsOf(branch.participant);
    measured.expired[when]++;
    this.warnOfVote(branch, measured.expiredLines, message);
  }

  private warnOfVote(branch: BranchRecord, lines: LineLimit, message: string): void {
    const leftOut = lines.take(branch.transaction.executor.clock.now());
    if (leftOut === undefined) return;
    const more = leftOut === 0 ? '' : `; ${leftOut} such lines of this participant were left out before`;
    this.warn(branch, `${message}${more}`, leftOut === 0 ? {} : { leftOut });
  }

  recordUnknown({ id: transactionId, name }: TransactionRecord, message: string): void {
    this.fail(`the decision is in doubt, asking the log: ${message}`, { transactionId, name });
  }

  fenced(isMember: boolean): void {
    const message = isMember
      ? 'another member has fenced this one: it aborts what it has not sent to the decision log, and goes on with a new epoch'
      : 'another coordinator has claimed the decision log: this one starts and decides nothing more';
    this.safely(() => this.logger.error(message));
  }

  notNoted({ id: transactionId, name }: TransactionRecord, message: string): void {
    this.warnWith(
      `its progress could not be logged; the write is repeated, or its completion is delivered again: ${message}`,
      { transactionId, name },
    );
  }

  orphan(branch: BranchRecord): void {
    this.statistics.orphans++;
    this.warn(branch, 'orphan: prepared in an earlier run and left without a decision, so it is rolled back');
  }

  scanFailed(participant: RegisteredParticipant, message: string): void {
    measurementsOf(participant).failedScans++;
    const { name } = participant;
    this.warnWith(`its prepared branches could not be listed: ${message}`, { participant: name });
  }

  undecidable(participant: RegisteredParticipant, branches: number): void {
    measurementsOf(participant).undecidable = branches;
    const { name } = participant;
    this.fail(
      'prepared branches have decisions that this coordinator cannot know: they belong to an earlier run without a durable ' +
        'log, or to a later run with another log. They are left unchanged: check the other participants, and ' +
        'commit or roll back all branches of a transaction alike',
      { participant: name, branches },
    );
  }

  /**
   * The branches of this coordinator's name are reported by {@link undecidable}. The others are reported once
   * for each change of their number.
   */
  undecided(participant: RegisteredParticipant, branches: UndecidedBranches): void {
    const measured = measurementsOf(participant);
    const before = measured.undecided.foreign;
    measured.undecided = branches;
    const { foreign } = branches;
    if (foreign === 0 || foreign === before) return;
    const { name } = participant;
    this.warnWith(
      'branches of other coordinators, or with ids that no coordinator makes, stay prepared. They are left unchanged: make sure that ' +
        'their coordinators run, or end them by hand',
      { participant: name, branches: foreign },
    );
  }

  decidable(participant: RegisteredParticipant): void {
    measurementsOf(participant).undecidable = 0;
  }

  silent({ name, options }: RegisteredParticipant): void {
    this.fail(
      'does not answer: its last prepares were not answered in time, so most transactions that need it are refused. Restore it, or ' +
        'raise its prepareTimeoutMs if it works but needs longer',
      { participant: name, prepareTimeoutMs: options.prepareTimeoutMs },
    );
  }

  heard({ name }: RegisteredParticipant): void {
    this.safely(() => this.logger.log(new LogLine('every transaction asks it again', { participant: name })));
  }

  applicationStarted(): void {
    this.safely(() => this.events.release());
  }

  recoveryPassed(): void {
    this.measurements.recoveryPasses++;
  }

  told(transaction: TransactionRecord, outcome: Outcome): void {
    this.measurements.told(transaction, outcome);
    if (outcome.status === 'pending') this.statistics.pending++;
    this.safely(() => this.events.told(transaction, outcome));
  }

  ended(transaction: TransactionRecord): void {
    if (transaction.state === COMMITTED) this.statistics.committed++;
    else this.statistics.aborted++;
    this.measurements.ended(transaction);
    // Each one separately: a failing log line must not prevent the event.
    try {
      if (this.lines.isEnabled()) this.lines.write(new FinishedTransaction(transaction));
    } catch (error) {
      this.defect(error, 'writing the line of a transaction');
    }
    try {
      this.events.ended(transaction);
    } catch (error) {
      this.defect(error, 'telling the listeners');
    }
  }

  groupEnded(group: TransactionRecord): void {
    this.measurements.groupEnded(group);
  }

  defect(error: unknown, where: string): void {
    this.statistics.defects++;
    this.safely(() => this.logger.error(`internal error (${where}): ${messageOf(error)}`, stackOf(error)));
  }

  userCodeFailed(message: string): void {
    this.safely(() => this.userCodeLogger.error(message));
  }

  /** The known number of lost lines of the log. */
  get droppedLines(): number {
    return this.lines.dropped ?? 0;
  }

  onApplicationShutdown(): void {
    this.safely(() => this.lines.flush());
  }

  private debug(branch: BranchRecord, message: string, more: object = {}): void {
    this.safely(() => {
      if (!this.lines.isDebugEnabled()) return;
      this.logger.debug(new LogLine(message, { ...fieldsOf(branch), ...more }));
    });
  }

  private warn(branch: BranchRecord, message: string, more: object = {}): void {
    this.warnWith(message, { ...fieldsOf(branch), ...more });
  }

  private warnWith(message: string, fields: object): void {
    this.safely(() => this.logger.warn(new LogLine(message, fields)));
  }

  private fail(message: string, fields: object): void {
    this.safely(() => this.logger.error(new LogLine(message, fields)));
  }

  /** A logger that fails must not fail the transaction. Only the counter remains to report it. */
  private safely(report: () => void): void {
    try {
      report();
    } catch {
      this.statistics.defects++;
    }
  }
}

function fieldsOf({ transaction, branchId, participant, attempts }: BranchRecord): object {
  const { id: transactionId, name, extras } = transaction;
  const fields = { transactionId, name, branchId, participant: participant.name, attempt: attempts };
  return extras?.attributes === undefined ? fields : { ...fields, attributes: extras.attributes };
}

function completionOf({ delivery }: BranchRecord): string {
  return delivery?.kind === 'one-phase' ? 'one-phase commit' : (delivery?.kind ?? 'completion');
}
