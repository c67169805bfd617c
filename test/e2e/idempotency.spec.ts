import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestApplication } from '../support/application.js';
import { everyStorage } from '../support/storages.js';

const storages = everyStorage();

describe.each(storages)('fault 1: a request repeated under its Idempotency-Key, $name,', (storage) => {
  let application: TestApplication;

  beforeEach(async () => {
    application = await TestApplication.startOn(storage, { DTC_PREPARE_TIMEOUT_MS: '10000' });
  });

  afterEach(() => application.close());

  it('is answered as the first one, and done once', async () => {
    const first = await application.order('alice', { keyboard: 1 }, 'key-1');
    const second = await application.order('alice', { keyboard: 1 }, 'key-1');

    expect(first.status).toBe(201);
    expect(second.status).toBe(201);
    expect(second.body).toEqual(first.body);
    expect(second.headers.location).toBe(first.headers.location);
    expect((await application.get('/transactions')).body.transactions).toHaveLength(1);
    expect((await application.holdings()).accounts.alice).toEqual({ balance: 500_000 - 5_990, held: 0 });
  });

  it('is answered as the first one when that was refused', async () => {
    const first = await application.order('carol', { keyboard: 1 }, 'key-1');
    const second = await application.order('carol', { keyboard: 1 }, 'key-1');

    expect(first.status).toBe(409);
    expect(second.body).toEqual(first.body);
    expect((await application.get('/transactions')).body.transactions).toHaveLength(1);
  });

  it('is the same request with its fields in another order', async () => {
    const first = await application.order('alice', { keyboard: 1 }, 'key-1');
    const second = await application.http
      .post('/orders')
      .set('Idempotency-Key', 'key-1')
      .send({ items: [{ quantity: 1, sku: 'keyboard' }], customerId: 'alice' });

    expect(second.body).toEqual(first.body);
  });

  it('is refused with another body', async () => {
    await application.order('alice', { keyboard: 1 }, 'key-1');
    const second = await application.order('alice', { keyboard: 2 }, 'key-1');

    expect(second.body).toMatchObject({ status: 422, code: 'DTC_IDEMPOTENCY_KEY_REUSED' });
    expect((await application.get('/transactions')).body.transactions).toHaveLength(1);
  });

  it('is refused while the first one is running', async () => {
    await application.fault('payment', { method: 'prepare', fault: 'slow', delayMs: 500, times: 1 });
    const first = application.order('alice', { keyboard: 1 }, 'key-1');
    await application.until('/transactions', ({ body }) => body.transactions.length === 1);

    const second = await application.order('alice', { keyboard: 1 }, 'key-1');

    expect(second.body).toMatchObject({ status: 409, code: 'DTC_IDEMPOTENCY_KEY_IN_USE' });
    expect(second.headers['retry-after']).toBe('1');
    expect((await first).status).toBe(201);
    expect((await application.order('alice', { keyboard: 1 }, 'key-1')).body).toEqual((await first).body);
  });

  it('gets the present knowledge of a running order, and its outcome once that is known', async () => {
    await application.fault('payment', { method: 'commit', fault: 'throw' });
    const first = await application.order('alice', { keyboard: 1 }, 'key-1');
    const second = await application.order('alice', { keyboard: 1 }, 'key-1');

    expect(first.status).toBe(202);
    expect(second.status).toBe(202);
    const { orderId, transactionId } = first.body;
    expect(second.body).toMatchObject({ orderId, transactionId, status: 'pending', decision: 'commit' });
    expect(second.headers.location).toBe(`/transactions/${transactionId}`);

    const committed = application.next('transaction.committed');
    await application.repair('payment');
    await committed;
    const third = await application.order('alice', { keyboard: 1 }, 'key-1');

    expect(third.body).toMatchObject({ status: 'confirmed', orderId, transactionId });
    expect(third.headers.location).toBe(`/orders/${orderId}`);
    expect((await application.get('/transactions')).body.transactions).toHaveLength(1);
    expect((await application.holdings()).accounts.alice).toEqual({ balance: 500_000 - 5_990, held: 0 });
  });

  it('has its order also when the transaction is no longer kept', async () => {
    await application.close();
    application = await TestApplication.startOn(storage, { DTC_RETAIN_FINISHED: '0', DTC_MAX_ATTEMPTS: '1' });
    await application.fault('payment', { method: 'commit', fault: 'throw' });
    const first = await application.order('alice', { keyboard: 1 }, 'key-1');
    const committed = application.next('transaction.committed');
    await application.repair('payment');
    await committed;

    const second = await application.order('alice', { keyboard: 1 }, 'key-1');

    const { orderId, transactionId } = first.body;
    expect(first.status).toBe(202);
    expect((await application.get(`/transactions/${transactionId}`)).status).toBe(404);
    expect(second.body).toMatchObject({ status: 'confirmed', orderId, transactionId });
    expect((await application.holdings()).accounts.alice).toEqual({ balance: 500_000 - 5_990, held: 0 });
  });

  it('is run again when the first one was answered 503, since nothing has happened', async () => {
    await application.fault('payment', { method: 'prepare', fault: 'throw', times: 1 });
    const first = await application.order('alice', { keyboard: 1 }, 'key-1');
    expect(first.status).toBe(503);
    await application.until(`/transactions/${first.body.transactionId}`, ({ body }) => body.endedAt !== null);
    const second = await application.order('alice', { keyboard: 1 }, 'key-1');

    expect(second.status).toBe(201);
    expect((await application.holdings()).accounts.alice).toEqual({ balance: 500_000 - 5_990, held: 0 });
  });

  it('is not done again while the rollback of the first one is running', async () => {
    await application.fault('inventory', { method: 'prepare', fault: 'throw', times: 1 });
    await application.fault('payment', { method: 'rollback', fault: 'throw' });
    const first = await application.order('alice', { keyboard: 1 }, 'key-1');
    const second = await application.order('alice', { keyboard: 1 }, 'key-1');

    expect(first.status).toBe(503);
    expect(second.body).toMatchObject({ status: 409, code: 'DTC_IDEMPOTENCY_KEY_IN_USE' });
    expect((await application.get('/transactions')).body.transactions).toHaveLength(1);

    const { transactionId } = first.body;
    await application.repair('payment');
    await application.until(`/transactions/${transactionId}`, ({ body }) => body.state === 'ABORTED');
    const third = await application.order('alice', { keyboard: 1 }, 'key-1');

    expect(third.status).toBe(201);
    expect((await application.holdings()).accounts.alice).toEqual({ balance: 500_000 - 5_990, held: 0 });
  });
});
