import { parseArgs } from 'node:util';
import { BrokenCopy } from './broken-copy.ts';
import { type Mutant, readMutants } from './mutants.ts';
import { sample } from './sample.ts';
import { type Suite, amongWanted, suitesFor } from './suites.ts';

/**
 * Breaks the code on purpose, one defect at a time, in a copy outside the tree, and looks whether a test notices.
 *
 *     npm run test:mutants -- [--tests=folder,folder] [--sample 8 [--seed 1]] [part of a name, or a list ...]
 *
 * A list is the name of a `.mutants` file: `rest-at`.
 *
 * Exit code 1: a mutant survived; 2: a test that has noticed one fails without any, the lines of one no longer occur
 * exactly once, or no test was run for one, so that nothing is proven.
 */

const { positionals: wanted, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    tests: { type: 'string' },
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
});

/** The paths of `--tests`; undefined for all tests. */
const wantedTests = options.tests
  ?.split(',')
  .map((path) => path.replace(/^\.\//, '').replace(/\/+$/, ''))
  .filter((path) => path !== '');

/** How a mutant was noticed. */
interface Death {
  readonly verdict: string;
  /** The tests that must pass without it: else the verdict is none. */
  readonly witnesses: Suite;
}

/**
 * @returns how the mutant was noticed; undefined when it has survived all suites.
 * @throws Error when no test was run.
 */
async function judge(copy: BrokenCopy, mutant: Mutant): Promise<Death | undefined> {
  const seen: string[] = [];
  const before = copy.testsRun;
  // Tests that are wanted and in no suite come last.
  for (const suite of [...suitesFor(mutant, copy.path), wantedTests ?? []]) {
    const among = wantedTests === undefined ? suite : amongWanted(suite, wantedTests);
    const paths = among.filter((path) => copy.has(path) && !seen.includes(path));
    if (paths.length === 0) continue;
    const verdict = await copy.test([...paths, ...seen.map(exclusionOf)]);
    if (verdict !== undefined) return { verdict, witnesses: copy.has(verdict) ? [verdict] : paths };
    seen.push(...paths);
  }
  if (copy.testsRun === before) throw new Error(`No test was run for ${mutant.name}: nothing is proven.`);
  return undefined;
}

function exclusionOf(path: string): string {
  return `--exclude=${path.endsWith('.ts') ? path : `${path}/**`}`;
}

function wholeNumber(option: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new Error(`--${option} must be a whole number from 1 on`);
}

async function main(copy: BrokenCopy, mutants: readonly Mutant[]): Promise<number> {
  await copy.check(mutants);
  const missing = wantedTests?.filter((path) => !copy.has(path)) ?? [];
  if (missing.length > 0) throw new Error(`There is no test at ${missing.join(', ')}: see --tests.`);
  const survivors: Mutant[] = [];
  const witnesses = new Set<string>();
  for (const mutant of mutants) {
    const since = performance.now();
    const death = await copy.with(mutant, () => judge(copy, mutant));
    const seconds = Math.round((performance.now() - since) / 1_000);
    if (death === undefined) survivors.push(mutant);
    else for (const path of death.witnesses) witnesses.add(path);
    const told = death === undefined ? 'SURVIVED' : `killed by ${death.verdict}`;
    console.log(`${mutant.name.padEnd(40)} ${told}, ${seconds} s`);
  }
  await requireSound(copy, [...witnesses]);
  for (const { name, why, file } of survivors) console.log(`${name} survives in ${file}: ${why}`);
  console.log(`\n${mutants.length - survivors.length} of ${mutants.length} mutants killed`);
  return survivors.length === 0 ? 0 : 1;
}

/**
 * What has noticed a mutant says something only if it finds nothing without one. Tests that have noticed none
 * need not be tried: a mutant that passes them has survived.
 *
 * @throws Error when a test fails in the sound code.
 */
async function requireSound(copy: BrokenCopy, witnesses: Suite): Promise<void> {
  if (witnesses.length === 0) return;
  const failing = await copy.test(witnesses);
  if (failing === undefined) return;
  const failure = (await copy.lastFailure()) ?? 'No test has reported why.';
  throw new Error(`The tests fail without any mutant: ${failing}.\n${failure}`);
}

const all = await readMutants();
const named = all.filter(
  ({ name, list }) => wanted.length === 0 || wanted.some((part) => name.includes(part) || part === list),
);
const chosen =
  options.sample === undefined
    ? named
    : sample(named, wholeNumber('sample', options.sample), wholeNumber('seed', options.seed));
if (options.sample !== undefined)
  console.log(`${chosen.length} of ${all.length} mutants, seed ${options.seed}`);
const copy = await BrokenCopy.make();
try {
  if (chosen.length === 0)
    throw new Error(
      `No mutant and no list has the name ${wanted.join(', ')}: see the .mutants files in scripts/mutants.`,
    );
  process.exitCode = await main(copy, chosen);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
} finally {
  await copy.remove();
}
