import { describe, expect, it } from 'vitest';
import { TestApplication } from '../support/application.js';
import { CapturedLog } from '../support/captured-log.js';

describe('The log at debug', () => {
  it('has a line for each request and each step, and still no body and no header', async () => {
    const log = new CapturedLog();
    const application = await TestApplication.start({ LOG_LEVEL: 'debug', DEMO: 'false' }, log);
    // The second and the third id cannot be kept.
    const ids = ['r-1', 'two words', 'x'.repeat(201)];
    for (const id of ids)
      await application.http
        .post('/orders')
        .set('Idempotency-Key', `secret-key-${ids.indexOf(id)}`)
        .set('Authorization', 'Bearer secret-token')
        .set('X-Request-Id', id)
        .send({ customerId: 'alice', items: [{ sku: 'keyboard', quantity: 1 }] })
        .expect(201);
    await application.close();

    const requests = log.lines.filter(({ req }) => req !== undefined);
    const request = { level: 20, req: { method: 'POST', url: '/orders' }, res: { statusCode: 201 } };
    expect(requests).toMatchObject([request, request, request]);
    expect(requests.map(({ requestId }) => requestId)).toEqual(['r-1', '#1', '#2']);
    const ends = log.lines.filter(({ outcome }) => outcome !== undefined);
    expect(ends.map(({ requestId }) => requestId)).toEqual(['r-1', undefined, undefined]);
    const steps = log.lines.filter(
      ({ context, level, requestId }) => context === 'Transaction' && level === 20 && requestId === 'r-1',
    );
    expect(steps.map(({ msg }) => msg)).toEqual([
      'ACTIVE to PREPARING',
      'PREPARING to READY',
      'READY to COMMITTING',
      'COMMITTING to COMMITTED',
    ]);
    for (const text of ['alice', 'keyboard', 'secret', 'two words', 'xxx'])
      expect(log.text).not.toContain(text);
  });
});
