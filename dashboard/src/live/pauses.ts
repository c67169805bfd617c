const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

/** The number of failed attempts, over about half an hour, after which only the user tries again. */
export const MAX_FAILURES = 60;

/**
 * @param failures the number of attempts that have failed in a row, from 1.
 * @returns the pause before the next attempt, in milliseconds. Up to half of it is random, so that many
 * dashboards do not reconnect at one moment.
 */
export function pauseAfter(failures: number, random: () => number = Math.random): number {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
  return Math.round(longest * (1 - random() / 2));
}
