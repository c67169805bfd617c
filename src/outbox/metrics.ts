import type { OutboxStatus } from './status.js';

/** A metric of the outboxes, with the label `outbox`. */
export interface OutboxMetric {
  readonly name: `dtc_outbox_${string}`;
  readonly type: 'counter' | 'gauge';
  /** The meaning, in a sentence without a full stop. */
  readonly help: string;
  readonly labels: readonly ['outbox'];
  readonly read: (status: OutboxStatus) => number | undefined;
}

/** A registry of prom-client, such as the one of `CoordinatorMetrics`. @publicApi */
export interface MetricRegistry {
  registerMetric(metric: never): void;
}

function metric(
  name: OutboxMetric['name'],
  type: OutboxMetric['type'],
  help: string,
  read: OutboxMetric['read'],
): OutboxMetric {
  return { name, type, help, labels: ['outbox'], read };
}

/** Every metric of the outboxes, in the order in which they are shown. */
export const OUTBOX_METRICS: readonly OutboxMetric[] = [
  metric(
    'dtc_outbox_waiting',
    'gauge',
    'Messages that are not sent yet, as they were counted last; counted up to 10,000',
    ({ held }) => held?.waiting,
  ),
  metric(
    'dtc_outbox_oldest_seconds',
    'gauge',
    'Seconds since the oldest waiting message was written; 0 when there is none',
    ({ held }) => held && held.oldestMs / 1_000,
  ),
  metric(
    'dtc_outbox_dead',
    'gauge',
    'Messages that have used up their attempts and wait for an operator; counted up to 10,000',
    ({ held }) => held?.dead,
  ),
  metric('dtc_outbox_sending', 'gauge', 'Messages that this process is sending', ({ sending }) => sending),
  metric(
    'dtc_outbox_hanging',
    'gauge',
    'Attempts that have used up their time, and whose function has not ended since',
    ({ hanging }) => hanging,
  ),
  metric(
    'dtc_outbox_up',
    'gauge',
    'Whether the database of the outbox has answered when it was asked last',
    ({ problem }) => (problem === undefined ? 1 : 0),
  ),
  metric('dtc_outbox_sent_total', 'counter', 'Messages that this process has sent', ({ sent }) => sent),
  metric(
    'dtc_outbox_retried_total',
    'counter',
    'Failed attempts of this process after which the message is tried again',
    ({ retried }) => retried,
  ),
  metric(
    'dtc_outbox_dead_total',
    'counter',
    'Messages that have used up their attempts in this process',
    ({ deadSinceStart }) => deadSinceStart,
  ),
];

/**
 * Adds the metrics to a registry. They are computed when it is scraped.
 *
 * @param list returns the status of each outbox.
 */
export function registerMetrics(registry: MetricRegistry, list: () => readonly OutboxStatus[]): void {
  for (const { name, help, type, read } of OUTBOX_METRICS) {
    const metric = {
      name,
      help,
      type,
      aggregator: 'sum',
      get: () =>
        Promise.resolve({ name, help, type, aggregator: 'sum', values: valuesOf(name, read, list()) }),
      // The counts belong to the relays, and are not reset.
      reset: () => {},
    };
    registry.registerMetric(metric as never);
  }
}

function valuesOf(
  metricName: string,
  read: OutboxMetric['read'],
  outboxes: readonly OutboxStatus[],
): readonly object[] {
  return outboxes.flatMap((status) => {
    const value = read(status);
    return value === undefined ? [] : [{ metricName, labels: { outbox: status.name }, value }];
  });
}
