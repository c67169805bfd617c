import type { ClientBase, PoolClient } from 'pg';
import { type Branch, type Vote, refuse } from '../../coordinator/index.js';
import { lend } from './branch-client.js';
import { BranchSessions, forgetSettings, forgetStatements } from './branch-session.js';
import { type BurstStatement, sendBurst, takesBursts, textOf } from './burst.js';
import { PostgresBranchError } from './errors.js';
import { quoted } from './gid.js';
import type { GuardTable } from './guard-table.js';
import type { ResolvedPostgresSettings } from './options.js';
import { codeOf, meaningOf, refusalOf } from './sqlstate.js';
import { TransactionWatch } from './transaction-watch.js';

/** The work of one branch: statements in a transaction that is open already, and a vote. @publicApi */
export type Work<P> = (client: ClientBase, branch: Branch<P>) => Promise<Vote>;

/** How the transaction of a branch is brought to its end: prepared, or committed where the branch decides alone. */
export interface Ending {
  readonly sql: string;
  /** The first word of the command tag that says that it is done. */
  readonly command: 'PREPARE' | 'COMMIT';
}

/** The end that leaves the branch prepared. */
export function preparation(gid: string): Ending {
  return { sql: `PREPARE TRANSACTION ${quoted(gid)}`, command: 'PREPARE' };
}

/** The end of a branch that is alone in its transaction. */
export const ONE_PHASE: Ending = { sql: 'COMMIT', command: 'COMMIT' };

/** SQLSTATE `invalid_sql_statement_name`: the work before has deallocated what was prepared in its session. */
export const NO_SUCH_STATEMENT = '26000';

/**
 * Does the work of a branch in a transaction on one connection: opens it, with limits and the guard row, runs the work,
 * and prepares or commits it if that is the vote. Whatever else happens, the transaction is rolled back.
 */
export class BranchWork {
  private readonly sessions: BranchSessions;

  constructor(
    private readonly guard: GuardTable,
    private readonly settings: ResolvedPostgresSettings,
    serverVersion: number,
  ) {
    this.sessions = new BranchSessions(guard, settings, serverVersion);
  }

  /**
   * @returns the vote of the work; a refusal when the database refuses, or the branch was rolled back before; and
   * `commit` when a call before this one has prepared the branch already.
   * @throws whatever else the work throws, when it is rolled back; and any error that leaves the result unknown.
   */
  async perform<P>(
    client: PoolClient,
    gid: string,
    branch: Branch<P>,
    work: Work<P>,
    ending: Ending,
  ): Promise<Vote> {
    // Should the begin of a branch fail before it takes effect, statements that are sent behind it would each commit by
    // itself: outside a transaction that says READ WRITE, as ours does, nothing may be written here.
    const readying = this.ready(client, branch.deadline, true);
    // Until the end is answered: what the work has not awaited is answered before.
    const watch = new TransactionWatch(client);
    try {
      return await this.performWatched(client, gid, branch, work, ending, readying, watch);
    } finally {
      watch.stop();
    }
  }

  private async performWatched<P>(
    client: PoolClient,
    gid: string,
    branch: Branch<P>,
    work: Work<P>,
    ending: Ending,
    readying: Promise<void> | undefined,
    watch: TransactionWatch,
  ): Promise<Vote> {
    const loan = lend(client, branch.signal);
    const { stream } = client.connection;
    stream.cork();
    const begin = this.open(client, readying, this.begin(gid, 'BEGIN READ WRITE'));
    // On a pipelined connection the first statement of the work need not wait: should the begin fail, it fails too.
    const ahead =
      client.pipeline && readying === undefined ? settle(() => work(loan.client, branch)) : undefined;
    stream.uncork();
    try {
      await begin;
    } catch (error) {
      loan.close();
      return this.notBegun(client, gid, error);
    }
    const result = await (ahead ?? settle(() => work(loan.client, branch)));
    loan.close();
    // What is not prepared yet need not be rolled back from being so.
    branch.signal.throwIfAborted();
    if (await this.isEnded(client, gid, watch)) throw endedByWork(client);
    if (result.status === 'rejected') return this.failed(client, result.reason, ending);
    if (result.value === 'commit') return end(client, ending);
    await rollBack(client);
    return result.value;
  }

  /** Whether a statement of a batch that comes again is prepared. */
  get preparesStatements(): boolean {
    return this.settings.prepareStatements;
  }

  /** @see BranchSessions.ready @throws RangeError when the time of the branch is over before its work begins. */
  ready(client: PoolClient, deadline: number, readOnly: boolean): Promise<void> | undefined {
    const remainingMs = remainingUntil(deadline);
    if (remainingMs <= 0) throw new RangeError('The deadline of this branch is over before its work begins.');
    return this.sessions.ready(client, remainingMs, readOnly);
  }

