import type { BranchRecord } from '../execution/branch-record.js';
import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { includes } from '../protocol/index.js';

/**
 * Takes up the branches that are stalled: each is tried once in a pass, the oldest transaction first, and at each
 * participant a limited number at the same time, so that one that hangs does not keep the others waiting. A decision is
 * only ever delivered here, never changed, and a branch that fails again stays stalled until the next pass.
 */
export class StalledRecovery {
  /** @param concurrency how many branches are tried at the same time at one participant. */
  constructor(
    private readonly runtime: CoordinatorRuntime,
    private readonly concurrency: number,
  ) {}

  /** @returns a promise that resolves when every branch that was stalled at its begin has been tried. */
  async pass(): Promise<void> {
    const byParticipant = Map.groupBy(this.stalledBranches(), ({ participant }) => participant);
    await Promise.all(Array.from(byParticipant.values(), (branches) => this.tryAll(branches.values())));
  }

  private async tryAll(branches: Iterator<BranchRecord> & Iterable<BranchRecord>): Promise<void> {
    const workers = Array.from({ length: this.concurrency }, async () => {
      // All workers take from one iterator, so each branch is tried by one of them.
      for (const branch of branches) await this.runtime.executor.deliveries.retryNow(branch);
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
    return branches;
  }
}
