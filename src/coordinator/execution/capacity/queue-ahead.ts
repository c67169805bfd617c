import type { Needs, ServerLimit } from './server-limit.js';

/**
 * Those that are ahead of a transaction in the queue. It overtakes none that waits for room at the same server. Where one ahead
 * waits for another server, and has room here, its room is kept for it, and the rest is free: a server that does not answer
 * stops no work elsewhere.
 */
export class QueueAhead {
  /** Servers at which one ahead lacks room. */
  private readonly scarce = new Set<ServerLimit>();
  /** How many branches have their room kept for them. */
  private readonly kept = new Map<ServerLimit, number>();

  /** Whether the next in the queue may begin. If not, it counts as ahead of those that come after it. */
  admits(needs: Needs): boolean {
    const lacking: ServerLimit[] = [];
    for (const [limit, branches] of needs) if (!this.hasRoom(limit, branches)) lacking.push(limit);
    if (lacking.length === 0) return true;
    // Room that comes lets the first at a server begin. Those behind it keep nothing elsewhere, as they need not be soon.
    const isFirst = lacking.some((limit) => !this.scarce.has(limit));
    for (const limit of lacking) this.scarce.add(limit);
    if (!isFirst) return false;
    for (const [limit, branches] of needs) {
      if (!this.scarce.has(limit)) this.kept.set(limit, this.keptAt(limit) + branches);
    }
    return false;
  }

  /** Whether one ahead lacks room at each of these servers, so that none that needs one of them may begin. */
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
