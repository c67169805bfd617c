import type { PoolClient } from 'pg';
import { type Vote, refuse } from '../../coordinator/participant/participant.js';
import { isPrepared } from './completion.js';
import { AFTER_COMMIT, type BranchSessions, UNLOCK } from './session.js';
import { quoted } from '../../sql/gid.js';
import { OWN_MARK } from '../connection/own-names.js';
import { throwIfCutShort, waitsCutShort } from '../connection/replication.js';
import { sendScript } from '../connection/script.js';
import { spoil } from '../connection/spoiled.js';
import type { GuardTable } from '../guard/table.js';
import { meaningOf, refusalOf } from '../sqlstate.js';

/** How the transaction of a branch ends: prepared, or committed if the branch commits in one phase. */
export interface Ending {
  readonly gid: string;
  readonly sql: string;
  /** The first word of the answer that confirms the end. */
  readonly command: 'PREPARE' | 'COMMIT';
  /** Whether the work may vote only after the end. Then it is not the vote of an earlier call that its branch is prepared. */
  readonly isBeforeVote?: boolean;
}

/** The end that leaves the branch prepared. */
export function preparation(gid: string): Ending {
  return { gid, sql: `PREPARE TRANSACTION ${quoted(gid)}`, command: 'PREPARE' };
}

/** The end of the only branch of a transaction. */
export function onePhase(gid: string): Ending {
  return { gid, sql: COMMIT, command: COMMIT };
}

const COMMIT = 'COMMIT';

/**
 * Under `serializable`, only the commit of a transaction proves that its reads were consistent. So a branch
 * that votes read-only goes back to this savepoint, which undoes its writes, and commits. A savepoint of the
 * work with the same name would hide this one, and earlier writes would be committed. So the work cannot know
 * the name.
 */
export const START = `dtc_${OWN_MARK}`;

/** The statements that end a transaction, and remove every setting of the work from its session. */
export interface EndingScript {
  readonly statements: readonly string[];
  /** The number of statements before the one that ends the transaction. */
  readonly at: number;
}

/** Ends the transactions of branches. */
export class BranchEndings {
  constructor(
    private readonly sessions: BranchSessions,
    private readonly guard: GuardTable,
  ) {}

  /** @param mayLock whether the work may have taken advisory locks for the session. */
  scriptOf(client: PoolClient, ending: Ending, mayLock: boolean): EndingScript {
    const before = this.sessions.beforeEnd();
    const after = [
      ...this.sessions.afterEnd(client),
      ...(ending.command === COMMIT ? AFTER_COMMIT : []),
      ...(mayLock ? [UNLOCK] : []),
    ];
    return { statements: [...before, ending.sql, ...after], at: before.length };
  }

  /**
   * Ends the transaction in one round trip.
   *
   * @param first statements that come before all others.
   * @param refusalOfFirst the meaning of an error that only those can cause; undefined for any other.
   * @returns `commit`, or a refusal. @throws when the result is not known.
   */
  async end(
    client: PoolClient,
    ending: Ending,
    mayLock: boolean,
    first: readonly string[] = [],
    refusalOfFirst?: (error: unknown) => Vote | undefined,
  ): Promise<Vote> {
    const waits = waitsCutShort(client);
    const { statements, at } = this.scriptOf(client, ending, mayLock);
    const { commands, error } = await sendScript(client, [...first, ...statements].join('; '));
    throwIfCutShort(client, waits, ending.sql);
    if (error !== undefined) return this.voteAfter(client, ending, error, refusalOfFirst);
    this.sessions.undone(client);
    if (commands[first.length + at] === ending.command) return 'commit';
    if (client.getTransactionStatus() !== 'I') await rollBack(client);
    // A transaction with a failed statement is rolled back without an error: only the command shows it.
    return workFailed();
  }

  /**
   * Interprets an error that came instead of the answer to an end. It may belong to a statement behind the
   * end, and then changes nothing: the session is reset before its next branch.
   *
   * @returns `commit`, or a refusal. @throws the error when the result is not known.
   */
  async voteAfter(
    client: PoolClient,
    ending: Ending,
    error: unknown,
    refusalFor?: (error: unknown) => Vote | undefined,
  ): Promise<Vote> {
    if (!(await rollBack(client))) throw error;
    return (await this.isDone(client, ending)) ? 'commit' : (refusalFor?.(error) ?? voteByError(error));
  }

  /** The session holds nothing of the work any more. */
  undone(client: PoolClient): void {
    this.sessions.undone(client);
  }

  private async isDone(client: PoolClient, { command, gid }: Ending): Promise<boolean> {
    return command === COMMIT
      ? (await this.guard.read(client, gid)) === 'committed'
      : isPrepared(client, gid);
  }

  /**
   * Ends a transaction that has voted read-only, and undoes any writes.
   *
   * @returns `read-only`, or a refusal. @throws when a connection is lost.
   */
  async endReader(client: PoolClient, mayLock: boolean): Promise<Vote> {
    if (!this.sessions.checksReads) {
      await this.rollBack(client, mayLock);
      return 'read-only';
    }
    // The savepoint is as old as the transaction: going back to it undoes every setting of the work as well.
    const { commands, error } = await sendScript(client, `ROLLBACK TO ${START}; ${COMMIT}`);
    if (commands.at(-1) === COMMIT) {
      await this.tidy(client, mayLock);
      return 'read-only';
    }
    if (client.getTransactionStatus() !== 'I') await rollBack(client);
    return error === undefined ? workFailed() : voteByError(error);
  }

  /** Rolls a transaction back, and its settings with it. @returns whether the server has confirmed it. */
  async rollBack(client: PoolClient, mayLock: boolean): Promise<boolean> {
    const isRolledBack = await rollBack(client);
    if (isRolledBack) await this.tidy(client, mayLock);
    return isRolledBack;
  }

  /** A rollback undoes settings, but keeps the advisory locks of the session. */
  private async tidy(client: PoolClient, mayLock: boolean): Promise<void> {
    if (mayLock && (await sendScript(client, UNLOCK)).error !== undefined) return;
    this.sessions.undone(client);
  }
}

/** A statement of the work has failed, and the work has not reported it. */
export function workFailed(): Vote {
  return refuse('WORK_FAILED', 'a statement of the work failed, although the work did not report it');
}

/**
 * @returns a refusal, if the error proves that the transaction has not taken effect. @throws the error
 * otherwise.
 */
export function voteByError(error: unknown): Vote {
  if (meaningOf(error, 'prepare') === 'refused') return refusalOf(error);
  throw error;
}

/**
 * @returns whether the server has confirmed it. If not, the connection is given up, and the server rolls back
 * an unprepared transaction.
 */
export async function rollBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    spoil(client);
    return false;
  }
}
