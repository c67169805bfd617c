import type { AbstractHttpAdapter } from '@nestjs/core';
import { ConsoleLogger, type INestApplication } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import request, { type Response } from 'supertest';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  CoordinatorModule,
  ParticipantRegistry,
  type ParticipantView,
  TransactionManager,
  type TransactionView,
  branch,
} from '../coordinator/index.js';
import { OperationsModule } from './operations.module.js';
import { ManualClock, ScriptedParticipant, recoverNow, settled } from '../coordinator/testing/index.js';

/** Every installed HTTP platform: the routes are the same on each. */
const platforms: [name: string, adapter: () => AbstractHttpAdapter][] = [
  ['Fastify', () => new FastifyAdapter()],
];
const expressPackage = '@nestjs/platform-express';
try {
  const { ExpressAdapter } = (await import(expressPackage)) as {
    ExpressAdapter: new () => AbstractHttpAdapter;
  };
  platforms.push(['Express', () => new ExpressAdapter()]);
} catch {
  // Express is an option that this installation does without.
}

const SECRET = 'the secret payload';

describe.each(platforms)('operations on %s', (_name, adapter) => {
  let app: INestApplication;
  let clock: ManualClock;
  let transactions: TransactionManager;

  beforeEach(async () => {
    clock = new ManualClock();
    const coordinator = CoordinatorModule.forRoot({ clock, maxAttempts: 1, random: () => 0.5 });
    const module = await Test.createTestingModule({
      imports: [coordinator, OperationsModule.forRoot({ readers: 'anyone' })],
    })
      .setLogger(new ConsoleLogger({ logLevels: [] }))
      .compile();
    app = module.createNestApplication(adapter());
    await app.init();
    await (app.getHttpAdapter().getInstance() as { ready?: () => Promise<void> }).ready?.();
    transactions = app.get(TransactionManager);
  });
  afterEach(() => app.close());

  function participant(name: string, scripted: ScriptedParticipant, options = {}): void {
    app.get(ParticipantRegistry).register(scripted, { name, ...options });
  }

  function get(path: string): Promise<Response> {
    return Promise.resolve(request(app.getHttpServer() as string).get(path));
  }

  async function listed(query: string): Promise<string[]> {
    const { body } = await get(`/transactions${query}`);
    return (body as { transactions: TransactionView[] }).transactions.map((view) => view.name);
  }

  it('finds a transaction by an attribute, and shows it', async () => {
    participant('a', new ScriptedParticipant());
    const branches = [branch('a', SECRET)];
    await transactions.run({ name: 'first', branches, attributes: { orderId: 'a=1' } });
    await transactions.run({ name: 'second', branches, attributes: { orderId: '2' } });
    expect(await listed('?attribute=orderId%3Da%3D1')).toEqual(['first']);
    expect(await listed('?attribute=orderId%3D3')).toEqual([]);
    const { body } = await get('/transactions?attribute=orderId%3D2');
    expect(body).toMatchObject({ transactions: [{ name: 'second', attributes: { orderId: '2' } }] });
    for (const query of ['orderId', 'orderId%3D', '%3D1', 'order%20id%3D1', 'a%3D1%0A2'])
      expect((await get(`/transactions?attribute=${query}`)).status).toBe(400);
  });

  it('searches by an id or its beginning, by the value of an attribute, by time, age and cause', async () => {
    participant('a', new ScriptedParticipant());
    participant('no', new ScriptedParticipant({ prepare: 'no' }));
    participant('failing', new ScriptedParticipant({ commit: 'throw' }));
    const run = (name: string, at: string, orderId: string): Promise<{ transactionId: string }> =>
      transactions.run({ name, branches: [branch(at, SECRET)], attributes: { orderId } });
    const { transactionId } = await run('first', 'a', '4711');
    await clock.advance(60_000);
    await run('second', 'no', '4712');
    await clock.advance(1_500);
    await run('third', 'failing', 'x47');
    await clock.advance(5_000);

    expect(await listed(`?search=${transactionId}`)).toEqual(['first']);
    expect(await listed(`?search=${transactionId.slice(0, -1)}`)).toEqual(['third', 'second', 'first']);
    expect(await listed(`?search=${transactionId}0`)).toEqual([]);
    expect(await listed('?search=47')).toEqual(['second', 'first']);
    expect(await listed('?search=4712')).toEqual(['second']);
    expect(await listed('?search=order')).toEqual([]);

    expect(await listed('?startedAfter=2030-01-01T00:01:01.000Z')).toEqual(['third', 'second']);
    expect(await listed('?startedAfter=2030-01-01T00:01:01.001Z')).toEqual(['third']);
    expect(await listed('?startedBefore=2030-01-01T01:01:01%2B01:00')).toEqual(['first']);
    expect(await listed('?minAgeMs=5000&maxAgeMs=5000')).toEqual(['third']);
    expect(await listed('?maxAgeMs=4999')).toEqual(['second', 'first']);

    const { body } = await get('/transactions?stalled=true');
    const [third] = (body as { transactions: TransactionView[] }).transactions;
    const lastError = third!.branches[0]!.lastError!;
    expect(await listed(`?cause=${encodeURIComponent(lastError.toUpperCase())}`)).toEqual(['third']);
    expect(await listed('?cause=REFUSED')).toEqual(['second']);
    expect(await listed('?cause=secret')).toEqual([]);
  });

  it('searches by the id of a request', async () => {
    participant('a', new ScriptedParticipant());
    const run = (name: string, requestId?: string) =>
      transactions.run({ name, branches: [branch('a', SECRET)], ...(requestId && { requestId }) });
    await run('first', 'req-4711');
    await run('second', 'req-4712');
    await run('third');
    expect(await listed('?search=req-471')).toEqual(['second', 'first']);
    expect(await listed('?search=req-4712')).toEqual(['second']);
    expect(await listed('?search=4712')).toEqual([]);
  });

  it('exports what a filter finds as JSON and as CSV', async () => {
    participant('a', new ScriptedParticipant());
    await transactions.run({
      name: '=1+1',
      branches: [branch('a', SECRET)],
      attributes: { orderId: '4711' },
    });
    await transactions.run({ name: 'other', branches: [branch('a', SECRET)] });
    const { body, headers } = await get('/transactions/export?search=4711');
    expect(body).toMatchObject({ transactions: [{ name: '=1+1' }], cut: false, unanswered: [] });
    expect(headers['content-disposition']).toMatch(/^attachment; filename="transactions-\d+T\d+\.json"$/);
    const csv = await get('/transactions/export?format=csv&order=oldest');
    expect(csv.headers['content-type']).toBe('text/csv; charset=utf-8');
    const [head, first, second, ...rest] = csv.text.split('\r\n');
    expect(head).toMatch(/^transactionId,name,state,/);
    expect([first, second, rest]).toEqual([
      expect.stringContaining(`,"'=1+1",COMMITTED`),
      expect.stringContaining(',other,COMMITTED'),
      [''],
    ]);
    expect(csv.text).not.toContain(SECRET);
    expect((await get('/transactions/export?format=xls')).status).toBe(400);
  });

  it('shows a transaction by its id, with branches, votes and timeline, and without payload', async () => {
    participant('a', new ScriptedParticipant({ prepare: { delayMs: 10 } }, clock));
    participant('b', new ScriptedParticipant({ prepare: 'read-only' }));
    const branches = [branch('a', SECRET), branch('b', SECRET)];
    const running = transactions.run({ name: 'sale', branches, timeoutMs: 5_000 });
    await settled();
    await clock.advance(10);
    const { transactionId } = await running;

    const { status, body, text } = await get(`/transactions/${transactionId}`);

    expect(status).toBe(200);
    expect(text).not.toContain(SECRET);
    expect(body).toEqual({
      transactionId,
      name: 'sale',
      state: 'COMMITTED',
      stalled: false,
      inDoubt: false,
      decision: 'commit',
      cause: null,
      reason: null,
      heuristic: null,
      startedAt: '2030-01-01T00:00:01.000Z',
      deadlineAt: '2030-01-01T00:00:06.000Z',
      decidedAt: '2030-01-01T00:00:01.010Z',
      endedAt: '2030-01-01T00:00:01.010Z',
      durationMs: 10,
      ageMs: 10,
      owner: null,
      branches: [
        expect.objectContaining({ branchId: 'a', participant: 'a', vote: 'commit', state: 'committed' }),
        expect.objectContaining({ branchId: 'b', participant: 'b', vote: 'read-only', state: 'read-only' }),
      ],
      timeline: [
        { atMs: 0, event: 'begun', detail: 'sale' },
        { atMs: 0, event: 'preparing' },
        { atMs: 0, event: 'voted', branchId: 'b', detail: 'read-only' },
        { atMs: 10, event: 'voted', branchId: 'a', detail: 'commit' },
        { atMs: 10, event: 'decided', detail: 'commit' },
        { atMs: 10, event: 'committed', branchId: 'a', attempt: 1 },
        { atMs: 10, event: 'ended', detail: 'COMMITTED' },
      ],
    });
  });

  it('answers 404 as problem+json for an unknown id', async () => {
    const { status, body, headers } = await get('/transactions/nobody.1');

    expect(status).toBe(404);
    expect(headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(body).toMatchObject({ status: 404, code: 'DTC_TRANSACTION_NOT_FOUND', title: 'Not Found' });
  });

  it('lists transactions, the latest first, by state, by stall and up to a limit', async () => {
    participant('yes', new ScriptedParticipant());
    participant('no', new ScriptedParticipant({ prepare: 'no' }));
    participant('failing', new ScriptedParticipant({ commit: 'throw' }));
    for (const name of ['yes', 'no', 'failing']) {
      await transactions.run({ name, branches: [branch(name, SECRET)] });
    }

    await expect(listed('')).resolves.toEqual(['failing', 'no', 'yes']);
    await expect(listed('?limit=2')).resolves.toEqual(['failing', 'no']);
    await expect(listed('?state=ABORTED')).resolves.toEqual(['no']);
    await expect(listed('?stalled=true')).resolves.toEqual(['failing']);
    await expect(listed('?stalled=false&state=COMMITTED')).resolves.toEqual(['yes']);
  });

  for (const query of [
    '?limit=0',
    '?limit=1001',
    '?limit=ten',
    '?state=DONE',
    '?stalled=1',
    '?colour=blue',
    '?order=random',
    '?cursor=0',
    '?cursor=1;drop',
    '?minAgeMs=-1',
    '?maxAgeMs=old',
    '?search=',
    `?cause=${'x'.repeat(301)}`,
    '?startedAfter=yesterday',
    '?startedAfter=2030-01-01T00:00:00',
    '?startedBefore=2030-02-31T00:00:00Z',
    '?inDoubt=maybe',
    '?groups=1',
    '?group=',
    '?participant=',
    '?state=ABORTED&state=ABORTED',
  ]) {
    it(`refuses ${query} with 400 as problem+json, naming what is wrong`, async () => {
      const { status, body, headers } = await get(`/transactions${query}`);

      expect(status).toBe(400);
      expect(headers['content-type']).toMatch(/^application\/problem\+json/);
      expect(body).toMatchObject({ status: 400, code: 'DTC_BAD_REQUEST' });
      const { errors } = body as { errors: string[] };
      expect(errors.length).toBeGreaterThan(0);
    });
  }

  it('lists participants with their options and counts', async () => {
    participant('a', new ScriptedParticipant());
    participant('no', new ScriptedParticipant({ prepare: 'no' }));
    await transactions.run({ branches: [branch('a', SECRET)] });
    await transactions.run({ branches: [branch('no', SECRET)] });

    const { body } = await get('/participants');

    expect(body).toEqual({
      participants: [
        expect.objectContaining({
          name: 'a',
          className: 'ScriptedParticipant',
          onePhase: false,
          maxAttempts: 1,
          paused: null,
          counts: expect.objectContaining({ commitVotes: 1, committed: 1, refusals: 0 }) as unknown,
        }),
        expect.objectContaining({
          name: 'no',
          counts: expect.objectContaining({ commitVotes: 0, committed: 0, refusals: 1 }) as unknown,
        }),
      ],
    });
  });

  it('lists a participant in another process with its address, and what is known of the calls to it', async () => {
    const contact = { inFlight: 1, queued: 0, answeredAt: null, failure: null };
    participant('a', new ScriptedParticipant());
    participant(
      'far',
      Object.assign(new ScriptedParticipant(), { remoteAddress: 'http://far', remoteContact: contact }),
    );
    participant('other', Object.assign(new ScriptedParticipant(), { remoteAddress: 'http://other' }));
    const { participants } = (await get('/participants')).body as { participants: ParticipantView[] };
    expect(participants.map(({ name, remote }) => [name, remote])).toEqual([
      ['a', undefined],
      ['far', { address: 'http://far', contact }],
      ['other', { address: 'http://other', contact: null }],
    ]);
    expect(participants[0]).not.toHaveProperty('remote');
  });

  it('is ready while all is well, degraded with 200 while something is stalled, then well again', async () => {
    participant('failing', ScriptedParticipant.flaky(1));
    const well = { accepting: true, inFlight: 0, maxInFlight: 10_000, stalled: 0, heuristic: 0 };
    expect(await health('/health/ready')).toEqual([
      200,
      'ok',
      expect.objectContaining({ status: 'up', ...well }),
    ]);

    await transactions.run({ branches: [branch('failing', 1)] });
    expect(await health('/health/ready')).toEqual([
      200,
      'degraded',
      expect.objectContaining({ status: 'degraded', ...well, stalled: 1 }),
    ]);

    await recoverNow(app);
    expect(await health('/health/ready')).toEqual([
      200,
      'ok',
      expect.objectContaining({ status: 'up', ...well }),
    ]);
  });

  it('is degraded by a participant that does not answer, and shows since when', async () => {
    const scripted = new ScriptedParticipant({ prepare: 'hang' });
    participant('hanging', scripted, { prepareTimeoutMs: 40 });
    const run = () => transactions.run({ branches: [branch('hanging', 1)] });
    const missed = Promise.all([run(), run(), run()]);
    await clock.advance(40);
    await missed;
    expect(await health('/health/ready')).toEqual([
      200,
      'degraded',
      expect.objectContaining({ status: 'degraded', silent: 1 }),
    ]);
    const shown = (await get('/participants')).body.participants.find(
      ({ name }: { name: string }) => name === 'hanging',
    );
    expect(shown.silent).toEqual({ since: expect.stringMatching(/^\d{4}-.*Z$/) as unknown });

    scripted.script = {};
    await run();
    expect(await health('/health/ready')).toEqual([
      200,
      'ok',
      expect.objectContaining({ status: 'up', silent: 0 }),
    ]);
  });

  it('is degraded by a heuristic report until an operator has dealt with it', async () => {
    participant('odd', new ScriptedParticipant({ commit: { heuristic: 'hazard' } }));
    const { transactionId } = await transactions.run({ branches: [branch('odd', 1)] });
    expect(await health('/health/ready')).toEqual([
      200,
      'degraded',
      expect.objectContaining({ status: 'degraded', heuristic: 1 }),
    ]);

    expect(transactions.forget(transactionId)).toBe(true);
    expect(await health('/health/ready')).toEqual([
      200,
      'ok',
      expect.objectContaining({ status: 'up', heuristic: 0 }),
    ]);
  });

  it('is not ready from the start of a shutdown, but live', async () => {
    const { promise: permission, resolve: permit } = Promise.withResolvers<void>();
    participant('slow', new ScriptedParticipant({ prepare: { until: permission } }));
    const running = transactions.run({ branches: [branch('slow', 1)] });

    const closing = app.close();
    await settled();
    expect(await health('/health/ready')).toEqual([
      503,
      'error',
      expect.objectContaining({ status: 'down', accepting: false, inFlight: 1 }),
    ]);
    expect((await get('/health/live')).status).toBe(200);

    permit();
    await expect(running).resolves.toMatchObject({ status: 'committed' });
    await closing;
  });

  async function health(path: string): Promise<[status: number, word: string, coordinator: unknown]> {
    const { status, body } = await get(path);
    const { status: word, details } = body as { status: string; details: { coordinator: unknown } };
    return [status, word, details.coordinator];
  }
});
