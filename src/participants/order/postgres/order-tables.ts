import { Injectable } from '@nestjs/common';
import type { ConfirmedOrder, OrderItem } from '../order.js';
import type { KeyState, OrderRecords } from '../order-records.js';
import { type Schema, ServiceDatabase } from '../../postgres/service-database.js';

/**
 * The row of a request's key is written in the transaction of its order: a committed order has its key, and
 * any other has none. The key is the primary key, so two orders can never be committed under one.
 */
export const ORDER_SCHEMA: Schema = {
  table: 'orders',
  statements: [
    {
      text: `
        CREATE TABLE request_keys (
          key text COLLATE "C" PRIMARY KEY,
          fingerprint text NOT NULL,
          order_id uuid NOT NULL
        )`,
    },
    {
      text: `
        CREATE TABLE orders (
          order_id uuid PRIMARY KEY,
          transaction_id text NOT NULL,
          customer_id text NOT NULL,
          items jsonb NOT NULL,
          total bigint NOT NULL CHECK (total >= 0)
        )`,
    },
  ],
};

interface OrderRow {
  readonly order_id: string;
  readonly transaction_id: string;
  readonly customer_id: string;
  readonly items: readonly OrderItem[];
  /** PostgreSQL's bigint comes as text. */
  readonly total: string;
}

/** How long a query waits for the end of an order that is being placed under the key, in milliseconds. */
const KEY_WAIT_MS = 500;
const LOCK_NOT_AVAILABLE = '55P03';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The orders, in PostgreSQL. */
@Injectable()
export class OrderTables implements OrderRecords {
  constructor(private readonly database: ServiceDatabase) {}

  async find(orderId: string): Promise<ConfirmedOrder | undefined> {
    if (!UUID.test(orderId)) return undefined;
    const [row] = await this.database.query<OrderRow>('SELECT * FROM orders WHERE order_id = $1', [orderId]);
    return row && orderOf(row);
  }

  /**
   * An order in doubt is not visible, and neither is its key. But a transaction that writes the same key must
   * wait for it. So a write is tried, and undone.
   */
  async stateOfKey(key: string): Promise<KeyState> {
    const [placed] = await this.placedUnder(key);
    if (placed !== undefined) return placed;
    try {
      const isFree = await this.database.attempt(
        'INSERT INTO request_keys VALUES ($1, $2, gen_random_uuid()) ON CONFLICT DO NOTHING',
        [key, ''],
        KEY_WAIT_MS,
      );
      if (isFree) return 'free';
    } catch (error) {
      if ((error as { code?: unknown }).code === LOCK_NOT_AVAILABLE) return 'open';
      throw error;
    }
    // It was committed meanwhile.
    return (await this.placedUnder(key))[0] ?? 'open';
  }

  private async placedUnder(key: string): Promise<Exclude<KeyState, string>[]> {
    const rows = await this.database.query<OrderRow & { fingerprint: string }>(
      'SELECT * FROM request_keys JOIN orders USING (order_id) WHERE key = $1',
      [key],
    );
    return rows.map((row) => ({ fingerprint: row.fingerprint, order: orderOf(row) }));
  }
}

function orderOf(row: OrderRow): ConfirmedOrder {
  return {
    orderId: row.order_id,
    transactionId: row.transaction_id,
    customerId: row.customer_id,
    items: row.items,
    total: Number(row.total),
  };
}
