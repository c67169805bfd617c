import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Seen from the root of the project, where its scripts and its tests run. */
const MODEL = resolve('test/model/protocol.pml');
const LAST_RESOURCE_MODEL = resolve('test/model/last-resource.pml');
const OUTPUT_LIMIT_BYTES = 16 << 20;

export interface SpinOptions {
  readonly participants: number;
  readonly guarded: boolean;
  /** Whether three members share the log. @default false */
  readonly shared?: boolean;
  /** One of {@link MODEL_MUTANTS}, without its prefix. @default none */
  readonly mutant?: string;
}

export interface SpinResult {
  readonly states: number;
  /** The assertion that was violated; undefined when none was. */
  readonly error: string | undefined;
  readonly memoryMb: number;
}

/** What is wrong with a mutant of the model, and the rule or fault that it ignores. */
export const MODEL_MUTANTS: Readonly<Record<string, string>> = {
  TIMEOUT_IS_YES: 'rule 1: a time-out counts as a yes',
  ROLLBACK_SKIPS_A_BRANCH: 'rule 2: rollback skips the branch whose answer was no vote',
  EXHAUSTED_BECOMES_ABORT: 'fault 36: commit becomes abort when the attempts are used up',
  NO_TOMBSTONE: 'fault 10: a prepare is accepted after the rollback',
  LOG_ERROR_IS_ABORT: 'fault 23: an error of the log is taken for abort',
  LIVE_SWEEP: 'fault 52: recovery touches live transactions',
  END_BEFORE_ALL_ACKS: 'fault 47: the end is recorded before all acknowledgements',
  NO_LOST_AFTER_READ_ONLY: 'fault 20: a no is lost after a read-only vote',
  ONE_PHASE_WITH_TWO: 'rule 7: one-phase commit with two voters',
  ONE_PHASE_UNKNOWN_IS_ABORT: 'fault 7: a one-phase commit without answer counts as abort',
  LATE_YES_BELIEVED: 'fault 18: a late yes is believed',
  LATE_YES_IGNORED: 'fault 18: after a late yes the rollback is not sent again',
  OVERTAKEN_ACK_COUNTS: 'rule 3: the acknowledgement of an overtaken rollback counts',
  READ_BEFORE_CLAIM: 'fault 29: the new owner reads before it claims',
  RECORD_NOT_RESTORED: 'M4: the new owner presumes abort although there is a record',
  RESTORE_MISSES_A_BRANCH: 'M4: the new owner restores all branches but one',
  OLD_EPOCH_APPENDS: 'fault 28: the log takes a record of an old epoch',
  OLD_INCARNATION_APPENDS: 'M2: the log takes a record of an old incarnation',
  TRUSTS_LEASE: 'M4: a member trusts the lease, and does not fence',
  OUTCOME_FORGOTTEN: 'told = actual: the log forgets the outcome at the end',
  FENCED_PRESUMES_ABORT: 'fault 28: a fenced coordinator presumes abort',
  ANYBODY_PRESUMES: 'fault 30: a process without the claim presumes abort',
  ENLIST_AFTER_VOTING: 'fault 4: a branch is enlisted after the voting began',
  COMMIT_BEFORE_RECORD: 'rule 1: commit leaves before the decision is in the log',
  TIMEOUT_TOLD_AS_ABORT: 'fault 33: a time-out in READY is told as abort',
};

/** The same for the model of a transaction with a last resource. */
export const LAST_RESOURCE_MUTANTS: Readonly<Record<string, string>> = {
  CALLED_BEFORE_RECORD: 'M1: the last resource is called before the record is there',
  CALLED_AGAIN: 'it is called again, and not asked',
  NOT_FOUND_IS_NEVER: 'never fences: not found is taken for never',
  SILENCE_IS_NEVER: 'an inquiry without an answer is taken for never',
  OTHERS_COMMIT_FIRST: 'rule 1: the others commit before the log has the commit',
  NAMED_IS_PRESUMED: 'M1: the new owner presumes abort although a record names the branch',
  NAMED_IS_NO_RECORD: 'fault 30: an inquiry takes a record that names the branch for none',
};

/** @returns which of the programs needed is missing, or undefined. */
export async function missingProgram(): Promise<string | undefined> {
  for (const [program, flag] of [
    ['spin', '-V'],
    ['gcc', '--version'],
  ] as const) {
    try {
      await run(program, [flag]);
    } catch {
      return program;
    }
  }
  return undefined;
}

/** Visits every state of the model, or stops at the first violation. */
export function checkWithSpin({ participants, guarded, shared, mutant }: SpinOptions): Promise<SpinResult> {
  const settings = [`-DN=${participants}`];
  if (!guarded) settings.push('-DUNGUARDED');
  if (shared === true) settings.push('-DSHARED');
  if (mutant !== undefined) settings.push(`-DM_${mutant}`);
  // A mutant is refuted at once, so it is not worth an optimisation.
  return check(MODEL, settings, mutant === undefined && participants > 2 ? '-O1' : '-O0');
}

/**
 * The same for a transaction with a last resource.
 *
 * @param mutant one of {@link LAST_RESOURCE_MUTANTS}.
 * @default none
 */
export function checkLastResource(mutant?: string): Promise<SpinResult> {
  return check(LAST_RESOURCE_MODEL, mutant === undefined ? [] : [`-DM_${mutant}`], '-O0');
}

/** Compiles a model in a folder of its own, and runs it. */
async function check(model: string, settings: readonly string[], optimisation: string): Promise<SpinResult> {
  const cwd = await mkdtemp(join(tmpdir(), 'spin-'));
  try {
    await run('spin', ['-a', ...settings, model], { cwd });
    await run('gcc', [optimisation, '-w', '-DSAFETY', '-DNOREDUCE', '-o', 'pan', 'pan.c'], { cwd });
    const { stdout } = await run(join(cwd, 'pan'), ['-w22'], { cwd, maxBuffer: OUTPUT_LIMIT_BYTES });
    return readReport(stdout);
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}

/** Reads what the verifier prints, and objects to anything but a complete search or a violation. */
function readReport(report: string): SpinResult {
  const find = (pattern: RegExp): string | undefined => pattern.exec(report)?.[1];
  const error = find(/^pan:1: (.*) \(at depth \d+\)$/m);
  const errors = Number(find(/errors: (\d+)/));
  const states = Number(find(/^\s*(\d+) states, stored/m));
  const memoryMb = Number(find(/([\d.]+)\s+total actual memory usage/));
  const isComplete = !/max search depth too small|out of memory|Search not completed/.test(report);
  if (
    Number.isNaN(states) ||
    errors !== (error === undefined ? 0 : 1) ||
    (error === undefined && !isComplete)
  ) {
    throw new Error(`Spin did not complete its search:\n${report}`);
  }
  return { states, error, memoryMb };
}

/** The mutants that are wrong only where members share the log. */
const SHARED_ONLY: ReadonlySet<string> = new Set(['TRUSTS_LEASE', 'OUTCOME_FORGOTTEN']);

/**
 * @returns the assertion that the model violates when it has the defect, with participants that keep rule 6
 * or without.
 */
export async function refutationOf(mutant: string): Promise<string | undefined> {
  const world = { participants: 2, shared: SHARED_ONLY.has(mutant), mutant };
  const { error } = await checkWithSpin({ ...world, guarded: true });
  return error ?? (await checkWithSpin({ ...world, guarded: false })).error;
}
