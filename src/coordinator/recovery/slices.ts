/** One attempt that fails at once takes about 20 µs. */
export const TRIED_IN_A_SLICE = 25;
/** Examining or restoring one branch takes about 1 µs. */
export const LOOKED_AT_IN_A_SLICE = 500;

/**
 * Cuts a long loop into slices, so that the event loop turns in between and nothing else waits for the loop's
 * end. A slice is a number of items, not a time, so a simulation runs in the same order each time.
 */
export class Slices {
  private taken = 0;
  private turn: Promise<void> | undefined;

  /**
   * @param items the number of items in one slice: few where each costs work, more where each is only
   * examined.
   */
  constructor(private readonly items: number) {}

  /**
   * Counts an item. @returns undefined, or, when the slice is full, a promise that resolves when the event
   * loop has turned.
   */
  next(): Promise<void> | undefined {
    // All that share the slices wait for the same turn.
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
