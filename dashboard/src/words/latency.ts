import type { Latency } from '../api/views.js';
import { formatDuration } from './durations.js';

/** @returns `4.2 ms / 31 ms`: the median and the 99th percentile; a dash before the first measurement. */
export function formatLatency({ p50Ms, p99Ms }: Latency): string {
  return p50Ms === null || p99Ms === null ? '–' : `${formatDuration(p50Ms)} / ${formatDuration(p99Ms)}`;
}
