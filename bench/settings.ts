import { parseArgs } from 'node:util';
import type { TakeoverSettings } from './cluster/takeover.js';
import type { RoundSettings } from './framework/interleaved.js';

/** The parts that can be measured alone. */
export const PARTS = ['memory', 'durable', 'remote', 'postgres', 'cluster', 'overload'] as const;
export type Part = (typeof PARTS)[number];

/** How long and how often the benchmark measures without a log and without a database. */
export interface MemorySettings extends RoundSettings {
  readonly memorySamples: number;
  readonly latencyRounds: number;
  /** How long transactions arrive in one round of the latency measurement, in milliseconds. */
  readonly latencySliceMs: number;
  readonly refusals: number;
  readonly hungRounds: number;
  readonly hungSliceMs: number;
  /** How long one contender runs at a time while it is profiled, in milliseconds. */
  readonly profileMs: number;
}

/** How long and how often the benchmark measures over the network. */
export interface RemoteSettings extends RoundSettings {
  /**
   * How long each contender runs before the first level, with many transactions in flight, in milliseconds.
   */
  readonly compileMs: number;
  /** How long with one in flight, when every call is a message of its own, in milliseconds. */
  readonly compileAloneMs: number;
  /** How often latencies are measured at one level. */
  readonly pacedRounds: number;
  /** How long transactions arrive in one such round, in milliseconds. */
  readonly pacedMs: number;
}

/** How long and how often the benchmark measures over databases. */
export interface PostgresSettings extends RoundSettings {
  /** How long each contender runs before the first level, in milliseconds. */
  readonly compileMs: number;
}

/**
 * How long transactions arrive, and how often at each load. The warm-up is the same at each load, and longer
 * than a prepare may hang.
 */
export interface OverloadSettings extends RoundSettings {
  /** How long transactions run before the first round, in milliseconds. */
  readonly compileMs: number;
}

/** How long and how often the benchmark measures. */
export interface Settings {
  readonly quick: boolean;
  readonly json: boolean;
  /** Whether to show where the time and the bytes of a transaction go, instead of measuring. */
  readonly profile: boolean;
  /** The file with the JSON of an earlier run, which is used in place of a measurement. */
  readonly from?: string;
  /** Whether to compare the run with the committed baseline. */
  readonly compare: boolean;
  /** Whether to write the figures of the run into the baseline. */
  readonly updateBaseline: boolean;
  /** Where to write a page of the results, with its charts beside it. */
  readonly page?: string;
  readonly parts: ReadonlySet<Part>;
  readonly memory: MemorySettings;
  readonly durable: RoundSettings;
  readonly remote: RemoteSettings;
  readonly postgres: PostgresSettings;
  readonly cluster: RoundSettings & TakeoverSettings;
  readonly overload: OverloadSettings;
  readonly seed: number;
}

const FULL = {
  memory: {
    rounds: 21,
    sliceMs: 60,
    warmUpMs: 1_000,
    memorySamples: 15,
    latencyRounds: 4,
    latencySliceMs: 1_500,
    refusals: 9,
    hungRounds: 5,
    hungSliceMs: 1_000,
    profileMs: 2_000,
  },
  durable: { rounds: 15, sliceMs: 200, warmUpMs: 1_000 },
  remote: {
    rounds: 7,
    sliceMs: 250,
    warmUpMs: 500,
    compileMs: 2_500,
    compileAloneMs: 12_000,
    pacedRounds: 9,
    pacedMs: 1_000,
  },
  postgres: { rounds: 7, sliceMs: 600, warmUpMs: 1_000, compileMs: 4_000 },
  cluster: {
    rounds: 9,
    sliceMs: 400,
    warmUpMs: 1_500,
    leaseMs: 5_000,
    takeovers: 5,
    compileMs: 6_000,
    windowMs: 7_000,
  },
  overload: { rounds: 5, compileMs: 4_000, warmUpMs: 2_500, sliceMs: 2_500 },
};

