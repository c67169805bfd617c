import { DURATION_BOUNDS_US, Histogram } from '../histogram.js';

const BATCH_BOUNDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000] as const;

/**
 * How a log has flushed since it was made. A log that has them is seen in the metrics.
 *
 * @publicApi
 */
export class FlushStatistics {
  /** In microseconds. */
  readonly durationsUs = new Histogram(DURATION_BOUNDS_US);
  /** In records. */
  readonly batchSizes = new Histogram(BATCH_BOUNDS);

  /**
   * A flush has succeeded.
   *
   * @param durationMs how long it took.
   * @param records how many it made durable.
   */
  flushed(durationMs: number, records: number): void {
    this.durationsUs.observe(durationMs * 1_000);
    this.batchSizes.observe(records);
  }
}
