/** One item to be written, and the callbacks of its caller. */
interface Waiting<T> {
  readonly item: T;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The refused items of a written group: the reason, by place in the group. */
export type Refusals = ReadonlyMap<number, Error>;

/**
 * The number of items that are answered in one turn of the event loop: the callbacks must not delay
 * everything else.
 */
const ANSWERS_A_TURN = 32;

/**
 * Shares one flush among all waiting items: items that are added during a flush go into the next one
 * together. The next is written while the answers of the previous one are delivered.
 *
 * Source: DeWitt et al., "Implementation Techniques for Main Memory Database Systems", 1984: group commit.
 */
export class GroupCommit<T> {
  private waiting: Waiting<T>[] = [];
  /** The running write of a group; it never rejects. */
  private current: Promise<void> | undefined;
  /** The running delivery of answers; it never rejects. */
  private answers: Promise<void> = Promise.resolve();
  /**
   * The number of groups that are being answered, and the number of waiting items that start the next write
   * meanwhile.
   */
  private answering = 0;
  private enough = 0;
  private added = 0;
  private answered = 0;

  /**
   * @param write makes all items durable except those that it refuses, or none and rejects.
   * @param limit the most waiting items; one more is refused.
   */
  constructor(
    private readonly write: (items: readonly T[]) => Promise<Refusals>,
    private readonly limit: number,
  ) {}

  /**
   * @returns a promise that resolves when the item is durable, and rejects when it was refused or its state
   * is unknown.
   */
  add(item: T): Promise<void> {
    if (this.waiting.length >= this.limit) {
      return Promise.reject(new Error(`${this.limit} writes already wait for the decision log`));
    }
    return new Promise((resolve, reject) => {
      this.added++;
      this.waiting.push({ item, resolve, reject });
      // While the previous items get their answers, more items will follow from these: they are worth one
      // flush, not many.
      if (this.answering === 0 || this.waiting.length >= this.enough) this.writeSoon();
    });
  }

  /** Writes a group soon, even an empty one. */
  writeSoon(): void {
    this.current ??= this.writeGroup();
  }

  /**
   * Waits for the items that were added so far, but not for later ones, however many they are.
   *
   * @returns a promise that never rejects.
   */
  async settled(): Promise<void> {
    const before = this.added;
    while (this.answered < before) {
      await this.current;
      await this.answers;
    }
  }

  private async writeGroup(): Promise<void> {
    // Items that are added in the same turn of the event loop are written together, including those that
    // follow from an answer.
    await new Promise<void>((resolve) => {
      process.nextTick(resolve);
    });
    const group = this.waiting;
    this.waiting = [];
    const outcome = await this.outcomeOf(group);
    this.enough = Math.ceil(group.length / 2);
    this.answering++;
    this.answers = this.answers.then(() => this.answer(group, outcome));
    this.current = undefined;
    if (this.waiting.length >= this.enough && this.waiting.length > 0) this.writeSoon();
  }

  /** @returns the answer of each item: undefined if it is durable. */
  private async outcomeOf(group: readonly Waiting<T>[]): Promise<(index: number) => unknown> {
    try {
      const refusals = await this.write(group.map(({ item }) => item));
      return (index) => refusals.get(index);
    } catch (error) {
      return () => error;
    }
  }

  private async answer(group: readonly Waiting<T>[], outcome: (index: number) => unknown): Promise<void> {
    for (const [index, { resolve, reject }] of group.entries()) {
      if (index > 0 && index % ANSWERS_A_TURN === 0) await nextTurn();
      const error = outcome(index);
      if (error === undefined) resolve();
      else reject(error);
    }
    this.answered += group.length;
    this.answering--;
    if (this.waiting.length > 0) this.writeSoon();
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
