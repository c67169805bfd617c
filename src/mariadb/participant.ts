import type { Connection } from 'mysql2/promise';
import type { Branch, OnePhaseAnswer, Vote } from '../coordinator/participant/participant.js';
import type { Batch, BatchResult, BatchStatement } from './branch/batch.js';
import { SqlParticipantBase } from '../sql/participant.js';
import { MariaDbBranchError } from './errors.js';
import type { MariaDbOptions } from './options.js';
import { MariaDbResourceManager } from './resource-manager.js';

/** The options of a MariaDB participant. @publicApi */
export type MariaDbParticipantOptions = MariaDbOptions & {
  /**
   * The name of the participant. Needed only outside of a Nest application with a CoordinatorModule, as in a
   * unit test.
   *
   * @default the name it is registered under
   */
  readonly name?: string;
};

/** The common part of all participants, however their work is written. @publicApi */
export abstract class MariaDbParticipantBase<P> extends SqlParticipantBase<P, MariaDbResourceManager> {
  constructor({ name: givenName, ...options }: MariaDbParticipantOptions) {
    super(
      givenName,
      (name) => new MariaDbResourceManager(name, options),
      (message) => new MariaDbBranchError('DTC_MARIADB_NO_NAME', message),
    );
  }
}

/**
 * A participant whose data is in a MariaDB database. A subclass writes the work of a branch in SQL. This
 * class handles the transaction, its limits, prepare, commit, rollback and recovery. A subclass with
 * lifecycle hooks must call `super.onModuleInit()` and `super.onApplicationShutdown()`.
 *
 * @typeParam P the payload of its branches.
 * @example
 * ```ts
 * @Participant({ name: 'inventory' })
 * export class InventoryParticipant extends MariaDbParticipant<Reservation> {
 *   constructor() {
 *     super({ connection: process.env['INVENTORY_DATABASE_URL']! });
 *   }
 *
 *   protected async work(connection: Connection, { payload }: Branch<Reservation>): Promise<Vote> {
 *     const [{ affectedRows }] = await connection.query<ResultSetHeader>(
 *       'UPDATE stock SET available = available - ? WHERE sku = ? AND available >= ?',
 *       [payload.quantity, payload.sku, payload.quantity],
 *     );
 *     return affectedRows === 1 ? 'commit' : refuse('OUT_OF_STOCK', 'not enough is left');
 *   }
 * }
 * ```
 * @publicApi
 */
export abstract class MariaDbParticipant<P = unknown> extends MariaDbParticipantBase<P> {
  /**
   * Does the work of one branch, and votes.
   *
   * @param connection is inside the transaction of the branch, and must not end it. Await every statement
   * before the vote.
   */
  protected abstract work(connection: Connection, branch: Branch<P>): Promise<Vote>;

  prepare(branch: Branch<P>): Promise<Vote> {
    return this.resourceManager.prepare(branch, (connection) => this.work(connection, branch));
  }

  commitOnePhase(branch: Branch<P>): Promise<OnePhaseAnswer> {
    return this.resourceManager.commitOnePhase(branch, (connection) => this.work(connection, branch));
  }
}

/**
 * Like {@link MariaDbParticipant}, for work whose statements do not depend on each other's results.
 *
 * @typeParam P the payload of its branches.
 * @publicApi
 */
export abstract class MariaDbBatchParticipant<P = unknown> extends MariaDbParticipantBase<P> {
  /** @returns the statements of one branch, in order. */
  protected abstract statements(branch: Branch<P>): readonly BatchStatement[];

  /** @returns the vote, from the results of the statements in order. */
  protected abstract vote(results: readonly BatchResult[], branch: Branch<P>): Vote;

  prepare(branch: Branch<P>): Promise<Vote> {
    return this.resourceManager.prepareBatch(branch, this.batchOf(branch));
  }

  commitOnePhase(branch: Branch<P>): Promise<OnePhaseAnswer> {
    return this.resourceManager.commitBatchOnePhase(branch, this.batchOf(branch));
  }

  private batchOf(branch: Branch<P>): Batch {
    return { statements: this.statements(branch), vote: (results) => this.vote(results, branch) };
  }
}
