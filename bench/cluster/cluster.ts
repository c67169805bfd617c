import { median, round } from '../framework/statistics.js';
import { withServer } from '../postgres/server.js';
import type { Settings } from '../settings.js';
import { type AppendLevel, measureAppend } from './append.js';
import { measureTakeovers } from './takeover.js';

const MEMBERS = 3;

/** Several members over one log on PostgreSQL. */
export interface ClusterFigures {
  /** Decisions a second of all members together, with the largest number that waits at each. */
  readonly appendTps: number;
  readonly bareTps: number;
  readonly appendRatio: number;
  readonly append: readonly AppendLevel[];
  /** The time from the kill of a member until all its transactions had their outcome. */
  readonly takeoverMsP50: number;
  readonly takeoverMsMax: number;
  readonly takeovers: number;
  /**
   * The commits a second of two members after the third was killed, divided by their commits a second without
   * it: the median.
   */
  readonly survivorsRatio: number;
  readonly survivorsTps: number;
  readonly twoMembersTps: number;
  readonly leaseMs: number;
}

/** @throws PostgresUnavailableError when there is no server to measure. */
export async function measureCluster({ cluster, seed }: Settings): Promise<ClusterFigures> {
  const append = await withServer((server) => measureAppend(server, MEMBERS, cluster));
  const takeovers = await withServer((server) => measureTakeovers(server, seed, cluster));
  const most = append.at(-1)!;
  const tookMs = takeovers.map((takeover) => takeover.tookMs);
  return {
    appendTps: most.tps,
    bareTps: most.bareTps,
    appendRatio: most.ratio,
    append,
    takeoverMsP50: Math.round(median(tookMs)),
    takeoverMsMax: Math.round(Math.max(...tookMs)),
    takeovers: takeovers.length,
    survivorsRatio: round(median(takeovers.map((one) => one.survivorsTps / one.twoMembersTps)), 3),
    survivorsTps: Math.round(median(takeovers.map((one) => one.survivorsTps))),
    twoMembersTps: Math.round(median(takeovers.map((one) => one.twoMembersTps))),
    leaseMs: cluster.leaseMs,
  };
}
