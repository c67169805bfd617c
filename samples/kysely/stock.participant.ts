import type { ClientBase } from 'pg';
import { type Branch, Participant, type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresParticipant } from '../../src/postgres/index.js';
import { databaseOf } from './branch-database.js';

/** What is asked of the stock. */
export interface Reservation {
  readonly sku: string;
  readonly quantity: number;
}

/** The tables of the stock, for Kysely. */
export interface StockTables {
  stock: { sku: string; available: number };
  reservations: { transaction_id: string; sku: string; quantity: number };
}

/** Takes pieces out of the stock, and notes for which transaction. */
@Participant({ name: 'stock' })
export class StockParticipant extends PostgresParticipant<Reservation> {
  constructor() {
    super({ connection: process.env['STOCK_DATABASE_URL'] ?? 'postgres://localhost/stock' });
  }

  protected async work(client: ClientBase, branch: Branch<Reservation>): Promise<Vote> {
    const database = databaseOf<StockTables>(client);
    const { sku, quantity } = branch.payload;
    const { numUpdatedRows } = await database
      .updateTable('stock')
      .set((row) => ({ available: row('available', '-', quantity) }))
      .where('sku', '=', sku)
      .where('available', '>=', quantity)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) return refuse('OUT_OF_STOCK', `fewer than ${quantity} of ${sku} are left`);

    const reservation = { transaction_id: branch.transactionId, sku, quantity };
    await database.insertInto('reservations').values(reservation).execute();
    return 'commit';
  }
}
