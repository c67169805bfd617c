import { basename, dirname, join } from 'node:path';
import { type Report, tableOf } from '../report.js';
import { PARTS, type Part } from '../settings.js';
import { NOT_ASKED, commandFor } from './baseline.js';
import { barChart } from './chart.js';
import { type Figure, figuresOf } from './figures.js';

/** If the load was higher than this, other work has taken processor time from the measurements. */
const QUIET_LOAD = 0.5;

const TITLES: Readonly<Record<Part, string>> = {
  memory: 'In memory',
  durable: 'Decisions on disk',
  remote: 'Participants in other processes',
  postgres: 'Three PostgreSQL databases',
  cluster: 'Several members over one log',
  overload: 'More load than there is capacity for',
};

/** A warning to the reader about the figures of a part. */
const CAVEATS: Readonly<Record<Part, string>> = {
  memory:
    'The participants do nothing, so that the coordinator is all that is measured. With real participants it is a small part of the time.',
  durable: 'The figures depend on how long the disk takes to flush, which the output below names.',
  remote:
    'Services and callers share one machine, and no network lies between them. The floor checks nothing, records nothing and repeats nothing.',
  postgres:
    'All databases are on one server and one machine with the callers. The contenders do not promise the same: three plain transactions are not atomic together, and durable steps roll nothing back. The output below says what each one guarantees.',
  cluster: 'The members and the server of the log share one machine.',
  overload:
    'The callers run in the process of the coordinator, on the same cores as the databases. Refused callers do not come back.',
};

/** A file that belongs to a page, with its path. */
export interface PageFile {
  readonly path: string;
  readonly content: string;
}

/**
 * Makes a page from a run, so that every figure on it comes from a command.
 *
 * @param path the path of the page. Its charts are in the folder `images` beside it.
 * @returns the page in Markdown, which is not formatted yet, and its charts.
 */
export function pageOf(report: Report, path: string): { page: PageFile; charts: PageFile[] } {
  const figures = figuresOf(report);
  const parts = PARTS.filter((part) => figures.some((figure) => figure.part === part));
  const name = basename(path, '.md');
  const charts = parts.map((part) => ({ part, file: `${name}-${part}.svg` }));
  const sections = charts.map(({ part, file }) => sectionOf(report, part, figures, `images/${file}`));
  const content = [headOf(report, path), ...sections].join('\n\n');
  return {
    page: { path, content: `${content}\n` },
    charts: charts.map(({ part, file }) => ({
      path: join(dirname(path), 'images', file),
      content: chartOf(part, figures),
    })),
  };
}

function headOf(report: Report, path: string): string {
  const { machine, commit, measuredAt, quick, notMeasured } = report;
  const [load] = machine.loadAverage;
  const caveats = [
    ...(quick
      ? ['**This was a quick run: its figures are rough.** A full run takes more and longer samples.']
      : []),
    ...((load ?? 0) > QUIET_LOAD
      ? [`**The machine had other work (load ${load}).** Do not rely on these figures.`]
      : []),
    'Absolute figures differ between machines and between hours. Compare ratios: both sides of a ratio ran in turns, in one run.',
    'A ratio is the median of the ratios of the rounds. So it is not the ratio of the two medians.',
    ...Object.entries(notMeasured)
      .filter(([, reason]) => reason !== NOT_ASKED)
      .map(([part, reason]) => `Not measured: \`${part}\`, ${reason}.`),
  ];
  return [
    '# Results of the benchmark',
    `<!-- Made by npm run bench -- --page ${path}. Change bench/results/page.ts, not this page. -->`,
    'A command has written this page from one run. [The benchmark](../bench/README.md) explains what is measured, and each field.',
    [
      '| | |',
      '| --- | --- |',
      `| command | \`${commandFor(report)}\` |`,
      `| commit | \`${commit ?? 'unknown'}\` |`,
      `| measured at | ${measuredAt} |`,
      `| machine | ${machine.cpu}, ${machine.cores} cores, ${machine.platform} |`,
      `| Node | ${machine.node} |`,
      `| load before the run, over 1, 5 and 15 minutes | ${machine.loadAverage.join(', ')} |`,
    ].join('\n'),
    'Before you rely on a figure:',
    caveats.map((caveat) => `- ${caveat}`).join('\n'),
    'In the charts, the dashed line is at 1, and a red mark is a target of the project.',
  ].join('\n\n');
}

function sectionOf(report: Report, part: Part, figures: readonly Figure[], image: string): string {
  const rows = figures
    .filter((figure) => figure.part === part)
    .map(
      (figure) =>
        `| ${figure.title} | ${figure.value} | ${targetOf(figure)} | ${wordOn(figure)} | \`${figure.key}\` |`,
    );
  return [
    `## ${TITLES[part]}`,
    CAVEATS[part],
    `![${TITLES[part]}: the figures of the table below as bars](${image})`,
    ['| figure | this run | target | | name |', '| --- | --- | --- | --- | --- |', ...rows].join('\n'),
    `\`\`\`text\n${outputOf(report, part)}\n\`\`\``,
  ].join('\n\n');
}

function targetOf({ target, better }: Figure): string {
  if (target === undefined) return '';
  return `${better === 'higher' ? 'at least' : 'at most'} ${target}`;
}

function wordOn({ value, target, better }: Figure): string {
  if (target === undefined) return '';
  return (better === 'higher' ? value >= target : value <= target) ? 'met' : 'not met';
}

function chartOf(part: Part, figures: readonly Figure[]): string {
  const bars = figures
    .filter((figure) => figure.part === part)
    .map(({ title, value, target }) => ({ label: title, value, target }));
  return barChart(TITLES[part], 'Dashed: 1. Red: the target, where there is one.', bars);
}

/** The output of the benchmark for one part, without the line about the machine. */
function outputOf(report: Report, part: Part): string {
  const [, ...sections] = tableOf(onlyPart(report, part)).split('\n\n');
  return sections.join('\n\n').trimEnd();
}

/** The report with one part, for its table. */
function onlyPart(report: Report, part: Part): Report {
  const nothing = {
    inMemory: null,
    retained: null,
    latency: null,
    durable: null,
    remote: null,
    postgres: null,
    cluster: null,
    overload: null,
    notMeasured: {},
  };
  const { inMemory, retained, latency } = report;
  const kept = part === 'memory' ? { inMemory, retained, latency } : { [part]: report[part] };
  return { ...report, ...nothing, ...kept };
}
