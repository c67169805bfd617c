import { expect, it } from 'vitest';
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
