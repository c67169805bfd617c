import { Client, type QueryResultRow } from 'pg';
import { SEED_STOCK } from '../../src/participants/inventory/stock.js';
import { SEED_BALANCES } from '../../src/participants/payment/accounts.js';

/** The URLs of the three databases of the shop. */
export interface ShopDatabases {
  readonly order: string;
  readonly inventory: string;
  readonly payment: string;
}

/** @param environment the variables that name the databases to the application. */
export function databasesOf(
  environment: Readonly<
    Record<'ORDER_DATABASE_URL' | 'INVENTORY_DATABASE_URL' | 'PAYMENT_DATABASE_URL', string>
  >,
): ShopDatabases {
  return {
    order: environment.ORDER_DATABASE_URL,
    inventory: environment.INVENTORY_DATABASE_URL,
    payment: environment.PAYMENT_DATABASE_URL,
  };
}

/** The sums of each database by itself: what was sold, and which branches are in doubt. */
export interface Books {
  /** In cents: the sum of all orders, and the sum that was taken from the accounts. */
  readonly ordered: number;
  readonly paid: number;
  /** Pieces: of all orders, and those that left the stock. */
  readonly sold: number;
  readonly taken: number;
  readonly orders: number;
  /** How many orders each key has: it should be 1. */
  readonly ordersByKey: ReadonlyMap<string, number>;
  readonly prepared: number;
}

/** An order in the database of the orders. */
export interface PlacedOrder {
  /** Null when the database has no key for it, which is wrong. */
  readonly key: string | null;
  readonly orderId: string;
  readonly transactionId: string;
  /** Its price. */
  readonly cents: number;
  readonly pieces: number;
}

export async function readBooks(urls: ShopDatabases): Promise<Books> {
  const [sums] = await query<{ orders: string; ordered: string; sold: string }>(
    urls.order,
    `SELECT count(*) AS orders, coalesce(sum(total), 0) AS ordered,
       coalesce(sum((SELECT sum((item->>'quantity')::int) FROM jsonb_array_elements(items) AS item)), 0) AS sold
     FROM orders`,
  );
  const keys = await query<{ key: string; orders: string }>(
    urls.order,
    'SELECT key, count(*) AS orders FROM request_keys JOIN orders USING (order_id) GROUP BY key',
  );
  const [stock] = await query<{ left: string }>(urls.inventory, 'SELECT sum(on_hand) AS left FROM stock');
  const [money] = await query<{ left: string }>(urls.payment, 'SELECT sum(balance) AS left FROM accounts');
  const [doubt] = await query<{ count: string }>(urls.order, 'SELECT count(*) FROM pg_prepared_xacts');
  return {
    orders: Number(sums?.orders),
    ordered: Number(sums?.ordered),
    sold: Number(sums?.sold),
    taken: total(SEED_STOCK) - Number(stock?.left),
    paid: total(SEED_BALANCES) - Number(money?.left),
    ordersByKey: new Map(keys.map(({ key, orders }) => [key, Number(orders)])),
    prepared: Number(doubt?.count),
  };
}

/** @returns all orders of the shop. */
export function readOrders({ order }: ShopDatabases): Promise<PlacedOrder[]> {
  return query<PlacedOrder & QueryResultRow>(
    order,
    `SELECT key, orders.order_id AS "orderId", transaction_id AS "transactionId", total::int AS cents,
       (SELECT sum((item->>'quantity')::int) FROM jsonb_array_elements(items) AS item)::int AS pieces
     FROM orders LEFT JOIN request_keys ON request_keys.order_id = orders.order_id`,
  );
}

/** Whether all three databases agree, and no branch is in doubt. */
export function areWhole({ ordered, paid, sold, taken, prepared }: Books): boolean {
  return ordered === paid && sold === taken && prepared === 0;
}

function total(seed: Readonly<Record<string, number>>): number {
  return Object.values(seed).reduce((sum, each) => sum + each, 0);
}

/** @returns an amount as people write it. */
export function euros(cents: number): string {
  return `${(cents / 100).toFixed(2)} EUR`;
}

/** Runs a statement on a connection of its own. @returns the rows. */
export async function query<R extends QueryResultRow>(url: string, sql: string): Promise<R[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<R>(sql)).rows;
  } finally {
    await client.end();
  }
}
