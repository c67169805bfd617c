import { join } from 'node:path';
import {
  interleavedRounds,
  medianRatio,
  medianTps,
  type Rates,
  withRunners,
} from '../framework/interleaved.js';
import { round } from '../framework/statistics.js';
import { flushMsIn, withTemporaryFolder } from '../framework/temporary-folder.js';
import type { Settings } from '../settings.js';
import { CONTENDER_NAMES, type ContenderName, type DurableSetup } from './contenders.js';

/** The measured numbers of transactions in flight. */
export const LEVELS = [1, 16, 256, 2_048] as const;

/** The coordinator with a log on disk, compared with that log alone. */
export interface Durable {
  /** How long a flush of a few bytes takes in the folder of the logs, in milliseconds. */
  readonly flushMs: number;
  readonly levels: readonly DurableLevel[];
}

/**
 * Transactions a second at one number in flight. A ratio is the median of the ratios of the single rounds.
 */
export interface DurableLevel {
  readonly inFlight: number;
  readonly bareLogTps: number;
  readonly tps: number;
  readonly ratio: number;
  readonly cpuRatio: number;
}

export function measureDurable({ durable }: Settings): Promise<Durable> {
  const module = new URL('./contenders.js', import.meta.url);
  return withTemporaryFolder(async (folder) => {
    const flushMs = flushMsIn(folder);
    const setupOf = (name: ContenderName): DurableSetup => ({ folder: join(folder, name) });
    const levels = await withRunners(CONTENDER_NAMES, module, setupOf, async (runners) => {
      const results: DurableLevel[] = [];
      for (const inFlight of LEVELS) {
        results.push(summary(inFlight, await interleavedRounds(inFlight, runners, durable)));
      }
      return results;
    });
    return { flushMs, levels };
  });
}

function summary(inFlight: number, rates: Rates<ContenderName>): DurableLevel {
  const { 'bare-log': bareLog, coordinator } = rates;
  return {
    inFlight,
    bareLogTps: medianTps(bareLog),
    tps: medianTps(coordinator),
    ratio: round(medianRatio(coordinator, bareLog), 3),
    cpuRatio: round(medianRatio(coordinator, bareLog, 'cpuTps'), 3),
  };
}
