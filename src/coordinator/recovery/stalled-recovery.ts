import type { BranchRecord } from '../execution/branch-record.js';
import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { includes } from '../protocol/index.js';

/**
 * Takes up the branches that are stalled: each is tried once in a pass, the oldest transaction first, and at each
 * participant a limited number at the same time. Each participant has a pass of its own, so that one that hangs keeps
 * nobody else waiting. A decision is only ever delivered here, never changed, and a branch that fails again stays stalled
 * until the next pass.
 */
export class StalledRecovery {
  private readonly passes = new Map<RegisteredParticipant, Promise<void>>();
  private stopped = false;

  /** @param concurrency how many branches are tried at the same time at one participant. */
  constructor(
    private readonly runtime: CoordinatorRuntime,
    private readonly concurrency: number,
  ) {}

  /**
   * Starts a pass at every participant that has none under way.
   *
   * @returns a promise that resolves when all that are under way have ended.
   */
  async pass(): Promise<void> {
    for (const [participant, branches] of Map.groupBy(
      this.stalledBranches(),
      ({ participant }) => participant,
    )) {
      // Nothing can be delivered to one that is not there (yet), and nothing is to be to one that is paused.
      if (participant.isAwaited || participant.paused !== undefined || this.passes.has(participant)) continue;
      const pass = this.tryAll(branches.values()).finally(() => this.passes.delete(participant));
      this.passes.set(participant, pass);
    }
    await Promise.all(this.passes.values());
  }

  /** No further branch is tried. @returns a promise that resolves when none is under way. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.passes.values());
  }

  private async tryAll(branches: Iterator<BranchRecord> & Iterable<BranchRecord>): Promise<void> {
    const workers = Array.from({ length: this.concurrency }, async () => {
      // All workers take from one iterator, so each branch is tried by one of them.
      for (const branch of branches) {
        if (this.stopped) return;
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
    return branches;
  }
}
