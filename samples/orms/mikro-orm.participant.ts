import { LockMode, defineEntity } from '@mikro-orm/core';
import { type EntityManager, MikroORM } from '@mikro-orm/postgresql';
import type { OnApplicationShutdown } from '@nestjs/common';
import { Kysely, PostgresDialect } from 'kysely';
import pg, { type PoolClient } from 'pg';
import { type Branch, Participant, type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresParticipant } from '../../src/postgres/index.js';

/** The payload of a branch: pieces to take from the stock. */
interface Reservation {
  readonly sku: string;
  readonly quantity: number;
}

export const Stock = defineEntity({
  name: 'Stock',
  tableName: 'stock',
  properties: (p) => ({ sku: p.string().primary(), available: p.integer() }),
});
const Reservations = defineEntity({
  name: 'Reservations',
  tableName: 'reservations',
  properties: (p) => ({
    transactionId: p.string().primary(),
    sku: p.string(),
    quantity: p.integer(),
  }),
});

/** An entity manager whose queries, and `flush`, run in the transaction of a branch. */
export function entityManagerOf(orm: MikroORM, client: PoolClient): EntityManager {
  // MikroORM reads dates as text, as the clients of its own pool do.
  const { DATE, TIMESTAMP, TIMESTAMPTZ, INTERVAL } = pg.types.builtins;
  for (const oid of [DATE, TIMESTAMP, TIMESTAMPTZ, INTERVAL]) client.setTypeParser(oid, (text) => text);
  const pool = { options: {}, connect: async () => client, end: async () => {} };
  const entities = orm.em.fork();
  entities.setTransactionContext(new Kysely({ dialect: new PostgresDialect({ pool }) }));
  return entities;
}

/** Takes pieces out of the stock, and notes for which transaction. */
@Participant({ name: 'mikro-orm-stock' })
export class MikroOrmStock extends PostgresParticipant<Reservation> implements OnApplicationShutdown {
  private readonly orm = new MikroORM({
    clientUrl: process.env['STOCK_DATABASE_URL'] ?? 'postgres://localhost/stock',
    entities: [Stock, Reservations],
  });

  constructor() {
    super({ connection: process.env['STOCK_DATABASE_URL'] ?? 'postgres://localhost/stock' });
  }

  override async onApplicationShutdown(): Promise<void> {
    await super.onApplicationShutdown();
    await this.orm.close();
  }

  protected async work(client: PoolClient, { transactionId, payload }: Branch<Reservation>): Promise<Vote> {
    const entities = entityManagerOf(this.orm, client);
    const { sku, quantity } = payload;
    const stock = await entities.findOne(Stock, { sku }, { lockMode: LockMode.PESSIMISTIC_WRITE });
    if (stock === null || stock.available < quantity) {
      return refuse('OUT_OF_STOCK', `fewer than ${quantity} of ${sku} are left`);
    }
    stock.available -= quantity;
    entities.create(Reservations, { transactionId, sku, quantity });
    await entities.flush();
    return 'commit';
  }
}
