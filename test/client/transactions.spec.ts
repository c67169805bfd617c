import { mkdtempSync, rmSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  CoordinatorRefusedError,
  CoordinatorUnreachableError,
  type Outcome,
  type RequestOutcomeUnknownError,
  Transaction,
  TransactionManager,
  branch,
} from '../../src/client/index.js';
import { TransactionManager as Coordinator, Participant } from '../../src/coordinator/index.js';
import { CoordinatorRuntime } from '../../src/coordinator/execution/coordinator-runtime.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { Willing } from '../library/support/participants.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { TestServer } from '../server/support.js';
import { clientOf } from './support.js';

@Participant({ name: 'stock' })
class Stock extends Willing {}

const BRANCHES = [branch(Stock, { sku: 'lamp' } as never), branch('money', { amount: 300 })];

describe('A caller in another process', () => {
  let server: TestServer;
  let proxy: TcpProxy;
  let direct: TransactionManager;
  let client: TransactionManager;

  beforeAll(async () => {
    server = await TestServer.start({ retryBaseMs: 1, completionWaitMs: 20 });
    proxy = await TcpProxy.open({ host: '127.0.0.1', port: Number(new URL(server.url).port) });
    direct = clientOf([server]);
    client = clientOf([`http://127.0.0.1:${proxy.port}/dtc`]);
  });
  afterAll(async () => {
    for (const manager of [direct, client]) manager.onApplicationShutdown();
    await proxy.close();
    await server.close();
  });
  afterEach(() => {
    proxy.repair();
    server.stock.script = {};
    server.money.script = {};
  });

  /** Loses the answer to each of the first requests whose text has this part. */
  function loseAnswers(part: string, times = 1): () => number {
    let lost = 0;
    proxy.rule = (data, direction) => {
      if (direction === 'down' || lost === times || !data.includes(part)) return 'pass';
      lost++;
      return 'cut-answer';
    };
    return () => lost;
  }

  it('runs a transaction, names participants by class and by name, and gets its outcome', async () => {
    const outcome = await direct.run({ name: 'order', branches: BRANCHES });
    expect(outcome.status).toBe('committed');
    expect(server.stock.calls.at(-1)?.branch.payload).toEqual({ sku: 'lamp' });
    expect((await direct.find(outcome.transactionId))?.name).toBe('order');
    expect(await direct.outcomeOf(outcome.transactionId)).toEqual({
      transactionId: outcome.transactionId,
      status: 'committed',
    });
  });

  it('passes on the attributes of a transaction, and is told which of them are refused', async () => {
    const attributes = { orderId: '4711' };
    const ran = await direct.run({ branches: BRANCHES, attributes });
    const begun = await direct.begin({ attributes });
    await begun.rollback();
    const found = server.app.get(Coordinator).list({ attributes });
    expect(found.map(({ transactionId }) => transactionId)).toEqual([begun.id, ran.transactionId]);
    await expect(direct.run({ branches: [], attributes: { 'order id': '1' } })).rejects.toMatchObject({
      message: expect.stringContaining('attributes must have names of'),
    });
  });

  it('passes on the id of its request and its trace, and a repeat may have others', async () => {
    const exporter = new InMemorySpanExporter();
    const spanProcessors = [new SimpleSpanProcessor(exporter)];
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }));
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    onTestFinished(() => {
      trace.disable();
      context.disable();
    });
    const key = 'a-request-of-two-attempts';
    const request = { name: 'traced', branches: BRANCHES, key };
    const traces: string[] = [];
    const outcomes: Outcome[] = [];
    for (const requestId of ['r-1', 'r-2']) {
      await trace.getTracer('test').startActiveSpan(requestId, async (span) => {
        traces.push(span.spanContext().traceId);
        outcomes.push(await direct.run({ ...request, requestId }));
        span.end();
      });
    }
    const [first, again] = outcomes;
    expect(again).toEqual(first);
    const spans = exporter.getFinishedSpans();
    const ofTransaction = spans.filter(({ name }) => name === 'transaction traced');
    expect(ofTransaction.map((span) => span.spanContext().traceId)).toEqual([traces[0]]);
    const caller = spans.find(({ name }) => name === 'r-1')!.spanContext();
    expect(ofTransaction[0]!.parentSpanContext).toMatchObject({ spanId: caller.spanId, isRemote: true });
    const begun = await direct.begin({ requestId: 'r-3' });
    await begun.rollback();
    const { registry } = server.app.get(CoordinatorRuntime);
    const requestIdOf = (id: string) => registry.find(id)!.extras!.caller!.requestId;
    expect([requestIdOf(first!.transactionId), requestIdOf(begun.id)]).toEqual(['r-1', 'r-3']);
    await expect(direct.run({ branches: [], requestId: 'a\r\nb' })).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
    });
  });

  it('gets the refusal of a participant as an outcome', async () => {
    server.money.script = { prepare: { refuse: 'INSUFFICIENT_FUNDS', reason: 'too little' } };
    expect(await direct.run({ branches: BRANCHES })).toMatchObject({
      status: 'aborted',
      cause: 'refused',
      code: 'INSUFFICIENT_FUNDS',
      reason: 'too little',
    });
  });

  it('fault 32: never runs twice where the answer of run is lost', async () => {
    await client.run({ branches: [] });
    const lost = loseAnswers('POST /dtc/run', 3);
    const before = server.stock.count('prepare');
    const outcome = await client.run({ branches: BRANCHES });

    expect([outcome.status, lost()]).toEqual(['committed', 3]);
    expect(server.stock.count('prepare')).toBe(before + 1);
    expect(server.stock.effectOn(outcome.transactionId, 'stock')).toBe('committed');
  });

  it('gets the same outcome for a key that it sends again later', async () => {
    const first = await direct.run({ key: 'a-key', branches: BRANCHES });
    const before = server.stock.calls.length;
    expect(await client.run({ key: 'a-key', branches: BRANCHES })).toEqual(first);
    expect(server.stock.calls).toHaveLength(before);
    await expect(direct.run({ key: 'a-key', branches: [] })).rejects.toMatchObject({
      code: 'DTC_KEY_REUSED',
    });
  });

  it('loses nothing where every answer of a transaction step by step is lost once', async () => {
    const lost = loseAnswers('POST', 1);
    const transaction = await client.begin({ name: 'step by step' });
    expect(lost()).toBe(1);
    loseAnswers('/branches');
    const branchId = await transaction.enlist(branch(Stock, 1 as never));
    await transaction.enlist(branch('stock', 2, { branchId: 'two' }));
    loseAnswers('/commit');
    const outcome = await transaction.commit();

    expect(outcome).toEqual({ status: 'committed', transactionId: transaction.id });
    expect(await transaction.commit()).toBe(outcome);
    expect(transaction.state).toBe('COMMITTED');
    expect(server.stock.effectOn(transaction.id, branchId)).toBe('committed');
    expect((await client.find(transaction.id))?.branches).toHaveLength(2);
  });

  it('rolls back, and tells why', async () => {
    const transaction = await direct.begin();
    await transaction.enlist(branch('stock', 1));
    expect(await transaction.rollback('closed')).toMatchObject({ status: 'aborted', reason: 'closed' });
    await expect(transaction.enlist(branch('stock', 1))).rejects.toMatchObject({ code: 'DTC_NOT_ACTIVE' });
  });

  it('rules commit out', async () => {
    const transaction = await direct.begin();
    await transaction.setRollbackOnly('spoiled');
    expect(transaction.isRollbackOnly).toBe(true);
    expect(await transaction.commit()).toMatchObject({ status: 'aborted', reason: 'spoiled' });
  });

  it('tells pending with the id, and no guess, where no answer to a commit comes in time', async () => {
    const impatient = clientOf([`http://127.0.0.1:${proxy.port}/dtc`], { giveUpAfterMs: 100 });
    const transaction = await impatient.begin();
    proxy.rule = (_data, direction) => (direction === 'up' ? 'pass' : 'stall');
    const outcome = await transaction.commit();
    expect(outcome).toMatchObject({ status: 'pending', decision: 'unknown', transactionId: transaction.id });
    proxy.repair();
    // The request that was sent has had its effect.
    expect((await direct.outcomeOf(transaction.id)).status).toBe('committed');
    impatient.onApplicationShutdown();
  });

  it.each(['commit', 'rollback'] as const)(
    'names the code where the coordinator refuses to %s',
    async (how) => {
      const unknown = await direct.join('coordinator.aaaaaaaaaaaa.1.1')[how]();
      expect(unknown).toMatchObject({
        status: 'pending',
        decision: 'unknown',
        code: 'DTC_TRANSACTION_NOT_FOUND',
        reason: expect.stringContaining('no longer kept') as unknown,
      });
      const stranger = clientOf([server], { token: 'the-token-of-nothing' });
      const transaction = await direct.begin();
      expect(await stranger.join(transaction.id)[how]()).toMatchObject({
        status: 'pending',
        code: 'DTC_UNAUTHENTICATED',
      });
      stranger.onApplicationShutdown();
      await transaction.rollback();
    },
  );

  it('says that it is not known whether a run was done, where no answer comes in time', async () => {
    const impatient = clientOf([`http://127.0.0.1:${proxy.port}/dtc`], { giveUpAfterMs: 150 });
    await impatient.run({ branches: [] });
    proxy.rule = (_data, direction) => (direction === 'up' ? 'pass' : 'stall');
    await expect(impatient.run({ key: 'lost', branches: BRANCHES })).rejects.toMatchObject({
      code: 'DTC_OUTCOME_UNKNOWN',
      requestKey: 'lost',
    });
    proxy.repair();
    const before = server.stock.calls.length;
    expect((await direct.run({ key: 'lost', branches: BRANCHES })).status).toBe('committed');
    expect(server.stock.calls).toHaveLength(before);
    impatient.onApplicationShutdown();
  });

  it('can only roll back after a branch whose enlisting was not answered', async () => {
    const impatient = clientOf([`http://127.0.0.1:${proxy.port}/dtc`], { giveUpAfterMs: 100 });
    const transaction = await impatient.begin();
    proxy.rule = (_data, direction) => (direction === 'up' ? 'pass' : 'stall');
    await expect(transaction.enlist(branch('stock', 1))).rejects.toMatchObject({
      code: 'DTC_OUTCOME_UNKNOWN',
    });
    proxy.cut();
    proxy.repair();
    expect(await transaction.commit()).toMatchObject({ status: 'aborted', cause: 'rolled-back' });
    impatient.onApplicationShutdown();
  });

  it('says that nothing was begun where no member can be reached', async () => {
    const lost = clientOf(['http://127.0.0.1:1/dtc'], { giveUpAfterMs: 50 });
    await expect(lost.run({ branches: [] })).rejects.toThrow(CoordinatorUnreachableError);
    expect(await lost.outcomeOf('c.aaaaaaaaaaaa.1.1')).toMatchObject({ status: 'unknown' });
  });

  it('ends waiting requests when the application shuts down', async () => {
    const leaving = clientOf(['http://127.0.0.1:1/dtc'], { giveUpAfterMs: 300_000 });
    const waiting = leaving.run({ branches: [] }).catch((error: unknown) => error);
    leaving.onApplicationShutdown();
    expect(await waiting).toBeInstanceOf(CoordinatorUnreachableError);
  });

  it('fails at once for a refusal that no other try would change', async () => {
    await expect(direct.run({ branches: [branch('nowhere', 1)] })).rejects.toMatchObject({
      code: 'DTC_UNKNOWN_PARTICIPANT',
      status: 503,
    });
    const stranger = clientOf([server], { token: 'the-token-of-no-one' });
    await expect(stranger.run({ branches: [] })).rejects.toMatchObject({ code: 'DTC_UNAUTHENTICATED' });
    await expect(stranger.outcomeOf('x')).rejects.toThrow(CoordinatorRefusedError);
    stranger.onApplicationShutdown();
  });

  it('goes on without a branch that the coordinator has refused', async () => {
    const transaction = await direct.begin();
    await transaction.enlist(branch('stock', 1));
    await expect(transaction.enlist(branch('nowhere', 1))).rejects.toMatchObject({
      code: 'DTC_UNKNOWN_PARTICIPANT',
    });
    expect(transaction.isRollbackOnly).toBe(false);
    expect((await transaction.commit()).status).toBe('committed');
  });

  it('hears a refusal at once where the other members cannot be reached', async () => {
    const several = clientOf(['http://127.0.0.1:1/dtc', server]);
    await expect(several.run({ branches: [branch('nowhere', 1)] })).rejects.toMatchObject({
      code: 'DTC_UNKNOWN_PARTICIPANT',
    });
    several.onApplicationShutdown();
  });

  it('refuses a payload that cannot be sent, and names the place', async () => {
    await expect(direct.run({ branches: [branch('stock', { at: [new Date()] })] })).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
      field: 'branches[0].payload.at[0]',
    });
    class Unnamed extends Willing {}
    await expect(direct.run({ branches: [branch(Unnamed, 1 as never)] })).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
    });
  });

  describe('with several members', () => {
    it('goes to another address when the first one is dead, and to the next one when it dies', async () => {
      const several = clientOf(['http://127.0.0.1:1/dtc', `http://127.0.0.1:${proxy.port}/dtc`, server]);
      expect((await several.run({ branches: BRANCHES })).status).toBe('committed');
      proxy.cut();
      expect((await several.run({ branches: BRANCHES })).status).toBe('committed');
      several.onApplicationShutdown();
    });

    it('does not run a request at the member of another coordinator', async () => {
      const stranger = await TestServer.start();
      const several = clientOf([`http://127.0.0.1:${proxy.port}/dtc`, stranger], { giveUpAfterMs: 200 });
      await several.run({ branches: [] });
      proxy.rule = (data, direction) => (direction === 'up' && data.includes('/run') ? 'cut' : 'pass');
      await expect(several.run({ branches: BRANCHES })).rejects.toMatchObject({
        code: 'DTC_OUTCOME_UNKNOWN',
      });
      expect(stranger.stock.calls).toEqual([]);
      several.onApplicationShutdown();
      await stranger.close();
    });
  });

  it('says that the outcome is not known where the coordinator was restarted without its keys', async () => {
    const first = await TestServer.start({}, undefined, {}, undefined);
    const port = Number(new URL(first.url).port);
    const through = await TcpProxy.open({ host: '127.0.0.1', port });
    const caller = clientOf([`http://127.0.0.1:${through.port}/dtc`], { giveUpAfterMs: 5_000 });
    await caller.run({ branches: [] });
    const arrived = Promise.withResolvers<void>();
    through.rule = (data, direction) => {
      if (direction === 'up' && data.includes('/run')) arrived.resolve();
      return direction === 'down' ? 'stall' : 'pass';
    };
    const request = { key: 'once', branches: [branch('stock', 1)] };
    const lost = caller.run(request).catch((error: unknown) => error);
    await arrived.promise;
    while (first.stock.calls.length === 0) await delay(1);
    const second = await TestServer.start();
    through.target = { host: '127.0.0.1', port: Number(new URL(second.url).port) };
    through.cut();
    through.repair();
    const error = (await lost) as RequestOutcomeUnknownError;
    expect(error).toMatchObject({
      code: 'DTC_OUTCOME_UNKNOWN',
      requestKey: 'once',
      ofRun: (await first.ask('GET', '')).body.run as string,
      message: expect.stringContaining('no longer knows') as unknown,
    });
    expect(second.stock.calls).toEqual([]);

    // A request that was never sent before is for the present run.
    const other = clientOf([second]);
    expect((await other.run({ branches: [branch('stock', 1)] })).status).toBe('committed');
    for (const manager of [caller, other]) manager.onApplicationShutdown();
    await through.close();
    await Promise.all([first.close(), second.close()]);
  });

  it('fault 32: does not run a key again at a later run of the same log', async () => {
    const path = mkdtempSync(join(tmpdir(), 'callers-'));
    const start = (): Promise<TestServer> =>
      TestServer.start({ name: 'shop', log: new SqliteDecisionLog({ path }), completionWaitMs: 1_000 });
    const first = await start();
    const through = await TcpProxy.open({ host: '127.0.0.1', port: Number(new URL(first.url).port) });
    const [caller, early] = [0, 1].map(() => clientOf([`http://127.0.0.1:${through.port}/dtc`]));
    for (const manager of [caller!, early!]) await manager.run({ branches: [] });
    through.rule = (_data, direction) => (direction === 'down' ? 'stall' : 'pass');
    const request = { key: 'once', branches: [branch('stock', 1)] };
    const lost = caller!.run(request).catch((problem: unknown) => problem);
    while (first.stock.count('prepare') + first.stock.count('commitOnePhase') === 0) await delay(1);
    await first.close();
    const second = await start();
    through.target = { host: '127.0.0.1', port: Number(new URL(second.url).port) };
    through.cut();
    through.repair();
    const error = (await lost) as RequestOutcomeUnknownError;
    const unknown = { code: 'DTC_OUTCOME_UNKNOWN', requestKey: 'once', ofRun: error.ofRun };
    expect(error).toMatchObject({ ...unknown, ofRun: expect.stringMatching(/\.1$/) as unknown });
    // A decorated method takes no run, so a call of it that is repeated is run again.
    expect(error.message).toContain(`by run() or beginOnce() with this key and ofRun ${error.ofRun}`);
    expect(error.message).toContain('call the decorated method again if the coordinator was not restarted');

    // One that knows the earlier run only, and one that knows the present one and repeats what the error has
    // told.
    await expect(early!.run(request)).rejects.toMatchObject(unknown);
    await expect(caller!.run({ ...request, ofRun: error.ofRun })).rejects.toMatchObject(unknown);
    expect(second.stock.count('prepare') + second.stock.count('commitOnePhase')).toBe(0);
    expect((await caller!.run({ ...request, key: 'another' })).status).toBe('committed');
    for (const manager of [caller!, early!]) manager.onApplicationShutdown();
    await through.close();
    await second.close();
    rmSync(path, { recursive: true });
  });

  it('does not say that nothing was begun where no member answers a repeat for a known run', async () => {
    const lost = clientOf(['http://127.0.0.1:1/dtc'], { giveUpAfterMs: 50 });
    const repeat = { key: 'kept', ofRun: 'aaaaaaaaaaaa.1', branches: [] };
    await expect(lost.run(repeat)).rejects.toMatchObject({ code: 'DTC_OUTCOME_UNKNOWN' });
    await expect(lost.run({ ...repeat, ofRun: 'a\nb' })).rejects.toMatchObject({ field: 'ofRun' });
    await expect(lost.run({ ofRun: repeat.ofRun, branches: [] })).rejects.toMatchObject({ field: 'ofRun' });
    lost.onApplicationShutdown();
  });
});

