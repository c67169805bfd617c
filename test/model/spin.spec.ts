import { describe, expect, it } from 'vitest';
import { CONFIGURATIONS_IN_TESTS, describeConfiguration } from './configurations.js';
import { LAST_RESOURCE_STATES } from './last-resource.js';
import {
  LAST_RESOURCE_MUTANTS,
  MODEL_MUTANTS,
  checkLastResource,
  checkWithSpin,
  missingProgram,
  refutationOf,
} from './spin.js';

const SPIN_LIMIT_MS = 300_000;
/** One in so many of the defects is tried here; `npm run test:model` tries all. */
const ONE_IN = 5;

/**
 * Every smaller world is a part of the largest one of its kind; `npm run test:model` checks each by itself.
 */
const LARGEST = CONFIGURATIONS_IN_TESTS.filter(
  ({ participants, guarded, shared }) =>
    !CONFIGURATIONS_IN_TESTS.some(
      (other) => other.guarded === guarded && other.shared === shared && other.participants > participants,
    ),
);

const missing = await missingProgram();
if (missing !== undefined) {
  console.warn(
    `The Promela model is NOT checked: the program ${missing} is missing (package "spin", a C compiler).`,
  );
}

describe.skipIf(missing !== undefined)('the Promela model', () => {
  it.each(LARGEST.map((configuration) => [describeConfiguration(configuration), configuration] as const))(
    'violates nothing, and has as many states as the search over the real core: %s',
    async (_, { states, ...configuration }) => {
      expect(await checkWithSpin(configuration)).toMatchObject({ error: undefined, states });
    },
    SPIN_LIMIT_MS,
  );

  it.each(Object.entries(MODEL_MUTANTS).filter((_, index) => index % ONE_IN === 0))(
    'is refuted as %s (%s)',
    async (mutant) => {
      expect(await refutationOf(mutant)).toMatch(/^assertion violated/);
    },
    SPIN_LIMIT_MS,
  );

  it(
    'of a last resource violates nothing, and has as many states as the search over the real core',
    async () => {
      expect(await checkLastResource()).toMatchObject({ error: undefined, states: LAST_RESOURCE_STATES });
    },
    SPIN_LIMIT_MS,
  );

  it.each(Object.entries(LAST_RESOURCE_MUTANTS).filter((_, index) => index % ONE_IN === 0))(
    'of a last resource is refuted as %s (%s)',
    async (mutant) => {
      expect((await checkLastResource(mutant)).error).toMatch(/^assertion violated/);
    },
    SPIN_LIMIT_MS,
  );
});
