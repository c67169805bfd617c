import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/**
 * Breaks the code on purpose, one defect at a time, in a copy outside the tree, and looks whether a test notices.
 *
 *     node scripts/mutants/run.ts [--tests=folder,folder] [part of a mutant's name ...]
 *
 * The defects are in the `.mutants` files beside this one: a name, what is wrong and which rule it violates, the
 * file, and the lines taken out (`-`) and put in (`+`). Exit code 1: a mutant survived; 2: the tests fail without any
 * mutant, or the lines of one no longer occur exactly once, so that nothing is proven.
 */
interface Mutant {
  readonly name: string;
  readonly why: string;
  readonly file: string;
  readonly search: string;
  readonly replacement: string;
}

/** What notices a mutant: the file of the first test that failed, or the time limit; undefined when nothing does. */
type Verdict = string | undefined;

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const COPIED = ['src', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
/** The cheapest first; a mutant that is caught is not brought before the next. */
const SUITES = [
  ['src/coordinator/protocol', 'test/golden'],
  ['src/coordinator/execution'],
  ['src/coordinator'],
  ['test/faults'],
  ['test/properties'],
];
/** A defect may make the code run round for ever. */
const SUITE_LIMIT_MS = 180_000;

const { positionals: wanted, values: options } = parseArgs({
  allowPositionals: true,
  options: { tests: { type: 'string' } },
});

async function readMutants(): Promise<Mutant[]> {
  const folder = fileURLToPath(new URL('./', import.meta.url));
  const files = (await readdir(folder)).filter((name) => name.endsWith('.mutants')).toSorted();
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
  return texts.flatMap((text) => text.trim().split(/\n{2,}/)).map(parseMutant);
}

function parseMutant(text: string): Mutant {
  const [name, why, file, ...change] = text.split('\n');
  const side = (sign: string): string =>
    change
      .filter((line) => line.startsWith(sign))
      .map((line) => line.slice(2))
      .join('\n');
  return { name: name!, why: why!.trim(), file: file!.trim(), search: side('-'), replacement: side('+') };
}

/** @returns the text with the defect in it. */
function mutate(source: string, { name, file, search, replacement }: Mutant): string {
  const [before, after, ...more] = source.split(search);
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`The lines of the mutant ${name} no longer occur exactly once in ${file}.`);
  }
  return before + replacement + after;
}

/** Makes the copy that is broken; its packages are those of the tree. */
async function makeCopy(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'mutants-'));
  for (const name of COPIED) await cp(join(ROOT, name), join(copy, name), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

async function judge(copy: string): Promise<Verdict> {
  for (const [index, suite] of SUITES.entries()) {
    const paths = suite.filter((path) => isWanted(path) && existsSync(join(copy, path)));
    if (paths.length === 0) continue;
    const seen = SUITES.slice(0, index).flat();
    const verdict = await runTests(copy, paths, seen);
    if (verdict !== undefined) return verdict;
  }
  return undefined;
}

function isWanted(path: string): boolean {
  return options.tests === undefined || options.tests.split(',').includes(path);
}

/** Runs some of the copy's tests up to the first failure. */
async function runTests(copy: string, paths: readonly string[], seen: readonly string[]): Promise<Verdict> {
  const report = join(copy, 'report.json');
  await rm(report, { force: true });
  const excluded = seen.map((path) => `--exclude=${path}/**`);
  const output = [
    '--reporter=json',
    `--outputFile=${report}`,
    '--bail=1',
    '--passWithNoTests',
    '--cache=false',
    '--fsModuleCache=false',
  ];
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const end = await runToEnd(copy, [vitest, 'run', ...paths, ...excluded, ...output]);
  if (end === 0) return undefined;
  if (end === 'time limit') return end;
  return (await firstFailure(copy, report)) ?? 'an error outside the tests';
}

/** @returns the exit code of a node process of its own, which is ended when it takes too long. */
function runToEnd(cwd: string, args: readonly string[]): Promise<number | 'time limit'> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd, stdio: 'ignore', detached: true });
    running = child.pid;
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      endRunning();
    }, SUITE_LIMIT_MS);
    child.on('close', (code) => {
      clearTimeout(limit);
      running = undefined;
      if (interrupted) return;
      resolve(late ? 'time limit' : (code ?? 1));
    });
  });
}

/** The process group under way: vitest and its workers. */
let running: number | undefined;
let interrupted = false;

function endRunning(): void {
  if (running !== undefined) process.kill(-running, 'SIGKILL');
}

async function firstFailure(copy: string, report: string): Promise<Verdict> {
  if (!existsSync(report)) return undefined;
  const { testResults } = JSON.parse(await readFile(report, 'utf8')) as {
    testResults: { name: string; message: string; assertionResults: { status: string }[] }[];
  };
  // A file that was cut short after the first failure elsewhere is no witness, though it counts as failed.
  const witness = testResults.find(
    ({ message, assertionResults }) =>
      assertionResults.some(({ status }) => status === 'failed') ||
      (assertionResults.length === 0 && message !== ''),
  );
  return witness && relative(copy, witness.name);
}

async function main(copy: string, mutants: readonly Mutant[]): Promise<number> {
  const sources = new Map<string, string>();
  for (const mutant of mutants) {
    const source = sources.get(mutant.file) ?? (await readFile(join(copy, mutant.file), 'utf8'));
    sources.set(mutant.file, source);
    mutate(source, mutant);
  }
  const failing = await judge(copy);
  if (failing !== undefined) throw new Error(`The tests fail without any mutant: ${failing}.`);

  const survivors: Mutant[] = [];
  for (const mutant of mutants) {
    const { name, file } = mutant;
    const source = sources.get(file)!;
    await writeFile(join(copy, file), mutate(source, mutant));
    const verdict = await judge(copy);
    await writeFile(join(copy, file), source);
    if (verdict === undefined) survivors.push(mutant);
    console.log(`${name.padEnd(40)} ${verdict === undefined ? 'SURVIVED' : `killed by ${verdict}`}`);
  }
  console.log(`\n${mutants.length - survivors.length} of ${mutants.length} mutants killed`);
  for (const { name, why, file } of survivors) console.log(`${name} survives in ${file}: ${why}`);
  return survivors.length === 0 ? 0 : 1;
}

const all = await readMutants();
const chosen = all.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
const copy = await makeCopy();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    interrupted = true;
    endRunning();
    void rm(copy, { recursive: true, force: true }).then(() => process.exit(130));
  });
}
try {
  process.exitCode = await main(copy, chosen);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
} finally {
  await rm(copy, { recursive: true, force: true });
}
