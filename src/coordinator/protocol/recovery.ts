import { type BranchSet, Branches, firstBranches, only } from './branch-set.js';
import { step } from './decision.js';
import type { HeuristicKind } from './heuristics.js';
import { State } from './states.js';
import { Cause, type ProtocolTransaction, Told } from './transaction.js';

/**
 * Restores a new transaction from its commit record: it is decided, by the same steps that led to the record.
 * Each branch that has not been completed owes its acknowledgement and counts as stalled. The coordinator
 * that wrote the record has answered the caller, or no coordinator ever will.
 *
 * The log was claimed before the record was read, so no other coordinator writes a record.
 *
 * @param yes the branches that voted commit.
 * @param open the branches of `yes` that have yet to be completed.
 */
export function restoreCommitted(
  transaction: ProtocolTransaction,
  size: number,
  yes: BranchSet,
  open: BranchSet = yes,
): void {
  step(transaction, State.PREPARING);
  step(transaction, State.READY);
  step(transaction, State.COMMITTING);
  transaction.size = size;
  transaction.yes = yes;
  transaction.open = open;
  transaction.stalled = open;
  if (open === Branches.NONE) step(transaction, State.COMMITTED);
  transaction.told = Told.PENDING;
}

/**
 * Restores a new transaction from a record that names the branch that decides. Nothing is decided, or it is
 * not known: the branch is asked again, and counts as stalled. The others have voted commit, and wait for its
 * decision.
 */
export function restoreDecider(transaction: ProtocolTransaction, size: number, decider: number): void {
  step(transaction, State.PREPARING);
  step(transaction, State.READY);
  transaction.size = size;
  transaction.recordsAll = true;
  transaction.decider = decider;
  transaction.awaiting = only(decider);
  transaction.stalled = only(decider);
  transaction.yes = firstBranches(size) & ~only(decider);
  transaction.told = Told.PENDING;
}

/**
 * Adds a prepared branch, of which abort may be presumed, to an aborted transaction. It owes the
 * acknowledgement of its rollback and counts as stalled. The transaction is new, or orphans were added to it
 * before.
 *
 * @param branch the index of a branch that was rolled back before and is still prepared, or the next index.
 */
export function restoreOrphan(transaction: ProtocolTransaction, branch: number): void {
  if (branch === transaction.size) transaction.size++;
  transaction.open |= only(branch);
  transaction.stalled |= only(branch);
  if (transaction.state === State.ACTIVE) {
    step(transaction, State.ABORTING);
    transaction.cause = Cause.PRESUMED;
    transaction.told = Told.ABORTED;
  }
}

/**
 * Restores a branch whose heuristic report was kept: it is completed, and its report belongs to the
 * transaction again. The other branches are restored before. With the last branch the transaction reaches its
 * final state. Only the branch that decides reports before the decision. It stays stalled until its report is
 * taken as its answer.
 */
export function restoreReport(transaction: ProtocolTransaction, branch: number, kind: HeuristicKind): void {
  const bit = only(branch);
  if (kind === 'mixed') transaction.mixed |= bit;
  else if (kind === 'hazard') transaction.hazard |= bit;
  else transaction.against |= bit;
  if (transaction.state === State.READY) return;
  transaction.open &= ~bit;
  transaction.stalled &= ~bit;
  if (transaction.open !== Branches.NONE) return;
  if (transaction.state === State.COMMITTING) step(transaction, State.COMMITTED);
  else if (transaction.state === State.ABORTING) step(transaction, State.ABORTED);
}

/**
 * A branch that was completed, by a report or by an operator, is still prepared. It owes its acknowledgement
 * again and counts as stalled. The decision and the state of an ended transaction stay: as after a late
 * answer, it ends again. The report is kept until it is forgotten.
 */
export function reopenEnded(transaction: ProtocolTransaction, branch: number): void {
  transaction.open |= only(branch);
  transaction.stalled |= only(branch);
}

/** The facts that a coordinator has about a transaction with a branch in doubt. */
export interface Knowledge {
  /**
   * Whether this coordinator holds the claim on the transaction: its epoch is the log's latest, or, of a log
   * that several members share, it has fenced the epoch of the transaction.
   */
  readonly owns: boolean;
  /** Whether the log has a commit record of the transaction, read after the claim. */
  readonly recorded: boolean;
  /** Whether the transaction was begun in the epoch of the claim, and so may still be running. */
  readonly begunInThisEpoch: boolean;
}

/**
 * The answer of a coordinator to a branch in doubt. Only the owner of the claim may presume abort, only if it
 * found no record after the claim, and never for a transaction that may still be running.
 *
 * Source: Mohan, Lindsay and Obermarck, "Transaction Management in the R* Distributed Database Management
 * System", section 3: presumed abort.
 */
export function presume({ owns, recorded, begunInThisEpoch }: Knowledge): 'commit' | 'abort' | 'wait' {
  if (recorded) return 'commit';
  return owns && !begunInThisEpoch ? 'abort' : 'wait';
}
