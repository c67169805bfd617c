import { type BranchSet, Branches } from './branch-set.js';
import { isCommit } from './states.js';
import { type ProtocolTransaction, allBranches } from './transaction.js';

/**
 * How a participant may end against the decision: the names in every record, answer and metric.
 *
 * Source: X/Open XA, the return codes XA_HEURCOM, XA_HEURRB, XA_HEURMIX and XA_HEURHAZ.
 *
 * @publicApi
 */
export const HEURISTIC_KINDS = ['commit', 'rollback', 'mixed', 'hazard'] as const;

/**
 * How a participant ended against the decision, or may have.
 *
 * @publicApi
 */
export type HeuristicKind = (typeof HEURISTIC_KINDS)[number];

/**
 * The heuristic outcome of the whole transaction, from the reports of its branches. It is `mixed` when some
 * branches ended with the decision and others against it, the opposite of the decision when all ended against
 * it, and `hazard` when that cannot be ruled out.
 *
 * @returns undefined when every branch ended as decided.
 */
export function heuristicOutcome(transaction: ProtocolTransaction): HeuristicKind | undefined {
  const { against, mixed, hazard } = transaction;
  if ((against | mixed | hazard) === Branches.NONE) return undefined;
  const concerned = isCommit(transaction.state)
    ? transaction.yes
    : allBranches(transaction) & ~(transaction.refused | transaction.readOnly);
  if (mixed !== Branches.NONE) return 'mixed';
  if (against === Branches.NONE) return 'hazard';
  if (against === concerned) return isCommit(transaction.state) ? 'rollback' : 'commit';
  return (against | hazard) === concerned ? 'hazard' : 'mixed';
}

/** The branches whose report contradicts the decision, or may contradict it. */
export function heuristicBranches({ against, mixed, hazard }: ProtocolTransaction): BranchSet {
  return against | mixed | hazard;
}

/**
 * Removes heuristic reports, after an operator has dealt with them.
 *
 * @param branches whose reports. @default all
 */
export function forgetHeuristics(
  transaction: ProtocolTransaction,
  branches: BranchSet = heuristicBranches(transaction),
): void {
  transaction.against &= ~branches;
  transaction.mixed &= ~branches;
  transaction.hazard &= ~branches;
}
