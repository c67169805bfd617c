import type { Metric as PromMetric } from 'prom-client';
import type { Histogram } from '../../coordinator/index.js';
import type { Metric, MetricSource } from '../../coordinator/observation/metrics/index.js';

/** One line of the answer to a scrape, in the format of a registry of prom-client. */
interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/**
 * A metric in the format of a registry of prom-client, made from counts when it is scraped. The classes of
 * prom-client must be called for every single event, which costs more than some transactions do.
 */
class ScrapedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: Metric['type'];
  /** How a cluster of processes aggregates it. */
  readonly aggregator = 'sum';

  constructor(
    private readonly metric: Metric,
    private readonly source: MetricSource,
  ) {
    this.name = metric.name;
    this.help = metric.help;
    this.type = metric.type;
  }

  get(): Promise<object> {
    const { name, help, type, aggregator } = this;
    return Promise.resolve({ name, help, type, aggregator, values: this.samples() });
  }

  /** The counts belong to the coordinator, and are not reset. */
  reset(): void {}

  /** A metric that cannot be read does not affect the others. */
  private samples(): Sample[] {
    try {
      return samplesOf(this.metric, this.source);
    } catch (error) {
      this.source.reporter.defect(error, `reading the metric ${this.name}`);
      return [];
    }
  }
}

/** @returns the metric for `Registry.registerMetric`, whose type is narrower than what it accepts. */
export function scraped(metric: Metric, source: MetricSource): PromMetric {
  return new ScrapedMetric(metric, source) as unknown as PromMetric;
}

function samplesOf(metric: Metric, source: MetricSource): Sample[] {
  const { name, labels } = metric;
  const named = (values: readonly string[]): Record<string, string> =>
    Object.fromEntries(labels.map((label, index) => [label, values[index]!]));
  if (metric.type !== 'histogram') {
    return Array.from(metric.read(source), ([values, value]) => ({
      metricName: name,
      labels: named(values),
      value,
    }));
  }
  return Array.from(metric.read(source), ([values, histogram]) =>
    distribution(name, named(values), histogram, metric.unit),
  ).flat();
}

function distribution(
  name: string,
  labels: Readonly<Record<string, string>>,
  { bounds, counts, sum }: Histogram,
  unit: number,
): Sample[] {
  let count = 0;
  const buckets = Array.from(counts, (inBucket, index): Sample => {
    count += inBucket;
    const bound = bounds[index];
    const le = bound === undefined ? '+Inf' : String(Number((bound * unit).toPrecision(12)));
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum * unit },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
