import { readFileSync, writeFileSync } from 'node:fs';
import type {
  AuditEntry,
  CommitDecision,
  DecisionLog,
  HeuristicRecord,
  LogClaim,
} from '../../../src/coordinator/index.js';
import type { LogFault } from '../messages.js';
import type { CrashPoints } from './crash-points.js';

/** What is kept of a log for the case that the power fails. */
export interface FlushedCopy {
  /** The file of the log, and its copy. */
  readonly from: string;
  readonly to: string;
}

/** A decision log with crash points before, in and after each of its calls. */
export class CrashingLog implements DecisionLog {
  /** What happens to the next append. */
  fault: LogFault | undefined;

  constructor(
    private readonly log: DecisionLog,
    private readonly points: CrashPoints,
    private readonly flushedCopy?: FlushedCopy,
  ) {}

  open(coordinator: string): Promise<LogClaim> {
    return this.points.around('log.open', undefined, async () => {
      const claim = await this.log.open(coordinator);
      this.keepWhatIsFlushed();
      return claim;
    });
  }

  async isOwnRun(epoch: number, token: string): Promise<boolean> {
    return this.log.isOwnRun(epoch, token);
  }

  append(decision: CommitDecision): Promise<void> {
    const { fault } = this;
    this.fault = undefined;
    return this.points.around('log.append', decision.id, async (): Promise<void> => {
      if (fault === 'hangs') return new Promise<never>(() => {});
      if (fault !== 'loses the record') await this.log.append(decision);
      this.keepWhatIsFlushed();
      if (fault !== undefined) throw new Error(`The log ${fault}, as it was told.`);
    });
  }

  lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'> {
    return this.points.around('log.lookUp', transactionId, () => this.log.lookUp(transactionId));
  }

  async progress(decision: CommitDecision): Promise<void> {
    await this.points.around('log.progress', decision.id, () => this.log.progress(decision));
  }

  async end(transactionId: string): Promise<void> {
    await this.points.around('log.end', transactionId, () => this.log.end(transactionId));
  }

  async report(report: HeuristicRecord): Promise<void> {
    await this.points.around('log.report', report.id, () => this.log.report(report));
  }

  async forget(transactionId: string): Promise<void> {
    await this.points.around('log.forget', transactionId, () => this.log.forget(transactionId));
  }

  async audit(entry: AuditEntry): Promise<void> {
    await this.log.audit(entry);
  }

  check(): Promise<void> {
    return this.points.around('log.check', undefined, () => this.log.check());
  }

  async close(): Promise<void> {
    await this.points.around('log.close', undefined, () => this.log.close());
  }

  /**
   * Before anybody hears that it is: what is told or delivered later is in the copy. The next flush may be under way
   * already, so the file is read until it was the same twice.
   */
  private keepWhatIsFlushed(): void {
    if (this.flushedCopy === undefined) return;
    const { from, to } = this.flushedCopy;
    let [before, now] = [readFileSync(from), readFileSync(from)];
    while (!now.equals(before)) [before, now] = [now, readFileSync(from)];
    writeFileSync(to, now);
  }
}
