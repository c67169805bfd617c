import type { ClientBase } from 'pg';
import type { IdOrigin } from '../../coordinator/protocol/index.js';
import { applicationOf } from './own-names.js';
import { rowsOf } from './own-queries.js';

/**
 * Tells the sessions of a run in this database to end: those that the role of the session may end. They are
 * listed first, since the server would tell some before it has checked every condition.
 */
const END = `
  WITH sessions AS MATERIALIZED (
    SELECT pid FROM pg_catalog.pg_stat_activity
    WHERE application_name OPERATOR(pg_catalog.=) $1 AND datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
      AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid() AND pg_catalog.pg_has_role(usesysid, 'USAGE'))
  SELECT pid::text FROM sessions WHERE pg_catalog.pg_terminate_backend(pid)`;

/**
 * Ends the sessions in which a run that was fenced is at work, with the locks that they hold: the run may
 * stand still, and can decide nothing any more. What it prepares at the same moment may be prepared all the
 * same.
 *
 * @returns how many were told to end.
 */
export async function endSessionsOf(client: ClientBase, run: IdOrigin): Promise<number> {
  return (await rowsOf(client, END, [applicationOf(run)])).length;
}
