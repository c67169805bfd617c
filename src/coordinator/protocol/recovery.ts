import { type BranchSet, NO_BRANCHES, only } from './branch-set.js';
import { step } from './decision.js';
import type { HeuristicKind } from './heuristics.js';
import { ABORTED, ABORTING, ACTIVE, COMMITTED, COMMITTING, PREPARING, READY } from './states.js';
import { CAUSE_PRESUMED, type ProtocolTransaction, TOLD_ABORTED, TOLD_PENDING } from './transaction.js';

/**
 * Makes a new transaction what its commit record says of it: decided, by the same steps that led to the record. Each branch
 * that has not been completed owes its acknowledgement, as one whose attempts were used up. The coordinator that wrote the
 * record has answered the caller, or no coordinator ever will.
 *
 * The log was claimed before the record was read, so no other coordinator writes one.
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
  step(transaction, PREPARING);
  step(transaction, READY);
  step(transaction, COMMITTING);
  transaction.size = size;
  transaction.yes = yes;
  transaction.open = open;
  transaction.stalled = open;
  if (open === NO_BRANCHES) step(transaction, COMMITTED);
  transaction.told = TOLD_PENDING;
}

/**
 * Makes a branch that was found prepared, and of which abort may be presumed, one of an aborted transaction. It owes the
 * acknowledgement of its rollback, as one whose attempts were used up. The transaction is a new one, or one to which orphans
 * were added before.
 *
 * @param branch the index of one that was rolled back before and is prepared all the same, or of one more.
 */
export function restoreOrphan(transaction: ProtocolTransaction, branch: number): void {
  if (branch === transaction.size) transaction.size++;
  transaction.open |= only(branch);
  transaction.stalled |= only(branch);
  if (transaction.state === ACTIVE) {
    step(transaction, ABORTING);
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
  if (transaction.open !== NO_BRANCHES) return;
  if (transaction.state === COMMITTING) step(transaction, COMMITTED);
  else if (transaction.state === ABORTING) step(transaction, ABORTED);
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
