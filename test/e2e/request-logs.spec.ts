import { describe, expect, it } from 'vitest';
import { TestApplication } from '../support/application.js';
import { CapturedLog } from '../support/captured-log.js';

describe('The log at debug', () => {
  it('has a line for each request and each step, and still no body and no header', async () => {
    const log = new CapturedLog();
    const application = await TestApplication.start({ LOG_LEVEL: 'debug', DEMO: 'false' }, log);
    await application.http
      .post('/orders')
      .set('Idempotency-Key', 'secret-key')
      .set('Authorization', 'Bearer secret-token')
      .send({ customerId: 'alice', items: [{ sku: 'keyboard', quantity: 1 }] })
      .expect(201);
    await application.close();

    const requests = log.lines.filter(({ req }) => req !== undefined);
    expect(requests).toMatchObject([
      { level: 20, req: { method: 'POST', url: '/orders' }, res: { statusCode: 201 } },
    ]);
    const steps = log.lines.filter(({ context, level }) => context === 'Transaction' && level === 20);
    expect(steps.map(({ msg }) => msg)).toEqual([
      'ACTIVE to PREPARING',
      'PREPARING to READY',
      'READY to COMMITTING',
      'COMMITTING to COMMITTED',
    ]);
    for (const text of ['alice', 'keyboard', 'secret']) expect(log.text).not.toContain(text);
  });
});
