import type { CommitDecision, CommitRecord, HeuristicRecord, LogClaim } from '../../src/coordinator/index.js';
import { ScriptedLog } from './scripted-log.js';

/** A log in memory that a test opens again and again, as the coordinators of one after another process would. */
export class RestartableLog extends ScriptedLog {
  readonly decisions = new Map<string, CommitRecord>();
  readonly reports = new Map<string, HeuristicRecord>();
  private epoch = 0;

  override open(): LogClaim {
    return {
      ...super.open(),
      epoch: ++this.epoch,
      decisions: [...this.decisions.values()],
      reports: [...this.reports.values()],
    };
  }

  override append(decision: CommitDecision): void {
    this.decisions.set(decision.id, structuredClone(decision.toRecord()));
  }

  override progress(decision?: CommitDecision, _isPromised?: boolean): void {
    if (decision !== undefined && this.decisions.has(decision.id)) this.append(decision);
  }

  override end(transactionId: string): void {
    this.decisions.delete(transactionId);
  }

  override report(report?: HeuristicRecord): void {
    if (report !== undefined) this.reports.set(`${report.id}/${report.branchId}`, report);
  }

  override forget(transactionId?: string, forgotten?: string): void {
    for (const [key, { id, branchId }] of this.reports)
      if (id === transactionId && branchId === (forgotten ?? branchId)) this.reports.delete(key);
  }
}
