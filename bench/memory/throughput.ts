import {
  interleavedRounds,
  medianRatio,
  medianTps,
  type Rates,
  withRunners,
} from '../framework/interleaved.js';
import { round } from '../framework/statistics.js';
import type { Settings } from '../settings.js';
import { CONTENDER_NAMES, type ContenderName } from './contenders.js';

/** The measured numbers of transactions in flight. */
export const LEVELS = [1, 100, 10_000] as const;

/**
 * Transactions a second at one number in flight. A ratio is the median of the ratios of the single rounds.
 */
export interface Throughput {
  readonly inFlight: number;
  readonly floorTps: number;
  /** The coordinator with its defaults, at log level warn. */
  readonly tps: number;
  readonly ratio: number;
  /** The ratio by processor time, which other work of the machine disturbs less. */
  readonly cpuRatio: number;
  /** The same with the log line at the end of each transaction. */
  readonly tpsWithLine: number;
  readonly ratioWithLine: number;
  readonly cpuRatioWithLine: number;
  readonly conventionalTps: number;
  readonly timesConventional: number;
  readonly timesConventionalWithLine: number;
}

export function measureThroughput({ memory }: Settings): Promise<Throughput[]> {
  const module = new URL('./contenders.js', import.meta.url);
  return withRunners(
    CONTENDER_NAMES,
    module,
    () => null,
    async (runners) => {
      const results: Throughput[] = [];
      for (const inFlight of LEVELS) {
        results.push(summary(inFlight, await interleavedRounds(inFlight, runners, memory)));
      }
      return results;
    },
  );
}

function summary(inFlight: number, rates: Rates<ContenderName>): Throughput {
  const { floor, coordinator, 'coordinator-with-line': withLine, conventional } = rates;
  return {
    inFlight,
    floorTps: medianTps(floor),
    tps: medianTps(coordinator),
    ratio: round(medianRatio(coordinator, floor), 3),
    cpuRatio: round(medianRatio(coordinator, floor, 'cpuTps'), 3),
    tpsWithLine: medianTps(withLine),
    ratioWithLine: round(medianRatio(withLine, floor), 3),
    cpuRatioWithLine: round(medianRatio(withLine, floor, 'cpuTps'), 3),
    conventionalTps: medianTps(conventional),
    timesConventional: round(medianRatio(coordinator, conventional), 1),
    timesConventionalWithLine: round(medianRatio(withLine, conventional), 1),
  };
}
