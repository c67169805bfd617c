/** The first waiting message of a key. */
export interface Head {
  readonly key: string;
  readonly position: string;
  readonly isDue: boolean;
}

/** The queries of one database. */
export interface DueQueries {
  /** @returns due messages without a key, the longest due first. */
  readonly free: (limit: number) => Promise<readonly string[]>;
  /** @returns the heads of the next keys in the order of keys, at most {@link HEADS_AT_ONCE}. */
  readonly heads: (after: string) => Promise<readonly Head[]>;
}

/** The most keys that one query looks at. */
export const HEADS_AT_ONCE = 1_000;

/** The most queries for heads of one search. */
const MOST_QUERIES = 10;

/**
 * Finds messages that are due, in a time that does not grow with the number of messages which wait behind
 * another one of their key. It looks at the first message of each key, and begins where the search before has
 * ended, so that no key waits until others are empty.
 */
export class DueMessages {
  private cursor = '';
  private isKeyedFirst = false;

  /** @returns the positions of at most so many messages, of both kinds if there are. */
  async find(limit: number, { free, heads }: DueQueries): Promise<readonly string[]> {
    const start = this.cursor;
    const unkeyed = await free(limit);
    const keyed = await this.dueHeads(limit, heads);
    // Each kind has half of the places, if it needs them, and a single place in turn.
    this.isKeyedFirst = !this.isKeyedFirst;
    const half = this.isKeyedFirst ? Math.ceil(limit / 2) : Math.floor(limit / 2);
    const chosen = keyed.slice(0, Math.max(half, limit - unkeyed.length));
    // Heads that are left out come first in the next search.
    if (chosen.length < keyed.length) this.cursor = chosen.at(-1)?.key ?? start;
    return [...chosen.map(({ position }) => position), ...unkeyed.slice(0, limit - chosen.length)];
  }

  private async dueHeads(limit: number, heads: DueQueries['heads']): Promise<readonly Head[]> {
    const due = new Map<string, Head>();
    let hasWrapped = this.cursor === '';
    for (let query = 0; query < MOST_QUERIES; query++) {
      const found = await heads(this.cursor);
      for (const head of found) {
        if (due.size === limit) return [...due.values()];
        if (head.isDue) due.set(head.position, head);
        this.cursor = head.key;
      }
      if (found.length === HEADS_AT_ONCE) continue;
      this.cursor = '';
      if (hasWrapped) break;
      hasWrapped = true;
    }
    return [...due.values()];
  }
}
