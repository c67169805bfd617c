import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { endOnSignal } from '../../src/postgres-server/end-on-signal.js';
import { startDatabases } from '../../src/postgres-server/start-databases.js';
import { MariaDbServer, hasMariaDb } from '../../test/support/mariadb/server.js';
import type { Order, Told } from './shop.js';

/**
 * One transaction over two kinds of database: an order in PostgreSQL, its stock in MariaDB. The process is killed between the two
 * commits, and started again. Ends with code 0 only if everything is whole afterwards.
 */
const STOCK = 10;
const SETTLED_WITHIN_MS = 30_000;

if (!hasMariaDb()) process.exit(0);
const folder = await mkdtemp(join(tmpdir(), 'mixed-demo-'));
await chmod(folder, 0o755);
let shop: ChildProcess | undefined;
let servers: { readonly orderUrl: string; readonly mariaDb: MariaDbServer } | undefined;
process.prependOnceListener('exit', () => {
  shop?.kill('SIGKILL');
  // It is killed at once. Its files are in the folder.
  void servers?.mariaDb.kill();
});
servers = await endOnSignal(startServers);
const { orderUrl, mariaDb } = servers;
const stock = await mariaDb.createDatabase();
let isWhole = false;
try {
  await stock.query('CREATE TABLE stock (sku varchar(32) PRIMARY KEY, available int NOT NULL) ENGINE=InnoDB');
  await stock.query('INSERT INTO stock VALUES (?, ?)', ['lamp', STOCK]);
  await inOrders(
    'CREATE TABLE orders_of_demo (id text PRIMARY KEY, sku text NOT NULL, quantity int NOT NULL)',
  );
  isWhole = await play();
} finally {
  shop?.kill('SIGKILL');
  await mariaDb.stop();
}
say(
  isWhole
    ? '\nEvery order has its stock, and no stock is gone without an order.'
    : '\nNOT WHOLE: please report this.',
);
process.exit(isWhole ? 0 : 1);

async function startServers(): Promise<NonNullable<typeof servers>> {
  const { environment } = await startDatabases(join(folder, 'postgres')).finally(() => {
    process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }));
  });
  return { orderUrl: environment.ORDER_DATABASE_URL, mariaDb: await MariaDbServer.start({}, folder) };
}

async function play(): Promise<boolean> {
  await start('yes');
  say('Orders are in PostgreSQL, the stock is in MariaDB.');
  const placed = await order({ id: 'order-1', sku: 'lamp', quantity: 2 });
  say(`order-1 for 2 lamps: ${placed.status}`);
  const refused = await order({ id: 'order-2', sku: 'lamp', quantity: 50 });
  say(`order-2 for 50 lamps: ${refused.status} (${refused.code})`);
  const first = await show('Now');

  const between = heard((told) => told.type === 'between');
  shop!.send({ id: 'order-3', sku: 'lamp', quantity: 3, stopsBetween: true } satisfies Order);
  await between;
  const killed = once(shop!, 'exit');
  shop!.kill('SIGKILL');
  await killed;
  const torn = await show('\norder-3 for 3 lamps: the process is killed between the two commits');

  await start('no');
  const end = performance.now() + SETTLED_WITHIN_MS;
  while ((await mariaDb.prepared()).length > 0 && performance.now() < end) await delay(50);
  const settled = await show('The process is started again, and delivers what was decided');
  return (
    placed.status === 'committed' &&
    refused.status === 'aborted' &&
    refused.code === 'OUT_OF_STOCK' &&
    first.ordered === 2 &&
    first.taken === 2 &&
    torn.ordered === 5 &&
    torn.taken === 2 &&
    torn.prepared === 1 &&
    settled.ordered === 5 &&
    settled.taken === 5 &&
    settled.prepared === 0
  );
}

async function start(mayStop: 'yes' | 'no'): Promise<void> {
  shop = fork(fileURLToPath(new URL('shop.js', import.meta.url)), {
    env: {
      PATH: process.env['PATH'],
      ORDER_DATABASE_URL: orderUrl,
      STOCK_DATABASE_URL: stock.url,
      DECISION_LOG_PATH: join(folder, 'decisions'),
      MAY_STOP: mayStop,
    },
  });
  await heard((told) => told.type === 'started');
}

async function order(given: Order): Promise<Extract<Told, { type: 'answer' }>> {
  const answer = heard((told) => told.type === 'answer' && told.id === given.id);
  shop!.send(given);
  return (await answer) as Extract<Told, { type: 'answer' }>;
}

/** @returns the first message of the shop that is meant. @throws when the shop ends before. */
function heard(isMeant: (told: Told) => boolean): Promise<Told> {
  const child = shop!;
  const { promise, resolve, reject } = Promise.withResolvers<Told>();
  const hear = (told: Told): void => {
    if (isMeant(told)) resolve(told);
  };
  const fail = (): void => reject(new Error('The shop has ended.'));
  child.on('message', hear);
  child.once('exit', fail);
  return promise.finally(() => {
    child.off('message', hear);
    child.off('exit', fail);
  });
}

async function show(title: string): Promise<{ ordered: number; taken: number; prepared: number }> {
  const [order] = await inOrders<{ ordered: number }>(
    'SELECT coalesce(sum(quantity), 0)::int AS ordered FROM orders_of_demo',
  );
  const [left] = await stock.query<{ available: number }>('SELECT available FROM stock');
  const state = {
    ordered: order!.ordered,
    taken: STOCK - left!.available,
    prepared: (await mariaDb.prepared()).length,
  };
  say(`${title}:`);
  say(
    `  ordered in PostgreSQL ${state.ordered}, taken in MariaDB ${state.taken}, prepared there ${state.prepared}`,
  );
  return state;
}

async function inOrders<R>(sql: string): Promise<R[]> {
  const client = new Client({ connectionString: orderUrl });
  await client.connect();
  try {
    return (await client.query(sql)).rows as R[];
  } finally {
    await client.end();
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
