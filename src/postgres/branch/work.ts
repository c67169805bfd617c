import type { PoolClient } from 'pg';
import { messageOf } from '../../coordinator/gate/texts.js';
import { type Branch, type Vote, expiringVoteIn, refuse } from '../../coordinator/participant/participant.js';
import { type BranchClient, lend } from './client.js';
import { commitPrepared, isPrepared } from './completion.js';
import { BranchEndings, type Ending, START, rollBack, workFailed } from './ending.js';
import { BranchSessions, type ServerFacts, namedTextsOf } from './session.js';
import { PostgresBranchError } from '../errors.js';
import { together } from '../connection/own-client.js';
import { applicationOf } from '../connection/own-names.js';
import type { GuardTable } from '../guard/table.js';
import type { ResolvedPostgresSettings } from '../options.js';
import {
  REPLICATED_WRITE,
  awaitReplicas,
  throwIfCutShort,
  waitsCutShort,
} from '../connection/replication.js';
import { sendScript } from '../connection/script.js';
import { spoil } from '../connection/spoiled.js';
import { quoted } from '../../sql/gid.js';
import type { BranchEnd } from '../../sql/guard.js';
import { type Settled, remainingUntil, settle } from '../../sql/work.js';
import { codeOf, databaseErrorIn, meaningOf, refusalOf } from '../sqlstate.js';
import { Opening } from './opening.js';
import { TransactionWatch } from './transaction-watch.js';

/** The work of one branch: statements in a transaction that is open already, and a vote. @publicApi */
export type Work<P> = (client: PoolClient, branch: Branch<P>) => Promise<Vote>;

/** The status that `pg` gives for an open transaction without a failed statement. */
const OPEN = 'T';

/**
 * SQLSTATE `invalid_sql_statement_name`: earlier work has deallocated the prepared statements of its session.
 */
export const NO_SUCH_STATEMENT = '26000';

/** How long the proof that nothing is prepared waits for an earlier call, in milliseconds. */
const PROOF_LOCK_MS = 10;

/**
 * Does the work of a branch in a transaction on one connection: opens it, with limits and the guard row, runs
 * the work, and prepares or commits it if that is the vote. In every other case the transaction is rolled
 * back.
 */
export class BranchWork {
  readonly endings: BranchEndings;
  readonly sessions: BranchSessions;

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
   * @returns the vote of the work; a refusal when the database refuses, or the branch was rolled back before;
   * and `commit` when an earlier call has already voted and prepared the branch, which is then committed in one phase.
   * @throws any other error of the work, after its rollback; and any error that leaves the result unknown.
   */
  async perform<P>(
    client: PoolClient,
    gid: string,
    branch: Branch<P>,
    work: Work<P>,
    ending: Ending,
  ): Promise<Vote> {
    await this.sessions.look(client);
    // If BEGIN of a branch fails before it takes effect, each statement sent behind it would commit by
    // itself. So outside a transaction with READ WRITE, like ours, the session may not write.
    const readying = this.ready(client, branch.deadline, true);
    const watch = new TransactionWatch(client);
    const named = this.preparesStatements ? namedTextsOf(client) : undefined;
    const statements = this.begin(gid, 'BEGIN READ WRITE', branch, true);
    // On a pipelined connection the first statement of the work need not wait: if BEGIN fails, it fails too.
    const opening = client.pipeline && readying === undefined ? new Opening(client, statements) : undefined;
    const loan = lend(client, branch.signal, watch, named, opening);
    const ahead =
      opening && together(client, () => workAhead(opening, () => work(loan.client, branch), loan));
    try {
      await (opening?.begun ?? this.open(client, readying, statements));
    } catch (error) {
      loan.close();
      return this.notBegun(client, gid, error, ending);
    }
    const result = await (ahead ?? settle(() => work(loan.client, branch), loan.failed));
    loan.close();
    if (watch.isSpoiling) spoil(client);
    // An unprepared branch does not need ROLLBACK PREPARED.
    branch.signal.throwIfAborted();
    // Queries that the work did not await are answered before this. And an error arrives before the server
    // reports the state of the transaction, which matters if the work continues and votes.
    if (loan.isBusy || watch.isDoubtful || (loan.hasFailed && result.status === 'fulfilled')) {
      await client.query(';');
      if (watch.isSpoiling) spoil(client);
    }
    if (await this.isEnded(client, gid, watch)) throw endedByWork(client);
    if (result.status === 'rejected') return this.failed(client, result.reason, ending, loan.mayLock);
    const expiring = expiringVoteIn(result.value);
    const isCommit = expiring !== undefined || result.value === 'commit';
    const isYes = isCommit || result.value === 'read-only';
    if (!isYes || client.getTransactionStatus() !== OPEN) {
      await this.endings.rollBack(client, loan.mayLock);
      return isYes ? workFailed() : result.value;
    }
    if (!isCommit) return this.endings.endReader(client, loan.mayLock);
    const vote = await this.endings.end(client, ending, loan.mayLock);
    return vote === 'commit' ? (expiring ?? vote) : vote;
  }

