import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import {
  type Branch,
  type CoordinatorRun,
  type DatabaseInspection,
  type IsOwnRun,
  type OnePhaseAnswer,
  type ParticipantCapacity,
  type PreparedBranch,
  type Vote,
  isForCommit,
  refuse,
} from '../coordinator/participant/participant.js';
import { within } from '../coordinator/within.js';
import { BranchCalls, onePhaseAnswerOf } from '../sql/branch-calls.js';
import { LogClaims } from '../sql/log-claims.js';
import { unlessAborted } from '../sql/unless-aborted.js';
import { type Batch, workOf } from './branch/batch.js';
import {
  commitPrepared,
  completionFailed,
  leaveTombstone,
  preparedOf,
  rollBackPrepared,
} from './branch/completion.js';
import { type Ending, onePhase, preparation } from './branch/ending.js';
import { BranchWork, type Performed, type Work, WorkError } from './branch/work.js';
import { MariaDbClaimDatabase } from './claim/claim-database.js';
import { type ConnectionPools, openPools } from './connection/connection-pools.js';
import { endSessionsOf } from './connection/fenced-sessions.js';
import { HeldSessions } from './connection/held-sessions.js';
import { capacityOf } from './connection/server-capacity.js';
import type { Session } from './connection/session.js';
import { errnoOf, meaningOf } from './errno.js';
import { MariaDbBranchError, MariaDbStartUpError } from './errors.js';
import { type Xid, xidOf } from './gid.js';
import { inspect } from './inspection/inspection.js';
import { MariaDbGuardPurge } from './guard/purge.js';
import { GuardTable, quoteName } from './guard/table.js';
import { type MariaDbOptions, type ResolvedMariaDbSettings, resolveMariaDbOptions } from './options.js';
import { type ServerFacts, StartUpChecks, unreachable } from './start-up-checks.js';

/** How long a session may take to be reset before it is cut. */
const RESET_WITHIN_MS = 2_000;

/** ER_CON_COUNT_ERROR and ER_TOO_MANY_USER_CONNECTIONS. */
const NO_ROOM: ReadonlySet<number | undefined> = new Set([1040, 1203]);

/** The checked server, and the work that was made for it. */
interface Started {
  readonly facts: ServerFacts;
  readonly work: BranchWork;
}

/**
 * The branches of one participant in one MariaDB database. A participant does its work through it, and passes
 * on commit, rollback and recover. MariaDbParticipant does that for the usual case.
 *
 * @publicApi
 */
export class MariaDbResourceManager {
  private readonly logger = new SafeLogger('MariaDB');
  private readonly settings: ResolvedMariaDbSettings;
  private readonly connections: ConnectionPools;
  private readonly held: HeldSessions;
  private readonly guard: GuardTable;
  private readonly claimDatabase: MariaDbClaimDatabase;
  private readonly calls: BranchCalls<Started>;
  private readonly resets = new Set<Promise<void>>();

  /**
   * Opens no connection yet.
   *
   * @param participant the registered name of the participant. It is a part of every XA id, so it must not
   * change.
   * @throws InvalidOptionsError when an option is unknown or impossible.
   */
  constructor(
    readonly participant: string,
    options: MariaDbOptions,
  ) {
    const { connection, settings } = resolveMariaDbOptions(
      options,
      `the MariaDB participant "${participant}"`,
    );
    this.settings = settings;
    this.connections = openPools(connection, settings);
    this.held = new HeldSessions(this.connections.work);
    this.guard = new GuardTable(settings.guardTable);
    const { completion } = this.connections;
    this.claimDatabase = new MariaDbClaimDatabase(participant, completion, settings, this.logger);
    this.calls = new BranchCalls(
      participant,
      {
        settings,
        check: () => this.check(),
        startUpError: (error) =>
          error instanceof MariaDbStartUpError
            ? error
            : unreachable(participant, settings.startTimeoutMs, error),
        listPrepared: (signal) => completion.run(signal, (session) => preparedOf(session, participant)),
      },
      new LogClaims(this.claimDatabase),
      new MariaDbGuardPurge(participant, completion, this.guard, settings, this.logger),
    );
  }

  /**
   * Checks the server, the privileges and the guard table. The first call does it, once.
   *
   * @param coordinator the run that it works for, as `claim` of a participant receives it. It is refused when
   * another process works here under its name, or when the name was used here with another decision log. If
   * it is left out, the first branch supplies it.
   * @param isOwnRun asks the log of the run, as `claim` receives it. Without it a copied log is found only by
   * the number of its start.
   * @throws MariaDbStartUpError with the remedy.
   */
  async start(coordinator?: CoordinatorRun, isOwnRun?: IsOwnRun): Promise<void> {
    await this.calls.start(coordinator, isOwnRun);
  }

