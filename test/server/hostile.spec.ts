import { APP_FILTER } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { APPLICATION_OPTIONS, createHttpAdapter } from '../../src/configure-app.js';
import { ProblemFilter } from '../../src/operations/problem/problem.filter.js';
import { Random } from '../simulation/random.js';
import { CALLER, PARTICIPANT, TestServer } from './support.js';

const SEED = 20_261_129;
/** `npm run test:ci` sends more. */
const REQUESTS = Number(process.env['HOSTILE_REQUESTS'] ?? 2_000);
const AT_ONCE = 16;
const TIMEOUT_MS = 60_000 + 10 * REQUESTS;

const IDS = [
  'x',
  '..',
  '%00',
  '%ff',
  "a'--",
  'constructor',
  '__proto__',
  'coordinator.aaaaaaaaaaaa.1.1',
  'coordinator.aaaaaaaaaaaa.zzzz.9999999999999',
  'a'.repeat(300),
  '%0d%0aSet-Cookie:a=b',
];

const KEYS = [
  undefined,
  '',
  'k',
  'k'.repeat(128),
  'k'.repeat(129),
  'two words',
  '\u00e9',
  '__proto__',
  'k,k',
];

const TOKENS = [
  CALLER.token,
  CALLER.token,
  CALLER.token,
  PARTICIPANT.token,
  'x'.repeat(600),
  'unknown-token-123',
  '',
];

const VALUES: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1.5,
  1e308,
  '',
  'stock',
  'money',
  '\u0000',
  '\ud800',
  'x'.repeat(70_000),
  [],
  {},
  [null],
  { a: { b: [1] } },
  { toString: 1, constructor: null },
];

const FIELDS = [
  'participant',
  'payload',
  'branchId',
  'name',
  'timeoutMs',
  'prepareInTurn',
  'branches',
  'reason',
  'x',
];

/** Lists that are nested so deep that reading them one inside the other would overflow the stack. */
const DEEP = `{"branches":[{"participant":"stock","payload":${'['.repeat(9_000)}${']'.repeat(9_000)}}]}`;

const RAW = [
  DEEP,
  '{',
  '',
  'null',
  '[]',
  '"x"',
  '{"__proto__":{}}',
  '{"branches":[{"participant":"stock"}]',
  '\u0000',
];

/** Makes requests of a caller that is out of its mind, or wants to break something. */
class HostileCaller {
  constructor(private readonly random: Random) {}

  request(ids: readonly string[]): {
    method: 'GET' | 'POST' | 'PUT' | 'DELETE';
    url: string;
    headers: Record<string, string>;
    payload?: string;
  } {
    const id = this.one(this.random.chance(0.5) && ids.length > 0 ? ids : IDS);
    const url = this.one([
      '/dtc',
      '/dtc/run',
      '/dtc/run',
      '/dtc/transactions',
      '/dtc/transactions',
      '/dtc/participants',
      `/dtc/participants/${id}`,
      `/dtc/transactions/${id}`,
      `/dtc/transactions/${id}/decision`,
      `/dtc/transactions/${id}/branches`,
      `/dtc/transactions/${id}/branches`,
      `/dtc/transactions/${id}/commit`,
      `/dtc/transactions/${id}/rollback`,
      `/dtc/transactions/${id}/rollback-only`,
    ]);
    const method = this.one(['GET', 'POST', 'POST', 'POST', 'POST', 'PUT', 'DELETE'] as const);
    const key = this.random.chance(0.5) ? `key-${this.random.whole(1, 1_000_000)}` : this.one(KEYS);
    const headers: Record<string, string> = { authorization: `Bearer ${this.one(TOKENS)}` };
    if (key !== undefined) headers['idempotency-key'] = key;
    if (this.random.chance(0.1)) headers['dtc-run'] = this.one(['x', 'aaaaaaaaaaaa.1', '\u00e9', '']);
    if (method === 'GET') return { method, url, headers };
    headers['content-type'] = this.random.chance(0.05) ? 'text/plain' : 'application/json';
    const payload = this.random.chance(0.15) ? this.one(RAW) : JSON.stringify(this.body(url));
    return { method, url, headers, payload };
  }

  private body(url: string): Record<string, unknown> {
    const valid: Record<string, unknown> = url.endsWith('/run')
      ? { branches: [{ participant: this.one(['stock', 'money']), payload: this.one(VALUES) }] }
      : url.endsWith('/branches')
        ? { participant: 'stock', branchId: this.one(['a', 'b', 'c']), payload: this.one(VALUES) }
        : {};
    for (let changes = this.random.whole(0, 2); changes > 0; changes--)
      valid[this.one(FIELDS)] = this.one(VALUES);
    return valid;
  }

  private one<T>(list: readonly T[]): T {
    return this.random.pick(list);
  }
}

describe('A hostile caller', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await TestServer.start(
      { maxInFlight: 500, timeoutMs: 2_000, retainFinished: 100 },
      undefined,
      { providers: [{ provide: APP_FILTER, useClass: ProblemFilter }] },
      // As the application configures it: what no route and no filter sees is a problem as well.
      (module) => module.createNestApplication(createHttpAdapter(), APPLICATION_OPTIONS),
    );
  });
  afterAll(() => server.close());

  it(
    `gets an answer of the documented form to each of ${REQUESTS} requests (seed ${SEED})`,
    async () => {
      const fastify = server.app.getHttpAdapter().getInstance() as FastifyInstance;
      const hostile = new HostileCaller(new Random(SEED, 0));
      const ids: string[] = [];
      const statuses = new Map<number, number>();
      const wrong: unknown[] = [];
      let left = REQUESTS;
      const worker = async (): Promise<void> => {
        while (left-- > 0) {
          const request = hostile.request(ids);
          const { statusCode, headers, body } = await fastify.inject(request);
          statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
          const begun =
            statusCode === 201 ? (JSON.parse(body) as { transactionId: string }).transactionId : undefined;
          if (begun !== undefined && ids.push(begun) > 50) ids.shift();
          const isProblem = String(headers['content-type']).startsWith('application/problem+json');
          const isRight = statusCode < 400 ? !isProblem : isProblem;
          if ((statusCode >= 500 && statusCode !== 503) || !isRight)
            wrong.push({ request, statusCode, body });
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));

      expect(wrong.slice(0, 3)).toEqual([]);
      // It reached what is behind the checks, too.
      for (const status of [200, 201, 400, 401, 403, 404, 409])
        expect([status, statuses.get(status) ?? 0]).not.toContain(0);
      expect(server.log.entries.filter(({ level }) => level === 'error')).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it('leaves a coordinator that runs the transactions of others', async () => {
    const { body } = await server.run('afterwards', [{ participant: 'stock', payload: 1 }]);
    expect(body.status).toBe('committed');
  });
});
