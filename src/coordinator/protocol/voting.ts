import { Branches, lowest, only } from './branch-set.js';
import { close } from './completion.js';
import {
  allVotedForCommit,
  decideAbort,
  decideCommit,
  enter,
  lastResourceCommitted,
  patienceEnded,
} from './decision.js';
import type { ProtocolEffects } from './effects.js';
import type { HeuristicKind } from './heuristics.js';
import { State } from './states.js';
import {
  type AbortCauseNumber,
  Cause,
  CauseBranch,
  type ProtocolTransaction,
  Voted,
  allBranches,
  hasLastResource,
  isDecidedByBranch,
} from './transaction.js';

/**
 * Event: the caller enlists a branch. The caller keeps the number of branches below its limit.
 *
 * @returns the index of the branch, or -1 when the transaction takes no more branches. The step that starts
 * the voting also closes the set of voters, so no branch is missed.
 */
export function enlist(transaction: ProtocolTransaction): number {
  return transaction.state === State.ACTIVE ? transaction.size++ : -1;
}

/** Another branch of the transaction is a last resource already. */
export const ANOTHER_DECIDES = -2;

/**
 * Event: the caller enlists a branch that cannot prepare. It is asked after all others have voted, and
 * decides.
 *
 * @returns as {@link enlist} does, or {@link ANOTHER_DECIDES}: two branches cannot both decide.
 */
export function enlistLastResource(transaction: ProtocolTransaction): number {
  if (transaction.state !== State.ACTIVE) return -1;
  if (isDecidedByBranch(transaction)) return ANOTHER_DECIDES;
  transaction.decider = transaction.size;
  // Until the branch has answered, no coordinator may presume abort.
  transaction.recordsAll = true;
  return transaction.size++;
}

/** Event: the caller rules commit out. This has no effect once the voting has started. */
export function markRollbackOnly(transaction: ProtocolTransaction): void {
  if (transaction.state === State.ACTIVE) transaction.rollbackOnly = true;
}

/**
 * Event: the caller asks for commit. A repeat does nothing.
 *
 * @param decider the branch that makes the decision, or `Decider.LOG`. A branch decides if it is the only
 * one. A last resource decides in any case.
 */
export function requestCommit<T extends ProtocolTransaction>(
  transaction: T,
  decider: number,
  effects: ProtocolEffects<T>,
): void {
  if (transaction.state !== State.ACTIVE) return;
  if (transaction.rollbackOnly) {
    decideAbort(transaction, Cause.ROLLBACK_ONLY, CauseBranch.NONE, effects);
    return;
  }
  if (transaction.size === 1 && !isDecidedByBranch(transaction)) transaction.decider = decider;
  transaction.awaiting = allBranches(transaction);
  if (hasLastResource(transaction)) transaction.awaiting &= ~only(transaction.decider);
  enter(transaction, State.PREPARING, effects);
  if (transaction.size === 0) {
    allVotedForCommit(transaction, effects);
  } else if (transaction.size === 1 && isDecidedByBranch(transaction)) {
    letBranchDecide(transaction, effects);
  } else {
    effects.prepare(transaction);
  }
}

/** The participant takes the place of the log: the decision may exist before its answer arrives. */
function letBranchDecide<T extends ProtocolTransaction>(transaction: T, effects: ProtocolEffects<T>): void {
  if (transaction.recordsAll) transaction.awaiting = Branches.NONE;
  enter(transaction, State.READY, effects);
  if (transaction.recordsAll) effects.record(transaction);
  else effects.commitOnePhase(transaction);
}

/**
 * Event: the caller, or its signal, asks for rollback.
 *
 * @returns whether the rollback was accepted; if not, another outcome has been decided.
 */
export function requestRollback<T extends ProtocolTransaction>(
  transaction: T,
  cause: AbortCauseNumber,
  effects: ProtocolEffects<T>,
): boolean {
  if (transaction.state !== State.ACTIVE && transaction.state !== State.PREPARING) return false;
  decideAbort(transaction, cause, CauseBranch.NONE, effects);
  return true;
}

/** Event: a branch answered prepare. Its first answer counts, any further answer is ignored. */
export function vote<T extends ProtocolTransaction>(
  transaction: T,
  branch: number,
  answer: Voted,
  effects: ProtocolEffects<T>,
): void {
  const bit = only(branch);
  // The answer of a branch that decides is not a vote.
  if ((transaction.awaiting & bit) === 0 || branch === transaction.decider) return;
  transaction.awaiting &= ~bit;
  if (answer === Voted.COMMIT) transaction.yes |= bit;
  else if (answer === Voted.READ_ONLY) transaction.readOnly |= bit;
  else if (answer === Voted.ABORT) transaction.refused |= bit;

  const isYes = answer === Voted.COMMIT || answer === Voted.READ_ONLY;
  if (!isYes || transaction.state !== State.PREPARING) noYesInTime(transaction, branch, answer, effects);
  else if (transaction.awaiting === Branches.NONE) allVotedForCommit(transaction, effects);
}

