import { randomBytes } from 'node:crypto';
import { type IdOrigin, idPrefixOf } from '../../coordinator/protocol/index.js';

/**
 * A part of every name that the library uses in the session of a branch: for a savepoint or a prepared
 * statement. It is random for each process, so that the work cannot use the same name.
 */
export const OWN_MARK = randomBytes(8).toString('hex');

/**
 * The name of the sessions that work for a run, and of the one that holds its claim; everyone may see it in
 * pg_stat_activity. It proves nothing.
 */
export function applicationOf(run: IdOrigin): string {
  return `dtc ${idPrefixOf(run).slice(0, -1)}`;
}
