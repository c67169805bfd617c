import { beforeAll, describe, expect, it } from 'vitest';
import { TestApplication } from '../support/application.js';
import { CapturedLog } from '../support/captured-log.js';

describe('The log', () => {
  const log = new CapturedLog();
  const statuses: number[] = [];
  const transactionIds: string[] = [];

  beforeAll(async () => {
    const application = await TestApplication.start({ LOG_LEVEL: 'info' }, log);
    const place = async (customer: string, items: Record<string, number>, key?: string): Promise<void> => {
      const { body, status } = await application.order(customer, items, key);
      if (body.transactionId !== undefined) transactionIds.push(body.transactionId);
      statuses.push(status);
    };
    await application.fault('payment', { method: 'commit', fault: 'throw', times: 1 });
    await place('alice', { keyboard: 1 }, 'secret-key');
    await place('carol', { monitor: 1 });
    await place('bob', { 'last-lamp': 2 });
    await place('marker-customer', { keyboard: 1 });
    await place('alice', { 'marker-sku': 1 });
    await place('marker customer', { keyboard: 1 });
    await application.fault('payment', { method: 'prepare', fault: 'throw-after', times: 1 });
    await place('alice', { keyboard: 1 });
    await application.http.get('/accounts/alice').set('Authorization', 'Bearer secret-token');
    await application.close();
  });

  it('has one line at the end of each transaction, with outcome, duration and branches', () => {
    const ends = log.lines.filter(
      ({ context, outcome }) => context === 'Transaction' && outcome !== undefined,
    );

    expect(statuses).toEqual([201, 409, 409, 422, 422, 400, 503]);
    expect(transactionIds).toHaveLength(5);
    expect(ends.map(({ transactionId }) => transactionId)).toEqual(transactionIds);
    expect(ends.map(({ outcome }) => outcome)).toEqual([
      'committed',
      'aborted',
      'aborted',
      'aborted',
      'aborted',
    ]);
    for (const end of ends) {
      expect(end).toMatchObject({
        level: 30,
        name: 'create-order',
        branches: ['order', 'inventory', 'payment'],
      });
      expect(end.durationMs).toBeTypeOf('number');
    }
  });

  it('warns of an attempt that failed, with participant and attempt', () => {
    const warnings = log.lines.filter(({ level }) => level === 40);

    expect(warnings).toContainEqual(
      expect.objectContaining({
        participant: 'payment',
        attempt: 1,
        msg: expect.stringContaining('commit failed'),
      }),
    );
  });

  it('names in the line of the end who has refused and why, and has no other line of it', () => {
    const refusals = log.lines.filter(({ code }) => code === 'OUT_OF_STOCK' || code === 'INSUFFICIENT_FUNDS');

    expect(refusals).toMatchObject([
      { outcome: 'aborted', participant: 'payment', code: 'INSUFFICIENT_FUNDS' },
      { outcome: 'aborted', participant: 'inventory', code: 'OUT_OF_STOCK' },
    ]);
  });

  it('names each participant at the start', () => {
    const messages = log.lines.map(({ msg }) => String(msg));
    for (const name of ['order', 'inventory', 'payment']) {
      expect(messages.filter((msg) => msg.startsWith(`Participant "${name}"`))).not.toEqual([]);
    }
  });

  it('has no text that a client sent, and no line for a request', () => {
    const sent = ['alice', 'carol', 'marker', 'keyboard', 'monitor', 'last-lamp', 'secret'];
    for (const text of sent) expect(log.text).not.toContain(text);
    expect(log.lines.filter(({ req }) => req !== undefined)).toEqual([]);
  });
});
