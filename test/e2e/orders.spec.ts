import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestApplication } from '../support/application.js';
import { until } from '../support/postgres/branches.js';
import { everyStorage } from '../support/storages.js';

const storages = everyStorage();
const [, postgres] = storages;

describe.each(storages)('An order, $name,', (storage) => {
  let application: TestApplication;

  beforeEach(async () => {
    application = await TestApplication.startOn(storage);
  });

  afterEach(() => application.close());

  it('can be placed again once everything is restocked, except the goods that open orders hold', async () => {
    const aborted = application.next('transaction.aborted');
    expect((await application.order('carol', { keyboard: 1 })).body.reasonCode).toBe('INSUFFICIENT_FUNDS');
    // Its keyboard is held until the work of its other branches is undone.
    await aborted;
    const before = (await application.get('/inventory/keyboard')).body as { onHand: number };
    expect(before.onHand).toBe(100);

    const { body } = await application.http.put('/demo/supplies');

    const customers = 200 * 1_000_000;
    const pieces = 10_000 - 100 + (10_000 - 10) + (10_000 - 1_000);
    expect(body).toEqual({ pieces, paidIn: { amount: customers, currency: 'EUR' } });
    expect((await application.http.put('/demo/supplies')).body).toMatchObject({
      pieces: 0,
      paidIn: { amount: 0 },
    });
    expect((await application.order('customer-200', { keyboard: 1 })).status).toBe(201);
    expect((await application.http.put('/demo/supplies')).body).toMatchObject({
      pieces: 1,
      paidIn: { amount: 5_990 },
    });

    await application.fault('payment', { method: 'commit', fault: 'throw' });
    expect((await application.order('customer-1', { keyboard: 1 })).status).toBe(202);
    expect((await application.http.put('/demo/supplies')).body).toMatchObject({
      pieces: 1,
      paidIn: { amount: 0 },
    });
  });

  it('that commits changes the record, the stock and the balance', async () => {
    const answer = await application.order('alice', { keyboard: 2, 'usb-cable': 3 });

    const total = { amount: 2 * 5_990 + 3 * 990, currency: 'EUR' };
    const { orderId, transactionId } = answer.body;
    expect(answer.status).toBe(201);
    expect(answer.headers.location).toBe(`/orders/${orderId}`);
    expect(answer.body).toEqual({ orderId, transactionId, status: 'confirmed', total });
    expect((await application.get(answer.headers.location!)).body).toEqual({
      orderId,
      transactionId,
      customerId: 'alice',
      status: 'confirmed',
      items: [
        { sku: 'keyboard', quantity: 2, unitPrice: { amount: 5_990, currency: 'EUR' } },
        { sku: 'usb-cable', quantity: 3, unitPrice: { amount: 990, currency: 'EUR' } },
      ],
      total,
    });
    expect(await application.get('/inventory/keyboard')).toMatchObject({
      status: 200,
      body: { sku: 'keyboard', price: { amount: 5_990 }, onHand: 98, reserved: 0, available: 98 },
    });
    expect((await application.get('/accounts/alice')).body).toMatchObject({
      balance: { amount: 500_000 - total.amount },
      held: { amount: 0 },
      available: { amount: 500_000 - total.amount },
    });
    expect((await application.get(`/transactions/${transactionId}`)).body).toMatchObject({
      state: 'COMMITTED',
      decision: 'commit',
      branches: [
        { participant: 'order', vote: 'commit', state: 'committed' },
        { participant: 'inventory', vote: 'commit', state: 'committed' },
        { participant: 'payment', vote: 'commit', state: 'committed' },
      ],
    });
  });

  it.each([
    ['out of stock', 'alice', { keyboard: 1, 'last-lamp': 2 }, 'inventory', 'OUT_OF_STOCK'],
    ['not covered by the account', 'carol', { keyboard: 1 }, 'payment', 'INSUFFICIENT_FUNDS'],
  ])('that is %s changes nothing and says why', async (_, customer, items, participant, reasonCode) => {
    const before = await application.holdings();
    const aborted = application.next('transaction.aborted');

    const answer = await application.order(customer, items);

    expect(answer.status).toBe(409);
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(answer.body).toMatchObject({ status: 409, code: 'DTC_REFUSED', participant, reasonCode });
    expect((await aborted).transactionId).toBe(answer.body.transactionId);
    expect((await application.get(`/transactions/${answer.body.transactionId}`)).body).toMatchObject({
      state: 'ABORTED',
      decision: 'abort',
      cause: 'refused',
    });
    expect(await application.holdings()).toEqual(before);
  });

  it('cannot set its own price', async () => {
    const before = await application.holdings();
    const items = [{ sku: 'keyboard', quantity: 1, unitPrice: 1 }];

    const priced = await application.http.post('/orders').send({ customerId: 'alice', items });

    expect(priced.status).toBe(400);
    expect(priced.body.errors).toEqual([expect.stringContaining('unitPrice')]);
    expect(await application.holdings()).toEqual(before);
  });

  it.each([
    ['a sku that is not sold', 'alice', { 'no-such-thing': 1 }, 'UNKNOWN_SKU'],
    ['a customer without an account', 'nobody', { keyboard: 1 }, 'UNKNOWN_CUSTOMER'],
  ])('that names %s is unprocessable', async (_, customer, items, reasonCode) => {
    const before = await application.holdings();

    const answer = await application.order(customer, items);

    expect(answer.status).toBe(422);
    expect(answer.body).toMatchObject({ code: 'DTC_UNPROCESSABLE', reasonCode });
    expect(await application.holdings()).toEqual(before);
  });

  it('that never committed is not found', async () => {
    for (const path of [
      '/orders/3f0e8f1c-8b4b-4a8e-9d0a-000000000000',
      '/orders/x',
      '/inventory/x',
      '/accounts/x',
    ]) {
      const answer = await application.get(path);
      expect(answer.status).toBe(404);
      expect(answer.body).toMatchObject({ status: 404, code: 'DTC_NOT_FOUND' });
    }
    const transaction = await application.get('/transactions/coordinator.x.1');
    expect(transaction.body).toMatchObject({ status: 404, code: 'DTC_TRANSACTION_NOT_FOUND' });
  });

  it.runIf(storage.showsHoldings)(
    'is not seen, and holds its stock and funds, while it is open',
    async () => {
      await application.fault('order', { method: 'prepare', fault: 'hang', times: 1 });
      const open = application.order('bob', { 'last-lamp': 1 });
      await application.until('/accounts/bob', ({ body }) => body.held.amount > 0);

      const rival = await application.order('alice', { 'last-lamp': 1 });

      expect(rival.body).toMatchObject({ status: 409, reasonCode: 'OUT_OF_STOCK' });
      expect((await application.get('/inventory/last-lamp')).body).toMatchObject({
        onHand: 1,
        reserved: 1,
        available: 0,
      });
      expect((await application.get('/accounts/bob')).body).toMatchObject({
        balance: { amount: 100_000 },
        held: { amount: 3_450 },
        available: { amount: 96_550 },
      });
      expect((await open).status).toBe(503);
    },
  );
});

