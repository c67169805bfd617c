import { type BranchSet, NO_BRANCHES, includes, only } from './branch-set.js';
import { end, tell } from './decision.js';
import type { ProtocolEffects } from './effects.js';
import type { HeuristicKind } from './heuristics.js';
import { ABORTED, COMMITTED, READY, isCommit } from './states.js';
import { type ProtocolTransaction, TOLD_PENDING } from './transaction.js';

/**
 * Whether the branch owes an answer: the acknowledgement of the decision, or the decision itself, once it was asked to commit in
 * one phase. Before the decision only that answer is awaited in READY.
 */
export function owes(transaction: ProtocolTransaction, branch: number): boolean {
  return includes(transaction.state === READY ? transaction.awaiting : transaction.open, branch);
}

/**
 * The number of the round in which a completion is sent to a branch. A rollback sent while the prepare is still
 * unanswered is round 0; its acknowledgement proves nothing once the prepare has been answered after all.
 */
export function completionRound(transaction: ProtocolTransaction, branch: number): 0 | 1 {
  return includes(transaction.late, branch) ? 1 : 0;
}

/**
 * Event: a branch acknowledged the decision. Repeats, and answers of an overtaken round, change nothing.
 *
 * @param round what {@link completionRound} said when the completion was sent.
 */
export function acknowledged<T extends ProtocolTransaction>(
  transaction: T,
  branch: number,
  round: number,
  effects: ProtocolEffects<T>,
): void {
  if (isStale(transaction, branch, round)) return;
  close(transaction, only(branch), effects);
}

/** Event: a branch reports that it ended in another way than it was told. Its report is kept. */
export function heuristicReported<T extends ProtocolTransaction>(
  transaction: T,
  branch: number,
  kind: HeuristicKind,
  round: number,
  effects: ProtocolEffects<T>,
): void {
  if (isStale(transaction, branch, round)) return;
  const bit = only(branch);
  if (kind === 'mixed') transaction.mixed |= bit;
  else if (kind === 'hazard') transaction.hazard |= bit;
  else if ((kind === 'commit') !== isCommit(transaction.state)) transaction.against |= bit;
  close(transaction, bit, effects);
}

/**
 * Event: a branch used up its attempts. The decision stands, the branch stays open, and the caller of a commit is
 * told that it is pending. A one-phase commit whose answer stays out is in doubt in the same way.
 */
export function attemptsExhausted<T extends ProtocolTransaction>(
  transaction: T,
  branch: number,
  effects: ProtocolEffects<T>,
): void {
  if (!owes(transaction, branch) || includes(transaction.stalled, branch)) return;
  transaction.stalled |= only(branch);
  // The caller heard of an abort when it was decided.
  tell(transaction, TOLD_PENDING, effects);
  effects.stalled(transaction, branch);
}

function isStale(transaction: ProtocolTransaction, branch: number, round: number): boolean {
  return !includes(transaction.open, branch) || round !== completionRound(transaction, branch);
}

/**
 * A branch owes nothing any more. When it was the last one the transaction ends; one that had ended already, and
 * was opened again by a late answer or a list of prepared branches, is over once more.
 *
 * @internal
 */
export function close<T extends ProtocolTransaction>(
  transaction: T,
  bit: BranchSet,
  effects: ProtocolEffects<T>,
): void {
  if ((transaction.open & bit) === 0) return;
  transaction.open &= ~bit;
  transaction.stalled &= ~bit;
  if (transaction.open !== NO_BRANCHES) return;
  if (transaction.state === ABORTED || transaction.state === COMMITTED) effects.ended(transaction);
  else end(transaction, effects);
}
