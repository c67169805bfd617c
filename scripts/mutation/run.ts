import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/**
 * Lets Stryker mutate the coordinator, and holds its survivors against the reasons in survivors.txt.
 *
 *     node scripts/mutation/run.ts [--report] [--incremental] [--write]
 *
 * `--report` judges the last report again without a new run; `--incremental` keeps the verdicts of the last run on code
 * and tests that have not changed; `--write` puts counts and survivors into docs/mutation-testing.md. Exit code 1: the
 * score is too low, a survivor has no reason, or a reason no survivor; 2: Stryker did not come to its end.
 */
const LEAST_SCORE = 85;
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const REPORT = join(ROOT, 'build/mutation/report.json');
const REASONS = fileURLToPath(new URL('survivors.txt', import.meta.url));
const DOCUMENT = join(ROOT, 'docs/mutation-testing.md');

/** A mutant is told from others by what it changes. Its line is not part of that: lines move. */
interface Change {
  readonly file: string;
  /** The source lines it touches, as one line. */
  readonly before: string;
  /** The same with the defect in them. */
  readonly after: string;
}

interface Mutant extends Change {
  readonly status: Status;
  readonly line: number;
}

type Status = 'Killed' | 'Timeout' | 'Survived' | 'NoCoverage' | 'Ignored' | 'RuntimeError' | 'CompileError';

/** Why some mutants may live. */
interface Reason {
  readonly why: string;
  readonly covers: readonly Change[];
}

/** The part of the mutation testing report schema that is read here. */
interface Report {
  readonly files: Record<string, { readonly source: string; readonly mutants: readonly ReportedMutant[] }>;
}

interface ReportedMutant {
  readonly status: Status;
  readonly replacement?: string;
  readonly location: Record<'start' | 'end', { readonly line: number; readonly column: number }>;
}

