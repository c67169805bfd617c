import { aligned } from '../framework/table.js';
import type { Report } from '../report.js';
import { type Baseline, askedParts } from './baseline.js';
import { type Figure, type Tolerance, figuresOf } from './figures.js';

/** The tolerance is multiplied by this for a quick run, whose figures are rough. */
const QUICK_TIMES = 3;

export interface Compared {
  readonly figure: Figure;
  readonly before: number;
  readonly verdict: 'worse' | 'same' | 'better';
}

/** The comparison of a run with the baseline. */
export interface Comparison {
  readonly compared: readonly Compared[];
  /** The figures that the baseline does not have yet. This is no failure. */
  readonly unknown: readonly Figure[];
  /** Keys of the baseline that this run should have measured. A quick run leaves some out. */
  readonly missing: readonly string[];
  /** Why the run fails, one sentence each; empty when it passes. */
  readonly failures: readonly string[];
}

/** Compares each figure of a run with the baseline. Only the parts that were asked for count. */
export function compare(report: Report, { parts }: Baseline): Comparison {
  const times = report.quick ? QUICK_TIMES : 1;
  const figures = figuresOf(report);
  const compared: Compared[] = [];
  const unknown: Figure[] = [];
  for (const figure of figures) {
    const before = parts[figure.part]?.figures[figure.key];
    if (before === undefined) unknown.push(figure);
    else compared.push({ figure, before, verdict: verdictOn(figure, before, times) });
  }
  const measured = new Set(figures.map(({ key }) => key));
  const missing = askedParts(report)
    .flatMap((part) => Object.keys(parts[part]?.figures ?? {}))
    .filter((key) => !measured.has(key));
  const failures = compared
    .filter(({ verdict }) => verdict === 'worse')
    .map((worse) => sentenceOn(worse, times));
  if (!report.quick) failures.push(...missing.map(missed));
  if (compared.length === 0) failures.push('No figure of this run is in the baseline: nothing was compared.');
  return { compared, unknown, missing, failures };
}

/** How far a figure may be from the earlier one, in the unit of the figure. */
export function marginOf(before: number, tolerance: Tolerance, times: number): number {
  return 'share' in tolerance ? before * tolerance.share * times : tolerance.absolute * times;
}

function verdictOn({ value, better, tolerance }: Figure, before: number, times: number): Compared['verdict'] {
  // A figure that is not a number, such as a ratio to a rate of 0, is always worse than a number.
  if (!Number.isFinite(value)) return 'worse';
  const margin = marginOf(before, tolerance, times);
  const gain = better === 'higher' ? value - before : before - value;
  if (gain < -margin) return 'worse';
  return gain > margin ? 'better' : 'same';
}

function sentenceOn({ figure: { key, title, value, tolerance }, before }: Compared, times: number): string {
  const allowed =
    'share' in tolerance ? `${Math.round(tolerance.share * times * 100)} %` : `${tolerance.absolute * times}`;
  return `${key} got worse: ${value}, and ${before} in the baseline (${allowed} is allowed): ${title}`;
}

function missed(key: string): string {
  return `${key} is in the baseline and was not measured. Install what it needs, or write a new baseline.`;
}

/** Formats the comparison for people. */
export function comparisonTable({ compared, unknown, missing, failures }: Comparison): string {
  const rows = compared.map(({ figure: { key, value }, before, verdict }) => [
    key,
    `${before}`,
    `${value}`,
    verdict,
  ]);
  const lines = [
    'Compared with the baseline',
    ...aligned([['', 'baseline', 'this run', ''], ...rows], [0, 3]),
    ...(unknown.length > 0 ? [`  Not in the baseline yet: ${unknown.map(({ key }) => key).join(', ')}`] : []),
    ...(missing.length > 0 ? [`  Not measured: ${missing.join(', ')}`] : []),
    ...failures,
    failures.length === 0 ? 'Nothing got worse' : `It does not pass: ${failures.length} of the figures above`,
  ];
  return `${lines.join('\n')}\n`;
}
