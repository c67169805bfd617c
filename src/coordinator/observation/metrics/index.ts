import { COORDINATOR_METRICS } from './coordinator-metrics.js';
import { LOG_METRICS } from './log-metrics.js';
import { MEMBER_METRICS } from './member-metrics.js';
import type { Metric } from './metric.js';
import { PARTICIPANT_METRICS } from './participant-metrics.js';

export type { Metric } from './metric.js';
export { MetricSource } from './metric-source.js';

/** Every metric of the coordinator, in the order in which they are shown. */
export const METRICS: readonly Metric[] = [
  ...COORDINATOR_METRICS,
  ...LOG_METRICS,
  ...MEMBER_METRICS,
  ...PARTICIPANT_METRICS,
];
