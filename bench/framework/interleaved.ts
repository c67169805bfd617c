import { ContenderRunner, type Rate } from './contender-runner.js';
import { median } from './statistics.js';

/** How long and how often the contenders run at one number in flight. */
export interface RoundSettings {
  readonly rounds: number;
  /** How long one contender runs in one round, about, in milliseconds. */
  readonly sliceMs: number;
  /** How long a contender runs before it is measured, at least, in milliseconds. */
  readonly warmUpMs: number;
}

/** What each contender came to, round by round. */
export type Rates<Name extends string> = Readonly<Record<Name, readonly Rate[]>>;

/** Starts a process for each contender, hands them to a measurement, and ends them whatever becomes of it. */
export async function withRunners<Name extends string, Result>(
  names: readonly Name[],
  module: URL,
  setupOf: (name: Name) => unknown,
  measure: (runners: readonly ContenderRunner<Name>[]) => Promise<Result>,
): Promise<Result> {
  const runners = names.map((name) => new ContenderRunner(name, module, setupOf(name)));
  try {
    return await measure(runners);
  } finally {
    await Promise.all(runners.map((runner) => runner.stop()));
  }
}

/**
 * All contenders take part in every round, one after the other, and each round begins with another one of them, so
 * that whatever else the machine does falls on all alike.
 */
export async function interleavedRounds<Name extends string>(
  inFlight: number,
  runners: readonly ContenderRunner<Name>[],
  { rounds, warmUpMs, sliceMs }: RoundSettings,
): Promise<Rates<Name>> {
  const rates = Object.fromEntries(runners.map(({ name }) => [name, []])) as unknown as Record<Name, Rate[]>;
  const transactions = new Map<ContenderRunner<Name>, number>();
  for (const runner of runners) transactions.set(runner, await runner.warmUp(inFlight, warmUpMs, sliceMs));
  for (let number = 0; number < rounds; number++) {
    for (let turn = 0; turn < runners.length; turn++) {
      const runner = runners[(turn + number) % runners.length]!;
      rates[runner.name].push(await runner.run(inFlight, transactions.get(runner)!));
    }
  }
  return rates;
}

/** @returns transactions a second, the median of the rounds. */
export function medianTps(rates: readonly Rate[]): number {
  return Math.round(median(rates.map(({ tps }) => tps)));
}

/** @returns the median of the ratios of the single rounds. */
export function medianRatio(
  of: readonly Rate[],
  to: readonly Rate[],
  measure: 'tps' | 'cpuTps' = 'tps',
): number {
  return median(of.map((rate, index) => rate[measure] / to[index]![measure]));
}
