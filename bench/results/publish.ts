import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { format, resolveConfig } from 'prettier';
import type { Report } from '../report.js';
import type { Settings } from '../settings.js';
import { BaselineError, baselineFrom, readBaseline, writeBaseline } from './baseline.js';
import { compare, comparisonTable } from './compare.js';
import { pageOf } from './page.js';

/**
 * @returns the report that `--json` has printed into a file.
 * @throws BaselineError when the file has no report, or one of an earlier version.
 */
export async function readReport(path: string): Promise<Report> {
  try {
    const report = JSON.parse(await readFile(path, 'utf8')) as Partial<Report>;
    if (typeof report.measuredAt !== 'string') throw new TypeError('it does not say when it was measured');
    return report as Report;
  } catch (error) {
    throw new BaselineError(
      `${path} is not the report of a run (${(error as Error).message}). Write it with npm run -s bench -- --json > ${path}`,
      { cause: error },
    );
  }
}

/**
 * Writes the page of a run, compares the run with the baseline, and replaces the baseline, as the options
 * ask.
 *
 * @returns whether nothing got worse.
 * @throws BaselineError when the baseline cannot be read, or the run cannot become one.
 */
export async function publish(
  report: Report,
  { page, compare: compares, updateBaseline, json }: Settings,
): Promise<boolean> {
  if (page !== undefined) await writePage(report, page);
  if (!compares && !updateBaseline) return true;
  const baseline = await readBaseline();
  if (compares) {
    const comparison = compare(report, baseline);
    // With `--json`, the standard output has nothing but the JSON.
    (json ? process.stderr : process.stdout).write(`\n${comparisonTable(comparison)}`);
    if (comparison.failures.length > 0) return false;
  }
  if (updateBaseline) await writeBaseline(baselineFrom(report, baseline));
  return true;
}

async function writePage(report: Report, path: string): Promise<void> {
  const { page, charts } = pageOf(report, path);
  await mkdir(dirname(charts[0]?.path ?? path), { recursive: true });
  await writeFile(path, await format(page.content, { ...(await resolveConfig(path)), parser: 'markdown' }));
  for (const chart of charts) await writeFile(chart.path, chart.content);
}