  /**
   * Closes the connections. Every transaction has ended by then. Connections that still hang are cut after
   * two seconds. What is prepared stays prepared.
   */
  async close(): Promise<void> {
    await this.calls.close(
      [],
      [() => Promise.allSettled(this.resets), () => this.held.close(), () => this.connections.close()],
    );
  }

  /**
   * Does the work of a branch in a transaction, and prepares it if the vote is `commit`. Any other vote, and
   * an error, rolls it back.
   *
   * @param work runs its statements with the given connection, awaits them all, and votes. It must not end
   * the transaction.
   * @returns the vote; a refusal when the database refuses, or the branch was rolled back before.
   * @throws any other error of the work, and any error that leaves the state of the branch unknown.
   */
  prepare<P>(branch: Branch<P>, work: Work<P>): Promise<Vote> {
    return this.work(branch, work, preparation);
  }

  /** Like {@link prepare}, for work whose statements do not depend on each other's results. */
  prepareBatch(branch: Branch, batch: Batch): Promise<Vote> {
    return this.prepare(branch, workOf(batch));
  }

  /**
   * Does the work of the only branch of a transaction, and commits it. If it is repeated because its first
   * result is not known, the guard row gives that result.
   *
   * @returns `commit`, or a refusal.
   * @throws any error that leaves the result unknown.
   */
  async commitOnePhase<P>(branch: Branch<P>, work: Work<P>): Promise<OnePhaseAnswer> {
    if (branch.attempt > 1) return this.resolve(branch);
    const vote = await this.work(branch, work, onePhase);
    return vote === 'read-only' || isForCommit(vote) ? 'commit' : vote;
  }

  /** Like {@link commitOnePhase}, for a batch. */
  commitBatchOnePhase(branch: Branch, batch: Batch): Promise<OnePhaseAnswer> {
    return this.commitOnePhase(branch, workOf(batch));
  }

  /**
   * Commits a prepared branch; repeats are harmless.
   *
   * @throws HeuristicError when the branch has ended otherwise, or its end is unknown. Any other error: try
   * again.
   */
  commit(branch: Branch): Promise<void> {
    return this.complete(branch, 'COMMIT', async (xid) => {
      if (await this.endHeld(xid, `XA COMMIT ${xid.sql}`, branch.signal)) return;
      await this.connections.completion.run(branch.signal, (session) =>
        commitPrepared(session, xid, this.participant, this.guard, this.calls.waitMs(branch)),
      );
    });
  }

  /**
   * Rolls a branch back, prepared or not; repeats are harmless. A prepare that comes later is refused.
   *
   * @throws HeuristicError when the branch is committed. Any other error: try again.
   */
  rollback(branch: Branch): Promise<void> {
    return this.complete(branch, 'ROLLBACK', async (xid) => {
      await this.endHeld(xid, `XA ROLLBACK ${xid.sql}`, branch.signal);
      await this.connections.completion.run(branch.signal, (session) =>
        rollBackPrepared(session, xid, this.guard, this.calls.waitMs(branch)),
      );
    });
  }

  /**
   * Lists the prepared branches of this participant at this server, of all coordinators.
   *
   * @param run the run that asks. @default every run that works here
   * @throws when the list would not be complete, or the run is not accepted.
   */
  recover(run?: CoordinatorRun): Promise<readonly PreparedBranch[]> {
    return this.calls.recover(run);
  }

  /**
   * Ends the sessions in which a run that was fenced is at work here, if they are of the user of the
   * participant. What they have prepared stays prepared.
   *
   * @param run of a log that several members share; only the sessions of such a run can be found.
   * @throws when the server does not answer in time.
   */
  async endSessionsOf(run: CoordinatorRun): Promise<void> {
    await this.calls.ready();
    const signal = AbortSignal.timeout(this.settings.recoverTimeoutMs);
    const count = await this.connections.completion.run(signal, (session) =>
      endSessionsOf(session, this.guard, run),
    );
    if (count === 0) return;
    this.logger.log(
      `"${this.participant}": ended the sessions of epoch ${run.epoch}, which was fenced: ${count}`,
    );
  }

  /** @returns the capacity of the database server. @throws when it does not answer in time. */
  async capacity(): Promise<ParticipantCapacity> {
    const { facts } = await this.calls.ready();
    return capacityOf(this.connections, facts.database, AbortSignal.timeout(this.settings.startTimeoutMs));
  }

  /**
   * Looks at the server for an operator: what is prepared there, by all programs, and who waits for whom, if
   * the user has the right PROCESS. It takes a connection for completions for the time of a few short
   * queries.
   *
   * @throws when the server does not answer in time.
   */
  async inspect(signal: AbortSignal): Promise<DatabaseInspection> {
    await this.calls.ready();
    return this.connections.completion.run(signal, (session) => inspect(session, this.guard));
  }

