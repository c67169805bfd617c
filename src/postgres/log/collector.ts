/** A question that waits for its answer. */
interface Waiting<I, O> {
  readonly item: I;
  readonly resolve: (answer: O) => void;
  readonly reject: (error: unknown) => void;
}

/** The answer to one question. One question may fail alone. */
export type Answer<O> = { readonly value: O } | { readonly error: unknown };

/** Combines questions: those that arrive while one batch is under way form the next batch. */
export class Collector<I, O> {
  private waiting: Waiting<I, O>[] = [];
  private isAsking = false;

  /**
   * @param ask answers each of its items, in their order.
   * @param limit the most questions that wait.
   * @param most the most questions of one batch.
   */
  constructor(
    private readonly ask: (items: readonly I[]) => Promise<readonly Answer<O>[]>,
    private readonly limit = 100_000,
    private readonly most = 1_000,
  ) {}

  add(item: I): Promise<O> {
    if (this.waiting.length >= this.limit)
      return Promise.reject(new Error(`${this.limit} questions wait for the decision log already`));
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      if (!this.isAsking) void this.askAll();
    });
  }

  private async askAll(): Promise<void> {
    this.isAsking = true;
    // Questions of the same turn of the event loop form one batch.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, this.most);
      try {
        const answers = await this.ask(batch.map(({ item }) => item));
        for (const [index, { resolve, reject }] of batch.entries()) {
          const answer = answers[index]!;
          if ('error' in answer) reject(answer.error);
          else resolve(answer.value);
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.isAsking = false;
  }
}
