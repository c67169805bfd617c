import type { Overview } from '../api/views.js';

/** The counts at a moment. */
export interface Sample {
  readonly atMs: number;
  readonly epoch: number;
  readonly startedAt: string;
  readonly committed: number;
  readonly aborted: number;
}

/** Transactions per second, over the time between two samples. */
export interface Rate {
  readonly atMs: number;
  readonly committed: number;
  readonly aborted: number;
}

/** Two minutes at one per second. */
const MAX_SAMPLES = 121;
/**
 * The first overview comes when the page connects, and the next in the rhythm of the others: too close to
 * compute a rate.
 */
const LEAST_STEP_MS = 500;
/** A rate is the mean of this many seconds, so that the figure can be read before it changes. */
const MEAN_OF_SAMPLES = 5;

/** @returns the samples with one more. Samples of another process are left out. */
export function withSample(samples: readonly Sample[], { at, coordinator }: Overview): readonly Sample[] {
  const { epoch, startedAt, statistics } = coordinator;
  const { committed, aborted } = statistics;
  const sample = { atMs: Date.parse(at), epoch, startedAt, committed, aborted };
  const last = samples.at(-1);
  const isContinued =
    last !== undefined &&
    last.epoch === epoch &&
    last.startedAt === startedAt &&
    last.atMs < sample.atMs &&
    last.committed <= committed &&
    last.aborted <= aborted;
  if (!isContinued) return [sample];
  return sample.atMs - last.atMs < LEAST_STEP_MS ? samples : [...samples, sample].slice(-MAX_SAMPLES);
}

/**
 * @returns the rate at each sample except the first, the oldest first: each the mean of the seconds before
 * it.
 */
export function ratesOf(samples: readonly Sample[]): readonly Rate[] {
  return samples
    .slice(1)
    .map((sample, index) => rateBetween(samples[Math.max(0, index + 1 - MEAN_OF_SAMPLES)]!, sample));
}

function rateBetween(from: Sample, to: Sample): Rate {
  const seconds = (to.atMs - from.atMs) / 1000;
  return {
    atMs: to.atMs,
    committed: (to.committed - from.committed) / seconds,
    aborted: (to.aborted - from.aborted) / seconds,
  };
}
