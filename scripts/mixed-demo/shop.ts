import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Connection, ResultSetHeader } from 'mysql2/promise';
import type { PoolClient } from 'pg';
import {
  type Branch,
  CoordinatorModule,
  Participant,
  TransactionManager,
  type Vote,
  branch,
  refuse,
} from '../../src/coordinator/index.js';
import { MariaDbParticipant } from '../../src/mariadb/index.js';
import { PostgresParticipant } from '../../src/postgres/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';

/**
 * The shop: orders in PostgreSQL, their stock in MariaDB. It runs in a process of its own, which can be
 * killed.
 */
export interface Order {
  readonly id: string;
  readonly sku: string;
  readonly quantity: number;
  /** Whether the process stops between the commits of the two databases. */
  readonly stopsBetween?: boolean;
}

/** What the process tells its parent. */
export type Told =
  | { readonly type: 'started' }
  | {
      readonly type: 'answer';
      readonly id: string;
      readonly status: string;
      readonly code?: string | undefined;
    }
  /** The order is committed in PostgreSQL, and its stock is still prepared in MariaDB. */
  | { readonly type: 'between' };

const ordersCommitted = new Set<string>();

function tell(told: Told): void {
  process.send!(told);
}

@Participant({ name: 'orders' })
export class Orders extends PostgresParticipant<Order> {
  constructor() {
    super({ connection: process.env['ORDER_DATABASE_URL']! });
  }

  override async commit(given: Branch<Order>): Promise<void> {
    await super.commit(given);
    ordersCommitted.add(given.transactionId);
  }

  protected async work(client: PoolClient, { payload: { id, sku, quantity } }: Branch<Order>): Promise<Vote> {
    await client.query('INSERT INTO orders_of_demo (id, sku, quantity) VALUES ($1, $2, $3)', [
      id,
      sku,
      quantity,
    ]);
    return 'commit';
  }
}

@Participant({ name: 'stock' })
export class Stock extends MariaDbParticipant<Order> {
  constructor() {
    super({ connection: process.env['STOCK_DATABASE_URL']! });
  }

  override async commit(given: Branch<Order>): Promise<void> {
    // The payload of a restored branch is the one that the log has kept, so only the first process stops
    // here.
    if (given.payload?.stopsBetween === true && process.env['MAY_STOP'] === 'yes') {
      while (!ordersCommitted.has(given.transactionId)) await new Promise((resolve) => setImmediate(resolve));
      tell({ type: 'between' });
      await new Promise<never>(() => {});
    }
    await super.commit(given);
  }

  protected async work(connection: Connection, { payload: { sku, quantity } }: Branch<Order>): Promise<Vote> {
    const [{ affectedRows }] = await connection.query<ResultSetHeader>(
      'UPDATE stock SET available = available - ? WHERE sku = ? AND available >= ?',
      [quantity, sku, quantity],
    );
    return affectedRows === 1 ? 'commit' : refuse('OUT_OF_STOCK', 'not enough is left');
  }
}

@Module({
  imports: [
    CoordinatorModule.forRoot({
      name: 'mixed',
      log: new SqliteDecisionLog({ path: process.env['DECISION_LOG_PATH']! }),
      recoveryIntervalMs: 250,
    }),
  ],
  providers: [Orders, Stock],
})
export class ShopModule {}

const application = await NestFactory.createApplicationContext(ShopModule, { logger: ['error'] });
application.enableShutdownHooks();
const transactions = application.get(TransactionManager);
process.on('message', (order: Order) => {
  void transactions
    .run({ name: 'order', branches: [branch(Orders, order), branch(Stock, order)] })
    .then((outcome) =>
      tell({
        type: 'answer',
        id: order.id,
        status: outcome.status,
        code: outcome.status === 'aborted' ? outcome.code : undefined,
      }),
    );
});
process.once('disconnect', () => void application.close().then(() => process.exit(0)));
tell({ type: 'started' });
