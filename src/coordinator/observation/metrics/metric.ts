import type { Histogram } from '../../histogram.js';
import type { MetricSource } from './metric-source.js';

/** The values of the labels of one series, in the order in which the metric names them. */
export type LabelValues = readonly string[];

interface MetricBase {
  readonly name: `dtc_${string}`;
  /** The meaning, in a sentence without a full stop. */
  readonly help: string;
  readonly labels: readonly string[];
}

/** A metric whose series are single numbers. */
export interface NumberMetric extends MetricBase {
  readonly type: 'counter' | 'gauge';
  read(source: MetricSource): Iterable<readonly [LabelValues, number]>;
}

/** A metric whose series are distributions. */
export interface HistogramMetric extends MetricBase {
  readonly type: 'histogram';
  /** The unit of the observed values in the unit of the metric: 1e-6 for microseconds shown as seconds. */
  readonly unit: number;
  read(source: MetricSource): Iterable<readonly [LabelValues, Histogram]>;
}

/**
 * The description of a metric, and the function that reads it. It is read only when the metrics are
 * requested.
 */
export type Metric = NumberMetric | HistogramMetric;

/** A metric of one number, a sum since the start. */
export function counter(
  name: MetricBase['name'],
  help: string,
  read: (source: MetricSource) => number,
): NumberMetric {
  return { name, type: 'counter', help, labels: [], read: (source) => [[[], read(source)]] };
}

/** A metric of one number, the present value. A boolean is 1 or 0. */
export function gauge(
  name: MetricBase['name'],
  help: string,
  read: (source: MetricSource) => number | boolean,
): NumberMetric {
  return { name, type: 'gauge', help, labels: [], read: (source) => [[[], Number(read(source))]] };
}
