import type { PoolClient } from 'pg';
import { prepareOwn } from '../branch/session.js';
import { OWN_MARK } from '../connection/own-names.js';
import { LOCK_MARK, WORK_MARK } from './group-query.js';

/**
 * The database has triggers that are deferred from the start, other than those of constraints such as foreign keys. They do their
 * work at the end of their own transaction. Behind another member they would do it after each statement. (`division_by_zero`)
 */
export const FITS_NO_GROUP = '22012';

/** The lock against the groups of other coordinators is not free (`invalid_text_representation`), or was not free in time. */
export const NOT_FREE: ReadonlySet<string | undefined> = new Set(['22P02', '55P03']);

/** Whether a constraint is deferred from the start, so that its check comes earlier for all members but the first. */
export const HAS_DEFERRED =
  'SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tginitdeferred)::text AS deferred';

/** Opens the work of a group, or is an error, so that nothing behind it runs. */
const OPEN = `dtc open ${OWN_MARK}`;

/** Gives the session the statement of {@link openingOf}: to parse and plan it for each group would cost more than all its work. */
export function readyToOpen(client: PoolClient): Promise<void> | undefined {
  return prepareOwn(client, OPEN, prepareOpening);
}

/**
 * @param lockKey of the session-level lock against the groups of other coordinators.
 * @param waits whether it may wait as long as for any lock.
 * @returns the statement that takes the lock, unless the database fits no group. It returns the row {@link LOCK_MARK}.
 */
export function openingOf(lockKey: string, waits: boolean): string {
  return `EXECUTE "${OPEN}" ('${lockKey}', ${waits})`;
}

/** The two errors have different codes: only a text would tell which one it was otherwise. */
function prepareOpening(): string {
  const fits =
    `1 OPERATOR(pg_catalog./) (CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_trigger ` +
    `WHERE tginitdeferred AND NOT tgisinternal) THEN 0 ELSE 1 END)`;
  const lock =
    `CASE WHEN $2 THEN pg_catalog.pg_advisory_lock($1)::pg_catalog.text ELSE (CASE WHEN pg_catalog.pg_try_advisory_lock($1) ` +
    `THEN '1' ELSE 'a group of another coordinator works here' END)::pg_catalog.int4::pg_catalog.text END`;
  const passedMs =
    `(1000 OPERATOR(pg_catalog.*) extract(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.now()))` +
    `::pg_catalog.text`;
  return (
    `PREPARE "${OPEN}" (pg_catalog.int8, pg_catalog.bool) AS ` +
    `SELECT ${fits} AS fits, ${lock} AS "${LOCK_MARK}", ${passedMs} AS "${WORK_MARK}"`
  );
}
