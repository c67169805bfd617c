import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type INestApplicationContext, Logger } from '@nestjs/common';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, createTraceState, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { type Branch, TransactionManager, branch } from '../../src/coordinator/index.js';
import {
  MemoryReplicaGuardStore,
  ParticipantHost,
  ParticipantHostModule,
  credentialsFrom,
} from '../../src/host/index.js';
import { idOf, runOf } from '../support/identity.js';
import { Books, ledgerOf } from './support/ledger.js';
import { type Host, TOKEN, startCoordinator, startHost } from './support/services.js';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close();
});

async function host(books: Books, options: Parameters<typeof startHost>[1] = {}): Promise<Host> {
  const started = await startHost([ledgerOf('stock', books)], options);
  open.push(started.app);
  return started;
}

async function coordinator(...given: Parameters<typeof startCoordinator>): Promise<INestApplicationContext> {
  const started = await startCoordinator(...given);
  open.push(started);
  return started;
}

const post = (
  address: string,
  calls: object[],
  token = TOKEN,
  participant = 'stock',
  { name, logId, epoch, token: run } = runOf(),
): Promise<Response> => {
  return fetch(`${address}/calls`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({
      version: 1,
      participant,
      run: { name, logId, epoch, token: run, durable: true },
      calls,
    }),
  });
};

const prepareOf = (sequence: number) => ({
  method: 'prepare',
  transactionId: idOf('shop', 1, sequence),
  branchId: 'stock',
  attempt: 0,
  timeLeftMs: 2_000,
  payload: { amount: 1 },
});

