import type { QueryConfig, QueryResult } from 'pg';
import { type Branch, Participant, type Vote, refuse } from '../../../coordinator/index.js';
import { PostgresBatchParticipant } from '../../../postgres/index.js';
import { ServiceDatabase } from '../../postgres/service-database.js';
import type { Order } from '../order.js';
import { KEY_TAKEN } from '../order-records.js';
import { ORDER_SCHEMA } from './order-tables.js';

/** Writes an order, and the key of its request, in one transaction: neither is visible before its commit. */
@Participant({ name: 'order' })
export class PostgresOrderParticipant extends PostgresBatchParticipant<Order> {
  constructor(private readonly database: ServiceDatabase) {
    super(database.participantOptions);
  }

  override async onModuleInit(): Promise<void> {
    await super.onModuleInit();
    await this.database.createSchema(ORDER_SCHEMA);
  }

  protected statements({ payload: order, transactionId }: Branch<Order>): QueryConfig[] {
    const { orderId, customerId, items, total, requestKey } = order;
    const insertOrder = {
      text: 'INSERT INTO orders VALUES ($1, $2, $3, $4, $5)',
      values: [orderId, transactionId, customerId, JSON.stringify(items), total],
    };
    if (requestKey === undefined) return [insertOrder];
    const insertKey = {
      text: 'INSERT INTO request_keys VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
      values: [requestKey.key, requestKey.fingerprint, orderId],
    };
    return [insertKey, insertOrder];
  }

  protected vote(results: readonly QueryResult[]): Vote {
    return results.every(({ rowCount }) => rowCount === 1)
      ? 'commit'
      : refuse(KEY_TAKEN, 'another order was placed under the same key');
  }
}
