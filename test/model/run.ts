import {
  CONFIGURATIONS,
  type Configuration,
  DEFECT_WORLDS,
  describeConfiguration,
} from './configurations.js';
import { DEFECTS, type Defect } from './defects.js';
import {
  LAST_RESOURCE_DEFECTS,
  LAST_RESOURCE_STATES,
  type LastResourceDefect,
  lastResourceModel,
} from './last-resource.js';
import { type SearchResult, search } from './search.js';
import {
  LAST_RESOURCE_MUTANTS,
  MODEL_MUTANTS,
  checkLastResource,
  checkWithSpin,
  missingProgram,
  refutationOf,
} from './spin.js';
import { twoPhase } from './two-phase.js';
import { worldModel } from './world-model.js';

/**
 * The whole proof: the search over the real protocol core and Spin over its model, and what each must find wrong with
 * the mutants. The last line is the sum of it; the exit code is 1 when anything is not as it must be.
 */
const CALIBRATION = [
  [3, 288],
  [6, 50_816],
] as const;

const failures: string[] = [];
const sum = { states: 0, spinStates: 0, defects: 0, mutants: 0 };

function fail(what: string, path: readonly string[] = []): void {
  failures.push(what);
  console.error([`FAILED: ${what}`, ...path.map((step, index) => `  ${index + 1}. ${step}`)].join('\n'));
}

function countOf(...lists: readonly object[]): number {
  return lists.reduce((sum, list) => sum + Object.keys(list).length, 0);
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1_000).toFixed(1)} s`;
}

function examine(name: string, { violation, stuck, states }: SearchResult, expected: number): void {
  if (violation !== undefined) fail(`${name}: ${violation.message}`, violation.path);
  else if (stuck !== undefined) fail(`${name}: AC5: a participant stays in doubt permanently`, stuck);
  else if (states !== expected) fail(`${name}: ${states} states, not ${expected}`);
}

function searchCore(configuration: Configuration): void {
  const name = `search, ${describeConfiguration(configuration)}`;
  const since = performance.now();
  const result = search(worldModel(configuration));
  examine(name, result, configuration.states);
  sum.states += result.states;
  const { states, representatives, steps, depth } = result;
  console.log(
    `${name}: ${states} states (${representatives} up to names), ${steps} steps, ${depth} deep, ${seconds(since)}`,
  );
}

async function checkModel(configuration: Configuration): Promise<void> {
  const name = `Spin, ${describeConfiguration(configuration)}`;
  const since = performance.now();
  const { states, error, memoryMb } = await checkWithSpin(configuration);
  if (error !== undefined) fail(`${name}: ${error}`);
  else if (states !== configuration.states) fail(`${name}: ${states} states, not ${configuration.states}`);
  sum.spinStates += states;
  console.log(`${name}: ${states} states, ${Math.round(memoryMb)} MB, ${seconds(since)}`);
}

function searchDefects(): void {
  for (const defect of Object.keys(DEFECTS) as Defect[]) {
    const found = DEFECT_WORLDS.some((world) => {
      const { violation, stuck } = search(worldModel({ participants: 2, ...world, defect }));
      return violation !== undefined || stuck !== undefined;
    });
    if (found) sum.defects++;
    else fail(`the search finds nothing wrong although ${defect}`);
  }
}

async function checkMutants(): Promise<void> {
  for (const mutant of Object.keys(MODEL_MUTANTS)) {
    if ((await refutationOf(mutant)) === undefined) fail(`Spin does not refute ${mutant}`);
    else sum.mutants++;
  }
}

function searchLastResource(): void {
  const result = search(lastResourceModel());
  examine('search, a last resource', result, LAST_RESOURCE_STATES);
  sum.states += result.states;
  for (const defect of Object.keys(LAST_RESOURCE_DEFECTS) as LastResourceDefect[]) {
    const { violation, stuck } = search(lastResourceModel(defect));
    if (violation !== undefined || stuck !== undefined) sum.defects++;
    else fail(`the search finds nothing wrong with a last resource although ${defect}`);
  }
}

async function checkLastResourceModel(): Promise<void> {
  const { states, error } = await checkLastResource();
  if (error !== undefined) fail(`Spin, a last resource: ${error}`);
  else if (states !== LAST_RESOURCE_STATES)
    fail(`Spin, a last resource: ${states} states, not ${LAST_RESOURCE_STATES}`);
  sum.spinStates += states;
  for (const mutant of Object.keys(LAST_RESOURCE_MUTANTS)) {
    if ((await checkLastResource(mutant)).error === undefined)
      fail(`Spin does not refute ${mutant} of a last resource`);
    else sum.mutants++;
  }
}

for (const [size, states] of CALIBRATION)
  examine(`TwoPhase for ${size} resource managers`, search(twoPhase(size)), states);
CONFIGURATIONS.forEach(searchCore);
searchDefects();
searchLastResource();
const missing = await missingProgram();
if (missing === undefined) {
  for (const configuration of CONFIGURATIONS) await checkModel(configuration);
  await checkMutants();
  await checkLastResourceModel();
} else {
  console.warn(
    `The Promela model is NOT checked: the program ${missing} is missing (package "spin", a C compiler).`,
  );
}

const spin =
  missing === undefined
    ? `Spin ${sum.spinStates} states, ${sum.mutants} of ${countOf(MODEL_MUTANTS, LAST_RESOURCE_MUTANTS)} mutants refuted`
    : 'Spin not run';
console.log(
  `search ${sum.states} states, ${sum.defects} of ${countOf(DEFECTS, LAST_RESOURCE_DEFECTS)} defects found; ${spin}; failures ${failures.length}`,
);
process.exitCode = failures.length === 0 ? 0 : 1;
