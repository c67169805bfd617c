import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { shared } from './vitest.config.js';

/** Who notices most mutants soonest. */
const ORDER = ['test/golden/', 'src/', 'test/faults/', 'test/properties/', 'test/library/'];

/** The first test that fails ends the judgement of a mutant, so the likeliest go first. */
class LikeliestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => rank(a) - rank(b));
  }
}

function rank({ moduleId }: TestSpecification): number {
  return ORDER.findIndex((folder) => moduleId.includes(folder));
}

/**
 * The tests that judge mutants: those that are quick, for each mutant runs all that reach it. The long random ones stay
 * out, so that what is counted as a survivor here may well be caught by them.
 */
export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    // A mutant is switched on while modules stay loaded: to load them anew for each would take ten times as long.
    isolate: false,
    sequence: { sequencer: LikeliestFirst },
    include: [
      'src/{coordinator,operations,pino,sqlite}/**/*.spec.ts',
      'test/{faults,golden,properties}/*.spec.ts',
      // Only a whole application has modules to destroy in their order.
      'test/library/shutdown.spec.ts',
    ],
    exclude: [
      'test/properties/{memory,model,permutations,races,scheduling}.spec.ts',
      'src/coordinator/testing/**',
      'src/coordinator/guard/guard-races.spec.ts',
      'src/coordinator/protocol/random-walks.spec.ts',
    ],
  },
});
