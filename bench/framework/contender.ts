/** One way to run a transaction, as the measurements see it. */
export interface Contender {
  readonly name: string;
  /** Runs one transaction, from its start to the answer to its caller. */
  run(): Promise<{ readonly status: string }>;
  /** What else has happened since this was asked before. */
  takeTroubles?(): Troubles;
  /** Finishes what is under way and gives back what it holds. */
  close?(): Promise<void>;
}

/** What transactions that get into each other's way come to. */
export interface Troubles {
  /** Attempts that were aborted, and tried again. */
  readonly aborted: number;
  /** The longest time in which not one transaction was committed, in milliseconds. */
  readonly longestPauseMs: number;
}

/** What a module of contenders exports. */
export interface ContenderModule<Name extends string, Setup> {
  /** @param setup what the measuring process hands on to the process of the contender, as JSON. */
  makeContender(name: Name, setup: Setup): Promise<Contender>;
}

/** A contender answered something else than `committed`: its figures would mean nothing. */
export class UnexpectedOutcomeError extends Error {
  constructor(contender: string, outcome: unknown) {
    super(`${contender} answered ${JSON.stringify(outcome)} where every participant voted commit`);
    this.name = 'UnexpectedOutcomeError';
  }
}
