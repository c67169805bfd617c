import type { Clock } from './clock.js';

/** Stands for an answer that did not come in time. */
export const LATE = Symbol('late');

/**
 * Limits for waits outside of any transaction: for the log, for the participants at the start, for the
 * shutdown. As with the deadlines of transactions, no limit has a timer: the sweep ends those whose time is
 * up, on the coordinator's clock.
 */
export class TimeLimits {
  private readonly limits = new Set<{ readonly dueAt: number; readonly end: () => void }>();

  constructor(private readonly clock: Clock) {}

  /**
   * Waits for some work up to a limit.
   *
   * @param ms the limit, in milliseconds.
   * @returns the result of the work, or {@link LATE} when it takes longer. A later result is dropped.
   * @throws (as a rejection) the rejection of the work, if it comes in time.
   */
  async within<T>(work: T | Promise<T>, ms: number): Promise<T | typeof LATE> {
    const late = Promise.withResolvers<typeof LATE>();
    const limit = { dueAt: this.clock.now() + ms, end: () => late.resolve(LATE) };
    this.limits.add(limit);
    try {
      return await Promise.race([work, late.promise]);
    } finally {
      this.limits.delete(limit);
    }
  }

  /** Ends the waits whose time is up. */
  sweep(now: number): void {
    for (const limit of this.limits) if (limit.dueAt <= now) limit.end();
  }
}
