/** A branch that fails at once takes some 20 µs to try. */
export const TRIED_IN_A_SLICE = 25;
/** One that is only looked at, or brought back, takes about one. */
export const LOOKED_AT_IN_A_SLICE = 500;

/**
 * Cuts a long loop into slices, so that the event loop turns in between and nothing else waits for the loop's end. A slice
 * is so many items: it does not depend on a clock, and so a simulation comes to the same order each time.
 */
export class Slices {
  private taken = 0;
  private turn: Promise<void> | undefined;

  /** @param items how many are taken in one slice: few where each does work, more where each is only looked at. */
  constructor(private readonly items: number) {}

  /** An item was taken. @returns undefined, or, when the slice is full, a promise that resolves when the event loop has turned. */
  next(): Promise<void> | undefined {
    // Those who share the slices wait for the same turn.
    if (this.turn !== undefined) return this.turn;
    if (++this.taken < this.items) return undefined;
    this.taken = 0;
    this.turn = new Promise((resolve) => {
      setImmediate(() => {
        this.turn = undefined;
        resolve();
      });
    });
    return this.turn;
  }
}
