import { once } from 'node:events';
import { Agent, type IncomingMessage, type Server, createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HttpAdapterHost } from '@nestjs/core';
import { APPLICATION_OPTIONS, createHttpAdapter } from '../../src/configure-app.js';
import { CoordinatorStatus } from '../../src/coordinator/index.js';
import { ProblemFilter } from '../../src/operations/problem/problem.filter.js';
import type { Platform } from '../library/support/platforms.js';
import { RestAtClient } from '../rest-at/client.js';
import { type RunningCoordinator, startModule } from '../rest-at/coordinators.js';
import { Random } from '../simulation/random.js';
import { HostileParticipants } from './rest-at-participants.js';

const SEED = 20_261_131;
/** How many requests of clients, and as many answers of participants; `npm run test:ci` takes 2,000. */
const TIMES = Math.min(2_000, Number(process.env['HOSTILE_REQUESTS'] ?? 4_000) / 10);
const AT_ONCE = 16;
const TIMEOUT_MS = 60_000 + 50 * TIMES;
const TOKEN = 'the-token-of-the-shop';
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

const IDS = [
  'x',
  '..',
  '%00',
  '%ff',
  '%2e%2e%2f',
  "a'--",
  '__proto__',
  'constructor',
  'coordinator.aaaaaaaaaaaa.1.1',
  'coordinator.aaaaaaaaaaaa.zzzz.9999999999999',
  'a'.repeat(300),
  '%0d%0aSet-Cookie:a=b',
  'a,b',
  'a"b',
];
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const;
const TYPES = [
  'application/txstatus',
  'application/txstatus',
  'application/x-www-form-urlencoded',
  'text/plain',
  'application/json',
  'multipart/form-data; boundary=x',
  ';',
  '',
];
const ACCEPTS = [
  'application/txstatus',
  'application/txlist',
  'application/txstatusext+xml',
  'text/html',
  '*/*;q=0',
  '',
];
const BODIES = [
  '',
  'txstatus=TransactionCommitted',
  'txstatus=TransactionCommitted',
  'txstatus=TransactionRolledBack',
  'txstatus=TransactionRollbackOnly',
  'txstatus=TransactionRollbackOnly',
  'txstatus=TransactionCommitted ',
  'txstatus=TransactionPrepared',
  'txstatus=__proto__',
  'txstatus=TransactionCommitted&txstatus=TransactionRolledBack',
  'timeout=1',
  'timeout=-1',
  'timeout=1e9',
  'timeout=99999999999999999999',
  'timeout=1&timeout=2',
  '\u0000',
  '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>',
  'x'.repeat(5_000),
];

/** Requests that no sane client sends. The same seed makes the same ones. */
class HostileRestAtClient {
  /** The URLs that the coordinator has told it. */
  readonly urls: string[] = [];

  constructor(
    private readonly random: Random,
    private readonly base: string,
    private readonly addresses: readonly string[],
  ) {}

  next(): { method: string; path: string; headers: Record<string, string>; body: string | undefined } {
    const { random } = this;
    const known = random.chance(0.5) && this.urls.length > 0 ? random.pick(this.urls) : undefined;
    const path = known ?? `${this.base}/${this.resource()}`;
    const tail = random.pick([
      '',
      '',
      '',
      '/terminator',
      '/terminator',
      '/volatile-participant',
      '/x',
      '?a=b',
      '/',
    ]);
    const method = random.chance(0.7) ? random.pick(['GET', 'POST', 'PUT'] as const) : random.pick(METHODS);
    const body = method === 'GET' || method === 'HEAD' ? undefined : random.pick(BODIES);
    const headers: Record<string, string> = {
      authorization: random.chance(0.95) ? `Bearer ${TOKEN}` : random.pick(['', 'Bearer', 'Bearer x']),
    };
    if (random.chance(0.8)) headers['content-type'] = random.pick(TYPES);
    if (random.chance(0.5)) headers['accept'] = random.pick(ACCEPTS);
    if (random.chance(0.5)) headers['link'] = this.link();
    if (random.chance(0.03)) headers['host'] = random.pick(['', 'a b', 'evil.example/x', 'x'.repeat(300)]);
    if (random.chance(0.05)) headers['origin'] = 'http://evil.example';
    return { method, path: path + tail, headers, body };
  }

  private resource(): string {
    const { random } = this;
    const [one, two] = [random.pick(IDS), random.pick(IDS)];
    return random.pick([
      'transaction-manager',
      'transaction-manager',
      'transaction-manager/statistics',
      `transaction-manager/${one}`,
      `recovery-coordinator/${one}/${two}`,
      one,
      '',
    ]);
  }

  private link(): string {
    const { random } = this;
    const url = (): string => random.pick(this.addresses);
    const relation = (): string =>
      random.pick([
        'participant',
        'terminator',
        'prepare',
        'commit',
        'rollback',
        'volatile-participant',
        'x',
      ]);
    return random.pick([
      () => `<${url()}>; rel="participant", <${url()}>; rel="terminator"`,
      () => `<${url()}>; rel="participant", <${url()}>; rel="terminator"`,
      () => `<${url()}>; rel="volatile-participant"`,
      () => Array.from({ length: random.whole(1, 20) }, () => `<${url()}>; rel="${relation()}"`).join(', '),
      () => `<${'a'.repeat(3_000)}>; rel="participant"`,
      () => `${' '.repeat(4_000)}<`,
      () => '<>;;;rel',
    ])();
  }
}

/**
 * As the programs of this repository do: a request that no route takes is answered with a problem as well.
 */