  /** @returns the statements that open the transaction of a branch and write its guard row. */
  begin(gid: string, begin: 'BEGIN' | 'BEGIN READ WRITE'): readonly BurstStatement[] {
    return [begin, this.guard.insertWork(gid)];
  }

  /** Opens a transaction in a session that is being made ready for it. */
  private async open(
    client: PoolClient,
    readying: Promise<void> | undefined,
    begin: readonly BurstStatement[],
  ): Promise<void> {
    if (!client.pipeline) await readying;
    const opening = takesBursts(client)
      ? sendBurst(client, begin).then((answer) => {
          if ('error' in answer) throw answer.error;
        })
      : client.query(begin.map(textOf).join('; '));
    const [readied, opened] = await Promise.allSettled([readying, opening]);
    if (readied.status === 'rejected') throw readied.reason;
    if (opened.status === 'rejected') throw opened.reason;
  }

  /**
   * The transaction could not be opened, or the branch has a guard row already, its own or its tombstone.
   *
   * @throws the error, when nothing proves that no other call has prepared the branch.
   */
  async notBegun(client: PoolClient, gid: string, error: unknown): Promise<Vote> {
    // What was sent ahead may have been done outside a transaction, and set something.
    if (codeOf(error) === NO_SUCH_STATEMENT) forgetStatements(client);
    else forgetSettings(client);
    const meaning = meaningOf(error, 'begin');
    if (meaning !== 'exists' && meaning !== 'held') throw error;
    await client.query('ROLLBACK');
    if (meaning === 'exists') {
      const end = await this.guard.read(client, gid);
      if (end === 'committed') return 'commit';
      if (end === 'rolled-back') return refuse('ROLLED_BACK', 'this branch was rolled back before');
    } else {
      const { rowCount } = await client.query(
        'SELECT FROM pg_prepared_xacts WHERE gid = $1 AND database = current_database()',
        [gid],
      );
      if (rowCount === 1) return 'commit';
    }
    throw error;
  }

  /** Whether the work has ended the transaction that was begun for it, also where another one is open now. */
  private async isEnded(client: PoolClient, gid: string, watch: TransactionWatch): Promise<boolean> {
    const status = client.getTransactionStatus();
    if (status === 'I' || watch.hasEnded) return true;
    // In a transaction that has failed nothing can be read; it is rolled back in any case.
    return watch.isDoubtful && status === 'T' && !(await this.guard.isWrittenHere(client, gid));
  }

  /**
   * The work threw, and is rolled back. What the database said against it is a refusal. Anything else is thrown on;
   * but not where the branch decides alone, as there a throw would say that it may be committed.
   */
  async failed(client: PoolClient, error: unknown, { command }: Ending): Promise<Vote> {
    const isRolledBack = await rollBack(client);
    if (meaningOf(error, 'work') === 'refused') return refusalOf(error);
    if (command === 'PREPARE' || !isRolledBack) throw error;
    return refuse('WORK_FAILED', error instanceof Error ? error.message : 'the work threw');
  }
}

/** Ends the transaction. @returns `commit`, or a refusal. @throws when the result is not known. */
async function end(client: PoolClient, ending: Ending): Promise<Vote> {
  try {
    return voteByTag((await client.query(ending.sql)).command, ending);
  } catch (error) {
    return voteByError(error);
  }
}

/**
 * Reads the answer to PREPARE TRANSACTION or COMMIT. A transaction in which a statement has failed is rolled back by either
 * without any error: only the command tag says so.
 *
 * @returns `commit`, or a refusal.
 */
export function voteByTag(tag: string | undefined, { command }: Ending): Vote {
  if (tag?.split(' ')[0] === command) return 'commit';
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

/**
 * @param deadline of a branch, just read from it: it follows the wall clock when that is set.
 * @returns the milliseconds until then.
 */
export function remainingUntil(deadline: number): number {
  return Math.ceil(deadline - Date.now());
}

type Settled<T> = { status: 'fulfilled'; value: T } | { status: 'rejected'; reason: unknown };

/** @returns a promise that is never rejected, so that it can wait unattended. */
async function settle<T>(call: () => Promise<T>): Promise<Settled<T>> {
  try {
    return { status: 'fulfilled', value: await call() };
  } catch (reason) {
    return { status: 'rejected', reason };
  }
}

/** Nobody knows what such work has left on its connection, which is cut. */
export function endedByWork(client: PoolClient): PostgresBranchError {
  client.connection.stream.destroy();
  return new PostgresBranchError(
    'DTC_POSTGRES_TRANSACTION_ENDED',
    'The work has ended its transaction, with COMMIT or ROLLBACK: leave that to the coordinator, and vote.',
  );
}
