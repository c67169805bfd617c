import { createHash } from 'node:crypto';
import { Client, DatabaseError, type PoolClient, type QueryResult } from 'pg';
import type { GroupBranch, MemberVote } from '../../coordinator/participant/group.js';
import { type Branch, type Vote, refuse } from '../../coordinator/participant/participant.js';
import type { Batch } from '../branch/batch.js';
import { preparation } from '../branch/ending.js';
import { type GroupLimits, UNLOCK, forgetStatements } from '../branch/session.js';
import { type BranchWork, NO_SUCH_STATEMENT, remainingUntil } from '../branch/work.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import { applicationOf, OWN_MARK } from '../connection/own-names.js';
import { lastRowsOf } from '../connection/own-queries.js';
import { lockRequested } from '../connection/spoiled.js';
import { codeOf, meaningOf, refusalOf } from '../sqlstate.js';
import { type GroupAnswer, LOCK_MARK, TRIGGER_MARK, WORK_MARK, askGroup } from './group-query.js';
import { GroupLoan } from './group-loan.js';
import { type SentWork, prepareTexts, sentWork, signatureOf } from './grouped-work.js';
import type { Loners } from './loners.js';

/** The work of all members comes after it, so that it can be undone and the transaction stays. */
const START = `dtc_${OWN_MARK}_group`;

/** Some of the work comes after it, once a member has failed. */
const REST = `dtc_${OWN_MARK}_rest`;

/** After so many failed members the others are not run: the group runs again without these. */
const MOST_FAILURES = 8;

/** How much longer than the work of the group its transaction may last at the server. */
const GRACE_MS = 500;

/** SQLSTATE `division_by_zero`: the lock is not free, or there are triggers that do not fit a group. */
const NOT_FREE = '22012';

/**
 * Errors that say little of the member itself: it met another transaction, which may have waited for the members before it, or
 * took too long. On its own it may succeed.
 */
const MET_OTHERS: ReadonlySet<string | undefined> = new Set(['40001', '40P01', '55P03', '57014']);

/** Those of them that say that a member has waited for another transaction. */
const WAITED: ReadonlySet<string | undefined> = new Set(['40001', '40P01', '55P03']);

/** The time since the transaction has begun, in milliseconds. */
const PASSED_MS =
  '(1000 OPERATOR(pg_catalog.*) extract(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.now()))::text';

/** The longest time that a timer of Node can have. */
const LONGEST_TIMER_MS = 2_147_483_647;

/** Errors of a statement rather than of its values: outside of a group, it is not prepared, or prepared again. */
const OF_STATEMENT = /^42/;

/**
 * SQLSTATE `feature_not_supported`: the columns of a prepared statement have changed since it was prepared.
 */
const PLAN_OUTDATED = '0A000';

/** Whether a constraint is deferred from the start, so that its check comes earlier for all members but the first. */
const HAS_DEFERRED =
  'SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tginitdeferred)::text AS deferred';

/**
 * Triggers that are deferred from the start, other than those of constraints such as foreign keys, do their work at the end of
 * their own transaction. Behind another member they would do it after each statement.
 */
const MAY_GROUP = `SELECT 1 OPERATOR(pg_catalog./) (CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_trigger
  WHERE tginitdeferred AND NOT tgisinternal) THEN 0 ELSE 1 END) AS "${TRIGGER_MARK}"`;

const OPEN = 'T';

/** A member of the present run. */
interface Place {
  readonly index: number;
  readonly signature: string;
  readonly batch: Batch;
}

/** A member whose work can be sent. */
interface Sent extends Place {
  readonly work: SentWork;
}

/** As {@link GroupAnswer}, with the results of each member. */
interface PartAnswer extends Omit<GroupAnswer, 'results'> {
  readonly results?: readonly (readonly QueryResult[])[];
}

/**
 * The open transaction of a group, until it is prepared: one guard row, and then the work of all members, as few
 * queries as possible. A run that was undone leaves the transaction open for the next one.
 */
export class OpenGroup {
  private readonly loan = new GroupLoan();
  private names: ReadonlyMap<string, string> = new Map();
  private beganAt = 0;
  private hasOpened = false;
  private isBusy = false;

