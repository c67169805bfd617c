import { afterEach, describe, expect, it } from 'vitest';
import { SteadyLoad } from '../../src/demo/steady-load.js';
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
      http.get('/demo'),
      http.get('/demo/page/page.js'),
      http.get('/demo/account'),
      http.get('/demo/load'),
      http.put('/demo/load'),
      http.put('/demo/supplies'),
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

  it('have a page that the dashboard links, and only where it is', async () => {
    application = await TestApplication.start({ TRACE_LINK: 'https://traces.example/{traceId}' });
    expect((await application.get('/links')).body).toEqual({
      links: [{ label: 'Trace', url: 'https://traces.example/{traceId}' }],
      pages: [{ label: 'Demonstration', url: '/demo' }],
    });
    await application.close();
    application = await TestApplication.start({ DEMO: 'false' });
    expect((await application.get('/links')).body).toEqual({ links: [], pages: [] });
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
    const late = { method: 'commit', fault: 'refuse' };
    expect((await http.put('/demo/faults/payment').send(late)).body).toMatchObject({
      status: 400,
      errors: [expect.stringContaining('only prepare can refuse')],
    });
    expect((await application.get('/demo/faults')).body.faults.payment).toEqual([]);
  });

  it('make a participant refuse', async () => {
    application = await TestApplication.start();
    await application.fault('inventory', { method: 'prepare', fault: 'refuse', times: 1 });

    expect(await application.order('alice', { keyboard: 1 })).toMatchObject({
      status: 409,
      body: { participant: 'inventory', reasonCode: 'DEMO_REFUSED' },
    });
    expect((await application.order('alice', { keyboard: 1 })).status).toBe(201);
  });
});

describe('A demonstration', () => {
  let application: TestApplication;

  afterEach(() => application.close());

  it('has an operator that no other start has', async () => {
    const demonstration = await TestApplication.start();
    application = demonstration;
    const { name, token } = (await application.get('/demo/account')).body as Record<string, string>;
    expect(name).toBe('demo-operator');
    const pause = (at: TestApplication) =>
      at.http
        .post('/participants/payment/pause')
        .set('Authorization', `Bearer ${token}`)
        .send({ reason: 'a test' });
    expect((await pause(application)).status).toBe(200);

    for (const DEMO of ['true', 'false']) {
      application = await TestApplication.start({ DEMO });
      expect((await pause(application)).status).toBe(401);
      await application.close();
    }
    application = demonstration;
  });

  it('has a page whose files all exist, under a policy that loads nothing from elsewhere', async () => {
    application = await TestApplication.start();

    const page = await application.get('/demo');

    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    expect(page.text).toContain('<title>Demonstration</title>');
    const files = Array.from(page.text.matchAll(/(?:href|src)="(\/demo\/[^"]+)"/g), ([, path]) => path!);
    expect(files).toHaveLength(3);
    for (const path of files) expect((await application.get(path)).status).toBe(200);
    for (const path of ['/demo/page/page.ts', '/demo/page/..%2Fdemo.module.js', '/demo/page/']) {
      expect((await application.get(path)).status).toBe(404);
    }
  });

  it('answers only requests that name this machine', async () => {
    application = await TestApplication.start();

    for (const path of ['/demo', '/demo/account', '/demo/faults', '/demo/load']) {
      const asked = await application.http.get(path).set('Host', 'evil.example:3000');
      expect(asked.status).toBe(403);
      expect(asked.body.code).toBe('DTC_FORBIDDEN');
      expect((await application.http.get(path).set('Host', 'LOCALHOST:3000')).status).toBe(200);
    }
  });

  it('changes nothing for a request that does not name this machine', async () => {
    application = await TestApplication.start();
    const { http } = application;
    const fault = { method: 'commit', fault: 'throw' };

    expect((await http.put('/demo/faults/payment').set('Host', 'evil.example').send(fault)).status).toBe(403);
    expect((await http.put('/demo/load').set('Host', 'evil.example').send({})).status).toBe(403);

    expect((await application.get('/demo/faults')).body.faults.payment).toEqual([]);
    expect((await application.get('/demo/load')).body).toMatchObject({ running: false, plan: null });
  });

  it('sends steady traffic until its end, and counts how each order ended', async () => {
    application = await TestApplication.start();
    await application.fault('inventory', { method: 'prepare', fault: 'refuse', times: 3 });

    const started = await application.http.put('/demo/load').send({ perSecond: 20, forSeconds: 1 });

    expect(started).toMatchObject({
      status: 200,
      body: { running: true, plan: { perSecond: 20, forSeconds: 1 } },
    });
    await application.app.get(SteadyLoad).ended;
    expect((await application.get('/demo/load')).body).toMatchObject({
      running: false,
      started: 20,
      open: 0,
      counts: { committed: 17, aborted: 3, pending: 0, heuristic: 0, refused: 0 },
      lastRefusal: null,
    });
  });

  it('restocks when its traffic has run dry', async () => {
    application = await TestApplication.start();
    const { http } = application;
    expect((await http.put('/demo/supplies')).body.pieces).toBeGreaterThan(0);
    const { balance } = (await application.get('/accounts/customer-1')).body as {
      balance: { amount: number };
    };
    const quantity = Math.floor(balance.amount / 24_900);
    expect((await application.order('customer-1', { monitor: quantity })).status).toBe(201);
    expect((await application.order('customer-1', { monitor: 1 })).body.reasonCode).toBe(
      'INSUFFICIENT_FUNDS',
    );

    // Traffic begins with full supplies, and its first order is one of this customer.
    await http.put('/demo/load').send({ perSecond: 50, forSeconds: 1 });
    await http.delete('/demo/load');
    await application.app.get(SteadyLoad).ended;

    expect((await application.order('customer-1', { monitor: 1 })).status).toBe(201);
  });

  it('takes no traffic that has no sense or no end', async () => {
    application = await TestApplication.start();

    for (const [plan, problem] of [
      [{ perSecond: 0 }, /perSecond/],
      [{ perSecond: 51 }, /perSecond/],
      [{ forSeconds: 0 }, /forSeconds/],
      [{ forSeconds: 86_401 }, /forSeconds/],
      [{ perSecond: 50, forSeconds: 86_400 }, /forSeconds.*500000 orders/],
      [{ perSecond: 'many' }, /perSecond/],
      [{ until: 1 }, /until/],
    ] as const) {
      const answer = await application.http.put('/demo/load').send(plan);
      expect(answer.status).toBe(400);
      expect(JSON.stringify(answer.body)).toMatch(problem);
    }
    expect((await application.get('/demo/load')).body).toMatchObject({ running: false, started: 0 });
  });

  it('ends its traffic when the application ends', async () => {
    application = await TestApplication.start();
    await application.http.put('/demo/load').send({ perSecond: 50, forSeconds: 3_600 });
    const load = application.app.get(SteadyLoad);
    await application.close();
    await load.ended;
    expect(load.state).toMatchObject({ running: false, open: 0 });
    application = await TestApplication.start();
  });
});
