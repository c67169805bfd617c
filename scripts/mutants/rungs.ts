import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { missingProgram, refutationOf } from '../../test/model/spin.ts';
import { BrokenCopy } from './broken-copy.ts';
import { type Mutant, readMutants } from './mutants.ts';
import { MEMBER_ROWS, PROTOCOL_ROWS, type Row } from './rows.ts';

/**
 * Which rung of the proof finds which defect of the protocol: each mutant is brought before every rung, also when another
 * has found it already. Before that, every rung has to find nothing in the sound code. Prints the table that is in
 * docs/proof.md.
 *
 *     npm run test:mutants:rungs -- [--members] [--write] [part of a defect's name ...]
 *
 * `--members`: the defects of members that share a log, each of which two rungs have to find.
 * `--write` puts the table into the document; the lines of other defects stay there as they are.
 * Exit code 1: a defect was found by too few rungs.
 */

const DOCUMENT = fileURLToPath(new URL('../../docs/proof.md', import.meta.url));
const END = '<!-- /rungs -->';
const NOT_FOUND = '–';

/** @returns how the rung found the defect, or undefined when it did not. Without a row the code is sound. */
type Rung = (copy: BrokenCopy, row?: Row) => Promise<string | undefined>;

/** One table of docs/proof.md. */
interface Table {
  readonly rows: readonly Row[];
  readonly rungs: Readonly<Record<string, Rung>>;
  /** How many rungs have to find each defect. */
  readonly needed: number;
  /** The line of the document that it follows. */
  readonly begin: string;
}

const UNITS = ['src/coordinator', 'src/operations', 'src/pino', 'src/postgres', 'src/sql', 'src/sqlite'];
const CONFORMANCE = [
  'test/postgres/log/conformance.spec.ts',
  'test/postgres/log/fencing.spec.ts',
  'test/postgres/log/faults.spec.ts',
];

const PROTOCOL: Table = {
  rows: PROTOCOL_ROWS,
  needed: 1,
  begin: '<!-- rungs: made by npm run test:mutants:rungs -- --write -->',
  rungs: {
    'L0 unit': tests(...UNITS, 'test/golden'),
    'L1 model': (_, row) => inModel(row),
    'L2 search': tests('test/model/model.spec.ts', '-t', 'up to [012] participants|all vote'),
    'L3 properties': tests('test/properties', 'test/faults'),
    'L4 simulation': simulation('--schedules=20000'),
  },
};

const MEMBERS: Table = {
  rows: MEMBER_ROWS,
  needed: 2,
  begin: '<!-- rungs of members: made by npm run test:mutants:rungs -- --members --write -->',
  rungs: {
    // The log in memory passes the conformance suite there.
    'L0 unit': tests(
      'src/coordinator/protocol',
      'src/coordinator/testing',
      'src/coordinator/membership',
      'src/coordinator/execution/decision.spec.ts',
    ),
    'L1 model': (_, row) => inModel(row),
    'L2 search': inSearch,
    'L3 faults and properties': tests('test/faults/members.spec.ts', 'test/properties/members.spec.ts'),
    'L4 simulation': simulation('--members', '--schedules=3000'),
    'the log on PostgreSQL': onPostgres,
  },
};

function tests(...args: readonly string[]): Rung {
  return inCode(async (copy) => ((await copy.test(args)) === undefined ? undefined : 'found'));
}

function simulation(...options: readonly string[]): Rung {
  return inCode(async (copy) => {
    await copy.node(['node_modules/typescript/bin/tsc', '-p', 'test/simulation']);
    const { code, output } = await copy.node([
      'build/test/simulation/main.js',
      ...options,
      '--seed=1',
      '--stop-early',
    ]);
    if (code === 0) return undefined;
    const [, seed] = /--seed (\d+) --schedules 1/.exec(output) ?? [];
    return seed === undefined ? undefined : `seed ${seed}`;
  });
}

/** Breaks the code while a rung looks at it. */
function inCode(look: (copy: BrokenCopy) => Promise<string | undefined>): Rung {
  return (copy, row) => (row === undefined ? look(copy) : copy.with(mutantOf(row.mutant), () => look(copy)));
}

async function inModel(row?: Row): Promise<string | undefined> {
  if (row?.model === undefined) return undefined;
  return (await refutationOf(row.model)) === undefined ? undefined : 'refuted';
}

