import { createHash } from 'node:crypto';
import { type IdOrigin, idPrefixOf } from '../../coordinator/protocol/index.js';
import { errnoOf } from '../errno.js';
import type { GuardTable } from '../guard/table.js';
import type { Session } from './session.js';

/** ER_NO_SUCH_THREAD: it has ended by then. ER_KILL_DENIED_ERROR: it belongs to another user. */
const NOT_ENDED: ReadonlySet<number | undefined> = new Set([1094, 1095]);

/**
 * The user lock that a session has while it works for a run that another one may fence. A session works for
 * several runs one after the other, and a reset releases it.
 */
export function workLockOf(run: IdOrigin, mark: string): string {
  return `dtc ${createHash('sha1')
    .update(`${idPrefixOf(run)}${mark}`)
    .digest('hex')}`;
}

/**
 * Ends the sessions in which a run that was fenced is at work, with the locks that they hold: the run may
 * stand still, and can decide nothing any more. What they have prepared stays prepared, and any session may
 * end it then. What the run begins or prepares at the same moment may be there all the same.
 *
 * @returns how many were told to end: those of the user of the session.
 */
export async function endSessionsOf(session: Session, guard: GuardTable, run: IdOrigin): Promise<number> {
  const prefix = idPrefixOf(run);
  // The rows of open transactions count.
  await session.run('SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED');
  const rows = await session.rows<{ mark: string }>(
    `SELECT mark FROM (SELECT DISTINCT session_mark AS mark FROM ${guard.table}
        WHERE gid >= ? AND gid < ? AND session_mark IS NOT NULL) AS marks
      WHERE IS_USED_LOCK(CONCAT('dtc ', SHA1(CONCAT(?, mark)))) IS NOT NULL`,
    // The slash comes after the dot with which the prefix ends.
    [prefix, `${prefix.slice(0, -1)}/`, prefix],
  );
  let count = 0;
  for (const { mark } of rows) {
    try {
      await session.run('KILL CONNECTION IS_USED_LOCK(?)', [workLockOf(run, mark)]);
      count++;
    } catch (error) {
      if (!NOT_ENDED.has(errnoOf(error))) throw error;
    }
  }
  return count;
}
