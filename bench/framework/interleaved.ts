import { ContenderRunner, type Rate } from './contender-runner.js';
import { median } from './statistics.js';

/** How long and how often the contenders run at one number in flight. */
export interface RoundSettings {
  readonly rounds: number;
  /** About how long one contender runs in one round, in milliseconds. */
  readonly sliceMs: number;
  /** How long a contender runs at least before it is measured, in milliseconds. */
  readonly warmUpMs: number;
}

/** The results of each contender, round by round. */
export type Rates<Name extends string> = Readonly<Record<Name, readonly Rate[]>>;

/** Starts a process for each contender, passes them to a measurement, and always ends them. */
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
 * All contenders take part in every round, one after the other. Each round begins with another one, so that
 * other work of the machine disturbs all of them alike.
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