const { values: options } = parseArgs({
  options: {
    report: { type: 'boolean', default: false },
    incremental: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

/** @returns whether Stryker came to its end; what it found is in the report. */
function runStryker(): boolean {
  const stryker = join(ROOT, 'node_modules/@stryker-mutator/core/bin/stryker.js');
  const args = [stryker, 'run', ...(options.incremental ? [] : ['--force'])];
  return spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' }).status === 0;
}

function readMutants(): Mutant[] {
  const { files } = JSON.parse(readFileSync(REPORT, 'utf8')) as Report;
  return Object.entries(files).flatMap(([file, { source, mutants }]) => {
    const lines = source.split('\n');
    return mutants.map(({ status, replacement = '', location: { start, end } }) => {
      const head = lines[start.line - 1]!.slice(0, start.column - 1);
      const tail = lines[end.line - 1]!.slice(end.column - 1);
      const before = oneLine(lines.slice(start.line - 1, end.line).join(' '));
      return { file, before, after: oneLine(head + replacement + tail), status, line: start.line };
    });
  });
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

/**
 * Reads paragraphs of a reason, a file, and a line taken out (`-`) and put in (`+`); the last three may
 * repeat.
 */
function readReasons(): Reason[] {
  const paragraphs = readFileSync(REASONS, 'utf8')
    .trim()
    .split(/\n{2,}/);
  return paragraphs.filter((paragraph) => paragraph !== '').map(parseReason);
}

function parseReason(paragraph: string): Reason {
  const lines = paragraph.split('\n');
  const from = lines.findIndex((line) => line.startsWith('src/'));
  if (from < 1) throw new Error(`A reason must be given, and after it a file:\n${paragraph}`);
  const covers: Change[] = [];
  for (let at = from; at < lines.length; at += 3) {
    const [file, before, after] = lines.slice(at, at + 3);
    if (!file?.startsWith('src/') || !before?.startsWith('-') || !after?.startsWith('+')) {
      throw new Error(`A file, "-" with a line and "+" with a line must follow one another:\n${paragraph}`);
    }
    covers.push({ file: file.trim(), before: before.slice(1).trim(), after: after.slice(1).trim() });
  }
  return { why: lines.slice(0, from).join(' '), covers };
}

function isSame(a: Change, b: Change): boolean {
  return a.file === b.file && a.before === b.before && a.after === b.after;
}

function isSurvivor({ status }: Mutant): boolean {
  return status === 'Survived' || status === 'NoCoverage';
}

/**
 * One that ran out of time is noticed; but on a busy machine that may happen to any, so its reason may stay.
 */
function mayLive(mutant: Mutant): boolean {
  return isSurvivor(mutant) || mutant.status === 'Timeout';
}

function count(mutants: readonly Mutant[], ...wanted: Status[]): number {
  return mutants.filter(({ status }) => wanted.includes(status)).length;
}

/** @returns how many of a hundred mutants were noticed. */
function scoreOf(mutants: readonly Mutant[]): number {
  const noticed = count(mutants, 'Killed', 'Timeout');
  const all = noticed + count(mutants, 'Survived', 'NoCoverage');
  return all === 0 ? 100 : (noticed / all) * 100;
}

function scoreTable(mutants: readonly Mutant[]): string[] {
  const folders = [...Map.groupBy(mutants, ({ file }) => dirname(file))].toSorted(([a], [b]) =>
    a < b ? -1 : 1,
  );
  const row = (name: string, of: readonly Mutant[]): string =>
    `| ${[
      name,
      count(of, 'Killed'),
      count(of, 'Timeout'),
      count(of, 'Survived', 'NoCoverage'),
      `${scoreOf(of).toFixed(1)} %`,
      count(of, 'Ignored'),
    ].join(' | ')} |`;
  return [
    '| folder | killed | out of time | survived | score | left alone |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...folders.map(([folder, of]) => row(`\`${folder}\``, of)),
    row('all', mutants),
  ];
}

function survivorList(survivors: readonly Mutant[], reasons: readonly Reason[]): string[] {
  return reasons.flatMap(({ why, covers }) => {
    const found = survivors.filter((mutant) => covers.some((change) => isSame(change, mutant)));
    const shown = found.flatMap(({ file, line, before, after }) => [
      `# ${file}:${line}`,
      `- ${before}`,
      `+ ${after}`,
    ]);
    return found.length === 0 ? [] : [why, '', '```diff', ...shown, '```', ''];
  });
}

/** Puts what was found between the markers of the document. */
function writeDocument(mutants: readonly Mutant[], reasons: readonly Reason[]): void {
  const git = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' });
  const made = `Counted on ${new Date().toISOString().slice(0, 10)}, commit ${git.stdout.trim()}.`;
  const begin = '<!-- survivors: made from the report -->';
  const end = '<!-- /survivors -->';
  const text = readFileSync(DOCUMENT, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${DOCUMENT} lacks the markers ${begin} and ${end}.`);
  const list = survivorList(mutants.filter(isSurvivor), reasons);
  const lines = [begin, '', made, '', ...scoreTable(mutants), '', '## The survivors', '', ...list];
  writeFileSync(DOCUMENT, `${text.slice(0, from)}${lines.join('\n')}${text.slice(to)}`);
}

function show(headline: string, { file, before, after }: Change): void {
  console.log(`\n${headline}\n${file}\n- ${before}\n+ ${after}`);
}

function main(): number {
  if (!options.report && !runStryker()) return 2;
  const mutants = readMutants();
  const reasons = readReasons();
  const changes = reasons.flatMap(({ covers }) => covers);
  const survivors = mutants.filter(isSurvivor);
  const unexplained = survivors.filter((mutant) => !changes.some((change) => isSame(change, mutant)));
  const idle = changes.filter(
    (change) => !mutants.some((mutant) => isSame(change, mutant) && mayLive(mutant)),
  );

  for (const mutant of unexplained) show(`Survives without a reason, in line ${mutant.line}:`, mutant);
  for (const change of idle) show('Does not survive, so it needs no reason:', change);
  console.log(`\n${scoreTable(mutants).join('\n')}\n`);
  if (options.write) writeDocument(mutants, reasons);

  const noticed = count(mutants, 'Killed', 'Timeout');
  const score = scoreOf(mutants);
  console.log(
    `${noticed} of ${noticed + survivors.length} mutants noticed: ${score.toFixed(1)} % of at least ${LEAST_SCORE} %; ` +
      `${unexplained.length} survivors without a reason, ${idle.length} reasons without a survivor`,
  );
  return score >= LEAST_SCORE && unexplained.length === 0 && idle.length === 0 ? 0 : 1;
}

try {
  process.exitCode = main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
}