const createApplication: Platform = (module) => {
  const app = module.createNestApplication(createHttpAdapter(), APPLICATION_OPTIONS);
  return app.useGlobalFilters(new ProblemFilter(app.get(HttpAdapterHost)));
};

/** A server that must not be called. */
async function openTrap(): Promise<{ readonly server: Server; readonly url: string; calls: number }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const trap = { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls: 0 };
  server.on('request', (_request, response) => {
    trap.calls++;
    response.end();
  });
  return trap;
}

describe(`REST-AT with hostile clients and participants (seed ${SEED})`, () => {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const statuses = new Map<number, number>();
  const wrong: unknown[] = [];
  let trap: Awaited<ReturnType<typeof openTrap>>;
  let participants: HostileParticipants;
  let coordinator: RunningCoordinator;
  let client: RestAtClient;
  let [committed, transactions, controls] = [0, 0, 0];

  beforeAll(async () => {
    trap = await openTrap();
    participants = await HostileParticipants.open(new Random(SEED, 1), trap.url);
    coordinator = await startModule(
      {
        callers: [{ name: 'shop', token: TOKEN }],
        allow: [participants.origin],
        prepareTimeoutMs: 400,
        completionTimeoutMs: 200,
        maxAttempts: 20,
        maxTimeoutMs: 3_000,
      },
      { retainFinished: 100, completionWaitMs: 200, maxInFlight: 500 },
      ['the application', createApplication],
    );
    client = new RestAtClient(coordinator.client.base, { authorization: `Bearer ${TOKEN}` });
  });
  afterAll(async () => {
    agent.destroy();
    await coordinator.close();
    await participants.close();
    trap.server.closeAllConnections();
    trap.server.close();
  });

  const forged = (): number =>
    coordinator.log.entries.splice(0).filter(({ text }) => CONTROL.test(text)).length;

  async function send(hostile: HostileRestAtClient): Promise<void> {
    const { method, path, headers, body } = hostile.next();
    const url = new URL(client.base);
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
    const all = { ...headers, ...length };
    const sent = httpRequest({ host: url.hostname, port: url.port, agent, method, path, headers: all });
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
    sent.end(body);
    const [response] = await answered.catch(() => [undefined]);
    const { statusCode: status = 0, headers: told } = response ?? { headers: {} };
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (response === undefined) return;
    const isClosed = once(response, 'close');
    response.resume();
    await isClosed;
    // An end is told as a status, and everything else as a problem.
    const isRight = status < 400 || /^application\/(problem\+json|txstatus)/.test(told['content-type'] ?? '');
    if ((status >= 500 && status !== 503) || !isRight) wrong.push({ method, path, headers, body, status });
    if (status === 201 && hostile.urls.push(new URL(told.location!).pathname) > 50) hostile.urls.shift();
  }

  /** A client that behaves, whose participants do not. */
  async function order(): Promise<void> {
    const number = transactions++;
    const begun = await client.begin();
    for (const { link } of [participants.add(number), participants.add(number)]) {
      const { code } = await client.send('POST', begun.durable, { link });
      if (code !== 201) wrong.push({ enlisted: code });
    }
    const { code, text } = await client.commit(begun);
    const isPromised = code === 202 || text === 'txstatus=TransactionCommitted';
    if (isPromised && !participants.isAgreed(number)) wrong.push({ number, code, text });
    if (isPromised) committed++;
    else if (`${code} ${text}` !== '200 txstatus=TransactionRolledBack') wrong.push({ number, code, text });
  }

  it(
    `takes ${TIMES} requests and ${TIMES} answers: nothing commits without a yes, and no other address is called`,
    async () => {
      const hostile = new HostileRestAtClient(new Random(SEED, 2), new URL(client.base).pathname, [
        `${trap.url}/p`,
        `${participants.origin}@evil.example/`,
        `${participants.origin.replace('127.0.0.1', 'localhost')}/p`,
        `${participants.origin}.evil.example/`,
        `http://user:word@${new URL(participants.origin).host}/p`,
        'http://169.254.169.254/latest/meta-data',
        'http://[::1]:9/',
        'file:///etc/passwd',
        'javascript:1',
        'x',
        '',
      ]);
      let left = TIMES;
      const asking = async (): Promise<void> => {
        while (left-- > 0) await send(hostile);
      };
      const ordering = async (): Promise<void> => {
        while (participants.answers < TIMES) {
          await order();
          controls += forged();
        }
      };
      await Promise.all([asking, ordering].flatMap((work) => Array.from({ length: AT_ONCE }, () => work())));

      expect([wrong.slice(0, 3), participants.wrong.slice(0, 3)]).toEqual([[], []]);
      expect([committed > 0, committed < transactions]).toEqual([true, true]);
      // It reached what is behind the checks, too.
      for (const status of [200, 201, 400, 401, 403, 404])
        expect([status, statuses.get(status) ?? 0]).not.toContain(0);
      // The connection is closed after a body that is too long.
      expect(statuses.get(0) ?? 0).toBeLessThan(TIMES / 50);
      expect([trap.calls, controls]).toEqual([0, 0]);
    },
    TIMEOUT_MS,
  );

  it('ends everything once the participants answer as they should, and serves the next client', async () => {
    participants.isTired = true;
    const { condition } = { condition: () => coordinator.app.get(CoordinatorStatus).view().condition };
    await expect
      .poll(condition, { timeout: 30_000 })
      .toMatchObject({ inFlight: 0, stalled: 0, heuristic: 0 });
    await expect.poll(async () => (await order(), committed)).toBeGreaterThan(0);
    expect([participants.wrong, wrong, trap.calls, forged()]).toEqual([[], [], 0, 0]);
  });
});
