import { LOCK_MARK, TRIGGER_MARK, WORK_MARK } from './group-query.js';

/** Triggers that do not fit a group (`division_by_zero`), or a lock that is not free (`lock_not_available`). */
export const NOT_FREE: ReadonlySet<string | undefined> = new Set(['22012', '55P03']);

/** The time since the transaction has begun, in milliseconds. */
const PASSED_MS =
  '(1000 OPERATOR(pg_catalog.*) extract(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.now()))::text';

/** Whether a constraint is deferred from the start, so that its check comes earlier for all members but the first. */
export const HAS_DEFERRED =
  'SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tginitdeferred)::text AS deferred';

/**
 * Triggers that are deferred from the start, other than those of constraints such as foreign keys, do their work at the end of
 * their own transaction. Behind another member they would do it after each statement.
 */
export const MAY_GROUP = `SELECT 1 OPERATOR(pg_catalog./) (CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_trigger
  WHERE tginitdeferred AND NOT tgisinternal) THEN 0 ELSE 1 END) AS "${TRIGGER_MARK}"`;

/**
 * @param waits whether it may wait as long as for any lock.
 * @returns SQL that takes the lock against the groups of other coordinators, or is an error.
 */
export function lockOf(lockKey: string, waits: boolean): string {
  const times = `${PASSED_MS} AS "${WORK_MARK}"`;
  return waits
    ? `SELECT pg_catalog.pg_advisory_lock(${lockKey})::pg_catalog.text AS "${LOCK_MARK}", ${times}`
    : `SELECT 1 OPERATOR(pg_catalog./) pg_catalog.pg_try_advisory_lock(${lockKey})::pg_catalog.int4 AS "${LOCK_MARK}", ${times}`;
}
