import { Kysely, PostgresDialect } from 'kysely';
import type { PoolClient } from 'pg';
import { type Branch, Participant, type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresParticipant } from '../../src/postgres/index.js';

/** The payload of a branch: pieces to take from the stock. */
interface Reservation {
  readonly sku: string;
  readonly quantity: number;
}

/** The tables of the stock. */
interface StockTables {
  stock: { sku: string; available: number };
  reservations: { transaction_id: string; sku: string; quantity: number };
}

/** Kysely in the transaction of a branch: a pool that has no connection but that of the branch. */
export function databaseOf<DB>(client: PoolClient): Kysely<DB> {
  const pool = { options: {}, connect: async () => client, end: async () => {} };
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
}

/** Takes pieces out of the stock, and notes for which transaction. */
@Participant({ name: 'kysely-stock' })
export class KyselyStock extends PostgresParticipant<Reservation> {
  constructor() {
    super({ connection: process.env['STOCK_DATABASE_URL'] ?? 'postgres://localhost/stock' });
  }

  protected async work(client: PoolClient, { transactionId, payload }: Branch<Reservation>): Promise<Vote> {
    const database = databaseOf<StockTables>(client);
    const { sku, quantity } = payload;
    const { numUpdatedRows } = await database
      .updateTable('stock')
      .set((row) => ({ available: row('available', '-', quantity) }))
      .where('sku', '=', sku)
      .where('available', '>=', quantity)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) return refuse('OUT_OF_STOCK', `fewer than ${quantity} of ${sku} are left`);
    await database
      .insertInto('reservations')
      .values({ transaction_id: transactionId, sku, quantity })
      .execute();
    return 'commit';
  }
}