  /** Whether a repeated statement of a batch is prepared. */
  get preparesStatements(): boolean {
    return this.settings.prepareStatements;
  }

  /** @see BranchSessions.look */
  look(client: PoolClient): Promise<void> | undefined {
    return this.sessions.look(client);
  }

  /**
   * @see BranchSessions.ready @throws RangeError when the time of the branch is up before its work begins.
   */
  ready(client: PoolClient, deadline: number, readOnly: boolean): Promise<void> | undefined {
    if (remainingUntil(deadline) <= 0) {
      throw new RangeError('The deadline of this branch has passed before its work begins.');
    }
    return this.sessions.ready(client, readOnly);
  }

  /**
   * @returns the statements that open the transaction of a branch, write its guard row and limit it. Of a run
   * that another one may fence while it stands still, the session says until its end that it works for the
   * run.
   *
   * @param isTold whether a row, the first of the query, says that the guard row is written.
   */
  begin(
    gid: string,
    begin: 'BEGIN' | 'BEGIN READ WRITE',
    { deadline, run }: Pick<Branch, 'deadline' | 'run'>,
    isTold: boolean,
  ): readonly string[] {
    const limits = this.sessions.limitsOf(Math.max(0, remainingUntil(deadline)));
    const name = run.isShared === true ? [`SET LOCAL application_name = ${quoted(applicationOf(run))}`] : [];
    const insert = this.guard.insertWork(gid, limits, isTold);
    return this.sessions.checksReads
      ? [begin, ...name, `SAVEPOINT ${START}`, insert]
      : [begin, ...name, insert];
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
   * The transaction could not be opened, or the branch already has a guard row, its own or its tombstone.
   *
   * @throws the error, unless it is proven that no other call has prepared the branch.
   */
  async notBegun(client: PoolClient, gid: string, error: unknown, ending: Ending): Promise<Vote> {
    const meaning = meaningOf(error, 'begin');
    if (meaning !== 'exists' && meaning !== 'held') {
      // Statements sent ahead may have run outside a transaction. The session is not given to another branch.
      spoil(client);
      throw error;
    }
    await client.query('ROLLBACK');
    if (meaning === 'exists') {
      const end = await this.guard.read(client, gid);
      if (end !== undefined) return this.voteOfEnd(client, gid, end);
    } else if (ending.isBeforeVote !== true && (await isPrepared(client, gid))) {
      if (ending.command === 'PREPARE') return this.voteOfEarlier(client, gid);
      await awaitReplicas(client);
      await commitPrepared(client, gid, this.guard);
      return 'commit';
    }
    throw error;
  }

  /**
   * After an error of a batch and its rollback: the guard row, the work or the end has failed. Writes the
   * guard row once more, and undoes it: this proves that no call has prepared the branch, or is about to.
   *
   * @returns the vote of an earlier call of the branch; `again` when the session has lost the statement for
   * the guard row; undefined with that proof.
   * @throws the error without it.
   */
  async voteBefore(client: PoolClient, gid: string, error: unknown): Promise<Vote | 'again' | undefined> {
    const limits = { ...this.sessions.limitsOf(0), lockMs: PROOF_LOCK_MS };
    const sql = ['BEGIN', this.guard.insertWork(gid, limits, false), 'ROLLBACK'].join('; ');
    const proof = (await sendScript(client, sql)).error;
    if (proof === undefined) return undefined;
    if (!(await rollBack(client))) throw error;
    const meaning = meaningOf(proof, 'begin');
    if (meaning === 'exists') {
      const end = await this.guard.read(client, gid);
      if (end !== undefined) return this.voteOfEnd(client, gid, end);
    }
    // Where an earlier call has prepared the branch, its vote is not known: it comes after the prepare.
    if (codeOf(proof) === NO_SUCH_STATEMENT && codeOf(error) === NO_SUCH_STATEMENT) return 'again';
    if (meaning !== 'held') spoil(client);
    throw error;
  }

  private async voteOfEnd(client: PoolClient, gid: string, end: BranchEnd): Promise<Vote> {
    if (end === 'committed') return this.voteOfEarlier(client, gid);
    return refuse('ROLLED_BACK', 'this branch was rolled back before');
  }

  /**
   * The vote of an earlier call, of which this session sees that the branch is prepared or committed. That may be so before the
   * standbys have it, or without them if the wait of the other call was interrupted: so a write of this session, behind it, waits
   * for them.
   *
   * @throws PostgresBranchError (`DTC_POSTGRES_NOT_REPLICATED`) when that wait was interrupted, too.
   */
  private async voteOfEarlier(client: PoolClient, gid: string): Promise<Vote> {
    const before = waitsCutShort(client);
    const write = ['BEGIN READ WRITE', ...this.sessions.beforeEnd(), REPLICATED_WRITE, 'COMMIT'];
    await client.query(write.join('; '));
    throwIfCutShort(client, before, `An earlier call for ${gid}`);
    return 'commit';
  }

  /** Whether the work has ended the transaction that was begun for it, even if another one is open now. */
  private async isEnded(client: PoolClient, gid: string, watch: TransactionWatch): Promise<boolean> {
    const status = client.getTransactionStatus();
    if (status === 'I' || watch.hasEnded) return true;
    if (!watch.isDoubtful) return false;
    if (status === OPEN) return !(await this.guard.isWrittenHere(client, gid));
    // In a failed transaction nothing can be read. An earlier commit shows when it is rolled back.
    await rollBack(client);
    return (await this.guard.read(client, gid)) === 'committed';
  }

  /**
   * The work threw an error, and is rolled back. An error of the database becomes a refusal. Any other error
   * is thrown, except in one phase, where an error would mean that the branch may be committed.
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

/**
 * Whether a statement is missing in the session, or another statement has its name. Later branches would find
 * the same.
 */
function namesStatement(error: unknown): boolean {
  const code = codeOf(error);
  return code === NO_SUCH_STATEMENT || code === '42P05';
}

/**
 * Starts work whose transaction is not open yet, and sends what opens it with the first statement of the
 * work, or alone.
 */
function workAhead<T>(
  opening: Opening,
  work: () => Promise<T>,
  { failed }: BranchClient,
): Promise<Settled<T>> {
  const result = settle(work, failed);
  opening.send();
  return result;
}

/** The state that such work has left in its session is unknown, so the session ends. */
export function endedByWork(client: PoolClient): PostgresBranchError {
  spoil(client);
  return new PostgresBranchError(
    'DTC_POSTGRES_TRANSACTION_ENDED',
    'The work has ended its transaction, with COMMIT or ROLLBACK: leave that to the coordinator, and vote.',
  );
}
