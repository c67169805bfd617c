import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Report } from '../../bench/report.js';
import {
  BASELINE_FILE,
  type Baseline,
  BaselineError,
  baselineFrom,
  commandFor,
  parseBaseline,
} from '../../bench/results/baseline.js';
import { barChart } from '../../bench/results/chart.js';
import { compare, comparisonTable } from '../../bench/results/compare.js';
import { figuresOf } from '../../bench/results/figures.js';
import { pageOf } from '../../bench/results/page.js';
import { readReport } from '../../bench/results/publish.js';
import { PARTS, UsageError, settingsFrom } from '../../bench/settings.js';

const NOTHING = {
  inMemory: null,
  retained: null,
  latency: null,
  durable: null,
  remote: null,
  postgres: null,
  cluster: null,
  overload: null,
};

/** A run of the part `durable`, with this ratio at 16 in flight. */
function runWith(ratio: number, more: Partial<Report> = {}): Report {
  const level = { inFlight: 1, bareLogTps: 1_000, tps: 900, ratio: 0.9, cpuRatio: 0.9 };
  return {
    ...NOTHING,
    durable: { flushMs: 0.2, levels: [level, { ...level, inFlight: 16, ratio }] },
    notMeasured: Object.fromEntries(
      PARTS.filter((part) => part !== 'durable').map((part) => [part, 'not asked for']),
    ),
    machine: { cpu: 'a CPU', cores: 2, node: 'v24.0.0', platform: 'linux-x64', loadAverage: [0.1, 0.2, 0.3] },
    commit: 'abc1234',
    measuredAt: '2026-11-29T10:00:00.000Z',
    quick: false,
    ...more,
  };
}

const EMPTY: Baseline = { format: 1, parts: {} };
const BASELINE = baselineFrom(runWith(1), EMPTY);

describe('A run of the benchmark against the baseline', () => {
  it('passes when nothing is worse than its tolerance allows', () => {
    const { failures, compared } = compare(runWith(0.9), BASELINE);
    expect(failures).toEqual([]);
    expect(compared.map(({ verdict }) => verdict)).toEqual(['same', 'same']);
  });

  it('names what got worse, and what is better', () => {
    const worse = compare(runWith(0.89), BASELINE);
    expect(worse.failures).toEqual([
      'durable.16.ratio got worse: 0.89, and 1 in the baseline (10 % is allowed): of the log alone, 16 in flight',
    ]);
    expect(comparisonTable(worse)).toContain('It does not pass');
    expect(compare(runWith(1.2), BASELINE).compared[1]!.verdict).toBe('better');
    expect(compare(runWith(Number.NaN), BASELINE).failures).toHaveLength(1);
  });

  it('takes more for worse where less is better', () => {
    const overheads = (kilobytes: number): Report =>
      runWith(1, {
        retained: { inFlight: 1, floor: 1, coordinator: kilobytes * 1_000, conventional: 1 },
        notMeasured: {},
      });
    const baseline = baselineFrom(overheads(1), EMPTY);
    expect(compare(overheads(1.04), baseline).failures.join()).toContain('memory.retained got worse');
    expect(compare(overheads(0.5), baseline).failures).toEqual([]);
  });

  it('fails when a figure of the baseline was not measured, and not when its part was not asked for', () => {
    const onlyOne = runWith(1);
    const { levels } = onlyOne.durable!;
    const less = { ...onlyOne, durable: { flushMs: 1, levels: levels.slice(1) } };
    expect(compare(less, BASELINE).failures).toEqual([expect.stringContaining('durable.1.ratio is in the')]);
    const withMemory: Baseline = {
      ...BASELINE,
      parts: { ...BASELINE.parts, memory: { ...BASELINE.parts.durable!, figures: { 'memory.1.ratio': 1 } } },
    };
    expect(compare(runWith(1), withMemory).failures).toEqual([]);
    const failed = runWith(1, { notMeasured: { memory: 'it could not start' } });
    expect(compare(failed, withMemory).failures).toEqual([expect.stringContaining('memory.1.ratio')]);
  });

  it('fails when nothing at all could be compared', () => {
    expect(compare(runWith(1), EMPTY).failures).toEqual([expect.stringContaining('nothing was compared')]);
  });

  it('allows a quick run three times the tolerance', () => {
    expect(compare(runWith(0.71, { quick: true }), BASELINE).failures).toEqual([]);
    expect(compare(runWith(0.69, { quick: true }), BASELINE).failures).toEqual([
      expect.stringContaining('(30 % is allowed)'),
    ]);
  });
});

