/**
 * The time that deadlines and durations are measured by. It only ever goes forward and has nothing to do with the
 * wall clock. Safety never depends on it: a clock triggers time-outs and nothing else.
 *
 * @publicApi
 */
export interface Clock {
  /** @returns milliseconds since some fixed moment, with fractions; always more than 0. */
  now(): number;

  /**
   * Milliseconds since the epoch at the moment that `now()` counts from, by the wall clock as it goes now: when that is
   * set, this changes. For what is shown, and for the deadlines that participants are given.
   */
  readonly epochMs: number;

  /**
   * A clock that is moved by hand says when it was, so that what is due happens at once.
   *
   * @returns a function that ends the subscription.
   */
  onAdvance?(listener: () => void): () => void;
}

/** A moment that has not come. */
export const NOT_YET = -1;

/** Never: nothing is due. */
export const NEVER = Number.POSITIVE_INFINITY;

/** @returns a moment of a clock in whole milliseconds since the epoch. */
export function epochMsOf(clock: Clock, moment: number): number {
  return Math.round(clock.epochMs + moment);
}

/** So much the wall clock may differ from what was seen of it before it counts as set, in milliseconds. */
const TOLERANCE_MS = 2;

/** So long the two clocks may take to be read together, in milliseconds, and so often this is tried. */
const MAX_COMPARISON_MS = 1;
const MAX_COMPARISONS = 3;

/** After so many answers the time is read afresh even within one turn, so that a long turn does not stand still. */
const READS_PER_SAMPLE = 64;

/**
 * The monotonic clock of the process, read once in each turn of the event loop: what happens in one turn happens at
 * one moment. Reading it is then ten times cheaper, and every step of a transaction can be given its time.
 */
export class TurnClock implements Clock {
  private origin = performance.timeOrigin;
  private sample = 0;
  private readsLeft = 0;
  private turnEndAwaited = false;

  get epochMs(): number {
    for (let attempt = 0; attempt < MAX_COMPARISONS; attempt++) {
      const before = performance.now();
      // The wall clock has no fractions here, so that half a millisecond is its mean error.
      const origin = Date.now() + 0.5 - before;
      // The process stood still between the two clocks: what they say does not belong together.
      if (performance.now() - before > MAX_COMPARISON_MS) continue;
      // What is less than that stays as it was, so that one moment is not shown as several.
      if (Math.abs(origin - this.origin) > TOLERANCE_MS) this.origin = origin;
      break;
    }
    return this.origin;
  }

  now(): number {
    if (this.readsLeft > 0) {
      this.readsLeft--;
      return this.sample;
    }
    return this.read();
  }

  private read(): number {
    this.readsLeft = READS_PER_SAMPLE;
    if (!this.turnEndAwaited) {
      this.turnEndAwaited = true;
      setImmediate(this.turnEnded);
    }
    this.sample = performance.now();
    return this.sample;
  }

  private readonly turnEnded = (): void => {
    this.turnEndAwaited = false;
    this.readsLeft = 0;
  };
}
