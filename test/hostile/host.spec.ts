import { Test } from '@nestjs/testing';
import type { FastifyInstance } from 'fastify';
import type { INestApplication } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { APPLICATION_OPTIONS, createHttpAdapter } from '../../src/configure-app.js';
import {
  type Branch,
  MemoryReplicaGuardStore,
  Participant,
  ParticipantHostModule,
  type TransactionParticipant,
  type Vote,
  branchKey,
} from '../../src/host/index.js';
import { ProblemFilter } from '../../src/operations/problem/problem.filter.js';
import { LogRecorder } from '../library/support/log-recorder.js';
import { Random } from '../simulation/random.js';

const SEED = 20_261_132;
/** How many messages are sent; `npm run test:ci` sends 5,000. */
const MESSAGES = Number(process.env['HOSTILE_REQUESTS'] ?? 5_000) / 10;
const AT_ONCE = 16;
/** That of Fastify. */
const BODY_LIMIT = 1_048_576;
const TOKEN = 'the-token-of-the-coordinator';
const RUN = { name: 'shop', logId: 'aaaaaaaaaaaa', epoch: 1, token: 'run-1', durable: true };
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** Writes down what takes effect. It refuses no work. */
@Participant({ name: 'stock' })
class Stock implements TransactionParticipant {
  readonly prepared = new Set<string>();
  readonly ended = new Map<string, 'committed' | 'rolled back'>();
  readonly wrong: string[] = [];

  prepare(branch: Branch): Vote {
    const key = branchKey(branch);
    if (this.ended.has(key)) this.wrong.push(`${key} is prepared after its end`);
    this.prepared.add(key);
    return 'commit';
  }

  commit(branch: Branch): void {
    const key = branchKey(branch);
    if (!this.prepared.has(key)) this.wrong.push(`${key} is committed and was not prepared`);
    if (this.ended.get(key) === 'rolled back') this.wrong.push(`${key} is committed after a rollback`);
    this.ended.set(key, 'committed');
  }

  rollback(branch: Branch): void {
    const key = branchKey(branch);
    if (this.ended.get(key) === 'committed') this.wrong.push(`${key} is rolled back after its commit`);
    this.ended.set(key, 'rolled back');
  }
}

const VALUES: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1.5,
  1e308,
  '',
  'stock',
  '\u0000',
  '\ud800',
  'no\r\n{"level":"info","msg":"forged"}\u001b[2J\u2028',
  "'; DROP TABLE dtc_host_branches; --",
  'x'.repeat(5_000),
  [],
  {},
  [null],
  { toString: 1, constructor: null },
];
const RAW: readonly string[] = [
  '',
  '{',
  'null',
  '[]',
  '"x"',
  '{"__proto__":{"version":1}}',
  '['.repeat(9_000),
  `{"version":1,"calls":${'['.repeat(9_000)}${']'.repeat(9_000)}}`,
];
const TOKENS = [TOKEN, TOKEN, TOKEN, TOKEN, TOKEN, '', 'x'.repeat(600), 'the-token-of-a-stranger'];
const METHODS = ['prepare', 'commit', 'rollback', 'commitOnePhase'] as const;
const OTHERS = ['claim', 'recover', 'forgetBelow', 'capabilities', '__proto__', 'PREPARE', ''] as const;
const FIELDS = [
  'method',
  'transactionId',
  'branchId',
  'payload',
  'attempt',
  'timeLeftMs',
  'traceparent',
  'x',
];
const PATHS = [
  '/participants/branches/stock',
  '/participants/branches/__proto__',
  '/participants/branches/%00?after=x',
  `/participants/branches/stock?after=${'a'.repeat(300)}`,
  '/participants/branches/stock?after[]=x',
  '/participants/metrics',
  '/participants/health',
  '/participants/calls',
  '/participants/../x',
];

/**
 * A coordinator that is out of its mind, or another process with its token. The same seed sends the same
 * messages.
 */
class HostileCoordinator {
  constructor(private readonly random: Random) {}

  message(): string {
    const { random } = this;
    if (random.chance(0.1)) return random.pick(RAW);
    const message: Record<string, unknown> = {
      version: random.chance(0.97) ? 1 : random.pick([0, 2, '1', null]),
      participant: random.chance(0.97) ? 'stock' : random.pick(VALUES),
      run: random.chance(0.95) ? RUN : { ...RUN, [random.pick(Object.keys(RUN))]: random.pick(VALUES) },
      calls: random.chance(0.98)
        ? Array.from({ length: random.chance(0.98) ? random.whole(1, 6) : 300 }, () => this.call())
        : random.pick(VALUES),
    };
    if (random.chance(0.03)) message[random.pick(['x', '__proto__', 'toJSON'])] = random.pick(VALUES);
    return JSON.stringify(message);
  }

