import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Branches, MAX_BRANCH_SET, firstBranches, includes, lowest, only } from './branch-set.js';

const RUN = { seed: 1, numRuns: 500 };
const members = fc.uniqueArray(fc.nat(MAX_BRANCH_SET - 1));

function setOf(branches: readonly number[]): number {
  return branches.reduce((set, branch) => set | only(branch), Branches.NONE);
}

describe('a set of branches', () => {
  it('holds exactly the branches that were added to it', () => {
    fc.assert(
      fc.property(members, (branches) => {
        const found = Array.from({ length: MAX_BRANCH_SET }, (_, index) => index).filter((index) =>
          includes(setOf(branches), index),
        );
        expect(found).toEqual(branches.toSorted((a, b) => a - b));
      }),
      RUN,
    );
  });

  it('finds the lowest branch, or none in the empty set', () => {
    fc.assert(
      fc.property(members, (branches) => {
        expect(lowest(setOf(branches))).toBe(branches.length === 0 ? -1 : Math.min(...branches));
      }),
      RUN,
    );
  });

  it('makes the set of the first branches, for every size that it can hold', () => {
    for (let size = 0; size <= MAX_BRANCH_SET; size++) {
      expect(firstBranches(size)).toBe(setOf(Array.from({ length: size }, (_, index) => index)));
      expect(firstBranches(size)).toBeGreaterThanOrEqual(0);
    }
  });
});