describe('A participant host', () => {
  it('may be away when the coordinator starts, and takes branches as soon as it is there', async () => {
    const books = new Books();
    const first = await startHost([ledgerOf('stock', books)]);
    const { address, port } = first;
    await first.app.close();
    const application = await coordinator(
      { participants: [{ name: 'stock', address }] },
      { recoveryIntervalMs: 30 },
    );
    const run = () =>
      application
        .get(TransactionManager)
        .run({ branches: [branch('stock', { amount: 1 })] })
        .then(
          ({ status }) => status,
          ({ code }: { code: string }) => code,
        );
    expect(await run()).toBe('DTC_PARTICIPANT_NOT_CLAIMED');
    await host(books, { port });
    await expect.poll(run).toBe('committed');
  });

  it('finishes its calls when it stops, and tells new ones to try again', async () => {
    const books = new Books();
    const { app, address } = await host(books, { shutdownGraceMs: 5_000 });
    const gate = Promise.withResolvers<undefined>();
    books.scripts.prepare = () => gate.promise;
    const running = post(address, [prepareOf(1)]);
    await expect.poll(() => books.of('prepare')).toBe(1);
    const closed = app.close();
    await expect.poll(() => app.get(ParticipantHost).view().status).toBe('stopping');
    expect((await fetch(`${address}/health`)).status).toBe(503);
    expect(await (await post(address, [prepareOf(2)])).json()).toMatchObject({ kind: 'try-again' });
    gate.resolve(undefined);
    expect(await (await running).json()).toEqual({ id: 0, kind: 'vote', vote: 'commit' });
    await closed;
  });

  it('answers in time for work that ignores its signal, which takes no place of another participant', async () => {
    const [books, others] = [new Books(), new Books()];
    const { app, address } = await startHost([ledgerOf('stock', books), ledgerOf('payment', others)], {
      maxCalls: 2,
    });
    open.push(app);
    const gate = Promise.withResolvers<undefined>();
    books.scripts.prepare = () => gate.promise;
    const prepare = { ...prepareOf(1), timeLeftMs: 50 };
    expect(await (await post(address, [prepare])).json()).toMatchObject({ kind: 'try-again' });
    const rollback = { ...prepare, method: 'rollback' };
    expect(await (await post(address, [rollback])).json()).toMatchObject({ kind: 'try-again' });
    const atWork = (): number => app.get(ParticipantHost).view().atWork;
    await expect.poll(atWork).toBe(1);
    await post(address, [{ ...prepareOf(2), timeLeftMs: 50 }]);
    expect(await (await post(address, [prepareOf(3)])).json()).toMatchObject({
      kind: 'try-again',
      reason: 'the host is at work on 2 calls of "stock"',
    });
    expect(await (await post(address, [prepareOf(3)], TOKEN, 'payment')).json()).toMatchObject({
      vote: 'commit',
    });
    gate.resolve(undefined);
    await expect.poll(atWork).toBe(0);
    expect(await (await post(address, [rollback])).json()).toMatchObject({ kind: 'done' });
  });

  it('aborts the signal of a call whose time is over, also one that is asked for later', async () => {
    const books = new Books();
    const { address } = await host(books);
    const gate = Promise.withResolvers<undefined>();
    const branches: Branch[] = [];
    const stopped: unknown[] = [];
    books.scripts.prepare = (branch) => {
      branches.push(branch);
      if (branches.length === 1) {
        branch.signal.addEventListener('abort', () => stopped.push(branch.signal.reason));
      }
      return gate.promise;
    };
    const response = await post(
      address,
      [1, 2].map((sequence) => Object.assign(prepareOf(sequence), { timeLeftMs: 50 })),
    );
    // The first answer may come alone.
    await response.text();
    const overTime = expect.objectContaining({ name: 'TimeoutError' }) as unknown;
    expect(stopped).toEqual([overTime]);
    expect(branches[1]!.signal).toMatchObject({ aborted: true, reason: overTime });
    gate.resolve(undefined);
  });

  it.each(['express', 'fastify'] as const)(
    'answers 503 on %s when it cannot read its tokens',
    async (platform) => {
      let isReadable = true;
      const credentials = (): string => {
        if (!isReadable) throw new Error('the file is away');
        return TOKEN;
      };
      const { address } = await host(new Books(), { platform, credentials });
      isReadable = false;
      const answer = await post(address, [prepareOf(1)]);
      expect([answer.status, await answer.json()]).toMatchObject([
        503,
        { code: 'DTC_CREDENTIALS_UNREADABLE' },
      ]);
      isReadable = true;
      expect((await post(address, [prepareOf(1)])).status).toBe(200);
    },
  );

  it('answers each call of a message alone, however slow another one is', async () => {
    const books = new Books();
    const { address } = await host(books);
    const gate = Promise.withResolvers<undefined>();
    books.scripts.prepare = ({ transactionId }) =>
      transactionId === idOf('shop', 1, 1) ? gate.promise : undefined;
    const answer = await post(address, [prepareOf(1), prepareOf(2)]);
    const reader = answer.body!.getReader();
    const first = await reader.read();
    expect(JSON.parse(Buffer.from(first.value).toString())).toEqual({ id: 1, kind: 'vote', vote: 'commit' });
    gate.resolve(undefined);
    const second = await reader.read();
    expect(JSON.parse(Buffer.from(second.value).toString())).toEqual({
      id: 0,
      kind: 'vote',
      vote: 'commit',
    });
  });

  it('drops records when the coordinator says that they are over, and refuses a late prepare of them', async () => {
    const guard = new MemoryReplicaGuardStore();
    const { address } = await host(new Books(), { guard, purgeIntervalMs: 20 });
    const application = await coordinator({
      participants: [{ name: 'stock', address }],
      forgetIntervalMs: 20,
    });
    const transactions = application.get(TransactionManager);
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => transactions.run({ branches: [branch('stock', { amount: 1 })] })),
    );
    expect(outcomes.every(({ status }) => status === 'committed')).toBe(true);
    // One that still runs keeps the records of all later ones.
    const running = transactions.begin();
    running.enlist(branch('stock', { amount: 1 }));
    await transactions.run({ branches: [branch('stock', { amount: 1 })] });
    await expect.poll(() => guard.size).toBe(1);
    expect(await running.commit()).toMatchObject({ status: 'committed' });
    await expect.poll(() => guard.size).toBe(0);
    expect(await guard.isOver(running.id)).toBe(true);
    expect(
      await guard.insert(
        { participant: 'stock', transactionId: running.id, branchId: 'late' },
        { state: 'preparing' },
        1,
        true,
      ),
    ).toEqual({
      isWritten: false,
      stored: undefined,
    });
  });

  it('takes low-water marks only of a run that it serves, and only those that are its own', async () => {
    const { address } = await host(new Books());
    const forget = (epoch: number, sequence: number) => ({
      method: 'forgetBelow',
      timeLeftMs: 2_000,
      marks: [{ epoch, sequence }],
    });
    const answerTo = async (call: object, run = runOf()): Promise<unknown> =>
      JSON.parse(await (await post(address, [call], TOKEN, 'stock', run)).text());

    expect(await answerTo(prepareOf(5))).toMatchObject({ kind: 'vote', vote: 'commit' });
    const copy = { ...runOf(), token: 'the-token-of-a-copy' };
    expect(await answerTo(forget(1, 9), copy)).toMatchObject({
      kind: 'error',
      code: 'DTC_GUARD_RUN_CONFLICT',
    });
    expect(await answerTo(forget(2, 9))).toMatchObject({ kind: 'error' });
    expect(await answerTo(forget(0, 1))).toMatchObject({ kind: 'error' });
    expect(await answerTo(prepareOf(6))).toMatchObject({ kind: 'vote', vote: 'commit' });

    expect(await answerTo(forget(1, 7))).toMatchObject({ kind: 'done' });
    expect(await answerTo(prepareOf(7))).toMatchObject({ kind: 'vote', vote: { code: 'TRANSACTION_OVER' } });
  });

  it('takes several tokens, and new ones from their file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tokens-'));
    const file = join(folder, 'tokens');
    writeFileSync(file, 'the-first-token-of-it\nthe-second-token-of-it\n');
    const { address } = await host(new Books(), { credentials: credentialsFrom(file) });
    const statusWith = async (token: string): Promise<number> =>
      (await post(address, [prepareOf(1)], token)).status;
    expect(
      await Promise.all(
        ['the-first-token-of-it', 'the-second-token-of-it', 'the-third-token-of-it'].map(statusWith),
      ),
    ).toEqual([200, 200, 401]);
    writeFileSync(file, 'the-second-token-of-it\nthe-third-token-of-it\n');
    await expect.poll(() => statusWith('the-third-token-of-it'), { timeout: 3_000 }).toBe(200);
    expect(await statusWith('the-first-token-of-it')).toBe(401);
    rmSync(folder, { recursive: true });
    expect(await statusWith('the-second-token-of-it')).toBe(200);
  });

  it('serves only the coordinators that it names', async () => {
    const { address } = await host(new Books(), { coordinators: ['other'] });
    expect(await (await post(address, [prepareOf(1)])).json()).toMatchObject({
      code: 'DTC_COORDINATOR_REFUSED',
    });
  });

  it('tells of work that took effect after another replica had ended its branch', async () => {
    const guard = new MemoryReplicaGuardStore();
    const [books, others] = [new Books(), new Books()];
    const [one, other] = [await host(books, { guard }), await host(others, { guard })];
    const gate = Promise.withResolvers<undefined>();
    books.scripts.prepare = () => gate.promise;
    const prepare = { ...prepareOf(1), timeLeftMs: 50 };
    await post(one.address, [prepare]);
    const rollback = async () => (await post(other.address, [{ ...prepare, method: 'rollback' }])).json();
    await expect.poll(rollback).toEqual({ id: 0, kind: 'done' });
    const lines: string[] = [];
    const write = (line: unknown): number => lines.push(String(line));
    Logger.overrideLogger({ log: write, warn: write, error: write });
    gate.resolve(undefined);
    await expect.poll(() => lines.length).toBe(2);
    Logger.overrideLogger(false);
    const named = `branch "stock" of ${prepare.transactionId} at "stock"`;
    expect(lines[0]).toContain(
      `The prepare of ${named} took effect after another replica had ended the branch`,
    );
    expect(lines[1]).toContain(`The late prepare of ${named} was undone`);
    expect(one.app.get(ParticipantHost).view()).toMatchObject({ lateWork: 1, defects: 0 });
    expect(other.app.get(ParticipantHost).view().lateWork).toBe(0);
  });

  it('records a call as a span, whose parent is the call of the coordinator', async () => {
    const exporter = new InMemorySpanExporter();
    const contextManager = new AsyncLocalStorageContextManager().enable();
    context.setGlobalContextManager(contextManager);
    trace.setGlobalTracerProvider(
      new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
    );
    try {
      const { address } = await host(new Books());
      const application = await coordinator({ participants: [{ name: 'stock', address }] });
      await application.get(TransactionManager).run({ branches: [branch('stock', { amount: 1 })] });
      const named = (name: string) => exporter.getFinishedSpans().find((span) => span.name === name);
      await expect.poll(() => named('dtc host commitOnePhase')).toBeDefined();
      const served = named('dtc host commitOnePhase')!;
      expect(served.attributes).toMatchObject({
        'dtc.transaction.id': expect.stringMatching(/^shop\./) as unknown,
        'dtc.branch.id': 'stock',
        'dtc.participant': 'stock',
        'dtc.answer': 'vote',
        'dtc.decision': 'commit',
      });
      const caller = exporter
        .getFinishedSpans()
        .find((span) => span.spanContext().spanId === served.parentSpanContext?.spanId);
      expect(served.kind).toBe(SpanKind.SERVER);
      expect(caller?.attributes).toMatchObject({ 'dtc.participant': 'stock' });
    } finally {
      trace.disable();
      context.disable();
    }
  });

  it('gives its participants and its lines the id of the request, and its spans the state of the trace', async () => {
    const exporter = new InMemorySpanExporter();
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    trace.setGlobalTracerProvider(
      new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
    );
    const lines: object[] = [];
    const write = (line: unknown): number => lines.push({ ...(line as object) });
    onTestFinished(() => {
      trace.disable();
      context.disable();
      Logger.overrideLogger(false);
    });
    const books = new Books();
    const seen: unknown[] = [];
    books.scripts.prepare = ({ requestId }) => void seen.push(requestId);
    books.scripts.commit = ({ requestId, attempt }) => {
      seen.push(requestId);
      if (attempt === 1) throw Object.assign(new Error('no route'), { code: 'EHOSTUNREACH' });
    };
    const { address } = await host(books);
    const application = await coordinator(
      { participants: [{ name: 'stock', address }] },
      { retryBaseMs: 10 },
    );
    Logger.overrideLogger({ log: write, warn: write, error: write });
    const caller = {
      traceId: 'a'.repeat(32),
      spanId: 'b'.repeat(16),
      traceFlags: 1,
      traceState: createTraceState('vendor=1'),
    };
    const branches = [
      branch('stock', { amount: 1 }),
      { ...branch('stock', { amount: 2 }), branchId: 'more' },
    ];
    const outcome = await context.with(trace.setSpanContext(ROOT_CONTEXT, caller), () =>
      application.get(TransactionManager).run({ branches, requestId: 'r-1' }),
    );
    expect(outcome.status).toBe('committed');
    expect(new Set(seen)).toEqual(new Set(['r-1']));
    expect(seen.length).toBeGreaterThan(4);
    const failed = lines.filter((line) =>
      String((line as { msg?: unknown }).msg).startsWith('commit failed: '),
    );
    // Of the host, and of the coordinator: both in one process here.
    expect(failed).toContainEqual({
      msg: 'commit failed: no route',
      transactionId: outcome.transactionId,
      branchId: 'more',
      attempt: 1,
      participant: 'stock',
      requestId: 'r-1',
      trace_id: caller.traceId,
      span_id: expect.any(String) as unknown,
      cause: 'failed',
      code: 'EHOSTUNREACH',
    });
    const ofHost = exporter
      .getFinishedSpans()
      .filter(({ kind, attributes }) => kind === SpanKind.SERVER && 'dtc.branch.id' in attributes);
    for (const span of ofHost) {
      expect(span.spanContext().traceId).toBe(caller.traceId);
      expect(span.spanContext().traceState?.serialize()).toBe('vendor=1');
    }
    const broken = ofHost.find(({ status }) => status.code === SpanStatusCode.ERROR)!;
    expect(broken).toMatchObject({
      name: 'dtc host commit',
      status: { message: 'no route' },
      attributes: { 'error.type': 'EHOSTUNREACH', 'dtc.attempt': 1, 'dtc.answer': 'error' },
    });
  });

  it.each([
    [{ guard: undefined }, 'guard: must be a store'],
    [{ credentials: 'short' }, 'credentials: must be one or several tokens of at least 16'],
    [{ credentials: [] }, 'credentials: must be'],
    [{ prefix: ':id' }, 'prefix: must be a path'],
    [{ maxCalls: 0 }, 'maxCalls: must be a whole number'],
    [{ port: 3000 }, 'port: is not an option'],
  ])('does not start with the options %j', (given, problem) => {
    const options = { credentials: TOKEN, guard: 'memory', ...given } as never;
    expect(() => ParticipantHostModule.forRoot(options)).toThrow(problem);
  });
});
