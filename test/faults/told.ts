import type { Outcome } from '../../src/coordinator/index.js';

/** The answer to a caller so far: `outcome` is undefined while it waits. */
export interface Told {
  outcome: Outcome | undefined;
  error: unknown;
}

/** Listens to the answer of a transaction without waiting for it. */
export function listenTo(answer: Promise<Outcome>): Told {
  const told: Told = { outcome: undefined, error: undefined };
  answer.then(
    (outcome) => (told.outcome = outcome),
    (error: unknown) => (told.error = error),
  );
  return told;
}
