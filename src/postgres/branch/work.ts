import type { PoolClient } from 'pg';
import { messageOf } from '../../coordinator/gate/texts.js';
import { type Branch, type Vote, refuse } from '../../coordinator/index.js';
import { lend } from './client.js';
import { commitPrepared, isPrepared } from './completion.js';
import { BranchEndings, type Ending, START, rollBack, workFailed } from './ending.js';
import { BranchSessions, type ServerFacts } from './session.js';
import { PostgresBranchError } from '../errors.js';
import { together } from '../connection/own-client.js';
import type { GuardTable } from '../guard/table.js';
import type { ResolvedPostgresSettings } from '../options.js';
import { awaitReplicas } from '../connection/replication.js';
import { spoil } from '../connection/spoiled.js';
import { codeOf, databaseErrorIn, meaningOf, refusalOf } from '../sqlstate.js';
import { TransactionWatch } from './transaction-watch.js';

/** The work of one branch: statements in a transaction that is open already, and a vote. @publicApi */
export type Work<P> = (client: PoolClient, branch: Branch<P>) => Promise<Vote>;

/** What `pg` says of a transaction that is open, and in which no statement has failed. */
const OPEN = 'T';

/** SQLSTATE `invalid_sql_statement_name`: the work before has deallocated what was prepared in its session. */
export const NO_SUCH_STATEMENT = '26000';

/**
 * Does the work of a branch in a transaction on one connection: opens it, with limits and the guard row, runs the work,
 * and prepares or commits it if that is the vote. Whatever else happens, the transaction is rolled back.
 */
export class BranchWork {
  readonly endings: BranchEndings;
  private readonly sessions: BranchSessions;

  constructor(
    private readonly guard: GuardTable,
    private readonly settings: ResolvedPostgresSettings,
    server: ServerFacts,
    hasHooks: boolean,
  ) {
    this.sessions = new BranchSessions(guard, settings, server, hasHooks);
    this.endings = new BranchEndings(this.sessions, guard);
  }

  /**
   * @returns the vote of the work; a refusal when the database refuses, or the branch was rolled back before; and
   * `commit` when a call before this one has prepared the branch already: in one phase it is committed then.
   * @throws whatever else the work throws, when it is rolled back; and any error that leaves the result unknown.
   */
  async perform<P>(
    client: PoolClient,
    gid: string,
    branch: Branch<P>,
    work: Work<P>,
    ending: Ending,
  ): Promise<Vote> {
    await this.sessions.look(client);
    // Should the begin of a branch fail before it takes effect, statements that are sent behind it would each commit by
    // itself: outside a transaction that says READ WRITE, as ours does, nothing may be written here.
    const readying = this.ready(client, branch.deadline, true);
    const watch = new TransactionWatch(client);
    const loan = lend(client, branch.signal, watch);
    // On a pipelined connection the first statement of the work need not wait: should the begin fail, it fails too.
    const isAhead = client.pipeline && readying === undefined;
    const { begin, ahead } = together(client, () => ({
      begin: this.open(client, readying, this.begin(gid, 'BEGIN READ WRITE', branch.deadline)),
      ahead: isAhead ? settle(() => work(loan.client, branch), loan.failed) : undefined,
    }));
    try {
      await begin;
    } catch (error) {
      loan.close();
      return this.notBegun(client, gid, error, ending);
    }
    const result = await (ahead ?? settle(() => work(loan.client, branch), loan.failed));
    loan.close();
    if (watch.isSpoiling) spoil(client);
    // What is not prepared yet need not be rolled back from being so.
    branch.signal.throwIfAborted();
    // What the work did not await is answered before this. And an error is told before the server says what has become of
    // the transaction, which matters where the work goes on and votes.
    if (loan.isBusy || watch.isDoubtful || (loan.hasFailed && result.status === 'fulfilled')) {
      await client.query(';');
      if (watch.isSpoiling) spoil(client);
    }
    if (await this.isEnded(client, gid, watch)) throw endedByWork(client);
    if (result.status === 'rejected') return this.failed(client, result.reason, ending, loan.mayLock);
    const isYes = result.value === 'commit' || result.value === 'read-only';
    if (!isYes || client.getTransactionStatus() !== OPEN) {
      await this.endings.rollBack(client, loan.mayLock);
      return isYes ? workFailed() : result.value;
    }
    return result.value === 'commit'
      ? this.endings.end(client, ending, loan.mayLock)
      : this.endings.endReader(client, loan.mayLock);
  }

  /** Whether a statement of a batch that comes again is prepared. */
  get preparesStatements(): boolean {
    return this.settings.prepareStatements;
  }

