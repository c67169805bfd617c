import { rmSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endOnSignal } from '../../src/postgres-server/end-on-signal.js';
import { startDatabases } from '../../src/postgres-server/start-databases.js';
import { type Books, areWhole, readBooks } from './books.js';
import { ShopProcess } from './shop-process.js';

/**
 * A crash that anyone can watch: the application on PostgreSQL is killed between a decision and its delivery, and
 * started again. Ends with code 0 only if everything is whole afterwards.
 */
const PLACED = ['alice', 'bob', 'alice', 'bob', 'alice'].map((customer, index) => ({
  key: `key-${index + 1}`,
  customer,
  sku: 'keyboard',
}));
/** None of them waits for another, so that all three are under way when it happens. */
const AT_ONCE = [
  { key: 'key-6', customer: 'alice', sku: 'keyboard' },
  { key: 'key-7', customer: 'bob', sku: 'monitor' },
  { key: 'key-8', customer: 'carol', sku: 'usb-cable' },
];
const SETTLED_WITHIN_MS = 30_000;

const folder = await mkdtemp(join(tmpdir(), 'crash-demo-'));
let shop: ShopProcess | undefined;

// PostgreSQL may have to run as another user, who has to get there.
await chmod(folder, 0o755);
process.prependOnceListener('exit', () => shop?.kill());
const { server, environment } = await endOnSignal(() =>
  startDatabases(join(folder, 'postgres')).finally(() => {
    // What is asked for first is done first: by then the server has stopped.
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  }),
);
const urls = {
  order: environment.ORDER_DATABASE_URL,
  inventory: environment.INVENTORY_DATABASE_URL,
  payment: environment.PAYMENT_DATABASE_URL,
};
const settings = {
  ...environment,
  DECISION_LOG_PATH: join(folder, 'decisions'),
  PORT: '0',
  LOG_LEVEL: 'info',
  DTC_RECOVERY_INTERVAL_MS: '250',
  DTC_ORPHAN_SAFETY_MS: '1000',
};

shop = await ShopProcess.start(settings);
say(`PostgreSQL runs at ${server.address} with three databases, and the shop in front of it.`);
for (const { key, customer, sku } of PLACED) await shop.order(key, customer, sku);
show(`${PLACED.length} orders are placed`, await books());

await shop.armCrash();
const crashing = shop;
const answers = await Promise.all(
  AT_ONCE.map(({ key, customer, sku }) => crashing.order(key, customer, sku)),
);
const signal = await shop.ended;
say(`\n3 more at once. Two services have heard that one of them is to be committed: ${signal}.`);
say(`${answers.filter((answer) => answer === undefined).length} customers were never answered.`);
const torn = await books();
show('The databases do not agree', torn);

shop = await ShopProcess.start(settings);
const settled = await untilNothingIsPrepared();
say('\nThe shop is started again.');
for (const message of shop.messages.filter((line) => /Delivering|rolled back|orphan/i.test(line))) {
  say(`  it says: ${message}`);
}
show('What was decided is delivered, what was not is rolled back', settled);

say('\nThe customers ask again, with the keys that they had:');
for (const { key, customer, sku } of AT_ONCE) {
  const answer = await shop.order(key, customer, sku);
  say(`  ${key}  ${answer?.status}  ${answer?.body.orderId ?? answer?.body.code ?? ''}`);
}
const final = await books();
const total = PLACED.length + AT_ONCE.length;
const isOnceEach =
  final.orders === total && [...PLACED, ...AT_ONCE].every(({ key }) => final.ordersByKey.get(key) === 1);
show('In the end', final);

await shop.stop();
const isWhole = signal === 'SIGKILL' && !areWhole(torn) && areWhole(settled) && areWhole(final) && isOnceEach;
say(isWhole ? '\nEvery order is whole, and paid once.' : '\nNOT WHOLE: please report this.');
process.exit(isWhole ? 0 : 1);

function books(): Promise<Books> {
  return readBooks(urls);
}

async function untilNothingIsPrepared(): Promise<Books> {
  const end = performance.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const now = await books();
    if (now.prepared === 0 || performance.now() > end) return now;
    await delay(100);
  }
}

function show(title: string, { orders, ordered, paid, sold, taken, prepared }: Books): void {
  say(`${title}:`);
  say(`  orders     ${orders} orders, ${euros(ordered)}, ${sold} pieces`);
  say(`  inventory  ${taken} pieces taken`);
  say(`  payments   ${euros(paid)} paid`);
  say(`  prepared   ${prepared}`);
}

function euros(cents: number): string {
  return `${(cents / 100).toFixed(2)} EUR`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
