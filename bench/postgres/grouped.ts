import type { ContenderRunner } from '../framework/contender-runner.js';
import { type RoundSettings, interleavedRounds, medianRatio, medianTps } from '../framework/interleaved.js';
import { round } from '../framework/statistics.js';
import type { ColdLevel } from './cold.js';
import type { HotLevel } from './hot.js';

/** Groups in which one database refuses some transactions. */
export const REFUSED_NAME = 'coordinator-grouped-refused';
export const REFUSED_SHARE = 0.05;
const REFUSED_IN_FLIGHT = 64;

/**
 * Transactions in groups, compared with three plain transactions over the same rows, of which none is
 * refused.
 */
export interface GroupedLevel {
  readonly inFlight: number;
  readonly rows: 'cold' | 'hot';
  /** The share of the transactions that one database refuses. Only those that are committed are counted. */
  readonly refusedShare: number;
  readonly plainTps: number;
  readonly tps: number;
  /** The median of the ratios of the single rounds. */
  readonly ratio: number;
  /** Attempts that were aborted without being refused, for each commit. */
  readonly abortsPerCommit: number;
}

/** @param runners of plain transactions over all rows, and of {@link REFUSED_NAME}. Others are not used. */
export async function measureGrouped(
  runners: readonly ContenderRunner<string>[],
  cold: readonly ColdLevel[],
  hot: readonly HotLevel[],
  settings: RoundSettings,
): Promise<GroupedLevel[]> {
  const both = runners.filter(isCompared);
  const rates = await interleavedRounds(REFUSED_IN_FLIGHT, both, settings);
  const [plain, refused] = [rates.plain, rates[REFUSED_NAME]];
  const levels: GroupedLevel[] = [];
  // With many rows, any end but a commit or an expected refusal ends the measurement.
  const none = { refusedShare: 0, abortsPerCommit: 0 };
  for (const { inFlight, plainTps, grouped } of cold) {
    levels.push({ ...none, inFlight, rows: 'cold', plainTps, tps: grouped.tps, ratio: grouped.ratioToPlain });
  }
  for (const { inFlight, hotDatabases, plain: plainHot, grouped } of hot) {
    if (hotDatabases !== 3) continue;
    const { tps, ratioToPlain: ratio, abortedPerCommit: abortsPerCommit } = grouped;
    levels.push({
      inFlight,
      rows: 'hot',
      refusedShare: 0,
      plainTps: plainHot.tps,
      tps,
      ratio,
      abortsPerCommit,
    });
  }
  levels.push({
    ...none,
    inFlight: REFUSED_IN_FLIGHT,
    rows: 'cold',
    refusedShare: REFUSED_SHARE,
    plainTps: medianTps(plain),
    tps: medianTps(refused),
    ratio: round(medianRatio(refused, plain), 3),
  });
  return levels;
}

type Name = 'plain' | typeof REFUSED_NAME;

function isCompared(runner: ContenderRunner<string>): runner is ContenderRunner<Name> {
  return runner.name === 'plain' || runner.name === REFUSED_NAME;
}