it('in PostgreSQL locks its stock and funds while it is open: a rival hears to try again', async () => {
  const application = await TestApplication.startOn(postgres, { DTC_PREPARE_TIMEOUT_MS: '4000' });
  const before = await application.holdings();
  await application.fault('order', { method: 'prepare', fault: 'hang', times: 1 });
  const open = application.order('bob', { 'last-lamp': 1 });
  await until('both are prepared', async () => (await application.prepared()) === 2);

  const rival = await application.order('alice', { 'last-lamp': 1 });

  expect(rival.body).toMatchObject({ status: 503, participant: 'inventory', reasonCode: 'LOCK_TIMEOUT' });
  expect(rival.headers['retry-after']).toBe('1');
  // The rival was answered before its other branches were rolled back.
  await until('only the first order is prepared', async () => (await application.prepared()) === 2);
  expect(await application.holdings()).toEqual(before);
  expect((await open).status).toBe(503);
  expect((await application.orderPatiently('alice', { 'last-lamp': 1 })).status).toBe(201);
  await application.close();
});

describe.each(storages)('50 orders at once, $name,', (storage) => {
  let application: TestApplication;

  beforeEach(async () => {
    application = await TestApplication.startOn(storage, { DTC_PREPARE_TIMEOUT_MS: '5000' });
    // They are all open at the same moment, before any can end.
    await application.fault('payment', { method: 'prepare', fault: 'slow', delayMs: 50 });
  });

  afterEach(() => application.close());

  it('for the last item: exactly one is confirmed and charged', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => application.orderPatiently('alice', { 'last-lamp': 1 })),
    );

    const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b);
    expect(statuses).toEqual([201, ...Array.from({ length: 49 }, () => 409)]);
    const { stock, accounts } = await application.holdings();
    expect(stock['last-lamp']).toEqual({ onHand: 0, reserved: 0 });
    expect(accounts.alice).toEqual({ balance: 500_000 - 3_450, held: 0 });
  });

  it('against one account: no more are confirmed than it covers', async () => {
    const ended = Array.from({ length: 50 }, () => application.orderPatiently('bob', { keyboard: 2 }));

    const confirmed = (await Promise.all(ended)).filter(({ status }) => status === 201).length;

    expect(confirmed).toBe(Math.floor(100_000 / (2 * 5_990)));
    await application.until('/transactions?state=ABORTING', ({ body }) => body.transactions.length === 0);
    const { stock, accounts } = await application.holdings();
    expect(accounts.bob).toEqual({ balance: 100_000 - confirmed * 2 * 5_990, held: 0 });
    expect(stock.keyboard).toEqual({ onHand: 100 - confirmed * 2, reserved: 0 });
  });
});
