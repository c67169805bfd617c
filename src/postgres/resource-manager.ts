import type { PoolClient, QueryConfig } from 'pg';
import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import type { GroupBranch, MemberVote } from '../coordinator/participant/group.js';
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
import { type Batch, prepareBatch, workOf } from './branch/batch.js';
import {
  leaveTombstone,
  commitPrepared,
  completionFailed,
  isPrepared,
  preparedOf,
  rollBackPrepared,
} from './branch/completion.js';
import { onePhase, preparation } from './branch/ending.js';
import { BranchWork, type Work } from './branch/work.js';
import { type ConnectionPools, openPools } from './connection/connection-pools.js';
import { PostgresClaimDatabase } from './claim/claim-database.js';
import type { GivenWork } from './group/open-group.js';
import { OpenGroups } from './group/open-groups.js';
import { PostgresBranchError, PostgresStartUpError } from './errors.js';
import { BranchCalls, onePhaseAnswerOf } from '../sql/branch-calls.js';
import { quoted } from '../sql/gid.js';
import { LogClaims } from '../sql/log-claims.js';
import { gidOf } from './gid.js';
import { inspect } from './inspection/inspection.js';
import { codeOf } from './sqlstate.js';
import { PostgresGuardPurge } from './guard/purge.js';
import { GuardTable } from './guard/table.js';
import { endSessionsOf } from './connection/fenced-sessions.js';
import { awaitingReplicas } from './connection/replication.js';
import { type PostgresOptions, type ResolvedPostgresSettings, resolvePostgresOptions } from './options.js';
import { capacityOf } from './connection/server-capacity.js';
import { StartUpChecks, unreachable } from './start-up-checks.js';

/** SQLSTATE `feature_not_supported`, which PREPARE TRANSACTION answers to temporary objects and the like. */
const CANNOT_BE_PREPARED = '0A000';

/**
 * The branches of one participant in one PostgreSQL database. A participant does its work through it, and
 * passes on commit, rollback and recover. PostgresParticipant does that for the usual case.
 *
 * @publicApi
 */
export class PostgresResourceManager {
  private readonly logger = new SafeLogger('PostgreSQL');
  private readonly settings: ResolvedPostgresSettings;
  private readonly connections: ConnectionPools;
  private readonly guard: GuardTable;
  private readonly calls: BranchCalls<BranchWork>;
  private readonly groups: OpenGroups;

  /**
   * Opens no connection yet.
   *
   * @param participant the registered name of the participant. It is a part of every global id, so it must
   * not change.
   * @throws InvalidOptionsError when an option is unknown or impossible.
   */
  constructor(
    readonly participant: string,
    options: PostgresOptions,
  ) {
    const { connection, settings } = resolvePostgresOptions(
      options,
      `the PostgreSQL participant "${participant}"`,
    );
    this.settings = settings;
    this.connections = openPools(connection, settings, participant, this.logger);
    this.guard = new GuardTable(settings.guardTable);
    const { completion } = this.connections;
    this.calls = new BranchCalls(
      participant,
      {
        settings,
        check: () => this.check(),
        startUpError: (error) =>
          error instanceof PostgresStartUpError
            ? error
            : unreachable(participant, settings.startTimeoutMs, error),
        listPrepared: (signal) => completion.run(signal, (client) => preparedOf(client, participant)),
      },
      new LogClaims(new PostgresClaimDatabase(participant, completion, settings, this.logger)),
      new PostgresGuardPurge(participant, completion, this.guard, settings, this.logger),
    );
    this.groups = new OpenGroups(participant, this.connections.work);
  }

  /**
   * Checks the server, the privileges and the guard table. The first call does it, once.
   *
   * @param coordinator the run that it works for, as `claim` of a participant receives it. It is refused when
   * another process works here under its name, or when the name was used here with another decision log. If
   * it is left out, the first branch supplies it.
   * @param isOwnRun asks the log of the run, as `claim` receives it. Without it a copied log is found only by
   * the number of its start.
   * @throws PostgresStartUpError with the remedy.
   */
  async start(coordinator?: CoordinatorRun, isOwnRun?: IsOwnRun): Promise<void> {
    await this.calls.start(coordinator, isOwnRun);
  }

  /**
   * Closes the connections, but not the pools of the user. Every transaction has ended by then. Connections
   * that still hang are cut after two seconds.
   */
  async close(): Promise<void> {
    await this.calls.close([() => this.groups.endAll()], [() => this.connections.close()]);
  }

