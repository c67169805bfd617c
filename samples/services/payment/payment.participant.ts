import { type Branch, Participant, type Vote, refuse } from 'nestjs-dtc/host';
import { PostgresParticipant } from 'nestjs-dtc/postgres';
import type { PoolClient } from 'pg';
import { Database } from '../common/database.js';
import type { Branches } from '../contract.js';

/** Charges customers, and gives the money back. */
@Participant({ name: 'payment' })
export class PaymentParticipant extends PostgresParticipant<Branches['payment']> {
  constructor({ url }: Database) {
    super({ connection: url });
  }

  /** Runs in the transaction of the branch. It commits when the coordinator has decided to. */
  protected work(client: PoolClient, { payload }: Branch<Branches['payment']>): Promise<Vote> {
    return payload.change === 'charge' ? this.charge(client, payload) : this.refund(client, payload);
  }

  private async charge(
    client: PoolClient,
    { orderId, customer, amount }: Branches['payment'],
  ): Promise<Vote> {
    const { rowCount } = await client.query(
      'UPDATE accounts SET balance = balance - $2 WHERE customer = $1 AND balance >= $2',
      [customer, amount],
    );
    if (rowCount === 0) return refuse('INSUFFICIENT_FUNDS', `${customer} does not have ${amount} cents here`);
    await client.query('INSERT INTO payments VALUES ($1, $2, $3)', [orderId, customer, amount]);
    return 'commit';
  }

  private async refund(
    client: PoolClient,
    { orderId, customer, amount }: Branches['payment'],
  ): Promise<Vote> {
    const { rowCount } = await client.query('DELETE FROM payments WHERE order_id = $1 AND amount = $2', [
      orderId,
      amount,
    ]);
    if (rowCount === 0) return refuse('NOT_PAID', 'this order was not paid here');
    await client.query('UPDATE accounts SET balance = balance + $2 WHERE customer = $1', [customer, amount]);
    return 'commit';
  }
}
