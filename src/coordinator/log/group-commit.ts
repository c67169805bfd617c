/** One thing to be written, and who waits for it. */
interface Waiting<T> {
  readonly item: T;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What was not written of a group that was: why, by its place in the group. */
export type Refusals = ReadonlyMap<number, Error>;

/** So many are answered in one turn of the event loop: what they do with their answers must not hold up everything else. */
const ANSWERS_A_TURN = 32;

/**
 * Shares one flush among all that wait: what is added while one is under way goes into the next, together. The next is written
 * while the answers of the one before are given.
 *
 * Source: DeWitt et al., "Implementation Techniques for Main Memory Database Systems", 1984: group commit.
 */
export class GroupCommit<T> {
  private waiting: Waiting<T>[] = [];
  /** The group that is being written; it never rejects. */
  private current: Promise<void> | undefined;
  /** The answers that are being given; it never rejects. */
  private answers: Promise<void> = Promise.resolve();
  /** How many groups are being answered, and how many must wait for the next to be written meanwhile. */
  private answering = 0;
  private enough = 0;
  private added = 0;
  private answered = 0;

  /**
   * @param write makes all of them durable but those that it refuses, or none and rejects.
   * @param limit how many may wait; one more is refused.
   */
  constructor(
    private readonly write: (items: readonly T[]) => Promise<Refusals>,
    private readonly limit: number,
  ) {}

  /** @returns a promise that resolves when the item is durable, and rejects when it was refused or that is not known. */
  add(item: T): Promise<void> {
    if (this.waiting.length >= this.limit) {
      return Promise.reject(new Error(`${this.limit} writes wait for the decision log already`));
    }
    return new Promise((resolve, reject) => {
      this.added++;
      this.waiting.push({ item, resolve, reject });
      // While the ones before get their answers, more will come of that: it is worth one flush, and not many.
      if (this.answering === 0 || this.waiting.length >= this.enough) this.writeSoon();
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
    while (this.answered < before) {
      await this.current;
      await this.answers;
    }
  }

  private async writeGroup(): Promise<void> {
    // What is added in the same turn of the event loop is written together, also by what follows from an answer.
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

  /** @returns what each is told: undefined that it is durable. */
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
