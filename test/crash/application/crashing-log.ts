import { execFileSync } from 'node:child_process';
import type {
  AuditEntry,
  CommitDecision,
  DecisionLog,
  HeuristicRecord,
  LogClaim,
} from '../../../src/coordinator/index.js';
import type { LogFault } from '../messages.js';
import type { CrashPoints } from './crash-points.js';

/** Copies the files of a log, which change meanwhile, as they were at one moment. */
const COPY = `
  const { mkdirSync, readFileSync, readdirSync, writeFileSync } = require('node:fs');
  const [from, to] = process.argv.slice(1);
  const read = () => readdirSync(from).filter((name) => name.startsWith('decisions') || name === 'claimed')
    .map((name) => [name, readFileSync(from + '/' + name)]);
  const same = (one, other) => one.length === other.length && one.every(([, bytes], index) => bytes.equals(other[index][1]));
  let [before, now] = [read(), read()];
  while (!same(before, now)) [before, now] = [now, read()];
  mkdirSync(to, { recursive: true });
  for (const [name, bytes] of now) writeFileSync(to + '/' + name, bytes);
`;

/** The copy of a log for the case that the power fails. */
export interface FlushedCopy {
  /** The folder of the log, and of its copy. */
  readonly from: string;
  readonly to: string;
}

/** A decision log with crash points before, in and after each of its calls. */
export class CrashingLog implements DecisionLog {
  /** The fault of the next append. */
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
    const step = decision.toRecord().members === undefined ? 'log.append' : 'log.append of a group';
    return this.points.around(step, decision.id, async (): Promise<void> => {
      if (fault === 'hangs') return new Promise<never>(() => {});
      if (fault !== 'loses the record') await this.log.append(decision);
      this.keepWhatIsFlushed();
      if (fault !== undefined) throw new Error(`The log ${fault}, as it was told.`);
    });
  }

  lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'> {
    return this.points.around('log.lookUp', transactionId, () => this.log.lookUp(transactionId));
  }

  async progress(decision: CommitDecision, isPromised?: boolean): Promise<void> {
    await this.points.around('log.progress', decision.id, () => this.log.progress(decision, isPromised));
  }

  async end(transactionId: string): Promise<void> {
    await this.points.around('log.end', transactionId, () => this.log.end(transactionId));
  }

  async report(report: HeuristicRecord): Promise<void> {
    await this.points.around('log.report', report.id, () => this.log.report(report));
  }

  async forget(transactionId: string, branchId?: string): Promise<void> {
    await this.points.around('log.forget', transactionId, () => this.log.forget(transactionId, branchId));
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
   * Before anyone hears that it is: what is told or delivered later is in the copy. The next flush may be under way already, so the
   * files are read until all were the same twice. The main file is read by another process: closed in this one, it would lose
   * the lock.
   */
  private keepWhatIsFlushed(): void {
    if (this.flushedCopy === undefined) return;
    const { from, to } = this.flushedCopy;
    execFileSync(process.execPath, ['-e', COPY, from, to]);
  }
}