  /**
   * Does the work of a branch in a transaction, and prepares it if the vote is `commit`. Any other vote, and
   * an error, rolls it back.
   *
   * @param work runs its statements with the given client, awaits them all, and votes. It must not end the
   * transaction.
   * @returns the vote; a refusal when the database refuses, or the branch was rolled back before.
   * @throws any other error of the work, and any error that leaves the state of the branch unknown.
   */
  prepare<P>(branch: Branch<P>, work: Work<P>): Promise<Vote> {
    return this.work(branch, (branchWork, client, gid) =>
      branchWork.perform(client, gid, branch, work, preparation(gid)),
    );
  }

  /**
   * Like {@link prepare}, in one round trip: for work whose statements do not depend on each other's results.
   */
  prepareBatch(branch: Branch, batch: Batch): Promise<Vote> {
    if (this.isGrouped) return this.prepareMember(branch, batch);
    return this.work(branch, (work, client, gid) => prepareBatch(work, client, gid, branch, batch));
  }

  /** A branch on its own whose work may be part of a group: how it goes counts for the groups. */
  private async prepareMember(branch: Branch, batch: Batch): Promise<Vote> {
    try {
      return await this.work(branch, async (branchWork, client, gid) => {
        const startedAt = performance.now();
        try {
          return await prepareBatch(branchWork, client, gid, branch, batch);
        } finally {
          this.groups.loners.tookAlone(performance.now() - startedAt, () =>
            this.groups.loners.signatures.of(batch.statements),
          );
        }
      });
    } catch (error) {
      // A group with it would fail as a whole.
      const signature =
        codeOf(error) === CANNOT_BE_PREPARED ? this.groups.loners.signatures.of(batch.statements) : undefined;
      if (signature !== undefined) this.groups.loners.cannotBePrepared(signature);
      throw error;
    }
  }

  /** Whether the participant takes part in groups. */
  get isGrouped(): boolean {
    return this.settings.grouped;
  }

  /** Whether these statements may be part of a group, as far as is known before they run. */
  mayJoinGroup(statements: readonly QueryConfig[]): boolean {
    const signature = this.groups.loners.signatures.of(statements);
    return signature !== undefined && !this.groups.loners.has(signature);
  }

  /**
   * Does the work of the members of a group, in this order, in one open transaction: see
   * `GroupingParticipant`.
   *
   * @param members each gives its work when it is needed.
   * @param trials are tried behind them, and undone.
   * @returns a vote for each member, and then for each of the trials; `busy` while a group of another
   * coordinator works here.
   * @throws an error that does not belong to one member. Nothing of the group is open then.
   */
  async runGroup(
    group: GroupBranch,
    members: readonly GivenWork[],
    trials: readonly GivenWork[] = [],
  ): Promise<readonly MemberVote[] | 'busy'> {
    const gid = gidOf(group, this.participant);
    const branchWork = await this.calls.ready();
    const refusal = await this.calls.admit(group);
    if (refusal !== undefined) throw new Error(`${gid} is refused: ${refusal.reason}`);
    return this.groups.run(gid, branchWork, group, members, trials);
  }

  /** Undoes everything that the latest run of a group has left open. */
  discardGroup(group: GroupBranch): Promise<void> {
    return this.groups.discard(gidOf(group, this.participant));
  }

  /**
   * Prepares what {@link runGroup} has left open.
   *
   * @returns the vote; undefined if the branch is not one of a group.
   * @throws any error that leaves the state of the branch unknown.
   */
  prepareGroup(branch: Branch): Promise<Vote> | undefined {
    if (this.groups.isEmpty) return undefined;
    const gid = gidOf(branch, this.participant);
    return this.groups.has(gid) ? this.groups.prepare(gid, branch) : undefined;
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
    const vote = await this.work(branch, (branchWork, client, gid) =>
      branchWork.perform(client, gid, branch, work, onePhase(gid)),
    );
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
    return this.complete(branch, 'COMMIT', (client, gid) => commitPrepared(client, gid, this.guard));
  }

  /**
   * Rolls a branch back, prepared or not; repeats are harmless. A prepare that comes later is refused.
   *
   * @throws HeuristicError when the branch is committed. Any other error: try again.
   */
  rollback(branch: Branch): Promise<void> {
    if (!this.groups.isEmpty) this.groups.end(gidOf(branch, this.participant));
    return this.complete(branch, 'ROLLBACK', (client, gid) =>
      rollBackPrepared(client, gid, this.guard, this.calls.waitMs(branch)),
    );
  }

