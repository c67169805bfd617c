import { type Metric, gauge } from './metric.js';

const MICROSECOND = 1e-6;

/** The decision log. Flushes are measured only for a log that reports them; the memory log has none. */
export const LOG_METRICS: readonly Metric[] = [
  gauge(
    'dtc_log_up',
    'Whether the decision log is known to take records, and the claim on it holds',
    ({ runtime: { log } }) => log.problem === undefined && !log.isLost,
  ),
  gauge(
    'dtc_log_fenced',
    'Whether another coordinator has claimed the log, so that this one makes no more decisions',
    ({ runtime }) => runtime.log.isLost,
  ),
  gauge(
    'dtc_log_restart_needed',
    'Whether only a restart can find out what the log holds',
    ({ runtime }) => runtime.log.isBroken,
  ),
  {
    name: 'dtc_log_flush_duration_seconds',
    type: 'histogram',
    help: 'The duration of a successful flush of the log',
    labels: [],
    unit: MICROSECOND,
    read: ({ runtime: { parts } }) =>
      parts.log.flushes === undefined ? [] : [[[], parts.log.flushes.durationsUs]],
  },
  {
    name: 'dtc_log_flush_records',
    type: 'histogram',
    help: 'The number of records that a flush made durable at once',
    labels: [],
    unit: 1,
    read: ({ runtime: { parts } }) =>
      parts.log.flushes === undefined ? [] : [[[], parts.log.flushes.batchSizes]],
  },
];
