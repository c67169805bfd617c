import { AsyncLocalStorage } from 'node:async_hooks';
import type { OnApplicationShutdown, OnModuleInit } from '@nestjs/common';
import pg, { type PoolClient } from 'pg';
import { Column, DataSource, Entity, MoreThanOrEqual, PrimaryColumn, type QueryRunner } from 'typeorm';
import { type Branch, Participant, type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresParticipant } from '../../src/postgres/index.js';

/** The payload of a branch: pieces to take from the stock. */
interface Reservation {
  readonly sku: string;
  readonly quantity: number;
}

@Entity({ name: 'stock' })
export class StockEntity {
  @PrimaryColumn('text')
  sku!: string;

  @Column('int')
  available!: number;
}

@Entity({ name: 'reservations' })
class ReservationEntity {
  @PrimaryColumn('text', { name: 'transaction_id' })
  transactionId!: string;

  @Column('text')
  sku!: string;

  @Column('int')
  quantity!: number;
}

type Connected = (error: Error | undefined, client?: PoolClient, release?: (error?: unknown) => void) => void;

const clientOfBranch = new AsyncLocalStorage<PoolClient>();

/** The pool of the data source: a query runner that connects for a branch gets the client of that branch. */
export class BranchPool extends pg.Pool {
  override connect(): Promise<PoolClient>;
  override connect(connected: Connected): void;
  override connect(connected?: Connected): Promise<PoolClient> | void {
    const client = clientOfBranch.getStore();
    if (connected === undefined) return super.connect();
    if (client === undefined) return super.connect(connected);
    connected(undefined, client, () => {});
  }
}

/** A query runner in the transaction of a branch. Its release leaves the connection to the branch. */
export async function queryRunnerOf(dataSource: DataSource, client: PoolClient): Promise<QueryRunner> {
  const runner = dataSource.createQueryRunner();
  await clientOfBranch.run(client, () => runner.connect());
  return runner;
}

/** Takes pieces out of the stock, and notes for which transaction. */
@Participant({ name: 'typeorm-stock' })
export class TypeOrmStock
  extends PostgresParticipant<Reservation>
  implements OnModuleInit, OnApplicationShutdown
{
  private readonly dataSource = new DataSource({
    type: 'postgres',
    driver: { ...pg, Pool: BranchPool },
    url: process.env['STOCK_DATABASE_URL'] ?? 'postgres://localhost/stock',
    entities: [StockEntity, ReservationEntity],
  });

  constructor() {
    super({ connection: process.env['STOCK_DATABASE_URL'] ?? 'postgres://localhost/stock' });
  }

  override async onModuleInit(): Promise<void> {
    await this.dataSource.initialize();
    await super.onModuleInit();
  }

  override async onApplicationShutdown(): Promise<void> {
    await super.onApplicationShutdown();
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }

  protected async work(client: PoolClient, { transactionId, payload }: Branch<Reservation>): Promise<Vote> {
    const runner = await queryRunnerOf(this.dataSource, client);
    try {
      const { sku, quantity } = payload;
      const enough = { sku, available: MoreThanOrEqual(quantity) };
      const { affected } = await runner.manager.decrement(StockEntity, enough, 'available', quantity);
      if (affected !== 1) return refuse('OUT_OF_STOCK', `fewer than ${quantity} of ${sku} are left`);
      await runner.manager.insert(ReservationEntity, { transactionId, sku, quantity });
      return 'commit';
    } finally {
      await runner.release();
    }
  }
}
