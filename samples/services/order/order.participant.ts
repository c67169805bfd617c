import { type Branch, Participant, type Vote, refuse } from 'nestjs-dtc/host';
import { PostgresParticipant } from 'nestjs-dtc/postgres';
import type { PoolClient } from 'pg';
import { Database } from '../common/database.js';
import type { Branches } from '../contract.js';

/** The code of a refusal. */
export const ALREADY_CANCELLED = 'ALREADY_CANCELLED';

/** Writes orders down, and marks those that are cancelled. */
@Participant({ name: 'order' })
export class OrderParticipant extends PostgresParticipant<Branches['order']> {
  constructor({ url }: Database) {
    super({ connection: url });
  }

  /** Runs in the transaction of the branch. It commits when the coordinator has decided to. */
  protected async work(
    client: PoolClient,
    { transactionId, payload }: Branch<Branches['order']>,
  ): Promise<Vote> {
    if (payload.change === 'cancel') {
      const { rowCount } = await client.query(
        'UPDATE orders SET cancelled_by = $2 WHERE order_id = $1 AND cancelled_by IS NULL',
        [payload.orderId, transactionId],
      );
      return rowCount === 1 ? 'commit' : refuse(ALREADY_CANCELLED, 'the order was cancelled before');
    }
    const { orderId, customer, lines, total } = payload;
    const { rowCount } = await client.query(
      'INSERT INTO orders VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING',
      [orderId, customer, JSON.stringify(lines), total, transactionId],
    );
    return rowCount === 1 ? 'commit' : refuse('ORDER_EXISTS', 'an order was placed under this key before');
  }
}
