import { setTimeout as delay } from 'node:timers/promises';

/** How often a condition is checked. */
const LOOK_MS = 50;

/** @throws Error when it takes longer. */
export async function until(what: string, isSo: () => Promise<boolean>, withinMs: number): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`after ${withinMs / 1_000} s it is not so that ${what}.`);
    await delay(LOOK_MS);
  }
}