/**
 * A test of the search passes when it finds the defect of its world. Of the code it has only the protocol.
 */
async function inSearch(copy: BrokenCopy, row?: Row): Promise<string | undefined> {
  if (row?.world === undefined) {
    const isSearched = row === undefined || mutantOf(row.mutant).file.startsWith('src/coordinator/protocol/');
    return isSearched ? tests('test/model/model.spec.ts', '-t', 'three members')(copy, row) : undefined;
  }
  const test = `is found out: ${row.world} `;
  return (await copy.test(['test/model/model.spec.ts', '-t', test])) === undefined ? 'refuted' : undefined;
}

async function onPostgres(copy: BrokenCopy, row?: Row): Promise<string | undefined> {
  if (row === undefined) return tests(...CONFORMANCE)(copy);
  return row.postgres === undefined
    ? undefined
    : tests(...CONFORMANCE)(copy, { ...row, mutant: row.postgres });
}

/**
 * @throws Error when a rung finds something in the sound code: what it then finds in broken code says
 * nothing.
 */
async function checkRungs(copy: BrokenCopy, { rungs }: Table): Promise<void> {
  for (const [name, rung] of Object.entries(rungs)) {
    const verdict = await rung(copy);
    if (verdict !== undefined) throw new Error(`Without any defect the rung ${name} says: ${verdict}.`);
  }
}

function tableOf({ rungs }: Table, lines: readonly string[]): string {
  const header = ['defect', ...Object.keys(rungs)];
  return [lineOf(header), lineOf(header.map(() => '---')), ...lines].join('\n');
}

function lineOf(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** Puts the lines into the document, in the order of the rows; those of other defects stay. */
async function write(table: Table, made: ReadonlyMap<string, string>): Promise<void> {
  const text = await readFile(DOCUMENT, 'utf8');
  const before = text.indexOf(table.begin) + table.begin.length;
  const after = text.indexOf(END, before);
  const old = text.slice(before, after).split('\n');
  const lines = table.rows.flatMap(({ name }) => {
    const line = made.get(name) ?? old.find((one) => one.startsWith(`| \`${name}\` `));
    return line ?? [];
  });
  await writeFile(DOCUMENT, `${text.slice(0, before)}\n\n${tableOf(table, lines)}\n\n${text.slice(after)}`);
}

const { positionals: wanted, values: options } = parseArgs({
  allowPositionals: true,
  options: { members: { type: 'boolean', default: false }, write: { type: 'boolean', default: false } },
});
const table = options.members ? MEMBERS : PROTOCOL;
const mutants = new Map((await readMutants()).map((mutant) => [mutant.name, mutant]));
const rows = table.rows.filter(
  ({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
);

function mutantOf(name: string): Mutant {
  const mutant = mutants.get(name);
  if (mutant === undefined) throw new Error(`There is no mutant ${name}.`);
  return mutant;
}

const copy = await BrokenCopy.make();
const lines = new Map<string, string>();
let survivors = 0;
try {
  if (rows.length === 0) throw new Error('No defect has such a name.');
  if ((await missingProgram()) !== undefined)
    throw new Error('Spin and a C compiler are needed for the rung L1.');
  const names = rows.flatMap(({ mutant, postgres }) => [
    mutant,
    ...(postgres === undefined ? [] : [postgres]),
  ]);
  await copy.check(names.map(mutantOf));
  await checkRungs(copy, table);
  for (const row of rows) {
    const cells: string[] = [];
    for (const rung of Object.values(table.rungs)) cells.push((await rung(copy, row)) ?? NOT_FOUND);
    // What the model says is about the model, and saves no defect of the code.
    const isInCode = cells.some((cell) => cell !== NOT_FOUND && cell !== 'refuted');
    const found = cells.filter((cell) => cell !== NOT_FOUND).length;
    if (!isInCode || found < table.needed) survivors++;
    lines.set(row.name, lineOf([`\`${row.name}\``, ...cells]));
    console.log(lines.get(row.name));
  }
} finally {
  await copy.remove();
}
if (options.write) await write(table, lines);
console.log(`\n${tableOf(table, [...lines.values()])}\n`);
console.log(`${rows.length} defects, ${survivors} found by fewer than ${table.needed} rungs`);
if (survivors > 0) process.exitCode = 1;