  /** @see BranchSessions.look */
  look(client: PoolClient): Promise<void> | undefined {
    return this.sessions.look(client);
  }

  /** @see BranchSessions.ready @throws RangeError when the time of the branch is over before its work begins. */
  ready(client: PoolClient, deadline: number, readOnly: boolean): Promise<void> | undefined {
    if (remainingUntil(deadline) <= 0) {
      throw new RangeError('The deadline of this branch is over before its work begins.');
    }
    return this.sessions.ready(client, readOnly);
  }

  /** @returns the statements that open the transaction of a branch, write its guard row and limit it. */
  begin(gid: string, begin: 'BEGIN' | 'BEGIN READ WRITE', deadline: number): readonly string[] {
    const limits = this.sessions.limitsOf(Math.max(0, remainingUntil(deadline)));
    const insert = this.guard.insertWork(gid, limits);
    return this.sessions.checksReads ? [begin, `SAVEPOINT ${START}`, insert] : [begin, insert];
  }

  /** Opens a transaction in a session that is being made ready for it. */
  private async open(
    client: PoolClient,
    readying: Promise<void> | undefined,
    begin: readonly string[],
  ): Promise<void> {
    if (!client.pipeline) await readying;
    const [readied, opened] = await Promise.allSettled([readying, client.query(begin.join('; '))]);
    if (readied.status === 'rejected') throw readied.reason;
    if (opened.status === 'rejected') throw opened.reason;
  }

  /**
   * The transaction could not be opened, or the branch has a guard row already, its own or its tombstone.
   *
   * @throws the error, when nothing proves that no other call has prepared the branch.
   */
  async notBegun(client: PoolClient, gid: string, error: unknown, ending: Ending): Promise<Vote> {
    const meaning = meaningOf(error, 'begin');
    if (meaning !== 'exists' && meaning !== 'held') {
      // What was sent ahead may have been done outside a transaction. Whatever is wrong here is not left to another branch.
      spoil(client);
      throw error;
    }
    await client.query('ROLLBACK');
    if (meaning === 'exists') {
      const end = await this.guard.read(client, gid);
      if (end === 'committed') return 'commit';
      if (end === 'rolled-back') return refuse('ROLLED_BACK', 'this branch was rolled back before');
    } else if (await isPrepared(client, gid)) {
      if (ending.command === 'COMMIT') {
        await awaitReplicas(client);
        await commitPrepared(client, gid, this.guard);
      }
      return 'commit';
    }
    throw error;
  }

  /** Whether the work has ended the transaction that was begun for it, also where another one is open now. */
  private async isEnded(client: PoolClient, gid: string, watch: TransactionWatch): Promise<boolean> {
    const status = client.getTransactionStatus();
    if (status === 'I' || watch.hasEnded) return true;
    if (!watch.isDoubtful) return false;
    if (status === OPEN) return !(await this.guard.isWrittenHere(client, gid));
    // In a transaction that has failed nothing can be read. What was committed before it is seen when it is rolled back.
    await rollBack(client);
    return (await this.guard.read(client, gid)) === 'committed';
  }

  /**
   * The work threw, and is rolled back. What the database said against it is a refusal. Anything else is thrown on;
   * but not where the branch decides alone, as there a throw would say that it may be committed.
   */
  async failed(client: PoolClient, error: unknown, { command }: Ending, mayLock: boolean): Promise<Vote> {
    const isRolledBack = await this.endings.rollBack(client, mayLock);
    const said = databaseErrorIn(error);
    if (namesStatement(said)) spoil(client);
    if (meaningOf(said, 'work') === 'refused') return refusalOf(said);
    if (command === 'PREPARE' || !isRolledBack) throw error;
    return refuse('WORK_FAILED', messageOf(error));
  }
}

/** Whether a statement is not prepared in the session, or another one has its name: so it would be for later branches. */
function namesStatement(error: unknown): boolean {
  const code = codeOf(error);
  return code === NO_SUCH_STATEMENT || code === '42P05';
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
async function settle<T>(call: () => Promise<T>, failed: Promise<never>): Promise<Settled<T>> {
  try {
    return { status: 'fulfilled', value: await Promise.race([call(), failed]) };
  } catch (reason) {
    return { status: 'rejected', reason };
  }
}

/** It is not known what such work has left in its session, which ends. */
export function endedByWork(client: PoolClient): PostgresBranchError {
  spoil(client);
  return new PostgresBranchError(
    'DTC_POSTGRES_TRANSACTION_ENDED',
    'The work has ended its transaction, with COMMIT or ROLLBACK: leave that to the coordinator, and vote.',
  );
}
