/** One way to run a transaction, which the benchmark measures. */
export interface Contender {
  readonly name: string;
  /** Runs one transaction, from its start to the answer to its caller. */
  run(): Promise<{ readonly status: string }>;
  /** The conflicts since the last call. */
  takeTroubles?(): Troubles;
  /** Finishes the transactions under way, and closes all resources. */
  close?(): Promise<void>;
}

/** The cost of transactions that conflict. */
export interface Troubles {
  /** Attempts that were aborted, and tried again. */
  readonly aborted: number;
  /** The longest time without a commit, in milliseconds. */
  readonly longestPauseMs: number;
}

/** The export of a module of contenders. */
export interface ContenderModule<Name extends string, Setup> {
  /** @param setup a value that the measuring process passes to the process of the contender, as JSON. */
  makeContender(name: Name, setup: Setup): Promise<Contender>;
}

/** The outcome of a transaction was not `committed`, so the figures of the contender would mean nothing. */
export class UnexpectedOutcomeError extends Error {
  constructor(contender: string, outcome: unknown) {
    super(`${contender} answered ${JSON.stringify(outcome)} where every participant voted commit`);
    this.name = 'UnexpectedOutcomeError';
  }
}
