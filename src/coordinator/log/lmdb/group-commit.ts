/** One thing to be written, and who waits for it. */
interface Waiting<T> {
  readonly item: T;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Shares one flush among all that wait: what is added while one is under way goes into the next, together. The queue is
 * as long as there are transactions in flight, whose number is limited.
 *
 * Source: DeWitt et al., "Implementation Techniques for Main Memory Database Systems", 1984: group commit.
 */
export class GroupCommit<T> {
  private waiting: Waiting<T>[] = [];
  /** The group that is being written; it never rejects. */
  private current: Promise<void> | undefined;
  private added = 0;
  private answered = 0;

  /** @param write makes all of them durable, or none and rejects. */
  constructor(private readonly write: (items: readonly T[]) => Promise<void>) {}

  /** @returns a promise that resolves when the item is durable, and rejects when that is not known. */
  add(item: T): Promise<void> {
    return new Promise((resolve, reject) => {
      this.added++;
      this.waiting.push({ item, resolve, reject });
      this.writeSoon();
    });
  }

  /** Writes a group soon, though it may be an empty one. */
  writeSoon(): void {
    this.current ??= this.writeGroup();
  }

  /**
   * Waits for what was added so far, and not for what comes after, however much that is.
   *
   * @returns a promise that never rejects.
   */
  async settled(): Promise<void> {
    const before = this.added;
    while (this.answered < before) await this.current;
  }

  private async writeGroup(): Promise<void> {
    // What is added in the same turn of the event loop is written together.
    await Promise.resolve();
    const group = this.waiting;
    this.waiting = [];
    try {
      await this.write(group.map(({ item }) => item));
      for (const { resolve } of group) resolve();
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
    this.answered += group.length;
    this.current = this.waiting.length === 0 ? undefined : this.writeGroup();
  }
}
