import { type BranchSet, NO_BRANCHES, only } from './branch-set.js';
import type { HeuristicKind } from './completion.js';
import { ABORTED, ABORTING, ACTIVE, COMMITTED, COMMITTING, isCommit } from './states.js';
import { CAUSE_PRESUMED, type ProtocolTransaction, TOLD_ABORTED, TOLD_PENDING } from './transaction.js';

/**
 * Makes a new transaction what its commit record says of it: decided, and each branch that has not been completed in want
 * of that, as one whose attempts were used up. Whoever called for it was answered by the coordinator that
 * wrote the record, or never will be, so nobody is told any more.
 *
 * The log was claimed before the record was read, so nobody writes another.
 *
 * @param yes the branches that voted commit.
 * @param open which of them have yet to be completed.
 */
export function restoreCommitted(
  transaction: ProtocolTransaction,
  size: number,
  yes: BranchSet,
  open: BranchSet = yes,
): void {
  transaction.size = size;
  transaction.yes = yes;
  transaction.open = open;
  transaction.stalled = open;
  transaction.state = open === NO_BRANCHES ? COMMITTED : COMMITTING;
  transaction.told = TOLD_PENDING;
}

/**
 * Makes a branch that was found prepared, and of which abort may be presumed, one of an aborted transaction: in want of
 * its rollback, as one whose attempts were used up. The transaction is a new one, or one to which orphans were added
 * before.
 *
 * @param branch the index of one that was rolled back before and is prepared all the same, or of one more.
 */
export function restoreOrphan(transaction: ProtocolTransaction, branch: number): void {
  if (branch === transaction.size) transaction.size++;
  transaction.open |= only(branch);
  transaction.stalled |= only(branch);
  if (transaction.state === ACTIVE) {
    transaction.state = ABORTING;
    transaction.cause = CAUSE_PRESUMED;
    transaction.told = TOLD_ABORTED;
  }
}

/**
 * A branch whose heuristic report was kept is over, and its report is part of the transaction again. The other branches are
 * restored before. With the last one the transaction is in its final state.
 */
export function restoreReport(transaction: ProtocolTransaction, branch: number, kind: HeuristicKind): void {
  const bit = only(branch);
  if (kind === 'mixed') transaction.mixed |= bit;
  else if (kind === 'hazard') transaction.hazard |= bit;
  else transaction.against |= bit;
  transaction.open &= ~bit;
  transaction.stalled &= ~bit;
  if (transaction.open === NO_BRANCHES) transaction.state = isCommit(transaction.state) ? COMMITTED : ABORTED;
}

/**
 * A branch that was over by a report, or by the word of an operator, is prepared all the same. It owes its acknowledgement again, as
 * one whose attempts were used up. The decision stands, and so does the state of a transaction that has ended: as after a late
 * answer, it ends once more. What was reported stays reported until it is forgotten.
 */
export function reopenEnded(transaction: ProtocolTransaction, branch: number): void {
  transaction.open |= only(branch);
  transaction.stalled |= only(branch);
}

/** What a coordinator knows of a transaction that some branch is in doubt about. */
export interface Knowledge {
  /** Whether this coordinator holds the claim on the transaction, by an epoch as young as the log's. */
  readonly owns: boolean;
  /** Whether the log has a commit record of the transaction, read after the claim. */
  readonly recorded: boolean;
  /** Whether the transaction was begun in the epoch of the claim, and may be alive therefore. */
  readonly begunInThisEpoch: boolean;
}

/**
 * What a coordinator may say to a branch in doubt. Only the owner of the claim may presume, only where no record was
 * found after the claim, and never of a transaction that may be alive.
 *
 * Source: Mohan, Lindsay and Obermarck, "Transaction Management in the R* Distributed Database Management System",
 * section 3: presumed abort.
 */
export function presume({ owns, recorded, begunInThisEpoch }: Knowledge): 'commit' | 'abort' | 'wait' {
  if (recorded) return 'commit';
  return owns && !begunInThisEpoch ? 'abort' : 'wait';
}
