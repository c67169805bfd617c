import { HeuristicError } from '../../coordinator/participant/participant.js';
import { messageOf } from '../../coordinator/gate/texts.js';
import type { BranchEnd } from '../../sql/guard.js';
import { killByMark } from '../connection/connection-pools.js';
import type { Session } from '../connection/session.js';
import { errnoOf, meaningOf, remedyOf } from '../errno.js';
import { MariaDbBranchError } from '../errors.js';
import { type RecoverRow, type Xid, gidIn } from '../gid.js';
import { type GuardTable, isHeld } from '../guard/table.js';

/**
 * Commits a prepared branch; repeats are harmless.
 *
 * @throws HeuristicError when the branch has ended otherwise, or its end is unknown. After any other error
 * another attempt may succeed.
 */
export async function commitPrepared(
  session: Session,
  xid: Xid,
  participant: string,
  guard: GuardTable,
  waitMs: number,
): Promise<void> {
  const { gid } = xid;
  try {
    await session.run(`XA COMMIT ${xid.sql}`);
    return;
  } catch (error) {
    if (meaningOf(error, 'commit') !== 'not-found') throw error;
  }
  // The server says "unknown" as well while the session that has prepared the branch lives, or another one
  // ends it.
  if (await isPrepared(session, xid, participant)) throw await heldBy(session, xid, guard);
  switch (await guard.readAtLast(session, gid, waitMs)) {
    case 'committed':
      return;
    case 'rolled-back':
      throw new HeuristicError('rollback', `${gid} received a commit, but it is rolled back in MariaDB`);
    case undefined:
      throw new HeuristicError(
        'hazard',
        `${gid} received a commit, but MariaDB has neither the prepared branch nor its row in ${guard.table}: it was rolled ` +
          'back by hand, or the database was restored from a backup',
      );
  }
}

/**
 * Rolls a branch back, prepared or not, and leaves a tombstone, so that no later prepare can succeed. The
 * tombstone is the proof: it cannot be written while the branch is prepared, or about to be.
 *
 * @throws as {@link commitPrepared}; also when a running prepare does not end within `waitMs`.
 */
export async function rollBackPrepared(
  session: Session,
  xid: Xid,
  guard: GuardTable,
  waitMs: number,
): Promise<void> {
  try {
    await session.run(`XA ROLLBACK ${xid.sql}`);
  } catch (error) {
    if (meaningOf(error, 'rollback') !== 'not-found') throw error;
  }
  if ((await leaveTombstone(session, xid, guard, waitMs)) === 'committed') {
    throw new HeuristicError('commit', `${xid.gid} received a rollback, but it is committed in MariaDB`);
  }
}

/**
 * @returns the final end of the branch: rolled back, unless it was committed before.
 * @throws MariaDbBranchError (`DTC_MARIADB_BRANCH_HELD`) when a transaction still holds its row. Its session
 * was told to end.
 */
export async function leaveTombstone(
  session: Session,
  xid: Xid,
  guard: GuardTable,
  waitMs: number,
): Promise<BranchEnd> {
  let end: BranchEnd | undefined;
  try {
    end = await guard.leaveTombstone(session, xid.gid, waitMs);
  } catch (error) {
    if (isHeld(error)) throw await heldBy(session, xid, guard, error);
    throw error;
  }
  if (end === undefined) throw new Error(`${guard.table} has no row of ${xid.gid}, although it had one`);
  return end;
}

/** @returns whether the branch is prepared at the server, as of a moment ago. */
export async function isPrepared(session: Session, { gid }: Xid, participant: string): Promise<boolean> {
  return (await preparedOf(session, participant)).includes(gid);
}

/** @returns the global ids of a participant's prepared branches at the server. */
export async function preparedOf(session: Session, participant: string): Promise<string[]> {
  const rows = await session.rows<RecoverRow>('XA RECOVER');
  return rows.map((row) => gidIn(row, participant)).filter((gid) => gid !== undefined);
}

/**
 * Ends the session that holds a branch, if there is one.
 *
 * @returns the error with which the call is tried again.
 */
async function heldBy(
  session: Session,
  { gid }: Xid,
  guard: GuardTable,
  cause?: unknown,
): Promise<MariaDbBranchError> {
  const mark = await guard.markOf(session, gid);
  const isTold = mark !== undefined && (await killByMark(session, mark));
  return new MariaDbBranchError(
    'DTC_MARIADB_BRANCH_HELD',
    `${gid} is held by another session${isTold ? ', which was told to end' : ''}. It is tried again`,
    undefined,
    { cause },
  );
}

/** @returns an error with the attempted action, its meaning and the remedy. */
export function completionFailed(sql: string, error: unknown): MariaDbBranchError {
  if (error instanceof MariaDbBranchError) return error;
  const errno = errnoOf(error);
  const remedy = remedyOf(error);
  return new MariaDbBranchError(
    'DTC_MARIADB_COMPLETION_FAILED',
    `${sql} failed: ${messageOf(error)}${errno === undefined ? '' : ` (${errno})`}.` +
      (remedy === undefined ? '' : ` ${remedy}, or run it there by hand.`),
    errno,
    { cause: error },
  );
}
