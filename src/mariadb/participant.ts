import type { OnApplicationShutdown, OnModuleInit } from '@nestjs/common';
import type { Connection } from 'mysql2/promise';
import type {
  Branch,
  CoordinatorRun,
  IsOwnRun,
  OnePhaseAnswer,
  ParticipantCapacity,
  Registration,
  PreparedBranch,
  TransactionParticipant,
  Vote,
} from '../coordinator/participant/participant.js';
import type { Batch, BatchResult, BatchStatement } from './branch/batch.js';
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
export abstract class MariaDbParticipantBase<P>
  implements TransactionParticipant<P>, OnModuleInit, OnApplicationShutdown
{
  /** The guard row is written in the transaction of the work. */
  readonly guardsItself = true;
  private registration: Registration | undefined;
  private readonly options: MariaDbOptions;
  private readonly givenName: string | undefined;
  private manager: MariaDbResourceManager | undefined;

  constructor({ name, ...options }: MariaDbParticipantOptions) {
    this.options = options;
    this.givenName = name;
  }

  registered(registration: Registration): void {
    this.registration = registration;
  }

  abstract prepare(branch: Branch<P>): Promise<Vote>;

  abstract commitOnePhase(branch: Branch<P>): Promise<OnePhaseAnswer>;

  commit(branch: Branch<P>): Promise<void> {
    return this.resourceManager.commit(branch);
  }

  rollback(branch: Branch<P>): Promise<void> {
    return this.resourceManager.rollback(branch);
  }

  recover(run?: CoordinatorRun): Promise<readonly PreparedBranch[]> {
    return this.resourceManager.recover(run);
  }

  capacity(): Promise<ParticipantCapacity> {
    return this.resourceManager.capacity();
  }

  /**
   * @throws MariaDbStartUpError when another process or log has used the database under this coordinator's
   * name.
   */
  async claim(run: CoordinatorRun, isOwnRun: IsOwnRun): Promise<void> {
    await this.resourceManager.start(run, isOwnRun);
  }

  /**
   * @throws MariaDbStartUpError when the database cannot be used in its present state: the application does
   * not start.
   */
  async onModuleInit(): Promise<void> {
    await this.resourceManager.start();
    await this.registration?.claim();
  }

  /** The coordinator has waited for the transactions in flight before. */
  async onApplicationShutdown(): Promise<void> {
    await this.manager?.close();
  }

  /** Made on first use: the name is known only once the participant is registered. */
  protected get resourceManager(): MariaDbResourceManager {
    this.manager ??= new MariaDbResourceManager(this.name, this.options);
    return this.manager;
  }

  private get name(): string {
    const name = this.givenName ?? this.registration?.name;
    if (name !== undefined) return name;
    throw new MariaDbBranchError(
      'DTC_MARIADB_NO_NAME',
      `${this.constructor.name} does not know its name, so it cannot prepare a branch. Decorate it with @Participant and import ` +
        'CoordinatorModule, register it with ParticipantRegistry before it is initialised, or give it the option `name`.',
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
   * @param connection is inside the transaction of the branch, and must not end it. Await every statement before
   * the vote.
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