  /**
   * @param lockKey of the session-level lock against the groups of other coordinators at this participant.
   */
  constructor(
    private readonly gid: string,
    private readonly work: BranchWork,
    private readonly pool: ConnectionPool,
    private readonly lockKey: string,
    private readonly loners: Loners,
  ) {}

  /**
   * Runs the work of the members, each of which gives its own.
   *
   * @returns a vote for each. @throws an error that does not belong to one of them; nothing is open then.
   */
  async run(group: GroupBranch, members: readonly (() => Batch)[]): Promise<readonly MemberVote[]> {
    const abandon = (): void => this.giveUp(group.signal.reason);
    if (group.signal.aborted) abandon();
    else group.signal.addEventListener('abort', abandon, { once: true });
    return this.loan.during(async () => {
      try {
        if (group.attempt === 1) await this.loan.take(this.pool);
        return await this.runAll(group, members);
      } catch (error) {
        this.giveUp(error);
        throw error;
      } finally {
        group.signal.removeEventListener('abort', abandon);
      }
    });
  }

  /** Undoes the work of the latest run. */
  async discard(): Promise<void> {
    if (!this.isOpen) return;
    await this.loan.during(async () => {
      try {
        await this.loan.send((client) => client.query(`ROLLBACK TO ${START}`));
      } catch (error) {
        this.giveUp(error);
        throw error;
      }
    });
  }

  /** Prepares what is open. @returns the vote. @throws when it is not known whether it is prepared. */
  prepare(branch: Pick<Branch, 'signal'>): Promise<Vote> {
    return this.loan.during(() => this.prepareOpen(branch));
  }

  /** Ends the group: what is open is rolled back. */
  giveUp(reason: unknown): void {
    this.loan.giveUp(reason ?? new Error(`${this.gid} is rolled back.`));
  }

  /** Whether its transaction is open. Once it has ended it never is again. */
  private get isOpen(): boolean {
    return this.hasOpened && !this.loan.isOver;
  }

  private async prepareOpen({ signal }: Pick<Branch, 'signal'>): Promise<Vote> {
    const abandon = (): void => this.giveUp(signal.reason);
    signal.addEventListener('abort', abandon, { once: true });
    try {
      signal.throwIfAborted();
      if (!this.isOpen || this.loan.send((client) => client.getTransactionStatus()) !== OPEN) {
        this.giveUp(undefined);
        return refuse('ROLLED_BACK', 'the transaction of the group is not open any more');
      }
      // All work is done, so no group waits for this one with its own locks: the next may begin.
      const vote = await this.loan.send((client) =>
        this.work.endings.end(client, preparation(this.gid), false, [UNLOCK]),
      );
      if (vote === 'commit') this.loan.end();
      else this.giveUp(undefined);
      return vote;
    } catch (error) {
      this.giveUp(error);
      throw error;
    } finally {
      signal.removeEventListener('abort', abandon);
    }
  }

  private async runAll(
    group: GroupBranch,
    members: readonly (() => Batch)[],
  ): Promise<readonly MemberVote[]> {
    const votes = members.map((): MemberVote => 'not-run');
    // A client of another copy of `pg` does not accept our query.
    if (!this.loan.send((client) => client instanceof Client)) return votes.map(() => 'alone');
    const places = this.placesOf(members, votes);
    if (!this.hasOpened) {
      await this.ready(group);
      const works = places.map(({ batch }) => batch);
      this.names = await this.loan.send((client) => prepareTexts(client, works, this.limitsOf(group).lockMs));
    }
    const sent: Sent[] = [];
    for (const place of places) {
      const work = this.written(place, votes);
      if (work !== undefined) sent.push({ ...place, work });
    }
    await this.runParts(group, sent, votes);
    return this.isBusy ? votes.map(() => 'alone') : votes;
  }

  /** Asks the members for their statements. Those that cannot be part of the group have their votes then. */
  private placesOf(members: readonly (() => Batch)[], votes: MemberVote[]): Place[] {
    const places: Place[] = [];
    for (const [index, batchOf] of members.entries()) {
      try {
        const batch = batchOf();
        const signature = signatureOf(batch.statements);
        if (signature === undefined || this.loners.has(signature)) votes[index] = 'alone';
        else places.push({ index, signature, batch });
      } catch (error) {
        votes[index] = { vote: 'failed', error };
      }
    }
    return places;
  }

