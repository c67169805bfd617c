import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { TestApplication } from '../support/application.js';
import { until } from '../support/postgres/branches.js';
import type { TestDatabase } from '../support/postgres/server.js';
import { type Room, inPostgres } from '../support/storages.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const postgres = inPostgres();

const PRICE = 5_990;

describe('An application on PostgreSQL that is started again', () => {
  let room: Room;
  let application: TestApplication;

  beforeEach(async () => {
    room = await postgres.open();
    application = await TestApplication.start(room.environment);
  });

  afterEach(async () => {
    await application.close();
    await room.remove();
  });

  async function restart(environment: NodeJS.ProcessEnv = {}): Promise<void> {
    await application.close();
    application = await TestApplication.start({ ...room.environment, ...environment });
  }

  async function spent(): Promise<number> {
    return 500_000 - (await application.holdings()).accounts.alice!.balance;
  }

  it('has everything as it was: no seed comes twice', async () => {
    const { body } = await application.order('alice', { keyboard: 2 });
    const before = await application.holdings();

    await restart();

    expect(await application.holdings()).toEqual(before);
    expect((await application.get(`/orders/${body.orderId}`)).body).toMatchObject({ orderId: body.orderId });
  });

  it('fault 1: answers a request that is repeated under its key as before, and charges once', async () => {
    const first = await application.order('alice', { keyboard: 1 }, 'key-1');

    await restart();
    const second = await application.order('alice', { keyboard: 1 }, 'key-1');

    expect(second.status).toBe(201);
    expect(second.body).toEqual(first.body);
    expect(second.headers.location).toBe(first.headers.location);
    expect(await spent()).toBe(PRICE);
  });

  it('refuses a key with another body than before', async () => {
    await application.order('alice', { keyboard: 1 }, 'key-1');

    await restart();
    const other = await application.order('alice', { keyboard: 2 }, 'key-1');
    const same = await application.order('alice', { keyboard: 1 }, 'key-1');

    expect(other.body).toMatchObject({ status: 422, code: 'DTC_IDEMPOTENCY_KEY_REUSED' });
    expect(same.status).toBe(201);
    expect(await spent()).toBe(PRICE);
  });

  it('runs a refused request again, since nothing had happened', async () => {
    const first = await application.order('alice', { 'last-lamp': 2 }, 'key-1');
    const [, inventory] = room.databases as [TestDatabase, TestDatabase];
    await inventory.query(`UPDATE stock SET on_hand = 2 WHERE sku = 'last-lamp'`);

    await restart();

    expect(first.status).toBe(409);
    expect((await application.order('alice', { 'last-lamp': 2 }, 'key-1')).status).toBe(201);
  });

  it('delivers a commit that was decided before; its key has the same order', async () => {
    await restart({ DTC_COMPLETION_WAIT_MS: '100' });
    await application.fault('order', { method: 'commit', fault: 'throw' });
    const first = await application.order('alice', { keyboard: 1 }, 'key-1');
    const [order] = room.databases as [TestDatabase];

    await restart();
    await until('it is delivered', async () => (await order.prepared()).length === 0);
    const second = await application.order('alice', { keyboard: 1 }, 'key-1');

    const { orderId, transactionId } = first.body;
    expect(first.status).toBe(202);
    expect(second.status).toBe(201);
    expect(second.body).toMatchObject({ orderId, transactionId });
    expect(await spent()).toBe(PRICE);
  });

  it('gives no answer for a key that it cannot look up, and its order once it can', async () => {
    const first = await application.order('alice', { keyboard: 1 }, 'key-1');
    const { hostname: host, port, href } = new URL(room.environment['ORDER_DATABASE_URL']!);
    const proxy = await TcpProxy.open({ host, port: Number(port) });
    onTestFinished(() => proxy.close());
    await restart({ ORDER_DATABASE_URL: href.replace(`:${port}/`, `:${proxy.port}/`) });
    proxy.cut();

    const unknown = await application.order('alice', { keyboard: 1 }, 'key-1');
    const read = await application.get(`/orders/${first.body.orderId}`);

    expect(unknown.body).toMatchObject({ status: 503, code: 'DTC_IDEMPOTENCY_KEY_UNKNOWN' });
    expect(unknown.headers['retry-after']).toBe('1');
    expect(read.body).toMatchObject({ status: 503, code: 'DTC_PARTICIPANT_FAILED' });
    for (const { body } of [unknown, read]) expect(body.detail).not.toMatch(/nothing was changed|safe to/i);

    proxy.repair();
    const second = await application.order('alice', { keyboard: 1 }, 'key-1');

    expect(second.body).toEqual(first.body);
    expect(await spent()).toBe(PRICE);
  });

  describe('while an order is in doubt', () => {
    const orderId = randomUUID();
    const transactionId = 'elsewhere.1.1';
    const gid = `${transactionId}/order/order`;
    let order: TestDatabase;

    /** Leaves an order prepared, as another process of the application that was killed. */
    beforeEach(async () => {
      order = room.databases[0]!;
      const { body } = await application.order('alice', { keyboard: 1 }, 'model');
      await order.query(`
        BEGIN;
        INSERT INTO orders SELECT '${orderId}', '${transactionId}', customer_id, items, total FROM orders;
        INSERT INTO request_keys SELECT 'key-1', fingerprint, '${orderId}' FROM request_keys;
        PREPARE TRANSACTION '${gid}'`);
      expect(body.orderId).not.toBe(orderId);
    });

    it('answers its key with 409, and runs nothing', async () => {
      const { body, headers } = await application.order('alice', { keyboard: 1 }, 'key-1');

      expect(body).toMatchObject({ status: 409, code: 'DTC_IDEMPOTENCY_KEY_IN_USE' });
      expect(headers['retry-after']).toBe('1');
      expect(await spent()).toBe(PRICE);
    });

    it('answers its key with the order once that has committed', async () => {
      await application.order('alice', { keyboard: 1 }, 'key-1');
      await order.query(`COMMIT PREPARED '${gid}'`);

      const { status, body } = await application.order('alice', { keyboard: 1 }, 'key-1');

      expect(status).toBe(201);
      expect(body).toMatchObject({ orderId, transactionId });
      expect(await spent()).toBe(PRICE);
    });

    it('does the work of its key once that is rolled back', async () => {
      await application.order('alice', { keyboard: 1 }, 'key-1');
      await order.query(`ROLLBACK PREPARED '${gid}'`);

      const { status, body } = await application.order('alice', { keyboard: 1 }, 'key-1');

      expect(status).toBe(201);
      expect(body.orderId).not.toBe(orderId);
      expect(await spent()).toBe(2 * PRICE);
    });
  });

  it('fault 1: charges once when two processes get the same key at the same moment', async () => {
    const other = await TestApplication.start({ ...room.environment, DTC_NAME: 'other' });
    const keys = Array.from({ length: 10 }, (_, index) => `key-${index}`);

    for (const key of keys) {
      const [one, two] = await Promise.all(
        [application, other].map((each) => each.order('alice', { 'usb-cable': 1 }, key)),
      );
      expect([201, 409, 503]).toContain(one!.status);
      expect([201, 409, 503]).toContain(two!.status);
    }
    for (const key of keys) {
      await until('both know it', async () => {
        const both = await Promise.all(
          [application, other].map((each) => each.order('alice', { 'usb-cable': 1 }, key)),
        );
        const [one, two] = both.map(({ status, body }) => (status === 201 ? body.orderId : undefined));
        return one !== undefined && one === two;
      });
    }

    expect(await spent()).toBe(keys.length * 990);
    await other.close();
  });
});
