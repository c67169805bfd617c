import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ParticipantRegistry } from '../../src/coordinator/index.js';
import { TestApplication } from '../support/application.js';
import { everyStorage } from '../support/storages.js';

const storages = everyStorage();
/** An order that takes half a second ends well. */
const PATIENCE = { DTC_PREPARE_TIMEOUT_MS: '10000', DTC_SHUTDOWN_GRACE_MS: '10000' };

describe.each(storages)('An order, $name, when a service fails', (storage) => {
  let application: TestApplication;

  beforeEach(async () => {
    application = await TestApplication.startOn(storage, {
      DTC_MAX_ATTEMPTS: '4',
      ...(storage.showsHoldings
        ? { DTC_COMPLETION_TIMEOUT_MS: '50' }
        : { DTC_PREPARE_TIMEOUT_MS: '2000', DTC_COMPLETION_TIMEOUT_MS: '800' }),
      DTC_TIMEOUT_MS: '20000',
    });
  });

  afterEach(() => application.close());

  it.each([
    ['hangs', 'hang', 'DTC_TIMED_OUT'],
    ['fails', 'throw', 'DTC_PARTICIPANT_FAILED'],
    ['fails after it has prepared', 'throw-after', 'DTC_PARTICIPANT_FAILED'],
  ])('in prepare, where it %s: 503 within the time-out, and nothing is held', async (_, fault, code) => {
    const before = await application.holdings();
    const aborted = application.next('transaction.aborted');
    await application.fault('payment', { method: 'prepare', fault });

    const startedAt = performance.now();
    const answer = await application.order('alice', { keyboard: 1 });

    // The time-out of prepare is at most two seconds; the transaction's own would be 20 s.
    expect(performance.now() - startedAt).toBeLessThan(12_000);
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.body).toMatchObject({ code, participant: 'payment' });
    expect(answer.body.detail).not.toContain('switched on');
    await aborted;
    expect(await application.holdings()).toEqual(before);
  });

  it('in commit, three times: it is still confirmed, and charged once', async () => {
    await application.fault('payment', { method: 'commit', fault: 'throw-after', times: 3 });

    const answer = await application.order('alice', { keyboard: 1 });

    expect(answer.status).toBe(201);
    const { accounts, stock } = await application.holdings();
    expect(accounts.alice).toEqual({ balance: 500_000 - 5_990, held: 0 });
    expect(stock.keyboard).toEqual({ onHand: 99, reserved: 0 });
    const { branches } = (await application.get(`/transactions/${answer.body.transactionId}`)).body;
    expect(branches[2]).toMatchObject({ participant: 'payment', state: 'committed', attempts: 4 });
  });

  it.each(['throw', 'hang'])(
    'fault 36: in commit, permanently (%s): 202 and stalled, until it is repaired',
    async (fault) => {
      await application.fault('payment', { method: 'commit', fault });
      const stalled = application.next('transaction.stalled');

      const answer = await application.order('alice', { keyboard: 1 });

      const { transactionId, orderId } = answer.body;
      const path = `/transactions/${transactionId}`;
      expect(answer.status).toBe(202);
      expect(answer.headers.location).toBe(path);
      expect(answer.body).toMatchObject({ status: 'pending', decision: 'commit' });
      expect(await stalled).toMatchObject({ transactionId, participant: 'payment' });
      expect((await application.get(path)).body).toMatchObject({
        state: 'COMMITTING',
        stalled: true,
        decision: 'commit',
      });
      const degraded = await application.get('/health/ready');
      expect(degraded.status).toBe(200);
      expect(degraded.body).toMatchObject({ status: 'degraded', details: { coordinator: { stalled: 1 } } });
      expect((await application.get('/health/live')).status).toBe(200);
      expect((await application.holdings()).accounts.alice).toEqual({
        balance: 500_000,
        held: storage.showsHoldings ? 5_990 : 0,
      });

      const committed = application.next('transaction.committed');
      await application.repair('payment');

      expect((await committed).transactionId).toBe(transactionId);
      expect((await application.get(path)).body).toMatchObject({ state: 'COMMITTED', stalled: false });
      expect((await application.get('/health/ready')).body).toMatchObject({ status: 'ok' });
      expect((await application.get(`/orders/${orderId}`)).status).toBe(200);
      expect((await application.holdings()).accounts.alice).toEqual({ balance: 500_000 - 5_990, held: 0 });
    },
  );

  it('in rollback, three times: its holdings are released in the end', async () => {
    const before = await application.holdings();
    const aborted = application.next('transaction.aborted');
    await application.fault('payment', { method: 'rollback', fault: 'throw', times: 3 });

    const answer = await application.order('alice', { 'last-lamp': 2 });

    expect(answer.status).toBe(409);
    await aborted;
    expect(await application.holdings()).toEqual(before);
  });

  it('fault 5: and is not registered: 503, and nothing is begun', async () => {
    application.app.get(ParticipantRegistry).unregister('payment');

    const answer = await application.order('alice', { keyboard: 1 });

    expect(answer.body).toMatchObject({ status: 503, code: 'DTC_UNKNOWN_PARTICIPANT' });
    expect(answer.headers['retry-after']).toBe('1');
    expect((await application.get('/transactions')).body.transactions).toEqual([]);
  });
});

describe.each(storages)('fault 63: a coordinator that is full, $name,', (storage) => {
  it('refuses at the door, and takes orders again when there is room', async () => {
    const application = await TestApplication.startOn(storage, { ...PATIENCE, DTC_MAX_IN_FLIGHT: '1' });
    await application.fault('payment', { method: 'prepare', fault: 'slow', delayMs: 500, times: 1 });
    const first = application.order('alice', { keyboard: 1 });
    await application.until('/transactions', ({ body }) => body.transactions.length === 1);

    const refused = await application.order('alice', { keyboard: 1 });

    expect(refused.body).toMatchObject({ status: 503, code: 'DTC_OVERLOADED' });
    expect(refused.headers['retry-after']).toBe('1');
    expect((await first).status).toBe(201);
    expect((await application.order('alice', { keyboard: 1 })).status).toBe(201);
    await application.close();
  });
});

describe.each(storages)('fault 51: an application, $name, that receives a signal to stop', (storage) => {
  it('accepts no new orders, finishes the running one, and ends', async () => {
    const application = await TestApplication.startOn(storage, PATIENCE);
    await application.fault('payment', { method: 'prepare', fault: 'slow', delayMs: 500, times: 1 });
    const running = application.order('alice', { keyboard: 1 });
    await application.until('/transactions', ({ body }) => body.transactions.length === 1);

    const closed = application.close();
    const ready = await application.until('/health/ready', ({ status }) => status === 503);
    const refused = await application.order('alice', { keyboard: 1 });

    expect(ready.body).toMatchObject({ status: 'error', error: { coordinator: { status: 'down' } } });
    expect((await application.get('/health/live')).status).toBe(200);
    expect(refused.body).toMatchObject({ status: 503, code: 'DTC_SHUTTING_DOWN' });
    expect((await running).status).toBe(201);
    await closed;
  });
});
