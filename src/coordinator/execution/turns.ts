import type { BranchRecord, TransactionRecord, Turns } from './records.js';

/**
 * The branches of a transaction whose participants prepare one after the other. The order is that in which the
 * participants were registered, and at one participant that of the branch ids: it is the same for all transactions,
 * whatever the order of their branches, so that no two wait for each other in a circle.
 */
export class InTurn implements Turns {
  private readonly order: readonly BranchRecord[];
  private asked = 0;
  /** By the index of the branch, on the coordinator's clock. */
  private readonly askedAts: number[] = [];

  constructor(transaction: TransactionRecord) {
    this.order = transaction.branches.toSorted(inLockOrder);
  }

  /** @returns the branch whose turn it is now; undefined when each has had its turn. */
  next(): BranchRecord | undefined {
    return this.order[this.asked++];
  }

  /** The participant of this branch is asked. */
  asks({ index }: BranchRecord, now: number): void {
    this.askedAts[index] = now;
  }

  /** @returns when its participant was asked; undefined while it has not been. */
  askedAt({ index }: BranchRecord): number | undefined {
    return this.askedAts[index];
  }
}

function inLockOrder(one: BranchRecord, other: BranchRecord): number {
  const difference = one.participant.rank - other.participant.rank;
  if (difference !== 0) return difference;
  if (one.branchId === other.branchId) return 0;
  return one.branchId < other.branchId ? -1 : 1;
}
