import { parseArgs } from 'node:util';

/** How long and how often things are measured. */
export interface Settings {
  readonly quick: boolean;
  readonly json: boolean;
  /** Rounds of the throughput measurement at each number in flight. */
  readonly rounds: number;
  /** How long one contender runs in one round, about, in milliseconds. */
  readonly sliceMs: number;
  /** How long a contender runs before it is measured, at least, in milliseconds. */
  readonly warmUpMs: number;
  readonly memorySamples: number;
  readonly latencyRounds: number;
  /** How long load is offered in one round of the latency measurement, in milliseconds. */
  readonly latencySliceMs: number;
  readonly refusals: number;
  readonly hungRounds: number;
  readonly hungSliceMs: number;
  readonly seed: number;
}

const FULL = {
  rounds: 21,
  sliceMs: 60,
  warmUpMs: 1_000,
  memorySamples: 15,
  latencyRounds: 4,
  latencySliceMs: 1_500,
  refusals: 9,
  hungRounds: 5,
  hungSliceMs: 1_000,
};

const QUICK = {
  rounds: 3,
  sliceMs: 20,
  warmUpMs: 200,
  memorySamples: 3,
  latencyRounds: 1,
  latencySliceMs: 400,
  refusals: 3,
  hungRounds: 1,
  hungSliceMs: 600,
};

const SEED = 20_260_101;

export const USAGE = `Usage: npm run bench -- [options]

Measures the coordinator against the least that any caller of three services must do, and against a
coordinator written the conventional way. It takes about two minutes; the machine should have nothing else to do.

  --json    print one JSON object and nothing else
  --quick   some seconds instead of minutes; the figures are rough
  --help    print this

It ends with 1 when a transaction was not committed as it should be, and with 2 when an option is unknown.
`;

/** The command line cannot be understood. */
export class UsageError extends Error {}

/**
 * @param args what follows the name of the program.
 * @returns the settings, or 'help' when help is asked for.
 * @throws UsageError when an option is unknown.
 */
export function settingsFrom(args: readonly string[]): Settings | 'help' {
  const { json, quick, help } = parse(args);
  if (help) return 'help';
  return { quick, json, seed: SEED, ...(quick ? QUICK : FULL) };
}

function parse(args: readonly string[]): { json: boolean; quick: boolean; help: boolean } {
  const flag = { type: 'boolean', default: false } as const;
  try {
    return parseArgs({ args: [...args], options: { json: flag, quick: flag, help: flag } }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
