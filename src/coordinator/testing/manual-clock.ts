import type { Clock } from '../execution/clock.js';

/**
 * A clock that stands still until a test moves it. Everything due then happens at once, in the order of time.
 *
 * @publicApi
 */
export class ManualClock implements Clock {
  private readonly listeners = new Set<() => void>();
  private readonly delays = new Set<{ readonly dueAt: number; readonly resolve: () => void }>();
  private time: number;

  /**
   * @param startMs the first value of `now()`; more than 0.
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
   * Waits on this clock.
   *
   * @param ms how long.
   * @returns a promise that resolves once the clock has been moved that far.
   */
  delay(ms: number): Promise<void> {
    return new Promise((resolve) => this.delays.add({ dueAt: this.time + ms, resolve }));
  }

  /**
   * Moves the clock forward in steps, and runs everything that becomes due after each step. A waiting `delay`
   * ends at its exact moment, and is in time for a deadline at the same moment.
   *
   * @param ms how far.
   * @param stepMs the length of a step. Deadlines and retries due within one step happen together.
   */
  async advance(ms: number, stepMs = 10): Promise<void> {
    // Callbacks that are due now run at the present moment.
    await settled();
    const end = this.time + ms;
    while (this.time < end) {
      const dueAts = Array.from(this.delays, ({ dueAt }) => dueAt);
      // A delay whose time has passed does not move the clock back.
      this.time = Math.max(this.time, Math.min(end, this.time + stepMs, ...dueAts));
      await this.endDelays();
      for (const listener of this.listeners) listener();
      await settled();
    }
  }

  private async endDelays(): Promise<void> {
    for (const delay of this.delays) {
      if (delay.dueAt > this.time) continue;
      this.delays.delete(delay);
      delay.resolve();
      await settled();
    }
  }
}

/**
 * Waits until every due callback has run, and those that they caused.
 *
 * @publicApi
 */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