  /**
   * Lists the prepared branches of this participant in this database, of all coordinators.
   *
   * @param run the run that asks. @default every run that works here
   * @throws when the list would not be complete, or the run is not accepted.
   */
  recover(run?: CoordinatorRun): Promise<readonly PreparedBranch[]> {
    return this.calls.recover(run);
  }

  /**
   * Ends the sessions in which a run that was fenced is at work here, if the role of the participant may.
   *
   * @param run of a log that several members share; only such a run names its sessions.
   * @throws when the server does not answer in time.
   */
  async endSessionsOf(run: CoordinatorRun): Promise<void> {
    await this.calls.ready();
    const signal = AbortSignal.timeout(this.settings.recoverTimeoutMs);
    const count = await this.connections.completion.run(signal, (client) => endSessionsOf(client, run));
    if (count === 0) return;
    this.logger.log(
      `"${this.participant}": ended the sessions of epoch ${run.epoch}, which was fenced: ${count}`,
    );
  }

  /** @returns the capacity of the database server. @throws when it does not answer in time. */
  async capacity(): Promise<ParticipantCapacity> {
    await this.calls.ready();
    return capacityOf(this.connections, AbortSignal.timeout(this.settings.startTimeoutMs));
  }

  /**
   * Looks into the database for an operator: what is prepared there, by all programs, and who waits for whom.
   * It takes a connection for completions for the time of three short queries.
   *
   * @throws when the server does not answer in time.
   */
  async inspect(signal: AbortSignal): Promise<DatabaseInspection> {
    await this.calls.ready();
    return this.connections.completion.run(signal, inspect);
  }

  /**
   * The number of sessions of its pools that are, or may be, still at the server after their connections were
   * cut here because their calls had timed out. Each was told to end, and counts until the server has removed
   * it. Participants that share pools share the number.
   */
  get sessionsLeft(): number {
    const { work, completion } = this.connections;
    return [...new Set([work.givenUp, completion.givenUp])].reduce((sum, { count }) => sum + count, 0);
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

  private async check(): Promise<BranchWork> {
    const { participant, connections, guard, settings, logger } = this;
    const server = await new StartUpChecks(participant, connections, guard, settings, logger).run();
    return new BranchWork(guard, settings, server, connections.hasHooks);
  }

  /**
   * Refuses a branch whose global id is impossible before anything happens: then nothing must be rolled back.
   */
  private async work(
    branch: Branch,
    task: (work: BranchWork, client: PoolClient, gid: string) => Promise<Vote>,
  ): Promise<Vote> {
    let gid: string;
    try {
      gid = gidOf(branch, this.participant);
    } catch (error) {
      if (error instanceof PostgresBranchError) return refuse(error.code, error.message);
      throw error;
    }
    const branchWork = await this.calls.ready();
    const admission = this.calls.admit(branch);
    const refusal = admission === undefined ? undefined : await admission;
    if (refusal !== undefined) return refusal;
    let isConnected = false;
    try {
      return await this.connections.work.run(branch.signal, (client) => {
        isConnected = true;
        return task(branchWork, client, gid);
      });
    } catch (error) {
      // Without a connection nothing was done, and nothing is held.
      if (isConnected || branch.signal.aborted || !this.connections.work.lacksConnections(error)) throw error;
      const why = error instanceof PostgresBranchError ? `: ${error.message}` : '';
      return refuse('NO_CONNECTION', `no connection to the database was free in time${why}`, {
        overloaded: true,
      });
    }
  }

  /**
   * Ends the first attempt: it is rolled back, unless it was committed before, or is prepared and committed
   * now.
   */
  private async resolve(branch: Branch): Promise<OnePhaseAnswer> {
    let answer: OnePhaseAnswer = 'commit';
    await this.complete(branch, 'ROLLBACK', async (client, gid) => {
      if (await isPrepared(client, gid)) return commitPrepared(client, gid, this.guard);
      answer = onePhaseAnswerOf(await leaveTombstone(client, gid, this.guard, this.calls.waitMs(branch)));
    });
    return answer;
  }

  private async complete(
    branch: Branch,
    decision: 'COMMIT' | 'ROLLBACK',
    task: (client: PoolClient, gid: string) => Promise<void>,
  ): Promise<void> {
    const gid = gidOf(branch, this.participant);
    await this.calls.complete(
      branch,
      () =>
        this.connections.completion.run(branch.signal, (client) =>
          awaitingReplicas(client, () => task(client, gid)),
        ),
      (error) => completionFailed(`${decision} PREPARED ${quoted(gid)}`, error),
    );
  }
}
