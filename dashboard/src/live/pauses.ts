const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

/** So many tries fail, over about half an hour, before only a person tries again. */
export const MAX_FAILURES = 60;

/**
 * @param failures how many tries have failed in a row, from 1.
 * @returns how long to wait before the next, in milliseconds. Up to half of it is left to chance, so that many
 *   dashboards do not come back in one moment.
 */
export function pauseAfter(failures: number, random: () => number = Math.random): number {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
  return Math.round(longest * (1 - random() / 2));
}
