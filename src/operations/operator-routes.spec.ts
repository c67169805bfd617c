import { ConsoleLogger, type INestApplication, StandardSchemaValidationPipe } from '@nestjs/common';
import { APP_PIPE } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import request, { type Response } from 'supertest';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoordinatorModule, ParticipantRegistry, TransactionManager, branch } from '../coordinator/index.js';
import { OperationsModule } from './operations.module.js';
import { ManualClock, ScriptedParticipant, settled } from '../coordinator/testing/index.js';

const READER = 'a-reader-s-token-1';
const OPERATOR = 'an-operator-s-token';
const REASON = { reason: 'the ledger is repaired' };

let app: INestApplication;
let transactions: TransactionManager;
let failing: ScriptedParticipant;

beforeEach(async () => {
  const operations = OperationsModule.forRoot({
    readers: [{ name: 'rita', token: READER }],
    operators: [{ name: 'alice', token: OPERATOR }],
    links: [{ label: 'Trace', url: 'https://traces.example/{traceId}' }],
    pages: [{ label: 'Orders', url: '/orders' }],
  });
  const coordinator = CoordinatorModule.forRoot({
    clock: new ManualClock(),
    maxAttempts: 1,
    shutdownGraceMs: 20,
  });
  const module = await Test.createTestingModule({
    imports: [coordinator, operations],
    // As in the application, which validates everything again.
    providers: [{ provide: APP_PIPE, useClass: StandardSchemaValidationPipe }],
  })
    .setLogger(new ConsoleLogger({ logLevels: [] }))
    .compile();
  app = module.createNestApplication(new FastifyAdapter());
  await app.init();
  await (app.getHttpAdapter().getInstance() as { ready: () => Promise<void> }).ready();
  transactions = app.get(TransactionManager);
  failing = new ScriptedParticipant({ commit: ['throw', 'yes'] });
  app.get(ParticipantRegistry).register(failing, { name: 'failing' });
});
afterEach(() => app.close());

type Method = 'get' | 'post';

async function ask(method: Method, path: string, token?: string, body?: object): Promise<Response> {
  let asked = request(app.getHttpServer() as string)[method](path);
  if (token !== undefined) asked = asked.set('Authorization', `Bearer ${token}`);
  return body === undefined ? asked : asked.send(body);
}

async function stall(): Promise<string> {
  const { transactionId } = await transactions.run({ name: 'sale', branches: [branch('failing', 1)] });
  return transactionId;
}

const READING = [
  '/attention',
  '/access',
  '/audit',
  '/coordinator',
  '/databases',
  '/events',
  '/history',
  '/links',
  '/members',
  '/metrics',
  '/outboxes',
  '/outboxes/mail/dead',
  '/outboxes/mail/dead/x',
  '/participants',
  '/transactions',
  '/transactions/export',
  '/transactions/x.1.1',
] as const;
const ACTING = [
  '/transactions/actions',
  '/transactions/{id}/abort',
  '/transactions/{id}/forget',
  '/transactions/{id}/branches/failing/retry',
  '/transactions/{id}/branches/failing/resolve',
  '/transactions/{id}/branches/failing/forget',
  '/participants/failing/pause',
  '/participants/failing/resume',
  '/coordinator/drain',
  '/coordinator/undrain',
  '/outboxes/mail/resend',
  '/outboxes/mail/discard',
] as const;

