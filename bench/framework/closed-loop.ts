import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Contender, UnexpectedOutcomeError } from './contender.js';

/**
 * Runs `count` transactions and keeps `inFlight` of them in flight: when one ends, the next begins.
 *
 * @returns the time that this took, in milliseconds.
 * @throws UnexpectedOutcomeError when one of them is not committed.
 */
export async function closedLoop(contender: Contender, inFlight: number, count: number): Promise<number> {
  let left = count;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left--;
      const outcome = await contender.run();
      if (outcome.status !== 'committed') throw new UnexpectedOutcomeError(contender.name, outcome);
    }
  };
  const begunAt = performance.now();
  const lanes: Promise<void>[] = [];
  for (let number = 0; number < inFlight; number++) lanes.push(lane());
  await Promise.all(lanes);
  return performance.now() - begunAt;
}

/** Lets timers, immediates and I/O run: participants that are no-ops never wait for them. */
export async function letTimersRun(): Promise<void> {
  await nextTurn();
  await nextTurn();
}
