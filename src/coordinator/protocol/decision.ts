import { Branches, only } from './branch-set.js';
import type { ProtocolEffects } from './effects.js';
import { IllegalTransitionError, STATES, State, type StateNumber, isAbort, isLegal } from './states.js';
import {
  type AbortCauseNumber,
  Cause,
  CauseBranch,
  type ProtocolTransaction,
  Told,
  allBranches,
  hasLastResource,
  isDecidedByBranch,
} from './transaction.js';

/**
 * Makes one step of the table.
 *
 * @throws IllegalTransitionError when the table has no such step.
 * @internal
 */
export function step(transaction: ProtocolTransaction, next: StateNumber): void {
  if (!isLegal(transaction.state, next)) throw illegal(transaction.state, next);
  transaction.state = next;
}

function illegal(from: StateNumber, next: StateNumber): IllegalTransitionError {
  return new IllegalTransitionError(STATES[from]!, STATES[next]!);
}

/**
 * Moves the transaction to its next state, and reports it.
 *
 * @throws IllegalTransitionError when the table has no such step.
 * @internal
 */
export function enter<T extends ProtocolTransaction>(
  transaction: T,
  next: StateNumber,
  effects: ProtocolEffects<T>,
): void {
  const from = transaction.state;
  step(transaction, next);
  effects.entered(transaction, from);
}

/**
 * Answers the caller, unless it has an answer. An answer is never replaced by another.
 *
 * @internal
 */
export function tell<T extends ProtocolTransaction>(
  transaction: T,
  told: Told,
  effects: ProtocolEffects<T>,
): void {
  if (transaction.told !== Told.NOTHING) return;
  transaction.told = told;
  effects.tell(transaction, told);
}

/**
 * Every vote is in and none forbids commit. If a branch voted commit, the decision must be made durable
 * first. Otherwise no branch is in doubt, so no record is needed, unless every commit is recorded.
 *
 * @internal
 */
export function allVotedForCommit<T extends ProtocolTransaction>(
  transaction: T,
  effects: ProtocolEffects<T>,
): void {
  enter(transaction, State.READY, effects);
  if (transaction.yes === Branches.NONE && !transaction.recordsAll) decideCommit(transaction, effects);
  else effects.record(transaction);
}

/**
 * Event: the record is durable. It is the commit decision, and now final. If a branch decides, the record
 * only names that branch, and the branch is asked now.
 */
export function recorded<T extends ProtocolTransaction>(transaction: T, effects: ProtocolEffects<T>): void {
  if (!awaitsRecord(transaction)) return;
  if (!isDecidedByBranch(transaction)) {
    decideCommit(transaction, effects);
    return;
  }
  transaction.awaiting = only(transaction.decider);
  effects.commitOnePhase(transaction);
}

/**
 * Whether it is not known yet whether the record of the transaction is in the log. Before that no branch
 * decides.
 */
export function awaitsRecord(transaction: ProtocolTransaction): boolean {
  if (transaction.state !== State.READY) return false;
  return !isDecidedByBranch(transaction) || transaction.awaiting === Branches.NONE;
}

/** Whether a branch has decided to commit, and the log has yet to take this before the others learn of it. */
export function awaitsConfirmation({ state, open }: ProtocolTransaction): boolean {
  return state === State.COMMITTING && open === Branches.NONE;
}

/** Event: the commit that a branch has decided is durable. The others learn of it now. */
export function confirmed<T extends ProtocolTransaction>(transaction: T, effects: ProtocolEffects<T>): void {
  if (!awaitsConfirmation(transaction)) return;
  transaction.open = transaction.yes & ~only(transaction.decider);
  effects.commit(transaction, transaction.open);
}

/**
 * Event: the decision is proven not to be in the log, and never to get there. Only now may the transaction
 * abort.
 */
export function recordAbsent<T extends ProtocolTransaction>(
  transaction: T,
  effects: ProtocolEffects<T>,
): void {
  if (!awaitsRecord(transaction)) return;
  decideAbort(transaction, Cause.NOT_RECORDED, CauseBranch.NONE, effects);
}

/**
 * Event: the caller's patience has ended, and the transaction can no longer be aborted on request. The caller
 * is told `pending`, and the transaction continues.
 */
export function patienceEnded<T extends ProtocolTransaction>(
  transaction: T,
  effects: ProtocolEffects<T>,
): void {
  if (transaction.state !== State.READY && transaction.state !== State.COMMITTING) return;
  tell(transaction, Told.PENDING, effects);
}

/** @internal */
export function decideCommit<T extends ProtocolTransaction>(
  transaction: T,
  effects: ProtocolEffects<T>,
): void {
  enter(transaction, State.COMMITTING, effects);
  transaction.open = transaction.yes;
  if (transaction.open === Branches.NONE) end(transaction, effects);
  else effects.commit(transaction, transaction.open);
}

/**
 * A last resource has committed, which is the decision. Before the others learn of it, the log takes it: the
 * resource may forget one day what it has done.
 *
 * @internal
 */
export function lastResourceCommitted<T extends ProtocolTransaction>(
  transaction: T,
  effects: ProtocolEffects<T>,
): void {
  const others = transaction.yes;
  transaction.yes |= only(transaction.decider);
  enter(transaction, State.COMMITTING, effects);
  if (others === Branches.NONE) end(transaction, effects);
  else effects.confirm(transaction);
}

/**
 * Decides abort: aborts the signals, answers the caller, and rolls back every branch that may hold something,
 * the preparing ones included. A branch with a proven refusal, or one that only read, holds nothing. Nor does
 * a last resource: it was not asked, or it has refused.
 *
 * @internal
 */
export function decideAbort<T extends ProtocolTransaction>(
  transaction: T,
  cause: AbortCauseNumber,
  causeBranch: number,
  effects: ProtocolEffects<T>,
): void {
  transaction.cause = cause;
  transaction.causeBranch = causeBranch;
  transaction.open = allBranches(transaction) & ~(transaction.refused | transaction.readOnly);
  if (hasLastResource(transaction)) transaction.open &= ~only(transaction.decider);
  enter(transaction, State.ABORTING, effects);
  effects.cancel(transaction);
  tell(transaction, Told.ABORTED, effects);
  if (transaction.open === Branches.NONE) end(transaction, effects);
  else effects.rollback(transaction, transaction.open);
}

/** No branch owes an answer any more. @internal */
export function end<T extends ProtocolTransaction>(transaction: T, effects: ProtocolEffects<T>): void {
  if (isAbort(transaction.state)) {
    enter(transaction, State.ABORTED, effects);
  } else {
    enter(transaction, State.COMMITTED, effects);
    const heuristic = transaction.against | transaction.mixed | transaction.hazard;
    tell(transaction, heuristic === Branches.NONE ? Told.COMMITTED : Told.HEURISTIC, effects);
  }
  effects.ended(transaction);
}
