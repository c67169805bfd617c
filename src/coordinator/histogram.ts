/** From a tenth of a millisecond to a minute, in microseconds: the usual range of a call or a transaction. */
export const DURATION_BOUNDS_US = [
  100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
  5_000_000, 10_000_000, 30_000_000, 60_000_000,
] as const;

/**
 * Counts values in fixed buckets. An observation takes one comparison for each bucket below it and two
 * additions, and allocates nothing. Everything else is computed on request.
 *
 * @publicApi
 */
export class Histogram {
  /** The number of values in each bucket, then of those above all bounds, then the sum of all values. */
  private readonly cells: Float64Array;

  /** @param bounds the largest value of each bucket, ascending. */
  constructor(readonly bounds: readonly number[]) {
    this.cells = new Float64Array(bounds.length + 2);
  }

  /** @param value not negative. */
  observe(value: number): void {
    const { bounds, cells } = this;
    const { length } = bounds;
    let bucket = 0;
    while (bucket < length && value > bounds[bucket]!) bucket++;
    cells[bucket]!++;
    cells[length + 1]! += value;
  }

  /** A copy of the number of values in each bucket. The last bucket has no bound. */
  get counts(): Float64Array {
    return this.cells.slice(0, this.bounds.length + 1);
  }

  /** The number of values. */
  get count(): number {
    return this.counts.reduce((total, count) => total + count, 0);
  }

  get sum(): number {
    return this.cells[this.bounds.length + 1]!;
  }

  /**
   * Estimates a quantile as if the values of a bucket were spread evenly in it.
   *
   * @param portion from 0 to 1: 0.5 is the median.
   * @returns null when there was no value; the highest bound when the quantile is above it.
   */
  quantile(portion: number): number | null {
    const { bounds, counts, count } = this;
    if (count === 0) return null;
    const rank = portion * count;
    let below = 0;
    for (const [bucket, bound] of bounds.entries()) {
      const inBucket = counts[bucket]!;
      if (inBucket > 0 && below + inBucket >= rank) {
        const lowest = bounds[bucket - 1] ?? 0;
        return lowest + ((bound - lowest) * (rank - below)) / inBucket;
      }
      below += inBucket;
    }
    return bounds.at(-1)!;
  }
}
