import {
  CONFIGURATIONS,
  type Configuration,
  DEFECT_WORLDS,
  describeConfiguration,
} from './configurations.js';
import { DEFECTS, type Defect } from './defects.js';
import { Findings } from './findings.js';
import {
  LAST_RESOURCE_DEFECTS,
  LAST_RESOURCE_STATES,
  type LastResourceDefect,
  lastResourceModel,
} from './last-resource.js';
import { type SearchResult, search } from './search.js';
import { twoPhase } from './two-phase.js';
import { worldModel } from './world-model.js';

/**
 * The part of the proof that searches, in a process of its own, which `run.ts` starts beside Spin: each takes
 * one core. It tells its parent what it has found.
 */
export interface Searched {
  readonly states: number;
  /** How many planted defects were found. */
  readonly defects: number;
  readonly failures: number;
}

const CALIBRATION = [
  [3, 288],
  [6, 50_816],
] as const;

const findings = new Findings();
let [states, defects] = [0, 0];

function examine(name: string, { violation, stuck, states: found }: SearchResult, expected: number): void {
  if (violation !== undefined) findings.fail(`${name}: ${violation.message}`, violation.path);
  else if (stuck !== undefined)
    findings.fail(`${name}: AC5: a participant stays in doubt permanently`, stuck);
  else if (found !== expected) findings.fail(`${name}: ${found} states, not ${expected}`);
}

function searchCore(configuration: Configuration): void {
  const name = `search, ${describeConfiguration(configuration)}`;
  const since = performance.now();
  const result = search(worldModel(configuration));
  examine(name, result, configuration.states);
  states += result.states;
  const { representatives, steps, depth } = result;
  findings.tell(
    `${name}: ${result.states} states (${representatives} up to names), ${steps} steps, ${depth} deep`,
    since,
  );
}

function searchDefects(): void {
  for (const defect of Object.keys(DEFECTS) as Defect[]) {
    const isFound = DEFECT_WORLDS.some((world) => {
      const { violation, stuck } = search(worldModel({ participants: 2, ...world, defect }));
      return violation !== undefined || stuck !== undefined;
    });
    if (isFound) defects++;
    else findings.fail(`the search finds nothing wrong although ${defect}`);
  }
}

function searchLastResource(): void {
  const result = search(lastResourceModel());
  examine('search, a last resource', result, LAST_RESOURCE_STATES);
  states += result.states;
  for (const defect of Object.keys(LAST_RESOURCE_DEFECTS) as LastResourceDefect[]) {
    const { violation, stuck } = search(lastResourceModel(defect));
    if (violation !== undefined || stuck !== undefined) defects++;
    else findings.fail(`the search finds nothing wrong with a last resource although ${defect}`);
  }
}

for (const [size, expected] of CALIBRATION)
  examine(`TwoPhase for ${size} resource managers`, search(twoPhase(size)), expected);
CONFIGURATIONS.forEach(searchCore);
searchDefects();
searchLastResource();
const searched: Searched = { states, defects, failures: findings.failures };
process.send?.(searched);
