import { ContenderRunner, type Rate } from './contender-runner.js';
import { CONTENDER_NAMES, type ContenderName } from './contenders.js';
import type { Settings } from './settings.js';
import { median, round } from './statistics.js';

/** The numbers of transactions in flight that everything is measured at. */
export const LEVELS = [1, 100, 10_000] as const;

/** Transactions a second at one number in flight. A ratio is the median of the ratios of the single rounds. */
export interface Throughput {
  readonly inFlight: number;
  readonly floorTps: number;
  /** The coordinator with everything it does by default, log level warn. */
  readonly tps: number;
  readonly ratio: number;
  /** The ratio by processor time, which a machine that has other things to do disturbs less. */
  readonly cpuRatio: number;
  /** The same with the one log line at the end of each transaction. */
  readonly tpsWithLine: number;
  readonly ratioWithLine: number;
  readonly cpuRatioWithLine: number;
  readonly conventionalTps: number;
  readonly timesConventional: number;
  readonly timesConventionalWithLine: number;
}

/** What each contender came to, round by round. */
type Rates = Record<ContenderName, Rate[]>;

export async function measureThroughput(settings: Settings): Promise<Throughput[]> {
  const runners = CONTENDER_NAMES.map((name) => new ContenderRunner(name));
  try {
    const results: Throughput[] = [];
    for (const inFlight of LEVELS) results.push(summary(inFlight, await rounds(inFlight, runners, settings)));
    return results;
  } finally {
    for (const runner of runners) runner.stop();
  }
}

/**
 * All contenders take part in every round, one after the other, and each round begins with another one of them, so
 * that whatever else the machine does falls on all alike.
 */
async function rounds(
  inFlight: number,
  runners: readonly ContenderRunner[],
  { rounds: count, warmUpMs, sliceMs }: Settings,
): Promise<Rates> {
  const rates: Rates = { floor: [], coordinator: [], 'coordinator-with-line': [], conventional: [] };
  const transactions = new Map<ContenderRunner, number>();
  for (const runner of runners) transactions.set(runner, await runner.warmUp(inFlight, warmUpMs, sliceMs));
  for (let number = 0; number < count; number++) {
    for (let turn = 0; turn < runners.length; turn++) {
      const runner = runners[(turn + number) % runners.length]!;
      rates[runner.name].push(await runner.run(inFlight, transactions.get(runner)!));
    }
  }
  return rates;
}

function summary(inFlight: number, rates: Rates): Throughput {
  const { floor, coordinator, 'coordinator-with-line': withLine, conventional } = rates;
  const tps = (of: readonly Rate[]): number => round(median(of.map((rate) => rate.tps)));
  return {
    inFlight,
    floorTps: tps(floor),
    tps: tps(coordinator),
    ratio: round(ratio(coordinator, floor, 'tps'), 3),
    cpuRatio: round(ratio(coordinator, floor, 'cpuTps'), 3),
    tpsWithLine: tps(withLine),
    ratioWithLine: round(ratio(withLine, floor, 'tps'), 3),
    cpuRatioWithLine: round(ratio(withLine, floor, 'cpuTps'), 3),
    conventionalTps: tps(conventional),
    timesConventional: round(ratio(coordinator, conventional, 'tps'), 1),
    timesConventionalWithLine: round(ratio(withLine, conventional, 'tps'), 1),
  };
}

function ratio(of: readonly Rate[], to: readonly Rate[], measure: keyof Rate): number {
  return median(of.map((rate, index) => rate[measure] / to[index]![measure]));
}
