import { APP_FILTER } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { APPLICATION_OPTIONS, createHttpAdapter } from '../../src/configure-app.js';
import {
  type RegistrationStore,
  RemoteParticipants,
  RemoteParticipantsModule,
} from '../../src/remote/index.js';
import { ProblemFilter } from '../../src/operations/problem/problem.filter.js';
import type { LoggedRegistration } from '../../src/coordinator/index.js';
import { Random } from '../simulation/random.js';
import { CALLER, OPERATOR, PARTICIPANT, TestServer } from './support.js';

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

/** The only origin at which participants may register. No process listens there. */
const ALLOWED = 'http://127.0.0.1:9';

/** Addresses that are not allowed, or look as if they were. A few are allowed. */
const ADDRESSES: readonly unknown[] = [
  `${ALLOWED}/participants`,
  `${ALLOWED}/../`,
  'http://127.0.0.1/',
  'http://127.0.0.1:10/',
  'https://127.0.0.1:9/',
  'http://user:word@127.0.0.1:9/',
  'http://127.0.0.1:9@evil.example/',
  'http://127.0.0.1:9.evil.example/',
  'http://evil.example/127.0.0.1:9',
  'http://127.0.0.1.evil.example:9/',
  'http://evil.example#@127.0.0.1:9/',
  'http://evil.example\\@127.0.0.1:9/',
  `${ALLOWED}/?x=1`,
  `${ALLOWED}/#x`,
  'http://[::ffff:127.0.0.1]:9/',
  'http://[::1]:9/',
  'http://[fe80::1]:9/',
  'http://169.254.169.254/latest/meta-data',
  'http://0/',
  'http://0x7f000001:10/',
  'http://127.0.0.1:65536/',
  'http://127\u30020\u30020\u30021:9/',
  `${ALLOWED}/\r\nX-Forged: 1`,
  `${ALLOWED}/${'a'.repeat(3_000)}`,
  '//127.0.0.1:9/',
  'ftp://127.0.0.1:9/',
  'file:///etc/passwd',
  'javascript:1',
  'unix:/var/run/x',
  '',
  null,
  9,
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
  OPERATOR.token,
  'x'.repeat(600),
  'unknown-token-123',
  '',
];

/** Of those who register participants. */
const REGISTRARS = [PARTICIPANT.token, OPERATOR.token, CALLER.token, ''];

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
      `/dtc/participants/${this.one(['inventory', 'billing', 'stock', 'Inventory', 'x'.repeat(40)])}`,
      `/dtc/transactions/${id}`,
      `/dtc/transactions/${id}/decision`,
      `/dtc/transactions/${id}/branches`,
      `/dtc/transactions/${id}/branches`,
      `/dtc/transactions/${id}/commit`,
      `/dtc/transactions/${id}/rollback`,
      `/dtc/transactions/${id}/rollback-only`,
    ]);
    const isRegistrar = url.startsWith('/dtc/participants/');
    const method = isRegistrar
      ? this.one(['GET', 'POST', 'PUT', 'PUT', 'PUT', 'PUT', 'DELETE'] as const)
      : this.one(['GET', 'POST', 'POST', 'POST', 'POST', 'PUT', 'DELETE'] as const);
    const key = this.random.chance(0.5) ? `key-${this.random.whole(1, 1_000_000)}` : this.one(KEYS);
    const headers: Record<string, string> = {
      authorization: `Bearer ${this.one(isRegistrar ? REGISTRARS : TOKENS)}`,
    };
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
        : url.startsWith('/dtc/participants/')
          ? { address: this.random.chance(0.1) ? `${ALLOWED}/participants` : this.one(ADDRESSES) }
          : {};
    for (let changes = this.random.whole(0, 2); changes > 0; changes--)
      valid[this.one(FIELDS)] = this.one(VALUES);
    return valid;
  }

  private one<T>(list: readonly T[]): T {
    return this.random.pick(list);
  }
}

function registrationsInMemory(): RegistrationStore {
  const kept = new Map<string, LoggedRegistration>();
  let revision = 0;
  return {
    register: async (registration) =>
      void kept.set(registration.name, { ...registration, revision: ++revision, isRemoved: false }),
    unregister: async (name) => {
      const known = kept.get(name);
      if (known !== undefined) kept.set(name, { ...known, revision: ++revision, isRemoved: true });
    },
    registrations: async () => [...kept.values()],
  };
}

describe('A hostile caller', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await TestServer.start(
      { allowMemoryLog: true, maxInFlight: 500, timeoutMs: 2_000, retainFinished: 100 },
      undefined,
      {
        imports: [
          RemoteParticipantsModule.forRoot({
            credentials: 'the-token-of-the-tests',
            adminTimeoutMs: 50,
            allow: [ALLOWED],
            registrations: registrationsInMemory(),
          }),
        ],
        providers: [{ provide: APP_FILTER, useClass: ProblemFilter }],
      },
      // As the application configures it: a request that no route and no filter sees is answered with a
      // problem as well.
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
      // No process listens where participants may register. On a busy machine the time is over before that is
      // known.
      const unreached = ['connect ECONNREFUSED 127.0.0.1:9', 'before the call was sent'];
      const errors = server.log.entries.filter(({ level }) => level === 'error').map(({ text }) => text);
      expect(errors.filter((text) => !unreached.some((why) => text.includes(why)))).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it('has registered no address but an allowed one, and no name of a participant of the coordinator', () => {
    const registered = server.app.get(RemoteParticipants).list();
    for (const { name, address } of registered) {
      expect(name).toMatch(/^[a-z][a-z0-9-]{0,31}$/);
      expect(['stock', 'money']).not.toContain(name);
      const { origin, username, search, hash } = new URL(address);
      expect([origin, username, search, hash]).toEqual([ALLOWED, '', '', '']);
      expect(address).toMatch(/^[!-~]+$/);
    }
    expect(registered.length).toBeGreaterThan(0);
  });

  it('leaves a coordinator that runs the transactions of others', async () => {
    const { body } = await server.run('afterwards', [{ participant: 'stock', payload: 1 }]);
    expect(body.status).toBe('committed');
  });
});