  private written({ batch, index }: Place, votes: MemberVote[]): SentWork | undefined {
    try {
      const work = sentWork(batch, this.names);
      if (work === undefined) votes[index] = 'alone';
      return work;
    } catch (error) {
      votes[index] = { vote: 'failed', error };
      return undefined;
    }
  }

  private async ready({ deadline }: GroupBranch): Promise<void> {
    await this.loan.send((client) => this.work.look(client));
    await this.loan.send((client) => this.work.ready(client, deadline, false));
    await this.loan.send((client) => this.work.sessions.readyForGroup(client));
  }

  /**
   * Runs all in one query. If one fails, the work before it runs again, since its results are lost, and then the rest without
   * it. Nothing of a run in which a member has failed is prepared: it only shows which members stay.
   */
  private async runParts(group: GroupBranch, all: readonly Sent[], votes: MemberVote[]): Promise<void> {
    let from = 0;
    let to = all.length;
    for (let failures = 0; from < all.length;) {
      const part = all.slice(from, to);
      const answer = await this.send(group, part, failures > 0);
      if (this.isBusy) return;
      if (answer.results !== undefined) {
        this.noteVotes(part, answer.results, votes);
        from = to + 1;
        to = all.length;
        continue;
      }
      const failed = from + answer.doneAtMs.length;
      const vote = await this.voteAfter(answer.error, failed > 0, failures > 0 ? REST : START);
      votes[all[failed]!.index] = vote;
      if (vote === 'alone' && MET_OTHERS.has(codeOf(answer.error))) return;
      if (++failures === MOST_FAILURES) return;
      // Only the first one may be final, and only if the votes of all before it are known.
      if (failures === 1 && failed > 0) to = failed;
      else {
        from = failed + 1;
        to = all.length;
      }
    }
  }

  /** Sends the work of some members, in a savepoint, and opens the transaction before if there is none. */
  private async send(group: GroupBranch, part: readonly Sent[], isRest: boolean): Promise<PartAnswer> {
    const opens = !this.hasOpened;
    const statements = opens ? this.beginning(group) : isRest ? [`SAVEPOINT ${REST}`] : [];
    const after = this.loan.send((client) => this.work.sessions.afterMember(client, this.limitsOf(group)));
    const at: number[] = [];
    for (const { work } of part) {
      at.push(statements.length);
      statements.push(...work.statements, ...after);
    }
    const sentAt = Date.now();
    const { results, ...answer } = await this.inTime(group, (client) => {
      if (opens) lockRequested(client);
      else if (!'TE'.includes(client.getTransactionStatus() ?? '')) {
        throw new Error('The transaction of the group has ended.');
      }
      return askGroup(client, statements.join('; '));
    });
    // Also of a group that has ended: the same work may have been the reason.
    this.noteTimes(part, answer, opens ? answer.startedAtMs : sentAt - this.beganAt);
    this.loan.throwIfOver();
    if (opens) this.noteOpened(answer);
    if (results === undefined) return answer;
    if (results.length !== statements.length)
      throw new TypeError('A statement of a group has several results.');
    return {
      ...answer,
      results: part.map(({ work }, index) => results.slice(at[index], at[index]! + work.statements.length)),
    };
  }