describe('Every route', () => {
  it.each([
    ...READING.map((path) => ['get', path] as const),
    ...ACTING.map((path) => ['post', path] as const),
  ])('%s %s answers 401 without a token, and with an unknown one', async (method, path) => {
    for (const token of [undefined, 'a-token-of-nobody-1']) {
      const { status, body, headers } = await ask(
        method,
        path,
        token,
        method === 'post' ? REASON : undefined,
      );
      expect([status, (body as { code: string }).code]).toEqual([401, 'DTC_UNAUTHENTICATED']);
      expect(headers['www-authenticate']).toBe('Bearer');
      expect(headers['content-type']).toMatch(/^application\/problem\+json/);
    }
  });

  it.each(ACTING)('post %s answers a reader with 403, and nothing is done', async (path) => {
    const id = await stall();
    const before = transactions.find(id);
    const as = { ...REASON, as: 'rollback' };
    const { status, body } = await ask(
      'post',
      path.replace('{id}', id),
      READER,
      path.endsWith('resolve') ? as : REASON,
    );

    expect([status, (body as { code: string }).code]).toEqual([403, 'DTC_FORBIDDEN']);
    expect(transactions.find(id)).toEqual(before);
    expect((await ask('get', '/audit', READER)).body).toEqual({ entries: [], nextCursor: null });
  });

  it.each(ACTING)('post %s refuses a body without a reason, or with an unknown field', async (path) => {
    const id = await stall();
    const target = path.replace('{id}', id);
    for (const body of [
      {},
      { reason: '' },
      { reason: ' ' },
      { reason: 'x'.repeat(301) },
      { reason: 7 },
      { ...REASON, force: true },
    ]) {
      const { status } = await ask('post', target, OPERATOR, body);
      expect([body, status]).toEqual([body, 400]);
    }
    expect(failing.count('commit')).toBe(1);
  });

  it('health needs no token', async () => {
    expect((await ask('get', '/health/live')).status).toBe(200);
    expect((await ask('get', '/health/ready')).status).toBe(200);
  });
});

describe('An operator', () => {
  it('is told its name and rights', async () => {
    expect((await ask('get', '/access', OPERATOR)).body).toEqual({ name: 'alice', role: 'operator' });
    expect((await ask('get', '/access', READER)).body).toEqual({ name: 'rita', role: 'reader' });
    expect((await ask('get', '/links', READER)).body).toEqual({
      links: [{ label: 'Trace', url: 'https://traces.example/{traceId}' }],
      pages: [{ label: 'Orders', url: '/orders' }],
    });
  });

  it('retries a branch, and the answer is the transaction', async () => {
    const id = await stall();
    const { status, body } = await ask(
      'post',
      `/transactions/${id}/branches/failing/retry`,
      OPERATOR,
      REASON,
    );
    expect([status, (body as { transactionId: string }).transactionId]).toEqual([200, id]);
    await settled();
    expect(transactions.find(id)).toMatchObject({ state: 'COMMITTED' });
    expect((await ask('get', '/audit', READER)).body).toMatchObject({
      entries: [{ id: '1', by: 'alice', action: 'retry', target: `${id}/failing`, ...REASON, detail: null }],
    });
  });

  it('is shown with its transaction, page by page, and with no other one', async () => {
    const [one, other] = [await stall(), await stall()];
    for (const id of [one, other, one]) {
      await ask('post', `/transactions/${id}/branches/failing/resolve`, OPERATOR, {
        ...REASON,
        as: 'rollback',
      });
      await ask('post', `/transactions/${id}/forget`, OPERATOR, REASON);
    }
    await ask('post', `/participants/failing/pause`, OPERATOR, REASON);
    type Page = {
      readonly entries: readonly { target: string; action: string }[];
      nextCursor: string | null;
    };
    const pageOf = async (query: string): Promise<Page> =>
      (await ask('get', `/audit?transactionId=${one}&limit=1${query}`, READER)).body as Page;

    const first = await pageOf('');
    const second = await pageOf(`&cursor=${first.nextCursor}`);
    expect([first, second]).toMatchObject([
      { entries: [{ action: 'forget', target: one }] },
      { entries: [{ action: 'resolve', target: `${one}/failing` }], nextCursor: null },
    ]);
    // A part of the id is another id.
    const { body } = await ask('get', `/audit?transactionId=${one.slice(0, -1)}`, READER);
    expect(body).toEqual({ entries: [], nextCursor: null });
  });

  it('resolves a branch against the decision, and forgets the report', async () => {
    const id = await stall();
    const resolved = await ask('post', `/transactions/${id}/branches/failing/resolve`, OPERATOR, {
      ...REASON,
      as: 'rollback',
    });
    expect(resolved.body).toMatchObject({ state: 'COMMITTED', decision: 'commit', heuristic: 'rollback' });
    const forgotten = await ask('post', `/transactions/${id}/forget`, OPERATOR, REASON);
    expect([forgotten.status, forgotten.body]).toMatchObject([200, { heuristic: null }]);
  });

  it('is refused with 409 and the reason when the order would change a decision', async () => {
    const id = await stall();
    const { status, body } = await ask('post', `/transactions/${id}/abort`, OPERATOR, REASON);
    expect([status, body]).toMatchObject([
      409,
      { code: 'DTC_ACTION_REFUSED', detail: expect.stringContaining('a decision is final') as unknown },
    ]);
  });

  it('gets 404 for an unknown transaction, branch or participant', async () => {
    const id = await stall();
    for (const [path, code] of [
      ['/transactions/x.1.1/abort', 'DTC_TRANSACTION_NOT_FOUND'],
      [`/transactions/${id}/branches/x/retry`, 'DTC_BRANCH_NOT_FOUND'],
      ['/participants/x/pause', 'DTC_PARTICIPANT_NOT_FOUND'],
    ] as const) {
      const { status, body } = await ask('post', path, OPERATOR, REASON);
      expect([path, status, (body as { code: string }).code]).toEqual([path, 404, code]);
    }
  });

  it('pauses and resumes a participant, and every reader sees it', async () => {
    const paused = await ask('post', '/participants/failing/pause', OPERATOR, REASON);
    expect(paused.body).toMatchObject({ name: 'failing', paused: { by: 'alice', ...REASON } });
    expect((await ask('get', '/participants', READER)).body).toMatchObject({
      participants: [{ paused: { by: 'alice' } }],
    });
    const resumed = await ask('post', '/participants/failing/resume', OPERATOR, REASON);
    expect(resumed.body).toMatchObject({ name: 'failing', paused: null });
  });

  it('drains the coordinator, which is not ready then, and undrains it', async () => {
    const drained = await ask('post', '/coordinator/drain', OPERATOR, REASON);
    expect(drained.body).toMatchObject({ condition: { draining: true, accepting: false } });
    expect((await ask('get', '/health/ready')).status).toBe(503);
    await ask('post', '/coordinator/undrain', OPERATOR, REASON);
    expect((await ask('get', '/health/ready')).status).toBe(200);
  });
});

