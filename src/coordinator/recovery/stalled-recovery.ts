import type { BranchRecord } from '../execution/branch-record.js';
import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { includes } from '../protocol/index.js';

/**
 * Takes up the branches that are stalled: each is tried once in a pass, a limited number at the same time, the
 * oldest transaction first. A decision is only ever delivered here, never changed, and a branch that fails again
 * stays stalled until the next pass.
 */
export class StalledRecovery {
  constructor(
    private readonly runtime: CoordinatorRuntime,
    private readonly concurrency: number,
  ) {}

  /** @returns a promise that resolves when every branch that was stalled at its begin has been tried. */
  async pass(): Promise<void> {
    const waiting = this.stalledBranches();
    const workers = Array.from({ length: Math.min(this.concurrency, waiting.length) }, async () => {
      for (let branch = waiting.pop(); branch !== undefined; branch = waiting.pop()) {
        await this.runtime.executor.deliveries.retryNow(branch);
      }
    });
    await Promise.all(workers);
  }

  private stalledBranches(): BranchRecord[] {
    const branches: BranchRecord[] = [];
    for (const transaction of this.runtime.registry.unsettled) {
      for (const branch of transaction.branches) {
        if (includes(transaction.stalled, branch.index)) branches.push(branch);
      }
    }
    return branches.toReversed();
  }
}
