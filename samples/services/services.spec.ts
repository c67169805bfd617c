import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { DynamicModule, INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { APPLICATION_OPTIONS, configureApp, createHttpAdapter } from '../../src/configure-app.js';
import { portsOf } from '../../src/cluster/ports.js';
import { readCoordinatorConfiguration } from '../../src/coordinator-configuration.js';
import { COORDINATOR_BODY_LIMIT_BYTES, CoordinatorProgramModule } from '../../src/coordinator-program.js';
import { type Books, readBooks } from '../../scripts/services/books.js';
import { type ProcessName, type ProcessPlan, NAMES, planOf } from '../../scripts/services/plan.js';
import { untilReady } from '../../scripts/services/ready.js';
import { makeTokens, tokenIn } from '../../scripts/services/tokens.js';
import { blocksIn } from '../../test/docs/blocks.js';
import { PostgresServer } from '../../test/support/postgres/server.js';
import { gatewaySettings, participantSettings } from './common/settings.js';
import { GatewayModule } from './gateway/gateway.module.js';
import { InventoryModule } from './inventory/inventory.module.js';
import { OrderModule } from './order/order.module.js';
import { PaymentModule } from './payment/payment.module.js';

/** All services and one coordinator in this process, with the environment that `npm run start:services` gives them. */
const HOST = '127.0.0.1';

let server: PostgresServer;
let folder: string;
let urls: Readonly<Record<string, string>>;
let plans: Readonly<Record<ProcessName, ProcessPlan>>;
const apps = new Map<ProcessName, INestApplication>();

beforeAll(async () => {
  server = await PostgresServer.start();
  folder = mkdtempSync(join(tmpdir(), 'services-'));
  const names = ['ORDER_DATABASE_URL', 'INVENTORY_DATABASE_URL', 'PAYMENT_DATABASE_URL', 'DECISION_LOG_URL'];
  const databases = names.map(async (name) => [name, (await server.createDatabase()).url] as const);
  urls = Object.fromEntries(await Promise.all(databases));
  makeTokens(folder);
  const ports = await portsOf(0, NAMES.length, HOST);
  plans = planOf({
    host: HOST,
    ports,
    databases: urls,
    tokens: folder,
    coordinator: '',
    coordinatorVariables: { LOG_LEVEL: 'silent' },
  });
  await startCoordinator('coordinator-1');
  await Promise.all([
    start('order', OrderModule.forRoot(participantSettings(plans.order.environment))),
    start('inventory', InventoryModule.forRoot(participantSettings(plans.inventory.environment))),
    start('payment', PaymentModule.forRoot(participantSettings(plans.payment.environment))),
    start('gateway', GatewayModule.forRoot(gatewaySettings(plans.gateway.environment))),
  ]);
  await untilReady([plans['coordinator-1'].url], tokenIn(folder, 'gateway/caller'));
});

afterAll(async () => {
  for (const app of [...apps.values()].toReversed()) await app.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function startCoordinator(name: ProcessName): Promise<void> {
  const configuration = readCoordinatorConfiguration(plans[name].environment);
  const app = await NestFactory.create<NestFastifyApplication>(
    CoordinatorProgramModule.forRoot(configuration),
    createHttpAdapter(COORDINATOR_BODY_LIMIT_BYTES),
    APPLICATION_OPTIONS,
  );
  apps.set(name, configureApp(app));
  await app.listen(configuration.port, HOST);
}

async function start(name: ProcessName, module: DynamicModule): Promise<void> {
  const app = await NestFactory.create(module, { logger: false, abortOnError: false });
  apps.set(name, app);
  await app.listen(new URL(plans[name].url).port, HOST);
}

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

async function post(path: string, headers: Readonly<Record<string, string>>, body?: object): Promise<Answer> {
  const response = await fetch(`${plans.gateway.url}${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

function order(key: string, customer: string, sku: string, quantity = 1): Promise<Answer> {
  return post('/orders', { 'Idempotency-Key': key }, { customer, lines: [{ sku, quantity }] });
}

/** The data of each service, as the service shows it. */
async function shown(sku: string, customer: string): Promise<{ onHand: unknown; balance: unknown }> {
  const [stock, account] = await Promise.all(
    [`${plans.inventory.url}/stock/${sku}`, `${plans.payment.url}/accounts/${customer}`].map(
      async (url) => (await (await fetch(url)).json()) as Answer['body'],
    ),
  );
  return { onHand: stock!['onHand'], balance: account!['balance'] };
}

describe('The shop as services', () => {
  it('places an order at all three services, and once for one key', async () => {
    const before = await shown('keyboard', 'alice');

    const first = await order('first', 'alice', 'keyboard', 2);
    const again = await order('first', 'alice', 'keyboard', 2);

    expect(first).toMatchObject({ status: 201, body: { amount: 11_980 } });
    expect(again).toEqual(first);
    const placed = await fetch(`${plans.order.url}/orders/${String(first.body['orderId'])}`);
    expect(await placed.json()).toMatchObject({ customer: 'alice', total: 11_980, status: 'placed' });
    expect(await shown('keyboard', 'alice')).toEqual({
      onHand: Number(before.onHand) - 2,
      balance: Number(before.balance) - 11_980,
    });
    expect(await order('first', 'bob', 'keyboard')).toMatchObject({
      status: 409,
      body: { code: 'DTC_KEY_REUSED' },
    });
  });

  it.each([
    ['there is no stock', 'alice', 'last-lamp', 'OUT_OF_STOCK', 'inventory'],
    ['the customer has not enough money', 'dave', 'monitor', 'INSUFFICIENT_FUNDS', 'payment'],
  ])('changes nothing anywhere where %s', async (_, customer, sku, reasonCode, participant) => {
    const [before, books] = [await shown(sku, customer), await settledBooks()];

    const refused = await order(`refused ${sku}`.replace(' ', '-'), customer, sku, 2);

    expect(refused).toMatchObject({ status: 409, body: { code: 'DTC_REFUSED', reasonCode, participant } });
    expect(await settledBooks()).toEqual(books);
    expect(await shown(sku, customer)).toEqual(before);
  });

  it('cancels an order in a transaction that travels to the order service', async () => {
    const before = await shown('monitor', 'bob');
    const { body } = await order('to-be-cancelled', 'bob', 'monitor');
    const path = `/orders/${String(body['orderId'])}/cancellation`;

    const cancelled = await post(path, {});

    expect(cancelled).toMatchObject({ status: 200, body: { orderId: body['orderId'], amount: 24_900 } });
    expect(await shown('monitor', 'bob')).toEqual(before);
    const { orders } = await settledBooks();
    expect(orders.find(({ orderId }) => orderId === body['orderId'])).toMatchObject({
      placedBy: body['transactionId'],
      cancelledBy: cancelled.body['transactionId'],
    });
    expect(await post(path, {})).toMatchObject({ status: 409, body: { code: 'ALREADY_CANCELLED' } });
    expect(await post('/orders/unknown/cancellation', {})).toMatchObject({ status: 404 });
  });

  it('lets no request into a transaction without the token of the gateway', async () => {
    const { body } = await order('not-to-be-cancelled', 'bob', 'monitor');
    const url = `${plans.order.url}/orders/${String(body['orderId'])}/cancellation`;
    const headers = { 'dtc-transaction': String(body['transactionId']) };

    expect((await fetch(url, { method: 'POST', headers })).status).toBe(401);
    expect((await fetch(url, { method: 'POST' })).status).toBe(400);
  });

  it('refuses an order without a key, and one that is not valid', async () => {
    const lines = [{ sku: 'keyboard', quantity: 1 }];

    expect(await post('/orders', {}, { customer: 'alice', lines })).toMatchObject({ status: 400 });
    expect(await order('zero', 'alice', 'keyboard', 0)).toMatchObject({ status: 400 });
    expect(await order('unknown', 'alice', 'house')).toMatchObject({ status: 422 });
  });

  it.runIf(['bash', 'curl'].every((program) => spawnSync(program, ['--version']).status === 0))(
    'does what its README says, command by command',
    async () => {
      const commands = blocksIn('samples/services/README.md')
        .filter(({ language, code }) => language === 'sh' && code.startsWith('curl'))
        .map(({ code }) => code);
      const script = NAMES.reduce(
        (text, name, index) => text.replaceAll(`http://${HOST}:${3_000 + index}`, plans[name].url),
        commands.join('\n'),
      );

      const { stdout } = await promisify(execFile)('bash', ['-euc', script]);

      expect(
        stdout.match(/(?<=HTTP\/1\.1 )\d{3}|"status":"placed"|"onHand"|"balance"|OUT_OF_STOCK/g),
      ).toEqual(['201', '"status":"placed"', '"onHand"', '"balance"', '409', 'OUT_OF_STOCK', '200']);
    },
  );

  it('answers 503 while a service is down, and has done nothing', async () => {
    await apps.get('payment')!.close();
    const books = await settledBooks();

    const failed = await order('while-payment-is-down', 'alice', 'keyboard');

    expect(failed).toMatchObject({
      status: 503,
      body: { code: 'DTC_PARTICIPANT_FAILED', participant: 'payment' },
    });
    expect(await settledBooks()).toEqual(books);
  });
});

/** A customer has its answer when abort is decided, and the rollbacks end a little later. */
async function settledBooks(): Promise<Books> {
  for (let looks = 0; looks < 1_000; looks++) {
    const books = await readBooks(urls);
    if (books.prepared === 0) return books;
  }
  throw new Error('A branch stays prepared.');
}
