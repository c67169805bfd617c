import { afterEach, describe, expect, it } from 'vitest';
import { TestApplication } from '../support/application.js';

describe('Faults for demonstration', () => {
  let application: TestApplication;

  afterEach(() => application.close());

  it('are not there unless the application is started for it', async () => {
    application = await TestApplication.start({ DEMO: 'false' });
    const { http } = application;

    for (const request of [
      http.get('/demo/faults'),
      http.put('/demo/faults/payment'),
      http.delete('/demo/faults/payment'),
    ]) {
      expect((await request).status).toBe(404);
    }
    const { participants } = (await application.get('/participants')).body;
    expect(participants.map(({ className }: { className: string }) => className)).toEqual([
      'OrderParticipant',
      'InventoryParticipant',
      'PaymentParticipant',
    ]);
  });

  it('are listed while they are switched on, with the calls that are left', async () => {
    application = await TestApplication.start({ DTC_MAX_ATTEMPTS: '5' });
    await application.fault('payment', { method: 'commit', fault: 'throw', times: 3 });
    await application.fault('inventory', { method: 'prepare', fault: 'slow', delayMs: 1 });

    expect((await application.get('/demo/faults')).body.faults).toEqual({
      order: [],
      inventory: [{ method: 'prepare', fault: 'slow', delayMs: 1 }],
      payment: [{ method: 'commit', fault: 'throw', times: 3, delayMs: 1_000 }],
    });

    await application.order('alice', { keyboard: 1 });
    await application.repair('inventory');

    expect((await application.get('/demo/faults')).body.faults).toEqual({
      order: [],
      inventory: [],
      payment: [],
    });
  });

  it('keep the options and the place of their participant', async () => {
    application = await TestApplication.start();

    const { participants } = (await application.get('/participants')).body;

    expect(participants).toMatchObject([
      { name: 'order', prepareTimeoutMs: 300 },
      { name: 'inventory', prepareTimeoutMs: 300 },
      { name: 'payment', prepareTimeoutMs: 300 },
    ]);
  });

  it('are refused when they make no sense', async () => {
    application = await TestApplication.start();
    const { http } = application;

    expect((await http.put('/demo/faults/unknown').send({ method: 'commit', fault: 'throw' })).status).toBe(
      404,
    );
    expect((await http.delete('/demo/faults/unknown')).status).toBe(404);
    expect((await http.put('/demo/faults/payment').send({ method: 'vote', fault: 'throw' })).status).toBe(
      400,
    );
    expect((await http.put('/demo/faults/payment').send({ method: 'commit', fault: 'melt' })).status).toBe(
      400,
    );
    expect((await application.get('/demo/faults')).body.faults.payment).toEqual([]);
  });
});
