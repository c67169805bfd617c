import { DatabaseError } from 'pg';
import type { MemberVote } from '../../coordinator/participant/group.js';
import { NO_SUCH_STATEMENT } from '../branch/work.js';
import { codeOf, meaningOf, refusalOf } from '../sqlstate.js';

/**
 * Errors that say little of the member itself: it met another transaction, which may have waited for the
 * members before it, or took too long. On its own it may succeed.
 */
const MET_OTHERS: ReadonlySet<string | undefined> = new Set(['40001', '40P01', '55P03', '57014']);

/** Those of them that say that a member has waited for another transaction. */
const WAITED: ReadonlySet<string | undefined> = new Set(['40001', '40P01', '55P03']);

/**
 * Errors of a statement rather than of its values: outside of a group, it is not prepared, or prepared again.
 */
const OF_STATEMENT = /^42/;

/**
 * SQLSTATE `feature_not_supported`: the columns of a prepared statement have changed since it was prepared.
 */
const PLAN_OUTDATED = '0A000';

/** Whether an error may be one of the member at work. Others are lost connections and defects. */
export function isOfMember(error: unknown): boolean {
  return error instanceof DatabaseError && error.code !== undefined && !saysStatementsAreLost(error);
}

/** Whether the session has not the statements that the group expects in it. */
export function saysStatementsAreLost(error: unknown): boolean {
  const code = codeOf(error);
  return code === NO_SUCH_STATEMENT || code === PLAN_OUTDATED;
}

/** Whether the member has met another transaction, or took too long. */
export function hasMetOthers(error: unknown): boolean {
  return MET_OTHERS.has(codeOf(error));
}

/** Whether the member has only waited for another transaction, which makes it no slow one. */
export function hasWaited(error: unknown): boolean {
  return WAITED.has(codeOf(error));
}

/**
 * @param error of the work of one member.
 * @param mayBeEarly whether its own constraints may have been checked too early.
 * @returns its vote. @throws the error if it belongs to none.
 */
export function voteBy(error: unknown, mayBeEarly: boolean): MemberVote {
  if (hasMetOthers(error) || OF_STATEMENT.test(codeOf(error) ?? '')) return 'alone';
  if (meaningOf(error, 'work') !== 'refused') throw error;
  return mayBeEarly ? 'alone' : refusalOf(error);
}
