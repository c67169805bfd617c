/** Limits how often a line is logged, and counts the lines that were left out. */
export class LineLimit {
  private nextAt = 0;
  private left = 0;

  /** @param everyMs the shortest time between two lines, in milliseconds. */
  constructor(private readonly everyMs: number) {}

  /**
   * @param now on any clock, in milliseconds; always on the same one.
   * @returns the number of lines that were left out since the last one; undefined if this one is left out as well.
   */
  take(now: number): number | undefined {
    if (now < this.nextAt) {
      this.left++;
      return undefined;
    }
    this.nextAt = now + this.everyMs;
    const { left } = this;
    this.left = 0;
    return left;
  }
}