  /**
   * Sends a query, and stops the member at work when the time for it is over. Work that was stopped has failed with SQLSTATE
   * 57014, so it runs on its own.
   */
  private async inTime<T>(
    { workDeadline, deadline }: GroupBranch,
    query: (client: PoolClient) => Promise<T>,
  ): Promise<T> {
    let stopping: Promise<void> | undefined;
    const stop = (): void => {
      if (this.loan.isOver) return;
      stopping = this.loan
        .send((client) => this.pool.cancel(client))
        .catch((error: unknown) => this.giveUp(error));
    };
    const answer = this.loan.send(query);
    const leftMs = Math.max(0, remainingUntil(workDeadline ?? deadline));
    const timer = setTimeout(stop, Math.min(LONGEST_TIMER_MS, leftMs));
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
      // On its way it would hit the next query.
      await stopping;
    }
  }

  private beginning(group: GroupBranch): string[] {
    this.beganAt = Date.now();
    return [
      ...this.work.begin(this.gid, 'BEGIN', group),
      // Each of the two is an error, so that nothing behind it runs.
      MAY_GROUP,
      `SELECT 1 OPERATOR(pg_catalog./) pg_catalog.pg_try_advisory_lock(${this.lockKey})::pg_catalog.int4 AS "${LOCK_MARK}", ${PASSED_MS} AS "${WORK_MARK}"`,
      `SAVEPOINT ${START}`,
    ];
  }

  /** @throws the error that has prevented it, unless no group can be here now: the members run on their own then. */
  private noteOpened({ error, hasBegun, mayGroup, isLocked }: GroupAnswer): void {
    this.hasOpened = hasBegun && isLocked;
    if (this.hasOpened) return;
    if (codeOf(error) === NO_SUCH_STATEMENT) this.loan.send(forgetStatements);
    if (!hasBegun || codeOf(error) !== NOT_FREE) throw error;
    if (!mayGroup) this.loners.keepsAllOut();
    this.isBusy = true;
    this.giveUp(error);
  }

  private limitsOf({ deadline, run }: GroupBranch): GroupLimits {
    const leftMs = Math.max(0, remainingUntil(deadline));
    return {
      lockMs: this.work.sessions.limitsOf(leftMs).lockMs,
      totalMs: Date.now() - this.beganAt + leftMs + GRACE_MS,
      application: run.isShared === true ? applicationOf(run) : '',
    };
  }

  /**
   * Undoes the failed part. @param isBehind whether the constraints were checked before, for another member.
   * @throws the error if it is not one of this member.
   */
  private async voteAfter(error: unknown, isBehind: boolean, savepoint: string): Promise<MemberVote> {
    const code = codeOf(error);
    if (!(error instanceof DatabaseError) || code === undefined) throw error;
    if (code === NO_SUCH_STATEMENT || code === PLAN_OUTDATED) {
      this.loan.send(forgetStatements);
      throw error;
    }
    const [answer] = await this.loan.send((client) =>
      lastRowsOf<{ deferred: string }>(client, `ROLLBACK TO ${savepoint}; ${HAS_DEFERRED}`),
    );
    this.loan.throwIfOver();
    if (MET_OTHERS.has(code) || OF_STATEMENT.test(code)) return 'alone';
    if (meaningOf(error, 'work') !== 'refused') throw error;
    // Its own constraints may have been checked too early.
    return isBehind && answer!.deferred === 'true' ? 'alone' : refusalOf(error);
  }

  private noteVotes(
    part: readonly Sent[],
    results: readonly (readonly QueryResult[])[],
    votes: MemberVote[],
  ): void {
    for (const [at, { index, batch, signature }] of part.entries()) {
      try {
        const vote = batch.vote(results[at]!);
        const isReader = vote === 'read-only';
        if (isReader) this.loners.votedReadOnly(signature);
        votes[index] = isReader ? 'alone' : vote;
      } catch (error) {
        votes[index] = { vote: 'failed', error };
      }
    }
  }

  /** Notes how long each member took, and the one at work when an error came. @param startedAtMs undefined if none was run. */
  private noteTimes(
    part: readonly Sent[],
    { doneAtMs, error }: Omit<PartAnswer, 'results'>,
    startedAtMs: number | undefined,
  ): void {
    if (startedAtMs === undefined) return;
    let before = startedAtMs;
    for (const [index, { signature }] of part.entries()) {
      const isDone = index < doneAtMs.length;
      // Behind a lost connection it is not known which one was at work. One that has only waited for a lock is not slow.
      if (!isDone && (!(error instanceof DatabaseError) || WAITED.has(error.code))) return;
      const now = isDone ? doneAtMs[index]! : Date.now() - this.beganAt;
      this.loners.took(signature, now - before);
      if (!isDone) return;
      before = now;
    }
  }
}

/** @returns the key of a participant's lock in its database, the same for all coordinators. */
export function lockKeyOf(participant: string): string {
  return createHash('sha256').update(`dtc group ${participant}`).digest().readBigInt64BE().toString();
}
