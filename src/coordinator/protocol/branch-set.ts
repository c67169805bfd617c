/**
 * A set of branches of one transaction: bit `i` stands for the branch with index `i`. A set is a number, so
 * that the state of a transaction is a tuple of numbers, which is cheap to store, copy and compare.
 */
export type BranchSet = number;

/** The most branches that a set can hold. */
export const MAX_BRANCH_SET = 30;

export const enum Branches {
  NONE = 0,
}

/** @returns the set of the first `size` branches. */
export function firstBranches(size: number): BranchSet {
  return (1 << size) - 1;
}

/** @returns the set of this branch alone. */
export function only(branch: number): BranchSet {
  return 1 << branch;
}

/** @returns whether the branch is in the set. */
export function includes(set: BranchSet, branch: number): boolean {
  return ((set >> branch) & 1) === 1;
}

/** @returns the lowest index in the set, or -1 when the set is empty. */
export function lowest(set: BranchSet): number {
  return 31 - Math.clz32(set & -set);
}
