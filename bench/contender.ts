/** One way to run a transaction over three participants, as the measurements see it. */
export interface Contender {
  readonly name: string;
  /** Runs one transaction, from its begin to the answer its caller gets. */
  run(): Promise<{ readonly status: string }>;
}

/** A contender answered something else than `committed`: its figures would mean nothing. */
export class UnexpectedOutcomeError extends Error {
  constructor(contender: string, outcome: unknown) {
    super(`${contender} answered ${JSON.stringify(outcome)} where every participant voted commit`);
    this.name = 'UnexpectedOutcomeError';
  }
}
