import type { Rung } from './rungs.ts';

/**
 * Which rungs begin now. They begin in their order: one that has to run alone waits until nothing runs, and
 * those behind it wait as well.
 *
 * @param waiting those that have not begun.
 * @param running those that have not ended.
 * @param most how many may run at a time, from 1 on.
 * @returns the first of `waiting`; none when they have to wait for the end of one that runs.
 */
export function toBegin(
  waiting: readonly Pick<Rung, 'alone'>[],
  running: readonly Pick<Rung, 'alone'>[],
  most: number,
): number {
  if (running.some(({ alone }) => alone)) return 0;
  let count = 0;
  for (const { alone } of waiting) {
    const busy = running.length + count;
    if (alone) return busy === 0 ? 1 : count;
    if (busy === most) break;
    count++;
  }
  return count;
}
