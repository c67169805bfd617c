import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { COORDINATOR_OPTIONS, TRANSACTION_LINES } from '../coordinator.tokens.js';
import type { BranchRecord, TransactionRecord } from '../execution/records.js';
import { LineLimit, LineWindow, LINE_WINDOW_MS } from '../gate/line-windows.js';
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
import { STATES, State, type StateNumber } from '../protocol/index.js';
import { fieldsOfBranch, fieldsOfTransaction } from '../execution/line-fields.js';
import { Measurements } from './metrics/measurements.js';
import { type LineKind, measurementsOf } from './metrics/participant-measurements.js';
import { newStatistics } from './statistics.js';
import { TransactionEvents } from './transaction-events.js';
import { FinishedTransaction, type TransactionLines } from './transaction-lines.js';

/** The options of the coordinator that concern its lines. */
export interface ReporterOptions {
  readonly maxLinesOfKind: number;
}

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
  private readonly eventsLogger = new Logger('TransactionEvents');
  readonly hearsSteps: boolean;
  private readonly limit: LineLimit;
  /** The lines that are about no single participant. */
  private readonly windows = new Map<LineKind, LineWindow>();

  constructor(
    @Inject(TRANSACTION_LINES) private readonly lines: TransactionLines,
    private readonly events: TransactionEvents,
    @Inject(COORDINATOR_OPTIONS) { maxLinesOfKind }: ReporterOptions = { maxLinesOfKind: Infinity },
  ) {
    this.hearsSteps = lines.logsSteps !== false;
    this.limit = new LineLimit(maxLinesOfKind, (window, leftOut) => this.reportLeftOut(window, leftOut));
    events.failed = (event, transaction, error) => this.listenerFailed(event, transaction, error);
  }

  entered(transaction: TransactionRecord, from: StateNumber): void {
    if (!this.hearsSteps) return;
    try {
      if (!this.lines.isDebugEnabled()) return;
      const message = `${STATES[from]} to ${transaction.stateName}`;
      this.logger.debug(new LogLine(message, fieldsOfTransaction(transaction)));
    } catch {
      // As in safely(), without a closure: this is called at every step of every transaction.
      this.statistics.defects++;
    }
  }

  prepareFailed(branch: BranchRecord, cause: 'refused' | 'failed' | 'timed-out', message: string): void {
    const code = branch.refusal?.code;
    const more = { cause, ...(code !== undefined && { code }) };
    if (cause === 'refused') {
      this.statistics.refusals++;
      // It decides its transaction, whose line at the end says which participant has refused, and why.
      this.debug(branch, `prepare refused: ${message}`, more);
      return;
    }
    if (cause === 'timed-out') this.statistics.timeouts++;
    this.warn('prepare', branch, `prepare ${cause}: ${message}`, more);
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
    const more = { cause, ...(code !== undefined && { code }) };
    this.warn('late-answer', branch, `prepare ${cause} after the abort: ${message}`, more);
  }

  attemptFailed(branch: BranchRecord, message: string, retryInMs: number | undefined): void {
    this.statistics.retries++;
    const next = retryInMs === undefined ? 'attempts used up' : `next in ${Math.round(retryInMs)} ms`;
    this.warn('attempt', branch, `${completionOf(branch)} failed, ${next}: ${message}`, failureIn(branch));
  }

  unanswered({ participant }: BranchRecord, phase: 'prepare' | 'completion', waitedMs: number): void {
    const { recentPrepares, recentCompletions } = measurementsOf(participant);
    const recent = phase === 'prepare' ? recentPrepares : recentCompletions;
    recent.unansweredUs.observe(Math.max(0, waitedMs) * 1_000);
  }

  stalled(branch: BranchRecord, message: string): void {
    const line = (): LogLine =>
      new LogLine(`stalled, left to the recovery job: ${message}`, {
        ...fieldsOfBranch(branch),
        ...failureIn(branch),
      });
    this.safely(() => {
      if (this.limit.takes(windowOf('stalled', branch))) this.logger.error(line());
    });
    this.safely(() => this.events.stalled(branch, message));
  }

  heuristic(branch: BranchRecord): void {
    this.statistics.heuristicReports++;
    const { heuristic } = branch;
    const fields = { ...fieldsOfBranch(branch), heuristic: heuristic?.kind };
    this.fail(`heuristic ${heuristic?.kind}: ${heuristic?.reason}`, fields);
    this.safely(() => this.events.heuristic(branch));
  }

  /** At most one line in a while for each participant: all its votes may expire at once. */
  voteExpiring(branch: BranchRecord, leftMs: number, message: string): void {
    this.warn('vote-expiring', branch, message);
    this.safely(() => this.events.expiring(branch, leftMs));
  }

  voteExpired(branch: BranchRecord, when: ExpiryMoment, message: string): void {
    measurementsOf(branch.participant).expired[when]++;
    this.warn('vote-expired', branch, message, { cause: 'expired' });
  }

  recordUnknown(transaction: TransactionRecord, message: string): void {
    this.safely(() => {
      if (!this.limit.takes(this.window('in-doubt'))) return;
      const text = `the decision is in doubt, asking the log: ${message}`;
      this.logger.error(new LogLine(text, fieldsOfTransaction(transaction)));
    });
  }

  fenced(isMember: boolean): void {
    const message = isMember
      ? 'another member has fenced this one: it aborts what it has not sent to the decision log, and goes on with a new epoch'
      : 'another coordinator has claimed the decision log: this one starts and decides nothing more';
    this.safely(() => this.logger.error(message));
  }

  notNoted(transaction: TransactionRecord, message: string): void {
    this.warnWith(
      this.window('not-noted'),
      `its progress could not be logged; the write is repeated, or its completion is delivered again: ${message}`,
      () => fieldsOfTransaction(transaction),
    );
  }

  orphan(branch: BranchRecord): void {
    this.statistics.orphans++;
    const message = 'orphan: prepared in an earlier run and left without a decision, so it is rolled back';
    this.warn('orphan', branch, message, { cause: 'presumed' });
  }

  scanFailed(participant: RegisteredParticipant, message: string): void {
    const measured = measurementsOf(participant);
    measured.failedScans++;
    const { name } = participant;
    this.warnWith(measured.lines('scan'), `its prepared branches could not be listed: ${message}`, () => ({
      participant: name,
    }));
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
      undefined,
      'branches of other coordinators, or with ids that no coordinator makes, stay prepared. They are left unchanged: make sure that ' +
        'their coordinators run, or end them by hand',
      () => ({ participant: name, branches: foreign }),
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
    if (outcome.status === 'pending') {
      this.statistics.pending++;
      const { decision, reason } = outcome;
      this.warnWith(this.window('pending'), `the caller is told pending: ${reason}`, () => ({
        ...fieldsOfTransaction(transaction),
        outcome: 'pending',
        decision,
        participants: owingIn(transaction),
      }));
    }
    this.safely(() => this.events.told(transaction, outcome));
  }

  ended(transaction: TransactionRecord): void {
    if (transaction.state === State.COMMITTED) this.statistics.committed++;
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

  /**
   * A line about the course of a transaction is never left out. Code of the application, such as a tracer,
   * may throw at every step.
   */
  defect(error: unknown, where: string, transaction?: TransactionRecord): void {
    this.statistics.defects++;
    this.safely(() => {
      if (transaction === undefined && !this.limit.takes(this.window('defect'))) return;
      const stack = stackOf(error);
      const fields = {
        ...(transaction !== undefined && fieldsOfTransaction(transaction)),
        ...(stack !== undefined && { stack }),
      };
      this.logger.error(new LogLine(`internal error (${where}): ${messageOf(error)}`, fields));
    });
  }

  private listenerFailed(event: string, transaction: TransactionRecord, error: unknown): void {
    this.safely(() => {
      if (!this.limit.takes(this.window('listener'))) return;
      const message = `A listener of ${event} failed: ${messageOf(error)}`;
      this.eventsLogger.error(new LogLine(message, fieldsOfTransaction(transaction)));
    });
  }

  userCodeFailed(message: string, transaction?: TransactionRecord): void {
    this.safely(() => {
      if (!this.limit.takes(this.window('user-code'))) return;
      const fields = transaction === undefined ? {} : fieldsOfTransaction(transaction);
      this.userCodeLogger.error(new LogLine(message, fields));
    });
  }

  /** The known number of lost lines of the log. */
  get droppedLines(): number {
    return this.lines.dropped ?? 0;
  }

  /** How many lines were left out because there were too many of their kind. */
  get leftOutLines(): ReadonlyMap<string, number> {
    return this.limit.leftOut;
  }

  onApplicationShutdown(): void {
    this.limit.close();
    this.safely(() => this.lines.flush());
  }

  private debug(branch: BranchRecord, message: string, more: object = {}): void {
    this.safely(() => {
      if (!this.lines.isDebugEnabled()) return;
      this.logger.debug(new LogLine(message, { ...fieldsOfBranch(branch), ...more }));
    });
  }

  private warn(kind: LineKind, branch: BranchRecord, message: string, more: object = {}): void {
    this.warnWith(windowOf(kind, branch), message, () => ({ ...fieldsOfBranch(branch), ...more }));
  }

  /** @param window limits the lines of its kind; undefined for a line that is never left out. */
  private warnWith(window: LineWindow | undefined, message: string, fields: () => object): void {
    this.safely(() => {
      if (window !== undefined && !this.limit.takes(window)) return;
      this.logger.warn(new LogLine(message, fields()));
    });
  }

  private reportLeftOut({ kind, subject }: LineWindow, leftOut: number): void {
    const message =
      `${leftOut} lines of the kind "${kind}" were left out in the last ${LINE_WINDOW_MS / 1_000} s. ` +
      'GET /transactions lists the transactions that are open';
    this.safely(() => this.logger.warn(new LogLine(message, { ...subject, kind, leftOut })));
  }

  private window(kind: LineKind): LineWindow {
    const window = this.windows.get(kind) ?? new LineWindow(kind);
    this.windows.set(kind, window);
    return window;
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

function windowOf(kind: LineKind, { participant }: BranchRecord): LineWindow {
  return measurementsOf(participant).lines(kind);
}

/** Why the last attempt to complete a branch has failed, for programs. */
function failureIn({ delivery }: BranchRecord): object {
  const code = delivery?.lastCode;
  return {
    cause: delivery?.isLate === true ? 'timed-out' : 'failed',
    ...(code !== undefined && { code }),
  };
}

/** The participants that a transaction waits for. */
function owingIn({ branches }: TransactionRecord): string[] {
  return branches.filter(({ owes }) => owes).map(({ participant }) => participant.name);
}

function completionOf({ delivery }: BranchRecord): string {
  return delivery?.kind === 'one-phase' ? 'one-phase commit' : (delivery?.kind ?? 'completion');
}
