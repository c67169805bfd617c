import { and, eq, gte, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import type { PoolClient } from 'pg';
import { type Branch, Participant, type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresParticipant } from '../../src/postgres/index.js';

/** The payload of a branch: pieces to take from the stock. */
interface Reservation {
  readonly sku: string;
  readonly quantity: number;
}

const stock = pgTable('stock', {
  sku: text('sku').primaryKey(),
  available: integer('available').notNull(),
});
const reservations = pgTable('reservations', {
  transactionId: text('transaction_id').primaryKey(),
  sku: text('sku').notNull(),
  quantity: integer('quantity').notNull(),
});

/** Takes pieces out of the stock, and notes for which transaction. */
@Participant({ name: 'drizzle-stock' })
export class DrizzleStock extends PostgresParticipant<Reservation> {
  constructor() {
    super({ connection: process.env['STOCK_DATABASE_URL'] ?? 'postgres://localhost/stock' });
  }

  protected async work(client: PoolClient, { transactionId, payload }: Branch<Reservation>): Promise<Vote> {
    const database = drizzle({ client });
    const { sku, quantity } = payload;
    const taken = await database
      .update(stock)
      .set({ available: sql`${stock.available} - ${quantity}` })
      .where(and(eq(stock.sku, sku), gte(stock.available, quantity)))
      .returning({ available: stock.available });
    if (taken.length === 0) return refuse('OUT_OF_STOCK', `fewer than ${quantity} of ${sku} are left`);
    await database.insert(reservations).values({ transactionId, sku, quantity });
    return 'commit';
  }
}
