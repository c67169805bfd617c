import { setTimeout as sleep } from 'node:timers/promises';
import { type Contender, UnexpectedOutcomeError } from './contender.js';

const TICK_MS = 1;

/**
 * Starts transactions at a fixed pace, even if earlier ones have not ended.
 *
 * @param tps how many are started in a second.
 * @param durationMs for how long they are started, in milliseconds.
 * @returns how long each of them took, in milliseconds.
 * @throws UnexpectedOutcomeError when one of them is not committed.
 */
export async function pacedLoad(contender: Contender, tps: number, durationMs: number): Promise<number[]> {
  const tookMs: number[] = [];
  const one = async (): Promise<void> => {
    const begunAt = performance.now();
    const outcome = await contender.run();
    if (outcome.status !== 'committed') throw new UnexpectedOutcomeError(contender.name, outcome);
    tookMs.push(performance.now() - begunAt);
  };
  const begun: Promise<void>[] = [];
  const loadBegunAt = performance.now();
  for (let elapsedMs = 0; elapsedMs < durationMs; elapsedMs = performance.now() - loadBegunAt) {
    while (begun.length < (elapsedMs / 1_000) * tps) begun.push(one());
    await sleep(TICK_MS);
  }
  await Promise.all(begun);
  return tookMs;
}