/** A vote that is no yes, or that comes too late. */
function noYesInTime<T extends ProtocolTransaction>(
  transaction: T,
  branch: number,
  answer: Voted,
  effects: ProtocolEffects<T>,
): void {
  if (transaction.state !== State.PREPARING) lateVote(transaction, only(branch), answer, effects);
  else if (answer === Voted.ABORT) decideAbort(transaction, Cause.REFUSED, branch, effects);
  else if (answer === Voted.NONE) decideAbort(transaction, Cause.FAILED, branch, effects);
}

/**
 * An answer after the decision. The decision must be abort, since commit waits for every vote. The answer
 * changes nothing. But the earlier rollback may have overtaken the prepare, so it is sent again, unless the
 * answer proves that the branch holds nothing.
 */
function lateVote<T extends ProtocolTransaction>(
  transaction: T,
  bit: number,
  answer: Voted,
  effects: ProtocolEffects<T>,
): void {
  if (answer === Voted.ABORT || answer === Voted.READ_ONLY) {
    close(transaction, bit, effects);
    return;
  }
  transaction.late |= bit;
  transaction.open |= bit;
  transaction.stalled &= ~bit;
  effects.rollback(transaction, bit);
}

/**
 * Event: the only branch answered the one-phase commit, or a last resource said how it has ended: it made the
 * decision.
 *
 * @param end how the branch ended: `rollback` is a refusal, `mixed` and `hazard` are reports.
 */
export function onePhaseAnswered<T extends ProtocolTransaction>(
  transaction: T,
  end: HeuristicKind,
  effects: ProtocolEffects<T>,
): void {
  const { decider } = transaction;
  if (transaction.state !== State.READY || !isDecidedByBranch(transaction)) return;
  // It cannot have decided before it was asked.
  if (transaction.awaiting === Branches.NONE) return;
  transaction.awaiting = Branches.NONE;
  transaction.stalled = Branches.NONE;
  if (end === 'rollback') {
    transaction.refused = only(decider);
    decideAbort(transaction, Cause.REFUSED, decider, effects);
    return;
  }
  if (end === 'mixed') transaction.mixed = only(decider);
  else if (end === 'hazard') transaction.hazard = only(decider);
  if (hasLastResource(transaction)) {
    lastResourceCommitted(transaction, effects);
    return;
  }
  // The branch has already committed, so nothing is left to deliver.
  decideCommit(transaction, effects);
}

/**
 * Event: the deadline of the transaction passed. Before the voting ends it decides abort. Afterwards it
 * decides nothing, and the caller is told that the outcome is pending.
 */
export function deadlinePassed<T extends ProtocolTransaction>(
  transaction: T,
  effects: ProtocolEffects<T>,
): void {
  if (transaction.state === State.ACTIVE || transaction.state === State.PREPARING) {
    decideAbort(transaction, Cause.TIMED_OUT, lowest(transaction.awaiting), effects);
  } else {
    patienceEnded(transaction, effects);
  }
}

/** Event: the time of one branch to prepare is up. A missing vote is not a yes, so it decides abort. */
export function prepareTimedOut<T extends ProtocolTransaction>(
  transaction: T,
  branch: number,
  effects: ProtocolEffects<T>,
): void {
  if (transaction.state !== State.PREPARING || (transaction.awaiting & only(branch)) === 0) return;
  decideAbort(transaction, Cause.TIMED_OUT, branch, effects);
}

/**
 * Event: the vote of a branch for commit has expired. Before the decision is sent to the log, this decides
 * abort. Afterwards it changes nothing: a decision stands.
 */
export function voteExpired<T extends ProtocolTransaction>(
  transaction: T,
  branch: number,
  effects: ProtocolEffects<T>,
): void {
  const bit = only(branch);
  if (transaction.state !== State.PREPARING || ((transaction.yes | transaction.awaiting) & bit) === 0) return;
  transaction.awaiting &= ~bit;
  // Its participant holds something, which is rolled back.
  transaction.yes |= bit;
  decideAbort(transaction, Cause.EXPIRED, branch, effects);
}
