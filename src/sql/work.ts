/**
 * @param deadline of a branch, just read from it, since it follows changes of the wall clock.
 * @returns the milliseconds until then.
 */
export function remainingUntil(deadline: number): number {
  return Math.ceil(deadline - Date.now());
}

/** How the work of a branch has ended. */
export type Settled<T> = { status: 'fulfilled'; value: T } | { status: 'rejected'; reason: unknown };

/** @returns a promise that never rejects, so that it can wait without a handler. */
export async function settle<T>(call: () => Promise<T>, failed: Promise<never>): Promise<Settled<T>> {
  try {
    return { status: 'fulfilled', value: await Promise.race([call(), failed]) };
  } catch (reason) {
    return { status: 'rejected', reason };
  }
}
