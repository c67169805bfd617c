import type { ContenderRunner, Rate } from '../framework/contender-runner.js';
import {
  type Rates,
  type RoundSettings,
  interleavedRounds,
  medianRatio,
  medianTps,
} from '../framework/interleaved.js';
import { round } from '../framework/statistics.js';

/** The contenders that are measured with few rows as well. */
export const HOT_KINDS = [
  'plain',
  'coordinator',
  'coordinator-batch',
  'coordinator-in-turn',
  'coordinator-grouped',
] as const;
type HotKind = (typeof HOT_KINDS)[number];
/**
 * In how many databases there are few rows. Two transactions can wait for each other only if there is more
 * than one.
 */
export const HOT_DATABASES = [1, 3] as const;
type HotDatabases = (typeof HOT_DATABASES)[number];
export type HotName = `${HotKind}-hot-${HotDatabases}`;
type Name = HotKind | HotName;

export const HOT_NAMES: readonly HotName[] = HOT_DATABASES.flatMap((databases) =>
  HOT_KINDS.map((kind) => `${kind}-hot-${databases}` as const),
);

/** With one in flight there are no conflicts. */
export const HOT_LEVELS = [16, 64] as const;

/** The same with few rows. */
export interface HotLevel {
  readonly inFlight: number;
  /** The number of databases with few rows, of three. */
  readonly hotDatabases: number;
  readonly plain: HotCompared;
  readonly interactive: HotCompared;
  readonly batch: HotCompared;
  /** Batch work, and the participants prepare one after the other. */
  readonly inTurn: HotCompared;
  /** Batch work, and the participants take part in groups. */
  readonly grouped: HotCompared;
}

export interface HotCompared {
  readonly tps: number;
  /** Divided by the rate of the same contender with many rows. */
  readonly ratioToCold: number;
  /** Divided by the rate of three plain transactions over the same few rows. */
  readonly ratioToPlain: number;
  /** Attempts that were aborted and tried again, for each transaction that was committed. */
  readonly abortedPerCommit: number;
  /** The longest time without a commit in any round, in milliseconds. */
  readonly longestPauseMs: number;
}

/** @param runners the runners of all contenders. Those of other contenders are not used. */
export async function measureHot(
  runners: readonly ContenderRunner<string>[],
  settings: RoundSettings,
): Promise<HotLevel[]> {
  const both = runners.filter(isCompared);
  const levels: HotLevel[] = [];
  for (const inFlight of HOT_LEVELS) {
    const rates = await interleavedRounds(inFlight, both, settings);
    levels.push(...HOT_DATABASES.map((hotDatabases) => summary(inFlight, hotDatabases, rates)));
  }
  return levels;
}

function isCompared(runner: ContenderRunner<string>): runner is ContenderRunner<Name> {
  return [...HOT_KINDS, ...HOT_NAMES].some((name) => name === runner.name);
}

function summary(inFlight: number, hotDatabases: HotDatabases, rates: Rates<Name>): HotLevel {
  const compared = (kind: HotKind): HotCompared => {
    const hot = rates[`${kind}-hot-${hotDatabases}`];
    return {
      tps: medianTps(hot),
      ratioToCold: round(medianRatio(hot, rates[kind]), 3),
      ratioToPlain: round(medianRatio(hot, rates[`plain-hot-${hotDatabases}`]), 3),
      abortedPerCommit: round(abortedPerCommit(hot), 4),
      longestPauseMs: Math.round(Math.max(...hot.map(({ troubles }) => troubles!.longestPauseMs))),
    };
  };
  return {
    inFlight,
    hotDatabases,
    plain: compared('plain'),
    interactive: compared('coordinator'),
    batch: compared('coordinator-batch'),
    inTurn: compared('coordinator-in-turn'),
    grouped: compared('coordinator-grouped'),
  };
}

function abortedPerCommit(rates: readonly Rate[]): number {
  const aborted = rates.reduce((sum, { troubles }) => sum + troubles!.aborted, 0);
  const committed = rates.reduce((sum, { count }) => sum + count, 0);
  return aborted / committed;
}
