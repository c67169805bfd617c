import type { Needs, ServerLimit } from './server-limit.js';

/**
 * The transactions that are ahead of another one in the queue. A transaction overtakes no other that waits
 * for room at the same server. If one ahead waits for another server and has room here, its room is kept for
 * it, and the rest is free: a server that does not answer delays no work at other servers.
 */
export class QueueAhead {
  /** Servers where a transaction ahead lacks room. */
  private readonly scarce = new Set<ServerLimit>();
  /** The number of branches for which room is kept, by server. */
  private readonly kept = new Map<ServerLimit, number>();

  /** Whether the next transaction in the queue may start. If not, it counts as ahead of those behind it. */
  admits(needs: Needs): boolean {
    const lacking: ServerLimit[] = [];
    for (const [limit, branches] of needs) if (!this.hasRoom(limit, branches)) lacking.push(limit);
    if (lacking.length === 0) return true;
    // The next free room lets the first transaction at a server start. Those behind it keep no room
    // elsewhere, since they may wait long.
    const isFirst = lacking.some((limit) => !this.scarce.has(limit));
    for (const limit of lacking) this.scarce.add(limit);
    if (!isFirst) return false;
    for (const [limit, branches] of needs) {
      if (!this.scarce.has(limit)) this.kept.set(limit, this.keptAt(limit) + branches);
    }
    return false;
  }

  /**
   * Whether a transaction ahead lacks room at each of these servers, so that no transaction that needs one of
   * them may start.
   */
  blocks(limits: Iterable<ServerLimit>): boolean {
    for (const limit of limits) if (!this.scarce.has(limit)) return false;
    return true;
  }

  private hasRoom(limit: ServerLimit, branches: number): boolean {
    return !this.scarce.has(limit) && limit.hasRoom(branches + this.keptAt(limit));
  }

  private keptAt(limit: ServerLimit): number {
    return this.kept.get(limit) ?? 0;
  }
}
