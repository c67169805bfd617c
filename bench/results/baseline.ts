import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { z } from 'zod';
import type { Report } from '../report.js';
import { PARTS, type Part } from '../settings.js';
import { figuresOf } from './figures.js';

/** The path of the committed baseline, from the root of the repository. */
export const BASELINE_FILE = 'bench/baseline.json';

/** Why a part was left out on purpose. */
export const NOT_ASKED = 'not asked for';

const machineSchema = z.strictObject({
  cpu: z.string(),
  cores: z.number().int(),
  node: z.string(),
  platform: z.string(),
  loadAverage: z.array(z.number()),
});

const partSchema = z.strictObject({
  /** The run that gave the figures: a command, or the place where they were published. */
  from: z.string(),
  commit: z.string(),
  measuredAt: z.iso.datetime(),
  machine: machineSchema,
  figures: z.record(z.string(), z.number()),
});

const baselineSchema = z.strictObject({
  format: z.literal(1),
  parts: z.partialRecord(z.enum(PARTS), partSchema),
});

/** The figures that a run is compared with. Each part has its own run, since each can be measured alone. */
export type Baseline = z.infer<typeof baselineSchema>;

/** A baseline or a run cannot be read, or this run cannot become a baseline. */
export class BaselineError extends Error {}

/** @throws BaselineError when it is damaged. */
export function parseBaseline(text: string): Baseline {
  try {
    return baselineSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new BaselineError(
      `${BASELINE_FILE} is not a baseline: ${(error as Error).message}\n` +
        'Take it from version control again, or write it with npm run bench -- --update-baseline',
      { cause: error },
    );
  }
}

/**
 * @param before its parts stay where the run has measured none.
 * @throws BaselineError for a quick run, or for a run of an unknown commit.
 */
export function baselineFrom(report: Report, before: Baseline): Baseline {
  const { quick, commit, measuredAt, machine } = report;
  if (quick) throw new BaselineError('A quick run is too rough for a baseline. Measure without --quick.');
  if (commit === null)
    throw new BaselineError('A baseline names its commit, and this run has none. Measure in a git checkout.');
  const parts: Baseline['parts'] = { ...before.parts };
  for (const { part, key, value } of figuresOf(report)) {
    if (parts[part] === before.parts[part])
      parts[part] = {
        from: commandFor(report),
        commit,
        measuredAt,
        machine: { ...machine, loadAverage: [...machine.loadAverage] },
        figures: {},
      };
    parts[part]!.figures[key] = value;
  }
  return { format: 1, parts };
}

/** @returns the command that measures the same parts in the same way. */
export function commandFor({ quick, notMeasured }: Report): string {
  const measured = PARTS.filter((part) => notMeasured[part] !== NOT_ASKED);
  const only = measured.length === PARTS.length ? [] : measured.map((part) => `--only ${part}`);
  const options = [...only, ...(quick ? ['--quick'] : [])];
  return ['npm run bench', ...(options.length > 0 ? ['--', ...options] : [])].join(' ');
}

export async function readBaseline(): Promise<Baseline> {
  return parseBaseline(await readFile(BASELINE_FILE, 'utf8'));
}

export async function writeBaseline(baseline: Baseline): Promise<void> {
  const options = { ...(await resolveConfig(BASELINE_FILE)), parser: 'json' };
  await writeFile(BASELINE_FILE, await format(JSON.stringify(baseline, null, 2), options));
}

/**
 * @returns the parts of a report that have figures, or a reason why they have none. Parts that were not asked
 * for are left out.
 */
export function askedParts({ notMeasured }: Report): Part[] {
  return PARTS.filter((part) => notMeasured[part] !== NOT_ASKED);
}