describe('Pages', () => {
  it('of transactions are stable: no transaction is repeated or hidden when others begin and end', async () => {
    const run = (name: string) => transactions.run({ name, branches: [] });
    for (let n = 1; n <= 5; n++) await run(`t${n}`);
    const pageAt = async (query: string) => {
      const { body } = await ask('get', `/transactions?${query}`, READER);
      const { transactions: found, nextCursor } = body as {
        transactions: { name: string }[];
        nextCursor: string | null;
      };
      return { names: found.map(({ name }) => name), nextCursor };
    };

    const first = await pageAt('limit=2');
    expect(first.names).toEqual(['t5', 't4']);
    await run('t6');
    const second = await pageAt(`limit=2&cursor=${first.nextCursor}`);
    expect(second.names).toEqual(['t3', 't2']);
    const third = await pageAt(`limit=2&cursor=${second.nextCursor}`);
    expect(third).toEqual({ names: ['t1'], nextCursor: null });
    const oldest = await pageAt('limit=4&order=oldest');
    expect(oldest.names).toEqual(['t1', 't2', 't3', 't4']);
    expect((await pageAt(`limit=4&order=oldest&cursor=${oldest.nextCursor}`)).names).toEqual(['t5', 't6']);
    expect((await pageAt('name=t3')).names).toEqual(['t3']);
  });

  it('of transactions are filtered by participant, by heuristic reports, by doubt and by age', async () => {
    const odd = new ScriptedParticipant({ commit: { heuristic: 'hazard' } });
    app.get(ParticipantRegistry).register(odd, { name: 'odd' });
    app
      .get(ParticipantRegistry)
      .register(new ScriptedParticipant({ commitOnePhase: 'hang' }), { name: 'doubtful' });
    await transactions.run({ name: 'odd-one', branches: [branch('odd', 1)] });
    await stall();
    void transactions.run({ name: 'doubtful-one', branches: [branch('doubtful', 1)] });
    const names = async (query: string): Promise<string[]> => {
      const { body } = await ask('get', `/transactions?${query}`, READER);
      return (body as { transactions: { name: string }[] }).transactions.map(({ name }) => name);
    };

    expect(await names('participant=odd')).toEqual(['odd-one']);
    expect(await names('heuristic=true')).toEqual(['odd-one']);
    expect(await names('inDoubt=true')).toEqual(['doubtful-one']);
    expect(await names('stalled=true')).toEqual(['sale']);
    expect(await names('minAgeMs=1')).toEqual([]);
    expect(await names('minAgeMs=0&heuristic=false')).toEqual(['doubtful-one', 'sale']);
  });
});
