/**
 * The time by which deadlines and durations are measured. It only moves forward, and does not depend on the
 * wall clock. Safety never depends on it: a clock only triggers time-outs.
 *
 * @publicApi
 */
export interface Clock {
  /** @returns milliseconds since a fixed moment, with fractions; always more than 0. */
  now(): number;

  /**
   * Milliseconds since the epoch at the moment from which `now()` counts, by the present wall clock. When the
   * wall clock is set, this changes. It is used for display and for the deadlines given to participants.
   */
  readonly epochMs: number;

  /**
   * A clock that is moved by hand calls the listener when it has moved, so that what is due happens at once.
   *
   * @returns a function that ends the subscription.
   */
  onAdvance?(listener: () => void): () => void;
}

export const enum Moment {
  /** Stands for a moment that has not come. */
  NOT_YET = -1,
}

/** Never: nothing is due. */
export const NEVER = Number.POSITIVE_INFINITY;

/** @returns a moment of a clock in whole milliseconds since the epoch. */
export function epochMsOf(clock: Clock, moment: number): number {
  return Math.round(clock.epochMs + moment);
}

/** @returns whole milliseconds, not more than these microseconds. */
export function msOf(us: number): number {
  return Math.floor(us / 1000);
}

/** The difference of the wall clock from its last reading above which it counts as set, in milliseconds. */
const TOLERANCE_MS = 2;

/** The time limit for reading the two clocks together, in milliseconds, and the number of tries. */
const MAX_COMPARISON_MS = 1;
const MAX_COMPARISONS = 3;

/**
 * The number of answers after which the time is read again even within one turn, so that it advances in a
 * long turn.
 */
const READS_PER_SAMPLE = 64;

/** For how long the wall clock is not read again, in milliseconds, while one turn lasts. */
const ORIGIN_HOLDS_MS = 1;

/**
 * The monotonic clock of the process and the wall clock, each read once in a turn of the event loop: all
 * events of one turn have the same time. Reading them is then ten times cheaper, so every step of a
 * transaction can have its time, and every call its deadline.
 */
export class TurnClock implements Clock {
  private origin = performance.timeOrigin;
  /** Until when the wall clock need not be read again within one turn. */
  private originReadUntil = 0;
  /**
   * Undefined at first, so that V8 keeps the number as one object, which all readers of a turn share. As a
   * field that is always a number, each read would make an object of its own.
   */
  private sample: number | undefined = undefined;
  private readsLeft = 0;
  private turnEndAwaited = false;

  get epochMs(): number {
    if (this.readsLeft === 0) this.read();
    if (this.sample! >= this.originReadUntil) this.readOrigin();
    return this.origin;
  }

  private readOrigin(): void {
    for (let attempt = 0; attempt < MAX_COMPARISONS; attempt++) {
      const before = performance.now();
      // The wall clock has no fractions here, so that half a millisecond is its mean error.
      const origin = Date.now() + 0.5 - before;
      // The process was paused between the two readings, so they do not belong together.
      if (performance.now() - before > MAX_COMPARISON_MS) continue;
      // A smaller difference is ignored, so that one moment is not shown as several.
      if (Math.abs(origin - this.origin) > TOLERANCE_MS) this.origin = origin;
      break;
    }
    this.originReadUntil = this.sample! + ORIGIN_HOLDS_MS;
  }

  now(): number {
    if (this.readsLeft === 0) this.read();
    this.readsLeft--;
    return this.sample!;
  }

  private read(): void {
    this.readsLeft = READS_PER_SAMPLE + 1;
    if (!this.turnEndAwaited) {
      this.turnEndAwaited = true;
      setImmediate(this.turnEnded);
    }
    this.sample = performance.now();
  }

  private readonly turnEnded = (): void => {
    this.turnEndAwaited = false;
    this.readsLeft = 0;
    this.originReadUntil = 0;
  };
}
