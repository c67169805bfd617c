import { fork } from 'node:child_process';
import { join } from 'node:path';
import { CONFIGURATIONS, type Configuration, describeConfiguration } from './configurations.js';
import { DEFECTS } from './defects.js';
import { Findings } from './findings.js';
import { LAST_RESOURCE_DEFECTS, LAST_RESOURCE_STATES } from './last-resource.js';
import type { Searched } from './searches.js';
import {
  LAST_RESOURCE_MUTANTS,
  MODEL_MUTANTS,
  checkLastResource,
  checkWithSpin,
  missingProgram,
  refutationOf,
} from './spin.js';

/**
 * The whole proof: the search over the real protocol core and Spin over its model, beside each other, and
 * what each must find wrong with the mutants. The last line is the sum of it; the exit code is 1 when
 * anything is not as it must be.
 */
const findings = new Findings();
const sum = { spinStates: 0, mutants: 0 };

/** @returns what the search has found. @throws Error when its process ends before it has told. */
function searched(): Promise<Searched> {
  const child = fork(join(import.meta.dirname, 'searches.js'));
  process.once('exit', () => child.kill());
  return new Promise((resolve, reject) => {
    child.once('message', (told) => resolve(told as Searched));
    child.once('error', reject);
    child.once('exit', (code, signal) => reject(new Error(`The search has ended: ${signal ?? code}.`)));
  });
}

async function checkModel(configuration: Configuration): Promise<void> {
  const name = `Spin, ${describeConfiguration(configuration)}`;
  const since = performance.now();
  const { states, error, memoryMb } = await checkWithSpin(configuration);
  if (error !== undefined) findings.fail(`${name}: ${error}`);
  else if (states !== configuration.states)
    findings.fail(`${name}: ${states} states, not ${configuration.states}`);
  sum.spinStates += states;
  findings.tell(`${name}: ${states} states, ${Math.round(memoryMb)} MB`, since);
}

async function checkMutants(): Promise<void> {
  for (const mutant of Object.keys(MODEL_MUTANTS)) {
    if ((await refutationOf(mutant)) === undefined) findings.fail(`Spin does not refute ${mutant}`);
    else sum.mutants++;
  }
}

async function checkLastResourceModel(): Promise<void> {
  const { states, error } = await checkLastResource();
  if (error !== undefined) findings.fail(`Spin, a last resource: ${error}`);
  else if (states !== LAST_RESOURCE_STATES)
    findings.fail(`Spin, a last resource: ${states} states, not ${LAST_RESOURCE_STATES}`);
  sum.spinStates += states;
  for (const mutant of Object.keys(LAST_RESOURCE_MUTANTS)) {
    if ((await checkLastResource(mutant)).error === undefined)
      findings.fail(`Spin does not refute ${mutant} of a last resource`);
    else sum.mutants++;
  }
}

function countOf(...lists: readonly object[]): number {
  return lists.reduce((count, list) => count + Object.keys(list).length, 0);
}

/** @returns what Spin has found, in words. */
async function checkWithAllOfSpin(): Promise<string> {
  const missing = await missingProgram();
  if (missing !== undefined) {
    console.warn(
      `The Promela model is NOT checked: the program ${missing} is missing (package "spin", a C compiler).`,
    );
    return 'Spin not run';
  }
  for (const configuration of CONFIGURATIONS) await checkModel(configuration);
  await checkMutants();
  await checkLastResourceModel();
  return `Spin ${sum.spinStates} states, ${sum.mutants} of ${countOf(MODEL_MUTANTS, LAST_RESOURCE_MUTANTS)} mutants refuted`;
}

const [{ states, defects, failures }, spin] = await Promise.all([searched(), checkWithAllOfSpin()]);
const failed = failures + findings.failures;
console.log(
  `search ${states} states, ${defects} of ${countOf(DEFECTS, LAST_RESOURCE_DEFECTS)} defects found; ${spin}; failures ${failed}`,
);
process.exitCode = failed === 0 ? 0 : 1;
