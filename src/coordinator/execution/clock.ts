/**
 * The time that deadlines and durations are measured by. It only ever goes forward and has nothing to do with the
 * wall clock. Safety never depends on it: a clock triggers time-outs and nothing else.
 *
 * @publicApi
 */
export interface Clock {
  /** @returns milliseconds since some fixed moment, with fractions; always more than 0. */
  now(): number;

  /** Milliseconds since the epoch at the moment that `now()` counts from. For display only. */
  readonly epochMs: number;

  /**
   * A clock that is moved by hand says when it was, so that what is due happens at once.
   *
   * @returns a function that ends the subscription.
   */
  onAdvance?(listener: () => void): () => void;
}

/** After so many answers the time is read afresh even within one turn, so that a long turn does not stand still. */
const READS_PER_SAMPLE = 64;

/**
 * The monotonic clock of the process, read once in each turn of the event loop: what happens in one turn happens at
 * one moment. Reading it is then ten times cheaper, and every step of a transaction can be given its time.
 */
export class TurnClock implements Clock {
  readonly epochMs = performance.timeOrigin;
  private sample = 0;
  private readsLeft = 0;
  private turnEndAwaited = false;

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
