/** The limits of the pauses between attempts, in milliseconds. */
export interface Backoff {
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

/**
 * @param attempt the number of the attempt that has failed, from 1.
 * @param random from 0 to 1: up to half of the pause is left out, so that messages which failed together are
 * not sent together again.
 * @returns how long to wait, in milliseconds.
 */
export function pauseAfter(attempt: number, { retryMinMs, retryMaxMs }: Backoff, random: number): number {
  const pause = Math.min(retryMinMs * 2 ** (attempt - 1), retryMaxMs);
  return Math.ceil(pause * (1 - random / 2));
}
