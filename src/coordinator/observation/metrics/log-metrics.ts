import { type Metric, gauge } from './metric.js';

const MICROSECOND = 1e-6;

/** The decision log. How it flushes is known only of one that says so; the memory does not flush. */
export const LOG_METRICS: readonly Metric[] = [
  gauge(
    'dtc_log_up',
    'Whether the decision log takes records, as far as is known, and the claim on it holds',
    ({ runtime: { log } }) => log.problem === undefined && !log.isLost,
  ),
  gauge(
    'dtc_log_fenced',
    'Whether another coordinator has claimed the log, so that this one decides nothing more',
    ({ runtime }) => runtime.log.isLost,
  ),
  gauge(
    'dtc_log_restart_needed',
    'Whether only a new start can find out what the log holds',
    ({ runtime }) => runtime.log.isBroken,
  ),
  {
    name: 'dtc_log_flush_duration_seconds',
    type: 'histogram',
    help: 'How long a flush of the log took, when it succeeded',
    labels: [],
    unit: MICROSECOND,
    read: ({ runtime: { parts } }) =>
      parts.log.flushes === undefined ? [] : [[[], parts.log.flushes.durationsUs]],
  },
  {
    name: 'dtc_log_flush_records',
    type: 'histogram',
    help: 'How many records a flush made durable at once',
    labels: [],
    unit: 1,
    read: ({ runtime: { parts } }) =>
      parts.log.flushes === undefined ? [] : [[[], parts.log.flushes.batchSizes]],
  },
];