const QUICK = {
  memory: {
    rounds: 3,
    sliceMs: 20,
    warmUpMs: 200,
    memorySamples: 3,
    latencyRounds: 1,
    latencySliceMs: 400,
    refusals: 3,
    hungRounds: 1,
    hungSliceMs: 600,
    profileMs: 500,
  },
  durable: { rounds: 3, sliceMs: 100, warmUpMs: 300 },
  remote: {
    rounds: 3,
    sliceMs: 150,
    warmUpMs: 200,
    compileMs: 1_000,
    compileAloneMs: 1_000,
    pacedRounds: 3,
    pacedMs: 150,
  },
  postgres: { rounds: 2, sliceMs: 100, warmUpMs: 100, compileMs: 300 },
  cluster: {
    rounds: 3,
    sliceMs: 150,
    warmUpMs: 500,
    leaseMs: 5_000,
    takeovers: 1,
    compileMs: 3_000,
    windowMs: 4_000,
  },
  overload: { rounds: 3, compileMs: 2_000, warmUpMs: 2_500, sliceMs: 1_000 },
};

const SEED = 20_260_101;

export const USAGE = `Usage: npm run bench -- [options]

Measures the coordinator against the least that any caller of three services must do, with decisions in memory, with
decisions on disk, with participants in other processes, and over three PostgreSQL databases; against others that do a
similar thing; with several members over one log, of which one is killed; and under more load than there is room for. It
takes about twelve minutes; the machine should have nothing else to do.

  --only <part>  measure one part: ${PARTS.join(', ')}; may be given more than once
  --json         print one JSON object and nothing else
  --quick        about a minute; the figures are rough
  --compare      compare the ratios with those of bench/baseline.json, and end with 1 if one got worse
  --page <file>  write a page of the results in Markdown, and its charts into the folder images beside it
  --update-baseline
                 write the ratios into bench/baseline.json, unless --compare finds that one got worse
  --from <file>  measure nothing: read what --json has printed
  --profile      with --only memory: where the time and the bytes of a transaction go, step by step, and nothing else
  --help         print this

It ends with 1 when a transaction was not committed as it should be or a ratio got worse, and with 2 when an option is
unknown.
`;

/** The command line cannot be understood. */
export class UsageError extends Error {}

/**
 * @param args the arguments after the name of the program.
 * @returns the settings, or 'help' when help is asked for.
 * @throws UsageError when an option is unknown.
 */
export function settingsFrom(args: readonly string[]): Settings | 'help' {
  const { help, only, ...given } = parse(args);
  if (help) return 'help';
  const { json, quick, profile, from, compare, 'update-baseline': updateBaseline, page } = given;
  const publishes = compare || updateBaseline || page !== undefined;
  if (profile && (json || publishes || from !== undefined || only.length !== 1 || only[0] !== 'memory'))
    throw new UsageError('--profile is given together with --only memory, and with nothing else but --quick');
  if (from !== undefined && (quick || only.length > 0))
    throw new UsageError('--from reads a run that has ended: --quick and --only have no effect on it');
  return {
    quick,
    json,
    profile,
    compare,
    updateBaseline,
    ...(from === undefined ? {} : { from }),
    ...(page === undefined ? {} : { page: pageAt(page) }),
    parts: partsFrom(only),
    seed: SEED,
    ...(quick ? QUICK : FULL),
  };
}

interface Given {
  json: boolean;
  quick: boolean;
  help: boolean;
  profile: boolean;
  compare: boolean;
  'update-baseline': boolean;
  only: string[];
  from?: string | undefined;
  page?: string | undefined;
}

function parse(args: readonly string[]): Given {
  const flag = { type: 'boolean', default: false } as const;
  const file = { type: 'string' } as const;
  const only = { type: 'string', multiple: true, default: [] as string[] } as const;
  try {
    const flags = {
      json: flag,
      quick: flag,
      help: flag,
      profile: flag,
      compare: flag,
      'update-baseline': flag,
    };
    return parseArgs({ args: [...args], options: { ...flags, only, from: file, page: file } }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function pageAt(page: string): string {
  if (!page.endsWith('.md'))
    throw new UsageError(`"${page}" is no page: --page takes a file that ends in .md`);
  return page;
}

function partsFrom(only: readonly string[]): ReadonlySet<Part> {
  const unknown = only.find((name) => !PARTS.some((part) => part === name));
  if (unknown !== undefined) throw new UsageError(`"${unknown}" is not a part: ${PARTS.join(', ')}`);
  return new Set(only.length === 0 ? PARTS : (only as Part[]));
}