/** An answer like that of a coordinator. */
const COMMITTED = '{"status":"committed","transactionId":"c.aaaaaaaaaaaa.1.1"}';

describe('A coordinator that is hostile', () => {
  let server: Server;
  let reply: { status: number; headers?: Record<string, string>; body: string };
  let client: TransactionManager;
  let redirected = 0;

  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === '/elsewhere') redirected++;
      response
        .writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers })
        .end(reply.body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    client = clientOf([`http://127.0.0.1:${port}/dtc`], { giveUpAfterMs: 60, maxAnswerBytes: 1_024 });
  });
  afterAll(() => {
    client.onApplicationShutdown();
    server.closeAllConnections();
    server.close();
  });

  it.each([
    ['a redirect', { status: 307, headers: { location: '/elsewhere' }, body: COMMITTED }],
    ['a page', { status: 200, headers: { 'content-type': 'text/html' }, body: COMMITTED }],
    ['JSON of another form', { status: 200, body: '{"status":"committed"}' }],
    [
      'an outcome of another transaction',
      { status: 200, body: '{"status":"committed","transactionId":"b"}' },
    ],
    ['too much', { status: 200, body: JSON.stringify('x'.repeat(5_000)) }],
    ['half of JSON', { status: 200, body: '{"status":' }],
    ['an error of a gateway', { status: 502, body: COMMITTED }],
  ])('makes no commit of %s', async (_what, answer) => {
    reply = answer;
    const transaction = client.join('c.aaaaaaaaaaaa.1.1');
    const outcome: Outcome = await transaction.commit();
    expect(outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    await expect(client.run({ branches: [] })).rejects.toMatchObject({
      code: expect.stringMatching(/^DTC_(OUTCOME_UNKNOWN|COORDINATOR_UNREACHABLE)$/) as unknown,
    });
    expect(redirected).toBe(0);
    expect(transaction).toBeInstanceOf(Transaction);
  });
});
