import type { BranchRecord } from '../execution/records.js';
import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { hasKeptAnswer } from '../execution/completion.js';
import { sortByExpiry } from '../execution/expiries.js';
import { includes } from '../protocol/index.js';
import { LOOKED_AT_IN_A_SLICE, Slices, TRIED_IN_A_SLICE } from './slices.js';

/**
 * Tries the stalled branches: each once in a pass, those whose votes expire first, then the oldest
 * transaction first, and at each participant a limited number at the same time. Each participant has a pass
 * of its own, so that a hanging one delays no other. This only delivers decisions and never changes them. A
 * branch that fails again stays stalled until the next pass.
 */
export class StalledRecovery {
  private readonly passes = new Map<RegisteredParticipant, Promise<void>>();
  /** Participants that have a further pass as soon as the one under way is over. */
  private readonly again = new Set<RegisteredParticipant>();
  private stopped = false;
  private readonly looks = new Slices(LOOKED_AT_IN_A_SLICE);
  private readonly tries = new Slices(TRIED_IN_A_SLICE);

  /** @param concurrency the most branches that are tried at the same time at one participant. */
  constructor(
    private readonly runtime: CoordinatorRuntime,
    private readonly concurrency: number,
  ) {}

  /**
   * Starts a pass at every participant without a running pass.
   *
   * @param only one participant. @default all
   * @returns a promise that resolves when all running passes have ended.
   */
  async pass(only?: RegisteredParticipant): Promise<void> {
    for (const [participant, branches] of await this.stalledBranches()) {
      sortByExpiry(branches);
      if (this.stopped) break;
      if (only !== undefined && participant !== only) continue;
      if (this.passes.has(participant)) continue;
      // Nothing can be delivered to a participant that is not registered, and nothing may be to a paused one.
      // An answer that was kept needs no call.
      const isReached = !participant.isAwaited && participant.paused === undefined;
      const pass = this.tryAll(isReached ? branches : branches.filter(hasKeptAnswer)).finally(() =>
        this.passes.delete(participant),
      );
      this.passes.set(participant, pass);
    }
    await Promise.all(this.passes.values());
  }

  /**
   * Tries what is stalled at a participant now, and, where a pass is under way, once more after it.
   *
   * @returns a promise that resolves when that is done.
   */
  async passAgain(participant: RegisteredParticipant): Promise<void> {
    if (this.again.has(participant)) return;
    const underWay = this.passes.get(participant);
    if (underWay !== undefined) {
      this.again.add(participant);
      await underWay;
      this.again.delete(participant);
    }
    await this.pass(participant);
  }

  /** Tries no further branch. @returns a promise that resolves when no attempt is running. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.allSettled(this.passes.values());
  }

  private async tryAll(branches: readonly BranchRecord[]): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < branches.length && !this.stopped) {
        // Participants that fail at once would hold the event loop until all branches have been tried.
        const turn = this.tries.next();
        if (turn === undefined) await this.runtime.executor.completion.retryNow(branches[next++]!);
        else await turn;
      }
    };
    // All workers take from one list, so only one of them tries each branch.
    await Promise.all(Array.from({ length: Math.min(this.concurrency, branches.length) }, worker));
  }

  /** The oldest transaction first. */
  private async stalledBranches(): Promise<ReadonlyMap<RegisteredParticipant, BranchRecord[]>> {
    const found = new Map<RegisteredParticipant, BranchRecord[]>();
    // Branches that stall while the event loop turns wait for the next pass.
    const transactions = Array.from(this.runtime.registry.unsettled);
    for (const transaction of transactions) {
      for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
        if (!includes(transaction.stalled, branch.index)) continue;
        const branches = found.get(branch.participant);
        if (branches === undefined) found.set(branch.participant, [branch]);
        else branches.push(branch);
      }
      const turn = this.looks.next();
      if (turn !== undefined) await turn;
      if (this.stopped) break;
    }
    return found;
  }
}