  /**
   * Deletes old rows of the guard table, as the regular job does, and by the same rules: however often it is
   * called, no row is deleted that was not visible `purgeIntervalMs` before.
   *
   * @returns the number of deleted rows.
   */
  purgeGuardTable(): Promise<number> {
    return this.calls.purgeGuardTable();
  }

  private async check(): Promise<Started> {
    const { participant, connections, guard, settings, logger } = this;
    const facts = await new StartUpChecks(participant, connections, guard, settings, logger).run();
    this.claimDatabase.useDatabase(facts.database);
    return { facts, work: new BranchWork(participant, guard, settings) };
  }

  /**
   * Refuses a branch whose XA id is impossible before anything happens: then nothing must be rolled back.
   */
  private async work<P>(branch: Branch<P>, work: Work<P>, endingOf: (xid: Xid) => Ending): Promise<Vote> {
    let xid: Xid;
    try {
      xid = xidOf(branch, this.participant);
    } catch (error) {
      if (error instanceof MariaDbBranchError) return refuse(error.code, error.message);
      throw error;
    }
    const started = await this.calls.ready();
    const refusal = await this.calls.admit(branch);
    if (refusal !== undefined) return refusal;
    const session = await this.sessionFor(branch);
    if (!('mark' in session)) return session;
    let performed: Performed;
    try {
      performed = await unlessAborted(branch.signal, () =>
        started.work.perform(session, branch, work, endingOf(xid)),
      );
    } catch (error) {
      if (!(error instanceof WorkError)) {
        this.connections.work.cut(session);
        throw error;
      }
      this.giveBack(session, started.facts);
      throw error.cause;
    }
    if (performed.left === 'prepared') this.held.keep(xid.gid, session);
    else if (performed.left === 'nothing') this.giveBack(session, started.facts);
    else this.connections.work.cut(session);
    return performed.vote;
  }

  /** @returns a session for a branch, or a refusal when none is free in time: then nothing was done. */
  private async sessionFor({ signal }: Branch): Promise<Session | Extract<Vote, object>> {
    const timeUp = AbortSignal.timeout(this.settings.connectTimeoutMs);
    try {
      return await this.connections.work.acquire(AbortSignal.any([signal, timeUp]));
    } catch (error) {
      if (signal.aborted || !(timeUp.aborted || NO_ROOM.has(errnoOf(error)))) throw error;
      return refuse('NO_CONNECTION', 'no connection to the database was free in time', { overloaded: true });
    }
  }

  /**
   * Ends a branch in the session that has prepared it, if that lives.
   *
   * @returns whether it has ended there. @throws an error that leaves the result unknown.
   */
  private async endHeld({ gid }: Xid, sql: string, signal: AbortSignal): Promise<boolean> {
    const session = this.held.take(gid);
    if (session === undefined) return false;
    const { facts } = await this.calls.ready();
    try {
      await unlessAborted(signal, () => session.run(sql));
    } catch (error) {
      // The server releases the branch when the session has ended, and the next attempt finds how the
      // branch has ended.
      this.connections.work.cut(session);
      if (meaningOf(error, 'commit') === 'not-found') return false;
      throw error;
    }
    this.giveBack(session, facts);
    return true;
  }

  /**
   * Removes all that a branch has left in its session, in the background. A session that cannot be reset is
   * cut.
   */
  private giveBack(session: Session, { database }: ServerFacts): void {
    const reset = async (): Promise<boolean> => {
      await session.connection.reset();
      // The server keeps the database that the work has chosen.
      await session.run(`USE ${quoteName(database)}`);
      // It keeps a role as well, and does not run `init_connect` again.
      return session.settleAgain();
    };
    const done = within(
      RESET_WITHIN_MS,
      reset().catch(() => false),
      () => false,
    ).then((isReset) => {
      if (isReset) this.connections.work.release(session);
      else this.connections.work.cut(session);
    });
    this.resets.add(done);
    void done.finally(() => this.resets.delete(done));
  }

  /** Ends the first attempt: it is rolled back, unless it was committed before. */
  private async resolve(branch: Branch): Promise<OnePhaseAnswer> {
    let answer: OnePhaseAnswer = 'commit';
    await this.complete(branch, 'ROLLBACK', async (xid) => {
      const end = await this.connections.completion.run(branch.signal, (session) =>
        leaveTombstone(session, xid, this.guard, this.calls.waitMs(branch)),
      );
      answer = onePhaseAnswerOf(end);
    });
    return answer;
  }

  private async complete(
    branch: Branch,
    decision: 'COMMIT' | 'ROLLBACK',
    task: (xid: Xid) => Promise<void>,
  ): Promise<void> {
    const xid = xidOf(branch, this.participant);
    await this.calls.complete(
      branch,
      () => task(xid),
      (error) => completionFailed(`XA ${decision} ${xid.sql}`, error),
    );
  }
}
