/**
 * The pause before the next attempt: exponential, capped, with full jitter, so that the branches of a
 * participant that has recovered do not all call it at the same moment.
 *
 * Source: Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
 *
 * @param failures the number of failed attempts, from 1.
 * @param baseMs the longest pause after the first failure.
 * @param capMs the longest pause of all.
 * @param random a number from 0 (included) to 1 (excluded).
 * @returns milliseconds, from 0 to the cap.
 */
export function backoffMs(failures: number, baseMs: number, capMs: number, random: number): number {
  // 2 ** 30 times any base is beyond every cap, and stays an exact number.
  return random * Math.min(capMs, baseMs * 2 ** Math.min(failures - 1, 30));
}
