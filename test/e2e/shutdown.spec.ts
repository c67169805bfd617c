import { once } from 'node:events';
import net from 'node:net';
import { expect, it, onTestFinished, vi } from 'vitest';
import { TestApplication } from '../support/application.js';

it('fault 51: a shutdown answers the caller of a transaction that outlives the grace period, and ends', async () => {
  const application = await TestApplication.start({
    DTC_PREPARE_TIMEOUT_MS: '60000',
    DTC_TIMEOUT_MS: '60000',
    DTC_SHUTDOWN_GRACE_MS: '200',
  });
  await application.fault('payment', { method: 'prepare', fault: 'hang' });
  const order = application.order('alice', { keyboard: 1 });
  await application.until('/transactions', ({ body }) => body.transactions.length === 1);
  await application.close();
  const { status, body } = await order;
  expect({ status, code: body.code }).toEqual({ status: 503, code: 'DTC_TIMED_OUT' });
});

it.each([
  ['header', ''],
  ['body', '\r\n{"cust'],
])('a %s that a client has sent by half does not hold up the shutdown', async (_, rest) => {
  const application = await TestApplication.start();
  const server = application.app.getHttpServer();
  const { port } = server.address() as net.AddressInfo;
  const client = net.connect(port, '127.0.0.1');
  onTestFinished(() => void client.destroy());
  // It is cut off, which a client may learn as an error.
  client.on('error', () => {});
  const [accepted] = (await once(server, 'connection')) as [net.Socket];
  const text = `POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: 100\r\n${rest}`;
  client.write(text);
  await vi.waitUntil(() => accepted.bytesRead === text.length);

  const startedAt = performance.now();
  await application.close();

  expect(performance.now() - startedAt).toBeLessThan(5_000);
});
