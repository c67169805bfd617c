import type { Clock } from '../execution/clock.js';

/**
 * A clock that stands still until a test moves it. What is due then happens at once, in the order of its time.
 *
 * @publicApi
 */
export class ManualClock implements Clock {
  private readonly listeners = new Set<() => void>();
  private time: number;

  /**
   * @param startMs what `now()` says at first; more than 0.
   * @param epochMs the wall-clock time, in milliseconds since the epoch, at which `now()` was 0.
   */
  constructor(
    startMs = 1_000,
    readonly epochMs: number = Date.UTC(2030, 0, 1),
  ) {
    this.time = startMs;
  }

  now(): number {
    return this.time;
  }

  onAdvance(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Moves the clock forward in steps, and lets what becomes due after each step run its course.
   *
   * @param ms how far.
   * @param stepMs how far at a time; things due within one step happen together.
   */
  async advance(ms: number, stepMs = 10): Promise<void> {
    const end = this.time + ms;
    while (this.time < end) {
      this.time = Math.min(end, this.time + stepMs);
      for (const listener of this.listeners) listener();
      await settled();
    }
  }
}

/**
 * Waits until every callback that is due has run, and those that they caused.
 *
 * @publicApi
 */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
