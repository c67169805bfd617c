import type { PoolClient, QueryConfig, QueryResult } from 'pg';
import { InvalidOptionsError } from '../coordinator/errors.js';
import type {
  GroupBranch,
  GroupMember,
  GroupingParticipant,
  MemberVote,
} from '../coordinator/participant/group.js';
import type { Branch, OnePhaseAnswer, Vote } from '../coordinator/participant/participant.js';
import type { Batch } from './branch/batch.js';
import { SqlParticipantBase } from '../sql/participant.js';
import { PostgresBranchError } from './errors.js';
import type { GivenWork } from './group/open-group.js';
import type { PostgresOptions } from './options.js';
import { PostgresResourceManager } from './resource-manager.js';

/** The options of a PostgreSQL participant. @publicApi */
export type PostgresParticipantOptions = PostgresOptions & {
  /**
   * The name of the participant. Needed only outside of a Nest application with a CoordinatorModule, as in a
   * unit test.
   *
   * @default the name it is registered under
   */
  readonly name?: string;
};

/** The common part of all participants, however their work is written. @publicApi */
export abstract class PostgresParticipantBase<P> extends SqlParticipantBase<P, PostgresResourceManager> {
  constructor({ name: givenName, ...options }: PostgresParticipantOptions) {
    super(
      givenName,
      (name) => new PostgresResourceManager(name, options),
      (message) => new PostgresBranchError('DTC_POSTGRES_NO_NAME', message),
    );
  }
}

/**
 * A participant whose data is in a PostgreSQL database. A subclass writes the work of a branch in SQL. This
 * class handles the transaction, its limits, prepare, commit, rollback and recovery. A subclass with
 * lifecycle hooks must call `super.onModuleInit()` and `super.onApplicationShutdown()`.
 *
 * @typeParam P the payload of its branches.
 * @example
 * ```ts
 * @Participant({ name: 'inventory' })
 * export class InventoryParticipant extends PostgresParticipant<Reservation> {
 *   constructor() {
 *     super({ connection: process.env['INVENTORY_DATABASE_URL']! });
 *   }
 *
 *   protected async work(client: PoolClient, { payload }: Branch<Reservation>): Promise<Vote> {
 *     const { rowCount } = await client.query(
 *       'UPDATE stock SET available = available - $2 WHERE sku = $1 AND available >= $2',
 *       [payload.sku, payload.quantity],
 *     );
 *     return rowCount === 1 ? 'commit' : refuse('OUT_OF_STOCK', 'not enough is left');
 *   }
 * }
 * ```
 * @publicApi
 */
export abstract class PostgresParticipant<P = unknown> extends PostgresParticipantBase<P> {
  constructor(options: PostgresParticipantOptions) {
    super(options);
    if (options.grouped === true) {
      throw new InvalidOptionsError('a PostgreSQL participant', [
        'grouped: only batch work takes part in groups; extend PostgresBatchParticipant, or leave it out',
      ]);
    }
  }

  /**
   * Does the work of one branch, and votes.
   *
   * @param client is inside the transaction of the branch, and must not end it. Await every query before the
   * vote.
   */
  protected abstract work(client: PoolClient, branch: Branch<P>): Promise<Vote>;

  prepare(branch: Branch<P>): Promise<Vote> {
    return this.resourceManager.prepare(branch, (client) => this.work(client, branch));
  }

  commitOnePhase(branch: Branch<P>): Promise<OnePhaseAnswer> {
    return this.resourceManager.commitOnePhase(branch, (client) => this.work(client, branch));
  }
}

/**
 * Like {@link PostgresParticipant}, for work whose statements do not depend on each other's results: it
 * prepares in one round trip. The vote is computed after the branch is prepared, and a refusal rolls it back
 * at once.
 *
 * @typeParam P the payload of its branches.
 * @publicApi
 */
export abstract class PostgresBatchParticipant<P = unknown>
  extends PostgresParticipantBase<P>
  implements GroupingParticipant<P>
{
  /** Whether it takes part in groups: the option `grouped`. */
  readonly grouped: boolean;

  constructor(options: PostgresParticipantOptions) {
    super(options);
    this.grouped = options.grouped === true;
  }

  /** @returns the statements of one branch, in order. */
  protected abstract statements(branch: Branch<P>): readonly QueryConfig[];

  /** @returns the vote, from the results of the statements in order. */
  protected abstract vote(results: readonly QueryResult[], branch: Branch<P>): Vote;

  prepare(branch: Branch<P>): Promise<Vote> {
    const { resourceManager } = this;
    return resourceManager.prepareGroup(branch) ?? resourceManager.prepareBatch(branch, this.batchOf(branch));
  }

  mayJoinGroup(_payload: P, branch: Branch<P>): boolean {
    try {
      return this.resourceManager.mayJoinGroup(this.statements(branch));
    } catch {
      // It runs on its own, where the same error shows.
      return false;
    }
  }

  runGroup(group: GroupBranch, members: readonly GroupMember<P>[]): Promise<readonly MemberVote[] | 'busy'> {
    return this.resourceManager.runGroup(group, this.worksOf(group, members));
  }

  async rerunGroup(
    group: GroupBranch,
    members: readonly GroupMember<P>[],
    trials: readonly GroupMember<P>[],
  ): Promise<readonly MemberVote[]> {
    const works = [members, trials].map((all) => this.worksOf(group, all));
    const votes = await this.resourceManager.runGroup(group, works[0]!, works[1]);
    if (votes === 'busy') throw new Error('The transaction of the group could not be opened again.');
    return votes;
  }

  discardGroup(group: GroupBranch): Promise<void> {
    return this.resourceManager.discardGroup(group);
  }

  commitOnePhase(branch: Branch<P>): Promise<OnePhaseAnswer> {
    return this.resourceManager.commitBatchOnePhase(branch, this.batchOf(branch));
  }

  private worksOf(group: GroupBranch, members: readonly GroupMember<P>[]): GivenWork[] {
    return members.map((member) => ({
      id: member.transactionId,
      batchOf: () => this.batchOf(branchIn(group, member)),
    }));
  }

  private batchOf(branch: Branch<P>): Batch {
    return { statements: this.statements(branch), vote: (results) => this.vote(results, branch) };
  }
}

/** @returns the branch of a member, as it would be on its own. */
function branchIn<P>(
  { signal, run, deadline }: GroupBranch,
  { transactionId, branchId, payload, requestId }: GroupMember<P>,
): Branch<P> {
  const branch = { transactionId, branchId, payload, deadline, signal, attempt: 0, run };
  return requestId === undefined ? branch : { ...branch, requestId };
}
