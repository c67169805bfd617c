import { type BranchSet, Branches, includes, only } from './branch-set.js';
import { end, tell } from './decision.js';
import type { ProtocolEffects } from './effects.js';
import type { HeuristicKind } from './heuristics.js';
import { State, isCommit } from './states.js';
import { type ProtocolTransaction, Told } from './transaction.js';

/**
 * Whether the branch owes an answer: the acknowledgement of the decision, or its answer to a one-phase
 * commit. In READY, before the decision, only the one-phase answer is awaited.
 */
export function owes(transaction: ProtocolTransaction, branch: number): boolean {
  return includes(transaction.state === State.READY ? transaction.awaiting : transaction.open, branch);
}

/**
 * The number of the round in which a completion is sent to a branch. A rollback that is sent while the
 * prepare is still unanswered has round 0. Its acknowledgement proves nothing once the prepare has been
 * answered.
 */
export function completionRound(transaction: ProtocolTransaction, branch: number): 0 | 1 {
  return includes(transaction.late, branch) ? 1 : 0;
}

/**
 * Event: a branch acknowledged the decision. Repeats, and answers of an overtaken round, change nothing.
 *
 * @param round the result of {@link completionRound} when the completion was sent.
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

/** Event: a branch reports that it ended against the decision. The report is kept. */
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
 * Event: a branch used up its attempts. The decision stands and the branch stays open. The caller of a commit
 * is told that the outcome is pending. A one-phase commit without an answer is in doubt in the same way.
 */
export function attemptsExhausted<T extends ProtocolTransaction>(
  transaction: T,
  branch: number,
  effects: ProtocolEffects<T>,
): void {
  if (!owes(transaction, branch) || includes(transaction.stalled, branch)) return;
  transaction.stalled |= only(branch);
  // The caller was told of the abort when it was decided.
  tell(transaction, Told.PENDING, effects);
  effects.stalled(transaction, branch);
}

function isStale(transaction: ProtocolTransaction, branch: number, round: number): boolean {
  return !includes(transaction.open, branch) || round !== completionRound(transaction, branch);
}

/**
 * A branch no longer owes an answer. With the last such branch the transaction ends. If it had ended before,
 * and a late answer or a list of prepared branches opened it again, it ends again.
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
  if (transaction.open !== Branches.NONE) return;
  if (transaction.state === State.ABORTED || transaction.state === State.COMMITTED)
    effects.ended(transaction);
  else end(transaction, effects);
}
