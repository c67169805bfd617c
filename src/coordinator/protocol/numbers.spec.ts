import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { STATES, State } from './states.js';
import { ABORT_CAUSES, Cause } from './transaction.js';

/** The configurations with which the code is compiled that runs in production, in measurements and in searches. */
const BUILDS = [
  'tsconfig.build.json',
  'tsconfig.programs.json',
  'packages/nestjs-dtc/tsconfig.json',
  'test/crash/tsconfig.json',
  'test/simulation/tsconfig.json',
];

describe('the numbers of the protocol', () => {
  it('number the states and the causes in the order of their names', () => {
    const states = [
      State.ACTIVE,
      State.PREPARING,
      State.READY,
      State.COMMITTING,
      State.ABORTING,
      State.COMMITTED,
      State.ABORTED,
    ];
    expect(states.map((number) => STATES[number])).toEqual(STATES);

    const causes = [
      Cause.NONE,
      Cause.REFUSED,
      Cause.FAILED,
      Cause.TIMED_OUT,
      Cause.CANCELLED,
      Cause.ROLLED_BACK,
      Cause.ROLLBACK_ONLY,
      Cause.NOT_RECORDED,
      Cause.PRESUMED,
      Cause.EXPIRED,
    ];
    expect(causes.map((number) => ABORT_CAUSES[number])).toEqual(ABORT_CAUSES);
  });

  it.each(BUILDS)('are written into the code by the build of %s', (build) => {
    const { compilerOptions } = JSON.parse(readFileSync(build, 'utf8')) as {
      compilerOptions: { isolatedModules?: boolean };
    };
    // Otherwise the compiler leaves the enums as objects of another module, which the code reads at each use.
    expect(compilerOptions.isolatedModules).toBe(false);
  });
});
