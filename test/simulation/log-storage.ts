import type { CommitRecord, HeuristicRecord } from '../../src/coordinator/index.js';
import type { Judge } from './judge.js';
import { tokenOf } from '../support/identity.js';

/** A write or a question of a coordinator whose claim is no longer the latest. */
export class StaleClaimError extends Error {
  constructor(epoch: number) {
    super(`epoch ${epoch} is over: another coordinator has claimed the log, or this write was fenced off`);
  }
}

/**
 * What all coordinators of one name share: the disk behind their decision logs. Every method is one atomic step. A
 * write is taken only from the latest claim, and only if it was sent after the latest fence.
 */
export class LogStorage {
  readonly records = new Map<string, CommitRecord>();
  /** By transaction, and by branch. */
  readonly reports = new Map<string, Map<string, HeuristicRecord>>();
  /** The latest claim. */
  epoch = 0;
  private fence = 0;
  /** How many starts it shares with the log of which it is a copy. */
  private sharedStarts = Number.POSITIVE_INFINITY;
  /** Of which the end was noted, or should have been: that of the others is still to come. */
  readonly released = new Set<string>();

  constructor(private readonly judge: Judge) {}

  claim(): { epoch: number; token: string; fence: number } {
    const epoch = ++this.epoch;
    return { epoch, token: this.tokenOf(epoch), fence: ++this.fence };
  }

  /** @returns a copy as it is now. From now on each gives out tokens of its own. */
  copy(): LogStorage {
    const copy = new LogStorage(this.judge);
    copy.epoch = this.epoch;
    copy.sharedStarts = this.epoch;
    for (const [id, record] of this.records) copy.records.set(id, record);
    return copy;
  }

  private tokenOf(epoch: number): string {
    return epoch > this.sharedStarts ? `${tokenOf(epoch)}-of-a-copy` : tokenOf(epoch);
  }

  /** Whether it has given out that epoch with that token. */
  isOwnRun(epoch: number, token: string): boolean {
    return epoch <= this.epoch && token === this.tokenOf(epoch);
  }

  /** Whether a write that was sent then may land now. */
  accepts(epoch: number, fence: number): boolean {
    return epoch === this.epoch && fence >= this.fence;
  }

  /** @throws StaleClaimError when the write comes too late. */
  write(record: CommitRecord, epoch: number, fence: number): void {
    if (!this.accepts(epoch, fence)) throw new StaleClaimError(epoch);
    this.records.set(record.id, record);
    if (record.decider.kind === 'branch') this.judge.noted(record.id, false);
    else this.judge.recorded(record.id, record.members);
  }

  /** Looks for a record; where there is none, no write that was sent before this moment can land any more. */
  lookUp(id: string, epoch: number): { found: 'recorded' | 'absent' | 'fenced'; fence: number } {
    if (epoch !== this.epoch) return { found: 'fenced', fence: 0 };
    if (this.records.has(id)) return { found: 'recorded', fence: this.fence };
    return { found: 'absent', fence: ++this.fence };
  }

  /** @throws StaleClaimError when another coordinator has claimed the log. */
  progress(record: CommitRecord, epoch: number): void {
    this.check(epoch);
    const before = this.records.get(record.id);
    if (before === undefined) return;
    this.records.set(record.id, record);
    // The branch has decided to commit, and the log has that now.
    if (before.decider.kind === 'branch' && record.decider.kind === 'log') this.judge.recorded(record.id);
  }

  /** @throws StaleClaimError when another coordinator has claimed the log. */
  end(id: string, epoch: number): void {
    this.check(epoch);
    const record = this.records.get(id);
    if (record === undefined) return;
    // One that only names a branch says nothing of the others.
    if (record.decider.kind === 'log') this.judge.recordEnded(record);
    this.records.delete(id);
  }

  /** @throws StaleClaimError when another coordinator has claimed the log. */
  report(report: HeuristicRecord, epoch: number): void {
    this.check(epoch);
    const reports = this.reports.get(report.id) ?? new Map<string, HeuristicRecord>();
    reports.set(report.branchId, report);
    this.reports.set(report.id, reports);
  }

  /** @throws StaleClaimError when another coordinator has claimed the log. */
  forget(id: string, epoch: number, branchId?: string): void {
    this.check(epoch);
    if (branchId === undefined) this.reports.delete(id);
    else this.reports.get(id)?.delete(branchId);
  }

  /** @throws StaleClaimError when another coordinator has claimed the log. */
  check(epoch: number): void {
    if (epoch !== this.epoch) throw new StaleClaimError(epoch);
  }
}
