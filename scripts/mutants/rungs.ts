import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BrokenCopy } from './broken-copy.ts';
import { missingProgram, refutationOf } from '../../test/model/spin.ts';
import { type Mutant, readMutants } from './mutants.ts';

/**
 * Which rung of the proof finds which defect of the protocol: each mutant is brought before every rung, also when another
 * has found it already. Before that, every rung has to find nothing in the sound code. Prints the table that is in
 * docs/proof.md.
 *
 *     npm run test:mutants:rungs -- [--write] [part of a mutant's name ...]
 *
 * `--write` puts the table into the document. Exit code 1: a mutant was found by no rung.
 */

/** The defects of the protocol, and what the model of it calls the same. */
const PROTOCOL_MUTANTS: Readonly<Record<string, string | undefined>> = {
  'time-out-is-a-yes': 'TIMEOUT_IS_YES',
  'throw-is-a-refusal': 'ROLLBACK_SKIPS_A_BRANCH',
  'preparing-branches-are-not-rolled-back': undefined,
  'no-is-lost-after-a-reader': 'NO_LOST_AFTER_READ_ONLY',
  'first-yes-decides': undefined,
  'late-yes-is-believed': 'LATE_YES_BELIEVED',
  'late-yes-is-not-rolled-back-again': 'LATE_YES_IGNORED',
  'overtaken-rollback-is-acknowledged': 'OVERTAKEN_ACK_COUNTS',
  'branch-enlisted-while-voting': 'ENLIST_AFTER_VOTING',
  'deadline-aborts-a-recorded-decision': 'TIMEOUT_TOLD_AS_ABORT',
  'one-phase-with-two-voters': 'ONE_PHASE_WITH_TWO',
  'one-phase-unknown-is-an-abort': 'ONE_PHASE_UNKNOWN_IS_ABORT',
  'exhausted-retries-become-an-abort': 'EXHAUSTED_BECOMES_ABORT',
  'first-acknowledgement-ends': 'END_BEFORE_ALL_ACKS',
  'commit-before-the-record': 'COMMIT_BEFORE_RECORD',
  'log-error-is-an-abort': 'LOG_ERROR_IS_ABORT',
  'prepare-after-rollback': 'NO_TOMBSTONE',
  'recovery-touches-live-transactions': 'LIVE_SWEEP',
  'anybody-presumes-abort': 'ANYBODY_PRESUMES',
  'decision-is-presumed-aborted': 'RECORD_NOT_RESTORED',
  'restored-branch-is-forgotten': 'RESTORE_MISSES_A_BRANCH',
  'fenced-is-an-abort': 'FENCED_PRESUMES_ABORT',
};

const SEEDS = 20_000;
const DOCUMENT = fileURLToPath(new URL('../../docs/proof.md', import.meta.url));
const BEGIN = '<!-- rungs: made by npm run test:mutants:rungs -- --write -->';
const END = '<!-- /rungs -->';

/** @returns how the rung found the mutant, or undefined when it did not. */
type Rung = (copy: BrokenCopy, mutant?: Mutant) => Promise<string | undefined>;

const UNITS = ['src/coordinator', 'src/operations', 'src/pino', 'src/postgres', 'src/sql', 'src/sqlite'];

const RUNGS: Readonly<Record<string, Rung>> = {
  'L0 unit': async (copy) => found(await copy.test([...UNITS, 'test/golden'])),
  'L1 model': async (_, mutant) => {
    const inModel = mutant && PROTOCOL_MUTANTS[mutant.name];
    if (inModel === undefined) return undefined;
    return (await refutationOf(inModel)) === undefined ? undefined : 'refuted';
  },
  'L2 search': async (copy) =>
    found(await copy.test(['test/model/model.spec.ts', '-t', 'up to [012] participants|all vote'])),
  'L3 properties': async (copy) => found(await copy.test(['test/properties', 'test/faults'])),
  'L4 simulation': async (copy) => {
    await copy.node(['node_modules/typescript/bin/tsc', '-p', 'test/simulation', '--noCheck']);
    const { code, output } = await copy.node([
      'build/test/simulation/main.js',
      `--schedules=${SEEDS}`,
      '--seed=1',
      '--stop-early',
    ]);
    if (code === 0) return undefined;
    const [, seed] = /--seed (\d+) --schedules 1/.exec(output) ?? [];
    return seed === undefined ? undefined : `seed ${seed}`;
  },
};

function found(verdict: string | undefined): string | undefined {
  return verdict === undefined ? undefined : 'found';
}

/** @throws Error when a rung finds something in the sound code: what it then finds in broken code says nothing. */
async function checkRungs(copy: BrokenCopy): Promise<void> {
  for (const [name, rung] of Object.entries(RUNGS)) {
    const verdict = await rung(copy);
    if (verdict !== undefined) throw new Error(`Without any defect the rung ${name} says: ${verdict}.`);
  }
}

function tableOf(rows: readonly (readonly string[])[]): string {
  const header = ['defect', ...Object.keys(RUNGS)];
  const lines = [header, header.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

async function write(table: string): Promise<void> {
  const text = await readFile(DOCUMENT, 'utf8');
  const [before, after] = [text.indexOf(BEGIN) + BEGIN.length, text.indexOf(END)];
  await writeFile(DOCUMENT, `${text.slice(0, before)}\n\n${table}\n\n${text.slice(after)}`);
}

const { positionals: wanted, values: options } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean', default: false } },
});
const mutants = (await readMutants()).filter(
  ({ name }) =>
    name in PROTOCOL_MUTANTS && (wanted.length === 0 || wanted.some((part) => name.includes(part))),
);
const copy = await BrokenCopy.make();
const rows: string[][] = [];
let survivors = 0;
try {
  if (mutants.length === 0) throw new Error('No mutant has such a name.');
  if ((await missingProgram()) !== undefined)
    throw new Error('Spin and a C compiler are needed for the rung L1.');
  await copy.check(mutants);
  await checkRungs(copy);
  for (const mutant of mutants) {
    const row = await copy.with(mutant, async () => {
      const cells: string[] = [];
      for (const rung of Object.values(RUNGS)) cells.push((await rung(copy, mutant)) ?? '–');
      return cells;
    });
    // What the model says is about the model, and saves no defect of the code.
    if (row.every((cell) => cell === '–' || cell === 'refuted')) survivors++;
    rows.push([`\`${mutant.name}\``, ...row]);
    console.log(rows.at(-1)!.join('  '));
  }
} finally {
  await copy.remove();
}
const table = tableOf(rows);
if (options.write) await write(table);
console.log(`\n${table}\n\n${mutants.length} defects, ${survivors} survivors`);
if (survivors > 0) process.exitCode = 1;
