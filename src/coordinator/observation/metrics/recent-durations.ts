import { DURATION_BOUNDS_US, Histogram, quantileOf } from '../../histogram.js';

/** The number of steps of which durations are kept. */
const STEPS = 10;

/**
 * The durations of one kind of call in the last minutes. A call without an answer counts as well, with the
 * time for which its answer was awaited: otherwise a participant that hangs would look fast.
 */
export class RecentDurations {
  /** The calls without an answer, in microseconds. */
  readonly unansweredUs = new Histogram(DURATION_BOUNDS_US);
  /** The counts of the latest steps, the oldest first. */
  private readonly earlier: Float64Array[] = [new Float64Array(DURATION_BOUNDS_US.length + 1)];

  /** @param answeredUs the calls with an answer, in microseconds. */
  constructor(private readonly answeredUs: () => Histogram) {}

  /** Begins a new step. Called at a fixed pace. */
  step(): void {
    this.earlier.push(this.all());
    if (this.earlier.length > STEPS) this.earlier.shift();
  }

  /** The number of calls in the last steps. */
  get count(): number {
    return this.recent().reduce((total, count) => total + count, 0);
  }

  /** @returns an estimate in microseconds; null when there was no call. */
  quantileUs(portion: number): number | null {
    return quantileOf(DURATION_BOUNDS_US, this.recent(), portion);
  }

  private recent(): Float64Array {
    const before = this.earlier[0]!;
    return this.all().map((count, bucket) => count - before[bucket]!);
  }

  private all(): Float64Array {
    const unanswered = this.unansweredUs.counts;
    return this.answeredUs().counts.map((count, bucket) => count + unanswered[bucket]!);
  }
}
