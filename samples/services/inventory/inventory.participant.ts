import { type Branch, Participant, type Vote, refuse } from 'nestjs-dtc/host';
import { PostgresParticipant } from 'nestjs-dtc/postgres';
import type { PoolClient } from 'pg';
import { Database } from '../common/database.js';
import type { Branches } from '../contract.js';

/** Takes goods from the stock, and puts them back. */
@Participant({ name: 'inventory' })
export class InventoryParticipant extends PostgresParticipant<Branches['inventory']> {
  constructor({ url }: Database) {
    super({ connection: url });
  }

  /** Runs in the transaction of the branch. It commits when the coordinator has decided to. */
  protected async work(client: PoolClient, { payload }: Branch<Branches['inventory']>): Promise<Vote> {
    const sign = payload.change === 'take' ? -1 : 1;
    // Always in the same order, so that no two orders wait for each other.
    for (const { sku, quantity } of payload.lines.toSorted((a, b) => (a.sku < b.sku ? -1 : 1))) {
      const { rowCount } = await client.query(
        'UPDATE stock SET on_hand = on_hand + $2 WHERE sku = $1 AND on_hand + $2 >= 0',
        [sku, sign * quantity],
      );
      if (rowCount === 0) return refuse('OUT_OF_STOCK', `${quantity} of ${sku} are not in stock`);
    }
    return 'commit';
  }
}
