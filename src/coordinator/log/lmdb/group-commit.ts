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
  private cycle: Promise<void> | undefined;

  /** @param write makes all of them durable, or none and rejects. */
  constructor(private readonly write: (items: readonly T[]) => Promise<void>) {}

  /** @returns a promise that resolves when the item is durable, and rejects when that is not known. */
  add(item: T): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      this.cycle ??= this.run();
    });
  }

  /** @returns a promise that resolves when everything that was added so far has been answered; it never rejects. */
  settled(): Promise<void> {
    return this.cycle ?? Promise.resolve();
  }

  private async run(): Promise<void> {
    // What is added in the same turn of the event loop is written together.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const group = this.waiting;
      this.waiting = [];
      try {
        await this.write(group.map(({ item }) => item));
        for (const { resolve } of group) resolve();
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.cycle = undefined;
  }
}
