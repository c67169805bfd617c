import { ConsoleLogger, type INestApplication } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import request, { type Response } from 'supertest';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoordinatorModule, MemoryDecisionLog } from '../../coordinator/index.js';
import { FakeStore } from '../../outbox/fake-store.fixture.js';
import { OutboxModule } from '../../outbox/index.js';
import { OperationsModule } from '../operations.module.js';

const READER = 'a-reader-s-token-1';
const OPERATOR = 'an-operator-s-token';
const REASON = 'the receiver is repaired';

let app: INestApplication;
let store: FakeStore;
let log: MemoryDecisionLog;

async function start(hasOutbox = true): Promise<void> {
  store = new FakeStore();
  log = new MemoryDecisionLog();
  const module = await Test.createTestingModule({
    imports: [
      OperationsModule.forRoot({
        readers: [{ name: 'rita', token: READER }],
        operators: [{ name: 'alice', token: OPERATOR }],
      }),
      CoordinatorModule.forRoot({ log, shutdownGraceMs: 20 }),
      ...(hasOutbox ? [OutboxModule.forRoot({ stores: [store], send: () => {}, relay: false })] : []),
    ],
  })
    .setLogger(new ConsoleLogger({ logLevels: [] }))
    .compile();
  app = module.createNestApplication(new FastifyAdapter());
  await app.init();
  await (app.getHttpAdapter().getInstance() as { ready: () => Promise<void> }).ready();
}

beforeEach(() => start());
afterEach(() => app.close());

function get(path: string, token = READER): Promise<Response> {
  return request(app.getHttpServer() as string)
    .get(path)
    .set('Authorization', `Bearer ${token}`);
}

function post(path: string, body: object): Promise<Response> {
  return request(app.getHttpServer() as string)
    .post(path)
    .set('Authorization', `Bearer ${OPERATOR}`)
    .send({ reason: REASON, ...body });
}

function writeDead(count: number): void {
  for (let index = 0; index < count; index++)
    Object.assign(store.write(index === 0 ? 'k' : undefined), { state: 'dead', error: 'no', attempts: 3 });
}

describe('The outboxes', () => {
  it('are listed with the numbers of their messages', async () => {
    const { status, body } = await get('/outboxes');
    expect([status, body]).toEqual([
      200,
      {
        outboxes: [
          {
            name: 'fake',
            held: { waiting: 0, oldestMs: 0, dead: 0 },
            sent: 0,
            retried: 0,
            sending: 0,
            hanging: 0,
            problem: null,
          },
        ],
      },
    ]);
  });

  it('are none in an application without OutboxModule, which says so', async () => {
    await app.close();
    await start(false);
    expect((await get('/outboxes')).body).toEqual({ outboxes: [] });
    const { status, body } = await get('/outboxes/mail/dead');
    expect([status, body]).toMatchObject([404, { code: 'DTC_OUTBOX_NOT_FOUND' }]);
    expect((body as { detail: string }).detail).toContain('It has none');
  });

  it('show their dead messages page by page, and what one says to operators only', async () => {
    writeDead(3);
    const { body } = await get('/outboxes/fake/dead?limit=2');
    expect(body).toEqual({
      messages: [
        {
          id: 'id-1',
          topic: 'topic',
          key: 'k',
          position: 1,
          transactionId: 'shop.1.1',
          writtenAt: '2026-01-01T00:00:00.000Z',
          attempts: 3,
          error: 'no',
        },
        expect.objectContaining({ id: 'id-2', key: null }) as object,
      ],
      nextCursor: '2',
    });
    expect((await get('/outboxes/fake/dead?limit=2&cursor=2')).body).toMatchObject({
      messages: [{ id: 'id-3' }],
      nextCursor: null,
    });
    expect((await get('/outboxes/fake/dead/id-1')).body).toMatchObject({ code: 'DTC_FORBIDDEN' });
    expect((await get('/outboxes/fake/dead/id-1', OPERATOR)).body).toMatchObject({
      id: 'id-1',
      key: 'k',
      payload: '{"position":1}',
    });
    const missing = await get('/outboxes/fake/dead/id-9', OPERATOR);
    expect([missing.status, missing.body]).toMatchObject([404, { code: 'DTC_MESSAGE_NOT_FOUND' }]);
  });

  it.each([
    ['resend', 'waiting'],
    ['discard', 'sent'],
  ] as const)('carry out %s, and the audit trail has it first', async (action, state) => {
    writeDead(3);
    const { status, body } = await post(`/outboxes/fake/${action}`, { ids: ['id-1', 'id-3', 'id-9'] });
    expect([status, body]).toEqual([200, { done: 2, left: 1 }]);
    expect(store.messages.map((message) => message.state)).toEqual([state, 'dead', state]);
    expect((await get('/audit')).body).toMatchObject({
      entries: [{ by: 'alice', action, target: 'fake', reason: REASON, detail: 'id-1, id-3, id-9' }],
    });
  });

  it('do nothing that cannot be recorded', async () => {
    writeDead(1);
    log.audit = () => {
      throw new Error('disk full');
    };
    const { status, body } = await post('/outboxes/fake/discard', { ids: ['id-1'] });
    expect([status, body]).toMatchObject([503, { code: 'DTC_LOG_UNAVAILABLE' }]);
    expect(store.messages[0]!.state).toBe('dead');
  });

  it('say so when their database does not answer, and that an order has failed', async () => {
    writeDead(1);
    store.fault = () => 'before';
    const { status, body } = await post('/outboxes/fake/resend', { ids: ['id-1'] });
    expect([status, body]).toMatchObject([503, { code: 'DTC_OUTBOX_UNREACHABLE' }]);
    store.fault = () => undefined;
    const { body: audit } = await get('/audit');
    expect((audit as { entries: { detail: string }[] }).entries.map(({ detail }) => detail)).toEqual([
      'failed: The database of the outbox "fake" does not answer: the database is away',
      'id-1',
    ]);
  });

  it.each([
    { ids: [] },
    { ids: ['id-1', 'id-1'] },
    { ids: Array.from({ length: 101 }, (_, index) => `id-${index}`) },
    { ids: [7] },
    {},
    { ids: ['id-1'], force: true },
  ])('take no order such as %j', async (body) => {
    writeDead(1);
    expect((await post('/outboxes/fake/discard', body)).status).toBe(400);
    expect(store.messages[0]!.state).toBe('dead');
  });

  it.each(['limit=0', 'limit=501', 'cursor=-1', 'cursor=1;', 'topic=x'])(
    'list nothing for ?%s',
    async (query) => {
      const { status, body } = await get(`/outboxes/fake/dead?${query}`);
      expect([status, body]).toMatchObject([400, { code: 'DTC_BAD_REQUEST' }]);
    },
  );
});