  private call(): unknown {
    const { random } = this;
    if (random.chance(0.02)) return random.pick(VALUES);
    const call: Record<string, unknown> = {
      method: random.chance(0.9) ? random.pick(METHODS) : random.pick(OTHERS),
      // Few of them, so that orders meet each other.
      transactionId: `shop.aaaaaaaaaaaa.1.${random.whole(1, 200)}`,
      branchId: random.pick(['a', 'b']),
      payload: random.pick(VALUES),
      attempt: random.whole(0, 3),
      timeLeftMs: random.whole(1, 5_000),
    };
    if (random.chance(0.15)) call[random.pick(FIELDS)] = random.pick(VALUES);
    return call;
  }
}

describe(`A participant host with a hostile coordinator (seed ${SEED})`, () => {
  const log = new LogRecorder();
  const stock = new Stock();
  let app: INestApplication;
  let fastify: FastifyInstance;

  beforeAll(async () => {
    const module = await Test.createTestingModule({
      imports: [ParticipantHostModule.forRoot({ credentials: TOKEN, guard: new MemoryReplicaGuardStore() })],
      providers: [{ provide: Stock, useValue: stock }],
    })
      .setLogger(log)
      .compile();
    app = module.createNestApplication(createHttpAdapter(BODY_LIMIT), APPLICATION_OPTIONS);
    app.useGlobalFilters(new ProblemFilter(app.get(HttpAdapterHost)));
    await app.init();
    fastify = app.getHttpAdapter().getInstance() as FastifyInstance;
    await fastify.ready();
  });
  afterAll(() => app.close());

  const send = (payload: string, token = TOKEN) =>
    fastify.inject({
      method: 'POST',
      url: '/participants/calls',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      payload,
    });

  it(
    `answers ${MESSAGES} messages in the documented form, and keeps the rules of each branch`,
    async () => {
      const random = new Random(SEED, 1);
      const hostile = new HostileCoordinator(new Random(SEED, 2));
      const wrong: unknown[] = [];
      const statuses = new Map<number, number>();
      const kinds = new Map<string, number>();
      let [left, forged] = [MESSAGES, 0];

      const check = (payload: string, body: string): void => {
        const { calls } = JSON.parse(payload) as { calls: unknown[] };
        const lines = body
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as { id: number; kind: string });
        for (const { kind } of lines) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        const ids = new Set(lines.map(({ id }) => id));
        const isComplete = calls.every((_, id) => ids.has(id)) && [...ids].every((id) => id < calls.length);
        if (!isComplete) wrong.push({ payload: payload.slice(0, 500), body: body.slice(0, 500) });
      };
      const worker = async (): Promise<void> => {
        while (left-- > 0) {
          const isCall = random.chance(0.9);
          const [payload, token] = [hostile.message(), random.pick(TOKENS)];
          const { statusCode, headers, body } = isCall
            ? await send(payload, token)
            : await fastify.inject({
                method: random.pick(['GET', 'GET', 'PUT', 'DELETE'] as const),
                url: random.pick(PATHS),
                headers: { authorization: `Bearer ${token}` },
              });
          statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
          const isProblem = String(headers['content-type']).startsWith('application/problem+json');
          if (isProblem !== statusCode >= 400 || statusCode >= 500) wrong.push({ payload, statusCode, body });
          // A body that is too large, or no JSON, is refused before its token.
          if (isCall && token !== TOKEN && ![400, 401, 413].includes(statusCode))
            wrong.push({ token, statusCode });
          if (isCall && statusCode === 200) check(payload, body);
          forged += log.entries.splice(0).filter(({ text }) => CONTROL.test(text)).length;
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));

      expect(wrong.slice(0, 3)).toEqual([]);
      expect(stock.wrong).toEqual([]);
      expect(forged).toBe(0);
      for (const status of [200, 400, 401, 404]) expect([...statuses.keys()]).toContain(status);
      // It reached the work, and the guard.
      for (const kind of ['vote', 'done', 'error']) expect([...kinds.keys()]).toContain(kind);
      expect([...new Set(stock.ended.values())].toSorted()).toEqual(['committed', 'rolled back']);
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    },
    60_000 + 10 * MESSAGES,
  );

  it('serves the next transaction of a coordinator that behaves', async () => {
    const call = (method: string, attempt: number): object => ({
      method,
      transactionId: 'shop.aaaaaaaaaaaa.1.9999',
      branchId: 'a',
      payload: 1,
      attempt,
      timeLeftMs: 5_000,
    });
    for (const [method, kind] of [
      ['prepare', '"vote":"commit"'],
      ['commit', '"kind":"done"'],
    ] as const) {
      const { body } = await send(
        JSON.stringify({ version: 1, participant: 'stock', run: RUN, calls: [call(method, 1)] }),
      );
      expect(body).toContain(kind);
    }
  });
});
