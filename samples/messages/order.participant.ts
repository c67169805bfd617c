import { Injectable } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { type Branch, Participant, type Vote } from '../../src/coordinator/index.js';
import { PostgresOutbox, PostgresParticipant } from '../../src/postgres/index.js';

/** An order, as its message describes it. */
export interface Order {
  readonly id: string;
  readonly customer: string;
}

/** The environment of the orders. */
export function orderDatabase(): string {
  return process.env['ORDER_DATABASE_URL'] ?? 'postgres://localhost/orders';
}

/** The messages of the orders, in their database. */
@Injectable()
export class OrderOutbox extends PostgresOutbox {
  constructor() {
    super({ connection: orderDatabase(), name: 'orders' });
  }
}

/** Keeps orders, and tells of each in the same branch. */
@Participant({ name: 'order' })
export class OrderParticipant extends PostgresParticipant<Order> {
  constructor(private readonly outbox: OrderOutbox) {
    super({ connection: orderDatabase() });
  }

  protected async work(client: PoolClient, branch: Branch<Order>): Promise<Vote> {
    const { id, customer } = branch.payload;
    await client.query('INSERT INTO orders (id, customer) VALUES ($1, $2)', [id, customer]);
    await this.outbox.add(client, branch, {
      topic: 'order.created',
      key: customer,
      payload: { id, customer },
    });
    return 'commit';
  }
}