describe('The baseline of the benchmark', () => {
  it('is committed, can be read, and names only figures that a run can have', () => {
    const { parts } = parseBaseline(readFileSync(BASELINE_FILE, 'utf8'));
    for (const [part, { figures }] of Object.entries(parts)) {
      for (const key of Object.keys(figures)) expect(key).toMatch(new RegExp(`^${part}\\.`));
    }
    expect(Object.keys(parts)).not.toEqual([]);
  });

  it('says of each part which run it is from, and keeps the parts that were not measured', () => {
    const before: Baseline = { format: 1, parts: { memory: BASELINE.parts.durable! } };
    const { durable, memory } = baselineFrom(runWith(0.8), before).parts;
    expect(durable).toMatchObject({
      from: 'npm run bench -- --only durable',
      commit: 'abc1234',
      machine: { cpu: 'a CPU' },
      figures: { 'durable.1.ratio': 0.9, 'durable.16.ratio': 0.8 },
    });
    expect(memory).toEqual(before.parts.memory);
  });

  it('drops the figures of an earlier run of the same part', () => {
    const part = { ...BASELINE.parts.durable!, figures: { 'durable.512.ratio': 1 } };
    const { durable } = baselineFrom(runWith(1), { format: 1, parts: { durable: part } }).parts;
    expect(durable!.figures).not.toHaveProperty('durable.512.ratio');
  });

  it('is not made from a quick run, or from one of no known commit', () => {
    expect(() => baselineFrom(runWith(1, { quick: true }), EMPTY)).toThrow(BaselineError);
    expect(() => baselineFrom(runWith(1, { commit: null }), EMPTY)).toThrow(BaselineError);
  });

  it('is refused when it is damaged', () => {
    expect(() => parseBaseline('{"format":2,"parts":{}}')).toThrow(/--update-baseline/);
    expect(() => parseBaseline('{')).toThrow(BaselineError);
  });
});

describe('A run that was written down', () => {
  it('is read again, and anything else is refused with the command that writes one', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'bench-run-')), 'run.json');
    writeFileSync(path, JSON.stringify(runWith(0.8)));
    expect(await readReport(path)).toEqual(runWith(0.8));
    for (const text of ['', '{"durable":null}']) {
      writeFileSync(path, text);
      await expect(readReport(path)).rejects.toThrow(/npm run -s bench -- --json > /);
    }
    rmSync(dirname(path), { recursive: true });
  });
});

describe('The page of results', () => {
  const { page, charts } = pageOf(runWith(0.8), 'docs/results.md');

  it('says with which command, where and when it was measured', () => {
    expect(page.content).toContain('`npm run bench -- --only durable`');
    expect(page.content).toContain('a CPU, 2 cores, linux-x64');
    expect(page.content).toContain('abc1234');
    expect(page.content).toContain('2026-11-29T10:00:00.000Z');
  });

  it('has each figure with its target, and a chart of each measured part', () => {
    expect(page.content).toContain('| 0.8 | at least 0.85 | not met | `durable.16.ratio` |');
    expect(page.content).toContain('| 0.9 | at least 0.85 | met | `durable.1.ratio` |');
    expect(page.content).toContain('(images/results-durable.svg)');
    expect(charts.map(({ path }) => path)).toEqual(['docs/images/results-durable.svg']);
    expect(page.content).not.toContain('## In memory');
    expect(page.content).not.toContain('Not measured');
    expect(page.content).toContain('```text\nDecisions on disk');
  });

  it('warns of a quick run, and of a machine with other work', () => {
    expect(page.content).not.toContain('**');
    const machine = { ...runWith(1).machine, loadAverage: [3.3, 0, 0] };
    const rough = pageOf(runWith(1, { quick: true, machine }), 'docs/results.md').page.content;
    expect(rough).toContain('its figures are rough');
    expect(rough).toContain('load 3.3');
    expect(commandFor(runWith(1, { quick: true }))).toBe('npm run bench -- --only durable --quick');
  });
});

describe('A chart of results', () => {
  const width = (svg: string): number => Number(/class="bar"[^>]* width="([\d.]+)"/.exec(svg)![1]);

  it('draws bars as long as their values, and a mark at the target', () => {
    const half = width(barChart('t', 'n', [{ label: 'a', value: 0.5 }]));
    expect(width(barChart('t', 'n', [{ label: 'a', value: 1 }]))).toBeCloseTo(2 * half);
    expect(barChart('t', 'n', [{ label: 'a', value: 1 }])).not.toContain('class="target"');
    expect(barChart('t', 'n', [{ label: 'a', value: 1, target: 1 }])).toContain('class="target"');
  });

  it('has room for the highest value, and writes no text as markup', () => {
    const svg = barChart('a < b & c', 'n', [{ label: '<i>', value: 7.47 }]);
    const [, total] = /viewBox="0 0 (\d+)/.exec(svg)!;
    expect(width(svg)).toBeGreaterThan(100);
    expect(width(svg)).toBeLessThan(Number(total));
    expect(svg).toContain('a &lt; b &amp; c');
    expect(svg).not.toContain('<i>');
  });
});

describe('The command line of the benchmark', () => {
  it('compares, publishes, and takes an earlier run', () => {
    expect(settingsFrom(['--compare', '--page', 'docs/results.md', '--from', 'run.json'])).toMatchObject({
      compare: true,
      updateBaseline: false,
      page: 'docs/results.md',
      from: 'run.json',
    });
  });

  it('refuses options that would have no effect', () => {
    for (const args of [
      ['--page', 'results.txt'],
      ['--from', 'run.json', '--quick'],
      ['--from', 'run.json', '--only', 'durable'],
      ['--only', 'memory', '--profile', '--compare'],
    ])
      expect(() => settingsFrom(args)).toThrow(UsageError);
  });
});

describe('Every part of a run', () => {
  it('has figures with names of its own', () => {
    const keys = figuresOf(runWith(1)).map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
