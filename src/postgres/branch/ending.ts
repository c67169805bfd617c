import type { PoolClient } from 'pg';
import { type Vote, refuse } from '../../coordinator/index.js';
import { AFTER_COMMIT, type BranchSessions, UNLOCK } from './session.js';
import { quoted } from '../../sql/gid.js';
import { OWN_MARK } from '../connection/own-names.js';
import { throwIfCutShort, waitsCutShort } from '../connection/replication.js';
import { type ScriptAnswer, sendScript } from '../connection/script.js';
import { meaningOf, refusalOf } from '../sqlstate.js';

/** How the transaction of a branch is brought to its end: prepared, or committed where the branch decides alone. */
export interface Ending {
  readonly sql: string;
  /** The command tag that says that it is done. */
  readonly tag: 'PREPARE TRANSACTION' | 'COMMIT';
}

/** The end that leaves the branch prepared. */
export function preparation(gid: string): Ending {
  return { sql: `PREPARE TRANSACTION ${quoted(gid)}`, tag: 'PREPARE TRANSACTION' };
}

/** The end of a branch that is alone in its transaction. */
export const ONE_PHASE: Ending = { sql: 'COMMIT', tag: 'COMMIT' };

/**
 * Under `serializable` the reads of a transaction are proven consistent only by its commit. So a branch that votes read-only
 * goes back to this savepoint, which undoes what was written since, and commits. A savepoint of the work by the same
 * name would hide this one, and what was written before it would be committed: so no work can know the name.
 */
export const START = `dtc_${OWN_MARK}`;

/** An end that was sent, and is not answered yet. */
export interface SentEnding {
  readonly answer: Promise<ScriptAnswer>;
  /** How many statements come before the one that ends the transaction. */
  readonly at: number;
  readonly waits: number;
}

/** Ends the transactions of branches, and leaves nothing in their sessions of what the work has set. */
export class BranchEndings {
  constructor(private readonly sessions: BranchSessions) {}

  /** @param mayLock whether the work may have taken advisory locks for the session. */
  send(client: PoolClient, ending: Ending, mayLock: boolean): SentEnding {
    const before = this.sessions.beforeEnd();
    const after = [
      ...this.sessions.afterEnd(client),
      ...(ending.tag === 'COMMIT' ? AFTER_COMMIT : []),
      ...(mayLock ? [UNLOCK] : []),
    ];
    const answer = sendScript(client, [...before, ending.sql, ...after].join('; '));
    return { answer, at: before.length, waits: waitsCutShort(client) };
  }

  /**
   * Ends the transaction in one round trip.
   *
   * @returns `commit`, or a refusal. @throws when the result is not known.
   */
  async end(client: PoolClient, ending: Ending, mayLock: boolean): Promise<Vote> {
    return this.vote(client, ending, this.send(client, ending, mayLock));
  }

  /** What the answer to the end says. @returns and throws as {@link end}. */
  async vote(client: PoolClient, ending: Ending, { answer, at, waits }: SentEnding): Promise<Vote> {
    const { tags, error } = await answer;
    throwIfCutShort(client, waits, ending.sql);
    if (error === undefined) this.sessions.undone(client);
    const tag = tags[at];
    // What fails behind the end changes nothing of it; the session is reset before its next branch.
    if (tag === ending.tag) return 'commit';
    if (client.getTransactionStatus() !== 'I') await rollBack(client);
    if (tag === undefined && error !== undefined) return voteByError(error);
    // A transaction in which a statement has failed is rolled back without an error: only the tag says so.
    return workFailed();
  }

  /**
   * Ends a transaction that has voted read-only, and undoes what it may have written. Where a statement has failed the
   * work has read less than it asked for, and the vote is not taken.
   *
   * @returns `read-only`, or a refusal. @throws when a connection is lost.
   */
  async endReader(client: PoolClient, mayLock: boolean): Promise<Vote> {
    if (client.getTransactionStatus() === FAILED) {
      await this.rollBack(client, mayLock);
      return workFailed();
    }
    if (!this.sessions.checksReads) {
      await this.rollBack(client, mayLock);
      return 'read-only';
    }
    // The savepoint is as old as the transaction: going back to it undoes every setting of the work as well.
    const { tags, error } = await sendScript(client, `ROLLBACK TO ${START}; ${ONE_PHASE.sql}`);
    if (error === undefined && tags.at(-1) === ONE_PHASE.tag) {
      await this.tidy(client, mayLock);
      return 'read-only';
    }
    if (client.getTransactionStatus() !== 'I') await rollBack(client);
    return error === undefined ? workFailed() : voteByError(error);
  }

  /** Rolls a transaction back, and its settings with it. @returns whether the server has said so. */
  async rollBack(client: PoolClient, mayLock: boolean): Promise<boolean> {
    const isRolledBack = await rollBack(client);
    if (isRolledBack) await this.tidy(client, mayLock);
    return isRolledBack;
  }

  /** A rollback undoes settings, and leaves the advisory locks of the session. */
  private async tidy(client: PoolClient, mayLock: boolean): Promise<void> {
    if (mayLock && (await sendScript(client, UNLOCK)).error !== undefined) return;
    this.sessions.undone(client);
  }
}

/** What the server says of a transaction in which a statement has failed. */
const FAILED = 'E';

function workFailed(): Vote {
  return refuse('WORK_FAILED', 'a statement of the work failed, though the work did not say so');
}

/** @returns a refusal, where the error proves that the transaction has not come to its end. @throws the error otherwise. */
export function voteByError(error: unknown): Vote {
  if (meaningOf(error, 'prepare') === 'refused') return refusalOf(error);
  throw error;
}

/** @returns whether the server has said so. If not the connection is gone, and it rolls back what was never prepared. */
export async function rollBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    client.connection.stream.destroy();
    return false;
  }
}
