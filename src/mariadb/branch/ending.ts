import type { Vote } from '../../coordinator/participant/participant.js';
import type { Session } from '../connection/session.js';
import { errnoOf, meaningOf, refusalOf } from '../errno.js';
import { MariaDbBranchError } from '../errors.js';
import type { Xid } from '../gid.js';
import type { GuardTable } from '../guard/table.js';

/** How the transaction of a branch ends: prepared, or committed if the branch commits in one phase. */
export interface Ending {
  readonly xid: Xid;
  readonly sql: string;
  readonly command: 'PREPARE' | 'COMMIT';
}

/** The end that leaves the branch prepared. */
export function preparation(xid: Xid): Ending {
  return { xid, sql: `XA PREPARE ${xid.sql}`, command: 'PREPARE' };
}

/** The end of the only branch of a transaction. */
export function onePhase(xid: Xid): Ending {
  return { xid, sql: `XA COMMIT ${xid.sql} ONE PHASE`, command: 'COMMIT' };
}

/** ER_XAER_NOTA. */
const UNKNOWN_ID = 1397;

/** ER_XA_RBROLLBACK, ER_XA_RBTIMEOUT, ER_XA_RBDEADLOCK: the server has rolled the branch back by itself. */
const ROLLED_BACK: ReadonlySet<number | undefined> = new Set([1402, 1613, 1614]);

/**
 * Ends the transaction of a branch in one round trip.
 *
 * @returns `commit`, or a refusal. @throws when the result is not known.
 */
export async function end(session: Session, guard: GuardTable, { xid, sql, command }: Ending): Promise<Vote> {
  try {
    await session.runAll([`XA END ${xid.sql}`, sql]);
    return 'commit';
  } catch (error) {
    const rolledBack = await rollBack(session, xid);
    if (rolledBack === 'unknown') throw error;
    if (rolledBack === 'gone') {
      const isCommitted = (await guard.read(session, xid.gid)) === 'committed';
      if (command === 'PREPARE' && isCommitted) throw committedByWork(xid, error);
      if (command === 'COMMIT' && isCommitted) return 'commit';
      if (command === 'COMMIT') throw error;
    }
    return voteByError(error);
  }
}

/**
 * Rolls back the work of a branch that does not commit.
 *
 * @returns as {@link rollBack}. @throws MariaDbBranchError when the work has committed its transaction
 * itself: a refusal would hide that.
 */
export async function undo(
  session: Session,
  guard: GuardTable,
  xid: Xid,
  cause?: unknown,
): Promise<'rolled back' | 'gone' | 'unknown'> {
  const rolledBack = await rollBack(session, xid);
  if (rolledBack === 'gone' && (await guard.read(session, xid.gid)) === 'committed') {
    throw committedByWork(xid, cause);
  }
  return rolledBack;
}

function committedByWork({ gid }: Xid, cause: unknown): MariaDbBranchError {
  return new MariaDbBranchError(
    'DTC_MARIADB_TRANSACTION_CONTROL',
    `The work of ${gid} has committed its transaction itself, by a statement that hides the end of it. It cannot be rolled back: ` +
      'its rollback reports a heuristic commit. Remove the statement from the work, and correct the data by hand.',
    errnoOf(cause),
    { cause },
  );
}

/**
 * Rolls back the transaction that this session has begun for a branch.
 *
 * @returns `rolled back` when the server has confirmed it; `gone` when it knows no such branch; `unknown`
 * when it does not answer. Then the session is given up, and the server rolls back what is not prepared.
 */
export async function rollBack(session: Session, xid: Xid): Promise<'rolled back' | 'gone' | 'unknown'> {
  try {
    await session.run(`XA END ${xid.sql}`);
  } catch (error) {
    // It may be ended already. Without an answer of the server nothing more is sent.
    if (errnoOf(error) === undefined) return 'unknown';
  }
  try {
    await session.run(`XA ROLLBACK ${xid.sql}`);
    return 'rolled back';
  } catch (error) {
    const errno = errnoOf(error);
    if (ROLLED_BACK.has(errno)) return 'rolled back';
    return errno === UNKNOWN_ID ? 'gone' : 'unknown';
  }
}

/**
 * @returns a refusal, if the error proves that the transaction has not taken effect. @throws the error
 * otherwise.
 */
export function voteByError(error: unknown): Vote {
  if (meaningOf(error, 'prepare') === 'refused') return refusalOf(error);
  throw error;
}
