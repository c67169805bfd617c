import { Client, type QueryResultRow } from 'pg';
import type { OrderLine } from '../../samples/services/contract.js';

/** An order in the database of the order service. */
export interface PlacedOrder {
  readonly orderId: string;
  readonly customer: string;
  readonly lines: readonly OrderLine[];
  readonly total: number;
  /** The transaction that has placed it. */
  readonly placedBy: string;
  readonly cancelledBy: string | null;
}

/** The contents of the databases of the three services. */
export interface Books {
  readonly orders: readonly PlacedOrder[];
  /** By product. */
  readonly stock: ReadonlyMap<string, number>;
  /** By customer, in cents. */
  readonly balances: ReadonlyMap<string, number>;
  readonly payments: readonly { readonly orderId: string; readonly amount: number }[];
  /** How many branches are prepared, in all databases of the server. */
  readonly prepared: number;
}

/** @param urls of the databases, by the variables that name them. */
export async function readBooks(urls: Readonly<Record<string, string>>): Promise<Books> {
  const [[orders, [doubt]], [stock], [accounts, payments]] = await Promise.all([
    readAll<[PlacedOrder, { count: string }]>(
      urls['ORDER_DATABASE_URL']!,
      `SELECT order_id AS "orderId", customer, lines, total, placed_by AS "placedBy", cancelled_by AS "cancelledBy"
       FROM orders`,
      'SELECT count(*) FROM pg_prepared_xacts',
    ),
    readAll<[{ sku: string; on_hand: number }]>(urls['INVENTORY_DATABASE_URL']!, 'SELECT * FROM stock'),
    readAll<[{ customer: string; balance: number }, { orderId: string; amount: number }]>(
      urls['PAYMENT_DATABASE_URL']!,
      'SELECT * FROM accounts',
      'SELECT order_id AS "orderId", amount FROM payments',
    ),
  ]);
  return {
    orders,
    stock: new Map(stock.map((row) => [row.sku, row.on_hand])),
    balances: new Map(accounts.map(({ customer, balance }) => [customer, balance])),
    payments,
    prepared: Number(doubt?.count),
  };
}

/** @returns the rows of each query. */
async function readAll<Rows extends readonly QueryResultRow[]>(
  url: string,
  ...queries: readonly string[]
): Promise<{ [K in keyof Rows]: Rows[K][] }> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const results: QueryResultRow[][] = [];
    for (const query of queries) results.push((await client.query(query)).rows);
    return results as { [K in keyof Rows]: Rows[K][] };
  } finally {
    await client.end();
  }
}
