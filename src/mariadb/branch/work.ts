import type { Connection } from 'mysql2/promise';
import { messageOf } from '../../coordinator/gate/texts.js';
import { type Branch, type Vote, expiringVoteIn, refuse } from '../../coordinator/participant/participant.js';
import { remainingUntil, settle } from '../../sql/work.js';
import { workLockOf } from '../connection/fenced-sessions.js';
import type { Session } from '../connection/session.js';
import { databaseErrorIn, errnoOf, meaningOf, refusalOf } from '../errno.js';
import type { GuardTable } from '../guard/table.js';
import type { ResolvedMariaDbSettings } from '../options.js';
import { lend } from './client.js';
import { isPrepared } from './completion.js';
import { type Ending, end, rollBack, undo } from './ending.js';
import { limitsOf, show } from './session.js';

/** The work of one branch: statements in a transaction that is open already, and a vote. @publicApi */
export type Work<P> = (connection: Connection, branch: Branch<P>) => Promise<Vote>;

/** The state that a branch has left on its session. */
export type Left =
  /** Nothing: another branch may use it after a reset. */
  | 'nothing'
  /** A prepared branch, which only this session can end while it lives. */
  | 'prepared'
  /** It is not known. */
  | 'doubt';

/** The answer of a branch, and what it has left on its session. */
export interface Performed {
  readonly vote: Vote;
  readonly left: Left;
}

/** An error of the work, after whose rollback the session can be used again. */
export class WorkError extends Error {}

/** ER_XAER_DUPID: the id is in use, so this session has begun nothing. */
const ID_IN_USE = 1440;

/**
 * Does the work of a branch in a transaction on one session: begins it, with limits and the guard row, runs
 * the work, and prepares or commits it if that is the vote. In every other case the transaction is rolled
 * back.
 */
export class BranchWork {
  constructor(
    private readonly participant: string,
    private readonly guard: GuardTable,
    private readonly settings: ResolvedMariaDbSettings,
  ) {}

  /**
   * @param session that was reset since its last branch.
   * @returns the vote of the work; a refusal when the database refuses, or the branch was rolled back before;
   * and `commit` when an earlier call has already prepared or committed the branch.
   * @throws WorkError with any other error of the work, after its rollback; and any error that leaves the
   * result unknown.
   */
  async perform<P>(session: Session, branch: Branch<P>, work: Work<P>, ending: Ending): Promise<Performed> {
    const { xid } = ending;
    const remainingMs = remainingUntil(branch.deadline);
    if (remainingMs <= 0) {
      throw new WorkError('no work', {
        cause: new RangeError('The deadline of this branch has passed before its work begins.'),
      });
    }
    try {
      await session.runAll([
        ...limitsOf(this.settings, remainingMs),
        show(session.mark),
        ...(branch.run.isShared === true ? [show(workLockOf(branch.run, session.mark))] : []),
        `XA START ${xid.sql}`,
        this.guard.insertWork(xid.gid, session.mark),
      ]);
    } catch (error) {
      return this.notBegun(session, error, ending);
    }
    const loan = lend(session, branch.signal);
    const result = await settle(() => work(loan.connection, branch), loan.failed);
    loan.close();
    // Statements that the work did not await are answered before anything that follows.
    branch.signal.throwIfAborted();
    if (result.status === 'rejected') return this.failed(session, result.reason, ending);
    const expiring = expiringVoteIn(result.value);
    if (expiring === undefined && result.value !== 'commit') {
      const rolledBack = await undo(session, this.guard, xid);
      return { vote: result.value, left: rolledBack === 'rolled back' ? 'nothing' : 'doubt' };
    }
    const vote = await end(session, this.guard, ending);
    if (vote !== 'commit') return { vote, left: 'nothing' };
    return { vote: expiring ?? vote, left: ending.command === 'PREPARE' ? 'prepared' : 'nothing' };
  }

  /**
   * The transaction could not be begun, or the branch already has a guard row, its own or its tombstone.
   *
   * @throws the error, unless it is proven that no other call has prepared the branch.
   */
  private async notBegun(session: Session, error: unknown, { xid, command }: Ending): Promise<Performed> {
    const meaning = meaningOf(error, 'begin');
    if (errnoOf(error) === ID_IN_USE) {
      // A rollback here would hit the branch of the other call.
      if (command === 'PREPARE' && (await isPrepared(session, xid, this.participant))) {
        return { vote: 'commit', left: 'nothing' };
      }
      throw error;
    }
    // Only this error proves that the session has begun the branch. After any other one, a rollback by the id
    // might hit the branch that an earlier call has prepared; the session is cut instead.
    if (meaning !== 'exists' || (await rollBack(session, xid)) !== 'rolled back') throw error;
    const before = await this.guard.read(session, xid.gid);
    if (before === 'committed') return { vote: 'commit', left: 'nothing' };
    if (before === 'rolled-back') {
      return { vote: refuse('ROLLED_BACK', 'this branch was rolled back before'), left: 'nothing' };
    }
    throw error;
  }

  /**
   * The work threw an error, and is rolled back. An error of the database becomes a refusal. Any other error
   * is thrown, except in one phase, where an error would mean that the branch may be committed.
   */
  private async failed(session: Session, error: unknown, { xid, command }: Ending): Promise<Performed> {
    const isRolledBack = (await undo(session, this.guard, xid, error)) === 'rolled back';
    const left = isRolledBack ? 'nothing' : 'doubt';
    const said = databaseErrorIn(error);
    if (meaningOf(said, 'work') === 'refused') return { vote: refusalOf(said), left };
    if (!isRolledBack) throw error;
    if (command === 'COMMIT') return { vote: refuse('WORK_FAILED', messageOf(error)), left };
    throw new WorkError('The work failed.', { cause: error });
  }
}
