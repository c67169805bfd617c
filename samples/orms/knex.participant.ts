import createKnex, { type Knex } from 'knex';
import type { PoolClient } from 'pg';
import { type Branch, Participant, type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresParticipant } from '../../src/postgres/index.js';

/** The payload of a branch: pieces to take from the stock. */
interface Reservation {
  readonly sku: string;
  readonly quantity: number;
}

/** Knex without a pool: it builds queries, and runs none that is not given a connection. */
const knex: Knex = createKnex({ client: 'pg' });

/** Takes pieces out of the stock, and notes for which transaction. */
@Participant({ name: 'knex-stock' })
export class KnexStock extends PostgresParticipant<Reservation> {
  constructor() {
    super({ connection: process.env['STOCK_DATABASE_URL'] ?? 'postgres://localhost/stock' });
  }

  protected async work(client: PoolClient, { transactionId, payload }: Branch<Reservation>): Promise<Vote> {
    const { sku, quantity } = payload;
    const taken = await knex('stock')
      .connection(client)
      .where({ sku })
      .andWhere('available', '>=', quantity)
      .decrement('available', quantity);
    if (taken === 0) return refuse('OUT_OF_STOCK', `fewer than ${quantity} of ${sku} are left`);
    await knex('reservations').connection(client).insert({ transaction_id: transactionId, sku, quantity });
    return 'commit';
  }
}
