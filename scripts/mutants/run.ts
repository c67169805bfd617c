import { parseArgs } from 'node:util';
import { BrokenCopy, type Verdict } from './broken-copy.ts';
import { type Mutant, readMutants } from './mutants.ts';
import { sample } from './sample.ts';

/**
 * Breaks the code on purpose, one defect at a time, in a copy outside the tree, and looks whether a test notices.
 *
 *     npm run test:mutants -- [--tests=folder,folder] [--sample 8 [--seed 1]] [part of a name, or a list ...]
 *
 * A list is the name of a `.mutants` file: `rest-at`.
 *
 * Exit code 1: a mutant survived; 2: the tests fail without any mutant, or the lines of one no longer occur exactly
 * once, so that nothing is proven.
 */

/** The cheapest first; a mutant that is caught is not brought before the next. */
const SUITES = [
  ['src/coordinator/protocol', 'test/golden'],
  ['src/coordinator/execution'],
  ['src/coordinator'],
  ['src/outbox'],
  ['src/mariadb', 'src/operations', 'src/pino', 'src/postgres', 'src/sql', 'src/sqlite'],
  ['test/faults'],
  [
    'test/library/attributes.spec.ts',
    'test/library/events.spec.ts',
    'test/library/declarative.spec.ts',
    'test/library/declarative-keys.spec.ts',
    'test/library/group-tracing.spec.ts',
    'test/library/log-lines.spec.ts',
    'test/library/request-id.spec.ts',
    'test/library/tracing.spec.ts',
  ],
  ['src/remote', 'src/host', 'test/remote', 'test/hostile/participant.spec.ts'],
  ['src/microservices', 'test/transports'],
  ['src/client', 'test/client', 'test/server'],
  ['test/rest-at'],
  ['test/properties'],
  [
    'test/postgres/isolation.spec.ts',
    'test/postgres/failed-statements.spec.ts',
    'test/postgres/branch-session.spec.ts',
    'test/postgres/one-query.spec.ts',
    'test/postgres/groups.spec.ts',
    'test/postgres/group-ends.spec.ts',
    'test/postgres/session-answers.spec.ts',
    'test/postgres/claims-of-logs.spec.ts',
    'test/postgres/log',
    'test/postgres/outbox.spec.ts',
  ],
  ['test/mariadb'],
];

const { positionals: wanted, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    tests: { type: 'string' },
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
});

async function judge(copy: BrokenCopy): Promise<Verdict> {
  for (const [index, suite] of SUITES.entries()) {
    const paths = suite.filter((path) => isWanted(path) && copy.has(path));
    if (paths.length === 0) continue;
    const seen = SUITES.slice(0, index).flat();
    const verdict = await copy.test([...paths, ...seen.map((path) => `--exclude=${path}/**`)]);
    if (verdict !== undefined) return verdict;
  }
  return undefined;
}

function isWanted(path: string): boolean {
  return options.tests === undefined || options.tests.split(',').includes(path);
}

function wholeNumber(option: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new Error(`--${option} must be a whole number from 1 on`);
}

async function main(copy: BrokenCopy, mutants: readonly Mutant[]): Promise<number> {
  await copy.check(mutants);
  const failing = await judge(copy);
  if (failing !== undefined) {
    const failure = (await copy.lastFailure()) ?? 'No test has reported why.';
    throw new Error(`The tests fail without any mutant: ${failing}.\n${failure}`);
  }

  const survivors: Mutant[] = [];
  for (const mutant of mutants) {
    const verdict = await copy.with(mutant, () => judge(copy));
    if (verdict === undefined) survivors.push(mutant);
    console.log(`${mutant.name.padEnd(40)} ${verdict === undefined ? 'SURVIVED' : `killed by ${verdict}`}`);
  }
  for (const { name, why, file } of survivors) console.log(`${name} survives in ${file}: ${why}`);
  console.log(`\n${mutants.length - survivors.length} of ${mutants.length} mutants killed`);
  return survivors.length === 0 ? 0 : 1;
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
