import {
  type Context,
  type ContextManager,
  DiagLogLevel,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type SpanContext,
  type TraceState,
  context,
  createTraceState,
  createContextKey,
  diag,
  trace,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AlwaysOffSampler,
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type CommitDecision,
  type CommitRecord,
  CoordinatorModule,
  type CoordinatorModuleOptions,
  CoordinatorStatus,
  HeuristicError,
  ParticipantRegistry,
  TransactionManager,
  type TransactionParticipant,
  branch,
  refuse,
} from '../../src/coordinator/index.js';
import { CoordinatorRuntime } from '../../src/coordinator/execution/coordinator-runtime.js';
import { activeTrace, inTraceOf } from '../../src/coordinator/observation/tracing/trace-context.js';
import {
  ManualClock,
  type ParticipantScript,
  ScriptedParticipant,
  recoverNow,
  settled,
} from '../../src/coordinator/testing/index.js';
import { ScriptedLog } from '../faults/scripted-log.js';
import { start } from './support/applications.js';
import { DECIDER, claimOf } from '../support/identity.js';

let exporter: InMemorySpanExporter;
/** The ids of all spans in the order of their beginning. */
const started: string[] = [];

class StartOrder implements SpanProcessor {
  onStart(span: ReadableSpan): void {
    started.push(span.spanContext().spanId);
  }

  onEnd(): void {}
  async forceFlush(): Promise<void> {}
  async shutdown(): Promise<void> {}
}

/** Registers what an application registers that traces. */
function startTracing(sampler?: Sampler): void {
  exporter = new InMemorySpanExporter();
  started.length = 0;
  const spanProcessors = [new SimpleSpanProcessor(exporter), new StartOrder()];
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors, ...(sampler && { sampler }) }));
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
}

/** What OpenTelemetry complains of, such as a span that is written to after its end. */
const complaints: unknown[] = [];

beforeEach(() => {
  complaints.length = 0;
  const complain = (...words: unknown[]): void => void complaints.push(words);
  const silent = (): void => {};
  diag.setLogger(
    { error: complain, warn: complain, info: silent, debug: silent, verbose: silent },
    DiagLogLevel.WARN,
  );
  startTracing();
});

afterEach(() => {
  trace.disable();
  context.disable();
  diag.disable();
  expect(complaints).toEqual([]);
});

/** A value that the caller has put into its context. */
const TENANT = createContextKey('tenant');

function asAcme<T>(work: () => Promise<T>): Promise<T> {
  return context.with(context.active().setValue(TENANT, 'acme'), work);
}

async function setUp(
  scripts: Record<string, ParticipantScript | TransactionParticipant>,
  options: CoordinatorModuleOptions = {},
) {
  const clock = new ManualClock();
  const given = {
    clock,
    random: () => 0.5,
    maxAttempts: 2,
    retryBaseMs: 20,
    shutdownGraceMs: 20,
    ...options,
  };
  const application = await start({ imports: [CoordinatorModule.forRoot(given)] });
  const registry = application.get(ParticipantRegistry);
  for (const [name, script] of Object.entries(scripts)) {
    const participant =
      typeof script.prepare === 'function' ? script : new ScriptedParticipant(script as ParticipantScript);
    registry.register(participant as TransactionParticipant, { name });
  }
  const branches = Object.keys(scripts).map((name) => branch(name, 1));
  const transactions = application.get(TransactionManager);
  const run = () => transactions.run({ name: 'transfer', branches });
  return { application, clock, registry, transactions, branches, run };
}

function spans(): ReadableSpan[] {
  return exporter.getFinishedSpans();
}

function span(name: string, turn = 0): ReadableSpan {
  const found = spans().filter((one) => one.name === name)[turn];
  if (found === undefined) throw new Error(`There is no ${name} among ${tree().join(', ')}.`);
  return found;
}

/** The finished spans in the order of their beginning, each below its parent. */
function tree(): string[] {
  const all = spans();
  const idOf = (one: ReadableSpan) => one.spanContext().spanId;
  const ids = new Set(all.map(idOf));
  const lines: string[] = [];
  const visit = (parents: ReadableSpan[], depth: number): void => {
    for (const one of parents.toSorted((a, b) => order(a) - order(b))) {
      lines.push('  '.repeat(depth) + one.name);
      visit(
        all.filter((child) => child.parentSpanContext?.spanId === idOf(one)),
        depth + 1,
      );
    }
  };
  visit(
    all.filter(({ parentSpanContext }) => !ids.has(parentSpanContext?.spanId ?? '')),
    0,
  );
  return lines;
}

function order(one: ReadableSpan): number {
  return started.indexOf(one.spanContext().spanId);
}

const OK = { code: SpanStatusCode.UNSET };

describe('a transaction that commits', () => {
  it('has a span, and one below it for each call and for its decision', async () => {
    const { run } = await setUp({ stock: {}, bank: {} });

    const { transactionId } = await run();

    expect(tree()).toEqual([
      'transaction transfer',
      '  prepare stock',
      '  prepare bank',
      '  decision',
      '  commit stock',
      '  commit bank',
    ]);
    const mine = { 'dtc.transaction.id': transactionId, 'dtc.transaction.name': 'transfer' };
    expect(span('transaction transfer').attributes).toEqual({
      ...mine,
      'dtc.decision': 'commit',
      'dtc.outcome': 'committed',
    });
    const stock = { 'dtc.participant': 'stock', 'dtc.branch.id': 'stock' };
    expect(span('prepare stock').attributes).toEqual({
      ...mine,
      ...stock,
      'dtc.vote': 'commit',
      'code.function.name': 'ScriptedParticipant.prepare',
    });
    expect(span('commit stock').attributes).toEqual({
      ...mine,
      ...stock,
      'dtc.attempt': 1,
      'code.function.name': 'ScriptedParticipant.commit',
    });
    expect(span('decision').attributes).toEqual({ ...mine, 'dtc.decision': 'commit' });
    for (const one of spans()) {
      expect([one.kind, one.status, one.instrumentationScope.name]).toEqual([
        SpanKind.INTERNAL,
        OK,
        'nestjs-dtc',
      ]);
    }
  });

  it("is a child of its caller's span, and ends before the caller continues", async () => {
    const { run } = await setUp({ stock: {}, bank: {} });

    await trace.getTracer('test').startActiveSpan('request', async (request) => {
      await run();
      expect(span('transaction transfer').ended).toBe(true);
      request.end();
    });

    expect(tree().slice(0, 3)).toEqual(['request', '  transaction transfer', '    prepare stock']);
  });

  it('keeps several that run at the same time apart', async () => {
    const { run } = await setUp({ stock: {}, bank: {} });

    const outcomes = await Promise.all(
      ['one', 'two', 'three'].map((name) =>
        trace.getTracer('test').startActiveSpan(name, async (request) => {
          const outcome = await run();
          request.end();
          return outcome;
        }),
      ),
    );

    for (const [index, name] of ['one', 'two', 'three'].entries()) {
      const { traceId } = span(name).spanContext();
      const ids = spans()
        .filter((one) => one.spanContext().traceId === traceId && one.name !== name)
        .map(({ attributes }) => attributes['dtc.transaction.id']);
      expect(ids).toEqual(Array(6).fill(outcomes[index]!.transactionId));
    }
  });

  it('has no decision of its own when all only read', async () => {
    const { run } = await setUp({ stock: { prepare: 'read-only' }, bank: { prepare: 'read-only' } });

    await run();

    expect(tree()).toEqual(['transaction transfer', '  prepare stock', '  prepare bank']);
    expect(span('prepare bank').attributes).toMatchObject({ 'dtc.vote': 'read-only' });
    expect(span('transaction transfer').attributes).toMatchObject({ 'dtc.outcome': 'committed' });
  });

  it('has one call when a single participant decides, whichever way', async () => {
    const { run } = await setUp({
      stock: { commitOnePhase: ['yes', { refuse: 'EMPTY', reason: 'no more' }] },
    });

    await run();
    await run();

    expect(tree()).toEqual([
      'transaction transfer',
      '  one-phase commit stock',
      'transaction transfer',
      '  one-phase commit stock',
    ]);
    expect(span('one-phase commit stock').attributes).toMatchObject({
      'dtc.decision': 'commit',
      'dtc.attempt': 1,
    });
    expect(span('one-phase commit stock', 1)).toMatchObject({
      status: OK,
      attributes: { 'dtc.decision': 'abort', 'dtc.refusal.code': 'EMPTY', 'dtc.refusal.reason': 'no more' },
    });
    expect(span('transaction transfer', 1)).toMatchObject({
      status: OK,
      attributes: { 'dtc.outcome': 'aborted', 'dtc.abort.cause': 'refused' },
    });
  });

  it('waits for a durable record within the span of its decision', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const log = new ScriptedLog({ append: (write) => promise.then(write) });
    const { run } = await setUp({ stock: {}, bank: {} }, { name: 'shop', log });

    const outcome = run();
    await settled();
    expect(tree()).toEqual(['prepare stock', 'prepare bank']);
    resolve();
    await outcome;

    expect(tree()).toContain('  decision');
    expect(order(span('commit stock'))).toBeGreaterThan(order(span('decision')));
  });
});

describe('while a participant is called', () => {
  /** Notes the active span in each method, at once and after a while, and a value of the caller's context. */
  class Witness implements TransactionParticipant {
    readonly seen: Record<string, unknown[]> = {};

    prepare = async (): Promise<'commit'> => {
      await this.look('prepare');
      return 'commit';
    };
    commit = (): Promise<void> => this.look('commit');
    rollback = (): Promise<void> => this.look('rollback');

    private async look(method: string): Promise<void> {
      const active = (): unknown[] => [
        trace.getActiveSpan()?.spanContext().spanId,
        context.active().getValue(TENANT),
      ];
      const before = active();
      trace.getTracer('driver').startSpan('query').end();
      await new Promise((resolve) => setImmediate(resolve));
      expect(active()).toEqual(before);
      this.seen[method] = before;
    }
  }

  it("its own span is the active one, so that its work belongs to it, and the context is the caller's", async () => {
    const [stock, bank] = [new Witness(), new Witness()];
    const { run } = await setUp({ stock, bank });

    await asAcme(async () => {
      await run();
      expect(trace.getActiveSpan()).toBeUndefined();
    });

    expect(tree()).toEqual([
      'transaction transfer',
      '  prepare stock',
      '    query',
      '  prepare bank',
      '    query',
      '  decision',
      '  commit stock',
      '    query',
      '  commit bank',
      '    query',
    ]);
    for (const [name, { seen }] of Object.entries({ stock, bank })) {
      for (const method of ['prepare', 'commit']) {
        expect(seen[method]).toEqual([span(`${method} ${name}`).spanContext().spanId, 'acme']);
      }
    }
  });

  it('a rollback is as well, and a later attempt, which comes from no caller', async () => {
    const stock = new Witness();
    const bank = new ScriptedParticipant({ prepare: 'no' });
    const { run, registry, transactions, clock } = await setUp({ stock, bank });
    await run();
    await settled();
    expect(stock.seen['rollback']![0]).toBe(span('rollback stock').spanContext().spanId);

    let attempts = 0;
    const active: unknown[] = [];
    const flaky = {
      prepare: () => 'commit' as const,
      commit() {
        active.push(trace.getActiveSpan()?.spanContext().spanId);
        if (++attempts === 1) throw new Error('not now');
      },
      rollback() {},
    };
    registry.register(flaky, { name: 'flaky' });
    const outcome = transactions.run({ name: 'other', branches: [branch('flaky', 1)] });
    await clock.advance(50);
    await outcome;
    expect(active).toEqual([0, 1].map((turn) => span('commit flaky', turn).spanContext().spanId));
  });

  it('includes a lazy query that starts when its promise is awaited', async () => {
    let active: Span | undefined;
    const stock = {
      prepare: () => ({
        then(resolve: (vote: 'commit') => void) {
          active = trace.getActiveSpan();
          resolve('commit');
        },
      }),
      commit() {},
      rollback() {},
    } as unknown as TransactionParticipant;
    const { run } = await setUp({ stock });

    await run();

    expect(active?.spanContext().spanId).toBe(span('prepare stock').spanContext().spanId);
  });

  it('an ambient one finds its transaction there as well', async () => {
    const { registry, transactions } = await setUp({});
    const seen: unknown[] = [];
    const look = (): void => {
      seen.push([transactions.current()?.id, trace.getActiveSpan()?.spanContext().spanId]);
    };
    const stock = {
      prepare() {
        look();
        return 'commit' as const;
      },
      commit: look,
      rollback() {},
    };
    registry.register(stock, { name: 'stock', ambient: true });

    const { transactionId } = await transactions.run({ branches: [branch('stock', 1)] });

    expect(seen).toEqual([
      [transactionId, span('prepare stock').spanContext().spanId],
      [transactionId, span('commit stock').spanContext().spanId],
    ]);
  });
});

describe('a transaction that aborts', () => {
  it('because a participant refuses is not an error, and names the participant and the reason', async () => {
    const refusing = { prepare: { refuse: 'OUT_OF_STOCK', reason: 'not enough left' } };
    const { run } = await setUp({ bank: {}, stock: refusing });

    await run();
    await settled();

    expect(tree()).toEqual(['transaction transfer', '  prepare bank', '  prepare stock', '  rollback bank']);
    expect(span('prepare stock')).toMatchObject({
      status: OK,
      attributes: {
        'dtc.vote': 'abort',
        'dtc.refusal.code': 'OUT_OF_STOCK',
        'dtc.refusal.reason': 'not enough left',
      },
    });
    expect(span('transaction transfer')).toMatchObject({
      status: OK,
      attributes: {
        'dtc.decision': 'abort',
        'dtc.outcome': 'aborted',
        'dtc.abort.cause': 'refused',
        'dtc.abort.participant': 'stock',
        'dtc.abort.code': 'OUT_OF_STOCK',
        'dtc.abort.reason': 'not enough left',
      },
    });
    expect(span('transaction transfer').attributes).not.toHaveProperty(['error.type']);
  });

  it('ends the prepares that are no longer awaited', async () => {
    const { run } = await setUp({ stock: { prepare: 'no' }, bank: { prepare: 'hang' } });

    await run();
    await settled();

    const { status, attributes } = span('prepare bank');
    expect(status).toEqual(OK);
    expect(attributes).toMatchObject({ 'dtc.abandoned': true });
    expect(attributes).not.toHaveProperty(['dtc.vote']);
  });

  it('ends a rollback that is overtaken by one after a late answer', async () => {
    const { run } = await setUp({ stock: { prepare: 'no' }, bank: { prepare: { answer: 'commit' } } });

    await run();
    await settled();

    expect(span('prepare bank').attributes).toMatchObject({ 'dtc.abandoned': true });
    expect(span('rollback bank').attributes).toMatchObject({ 'dtc.abandoned': true, 'dtc.attempt': 1 });
    expect(span('rollback bank', 1).attributes).not.toHaveProperty(['dtc.abandoned']);
    expect(span('rollback bank', 1).attributes).toMatchObject({ 'dtc.attempt': 2 });
  });

  it('ends the prepare of a paused participant, whose rollback waits', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stock = { prepare: { until: promise, then: 'no' } } as const;
    const { run, registry } = await setUp({ stock, bank: { prepare: 'hang' } });
    const outcome = run();
    registry.resolve('bank').paused = { since: 0, by: 'alice', reason: 'maintenance' };

    resolve();
    await outcome;

    expect(tree()).toEqual(['prepare stock', 'prepare bank']);
    expect(span('prepare bank').attributes).toMatchObject({ 'dtc.abandoned': true });
  });

  it('because a participant throws is an error, at the one that threw with the exception', async () => {
    const { run } = await setUp({ stock: { prepare: 'throw' }, bank: {} });

    await run();
    await settled();

    const { status, attributes, events } = span('prepare stock');
    expect(status.code).toBe(SpanStatusCode.ERROR);
    expect(attributes).toMatchObject({ 'error.type': 'Error' });
    expect(events).toMatchObject([{ name: 'exception', attributes: { 'exception.type': 'Error' } }]);
    expect(span('prepare bank').status).toEqual(OK);
    expect(span('transaction transfer')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'failed', 'dtc.abort.participant': 'stock' },
    });
  });

  it.each([
    [
      'no vote at all',
      { answer: { secret: 1 } },
      'invalid_answer',
      'answered prepare with an object, which is not a vote',
    ],
  ])('because of %s is an error', async (_, prepare, type, message) => {
    const { run } = await setUp({ stock: { prepare }, bank: {} });

    await run();
    await settled();

    expect(span('prepare stock')).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message },
      attributes: { 'error.type': type },
    });
  });

  it('for every thrown value: a value that is not an error is recorded as a text', async () => {
    const stock = {
      prepare() {
        // oxlint-disable-next-line typescript/only-throw-error -- participants do.
        throw 'a string';
      },
      commit() {},
      rollback() {},
    };
    const { run } = await setUp({ stock });

    await run();
    await settled();

    expect(span('prepare stock')).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message: 'a string' },
      attributes: { 'error.type': '_OTHER' },
      events: [{ attributes: { 'exception.message': 'a string' } }],
    });
  });

  it('because a participant is late ends its prepare when it is given up, and not when it answers', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stock = { prepare: { until: promise, then: 'yes' } } as const;
    const { run, clock } = await setUp({ stock, bank: { prepare: 'hang' } }, { timeoutMs: 500 });
    const outcome = run();
    await clock.advance(490);
    expect(tree()).toEqual([]);

    await clock.advance(10);
    await outcome;

    const late = { status: { code: SpanStatusCode.ERROR }, attributes: { 'error.type': 'timeout' } };
    expect(span('prepare stock')).toMatchObject(late);
    expect(span('prepare bank')).toMatchObject(late);
    expect(span('prepare stock').status.message).toBe('stock did not answer prepare within 500 ms');
    expect(span('transaction transfer')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'timed-out', 'dtc.abort.cause': 'timed-out' },
    });
    const before = span('prepare stock').endTime;
    resolve();
    await settled();
    await settled();

    expect(span('prepare stock').endTime).toEqual(before);
    expect(spans().filter(({ name }) => name === 'prepare stock')).toHaveLength(1);
  });

  it('sends a second rollback after a late answer in a trace of its own, which links to the transaction', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stock = { prepare: { until: promise, then: { answer: 'commit' } } } as const;
    const { run, clock } = await setUp({ stock, bank: {} }, { timeoutMs: 500 });
    const outcome = run();
    await clock.advance(500);
    await outcome;
    const { spanId, traceId } = span('transaction transfer').spanContext();
    expect(span('rollback stock').parentSpanContext?.spanId).toBe(spanId);

    resolve();
    await clock.advance(10);

    const second = span('rollback stock', 1);
    expect(second.parentSpanContext).toBeUndefined();
    expect(second.links).toMatchObject([{ context: { spanId, traceId } }]);
  });

  it('because the log has not taken the decision is an error of the decision', async () => {
    const log = new ScriptedLog({ append: () => Promise.reject(new Error('disk full')) });
    const { run } = await setUp({ stock: {}, bank: {} }, { name: 'shop', log });

    await run();
    await settled();

    expect(span('decision')).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message: 'disk full' },
      attributes: { 'dtc.decision': 'abort', 'error.type': 'not-recorded' },
    });
    expect(span('transaction transfer').attributes).toMatchObject({ 'error.type': 'not-recorded' });
  });
});

describe('a completion that fails', () => {
  it('has a span for each attempt, with the reason of its failure', async () => {
    const { run, clock } = await setUp({ stock: { commit: ['throw', 'yes'] }, bank: {} });

    const outcome = run();
    await clock.advance(50);
    await outcome;

    expect(span('commit stock')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'dtc.attempt': 1, 'error.type': 'Error' },
    });
    expect(span('commit stock', 1)).toMatchObject({ status: OK, attributes: { 'dtc.attempt': 2 } });
    const { spanId } = span('transaction transfer').spanContext();
    expect(span('commit stock', 1).parentSpanContext?.spanId).toBe(spanId);
    expect(span('transaction transfer')).toMatchObject({
      status: OK,
      attributes: { 'dtc.outcome': 'committed' },
    });
  });

  it('ends the span of an attempt that hangs when it is given up', async () => {
    const { run, clock } = await setUp(
      { stock: { commit: 'hang' }, bank: {} },
      { completionTimeoutMs: 100, completionWaitMs: 1_000, maxAttempts: 3 },
    );

    const outcome = run();
    await clock.advance(100);
    expect(span('commit stock').status.message).toBe('did not answer commit within 100 ms');
    await clock.advance(120);
    expect(span('commit stock', 1)).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'timeout', 'dtc.attempt': 2 },
    });
    await clock.advance(1_000);
    await outcome;
  });

  it('ends the span of the transaction when it stalls, and the recovery job links to it', async () => {
    const { application, run } = await setUp(
      { stock: { commit: ['throw', 'throw', 'yes'] }, bank: {} },
      { maxAttempts: 1 },
    );
    await run();
    const transaction = span('transaction transfer');
    expect(transaction).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'dtc.outcome': 'pending', 'error.type': 'pending', 'dtc.decision': 'commit' },
    });

    await recoverNow(application);
    // Even if the caller has a span of its own, such as an operator's request.
    await trace.getTracer('test').startActiveSpan('request', async (request) => {
      await recoverNow(application);
      request.end();
    });

    const { spanId, traceId } = transaction.spanContext();
    for (const [turn, attempt] of [2, 3].entries()) {
      const retried = span('commit stock', turn + 1);
      expect(retried.parentSpanContext).toBeUndefined();
      expect(retried.spanContext().traceId).not.toBe(traceId);
      expect(retried.links).toMatchObject([{ context: { spanId, traceId } }]);
      expect(retried.attributes).toMatchObject({
        'dtc.transaction.id': transaction.attributes['dtc.transaction.id'],
        'dtc.attempt': attempt,
      });
    }
    expect(spans().filter(({ name }) => name === 'transaction transfer')).toHaveLength(1);
  });

  it('after the span of the transaction keeps nothing of the context of its caller', async () => {
    const seen: unknown[] = [];
    const stock = {
      prepare: () => 'commit' as const,
      commit() {
        seen.push(context.active().getValue(TENANT));
        throw new Error('not now');
      },
      rollback() {},
    };
    const { application, run } = await setUp({ stock }, { maxAttempts: 1 });

    await asAcme(run);
    await recoverNow(application);

    expect(seen).toEqual(['acme', undefined]);
  });

  it('ends the span of a running attempt when an earlier one has succeeded', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stock = { commit: [{ until: promise, then: 'yes' }, 'hang'] } as const;
    const { run, clock } = await setUp({ stock, bank: {} }, { completionTimeoutMs: 100 });
    const outcome = run();
    await clock.advance(150);

    resolve();
    expect(await outcome).toMatchObject({ status: 'committed' });

    expect(span('commit stock').attributes).toMatchObject({ 'error.type': 'timeout' });
    expect(span('commit stock', 1).attributes).toMatchObject({ 'dtc.abandoned': true, 'dtc.attempt': 2 });
  });

  it('of an abort ends the span of the transaction with the stall as its error', async () => {
    const { run } = await setUp(
      { stock: { rollback: 'throw' }, bank: { prepare: 'no' } },
      { maxAttempts: 1 },
    );

    await run();
    await settled();

    expect(span('transaction transfer')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'dtc.outcome': 'aborted', 'dtc.abort.cause': 'refused', 'error.type': 'stalled' },
    });
  });

  it('is reported as pending: the span ends with the patience of the caller', async () => {
    const { run, clock } = await setUp({ stock: { commit: 'hang' }, bank: {} }, { completionWaitMs: 50 });

    const outcome = run();
    await clock.advance(60);

    expect(await outcome).toMatchObject({ status: 'pending' });
    expect(span('transaction transfer').attributes).toMatchObject({ 'dtc.outcome': 'pending' });
  });

  it('is in doubt while the log is silent: the decision ends with the patience of the caller as well', async () => {
    const log = new ScriptedLog({ append: () => new Promise(() => {}) });
    const { run, clock } = await setUp({ stock: {}, bank: {} }, { name: 'shop', log, timeoutMs: 100 });

    const outcome = run();
    await clock.advance(100);

    expect(await outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    expect(span('decision')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'in_doubt' },
    });
    expect(span('decision').parentSpanContext?.spanId).toBe(
      span('transaction transfer').spanContext().spanId,
    );
  });

  it('with a heuristic report is an error, of the branch and of the transaction', async () => {
    const { run } = await setUp({ stock: { commit: { heuristic: 'rollback' } }, bank: {} });

    await run();

    const report = { status: { code: SpanStatusCode.ERROR }, attributes: { 'error.type': 'heuristic' } };
    expect(span('commit stock')).toMatchObject(report);
    expect(span('commit stock').attributes).toMatchObject({ 'dtc.heuristic': 'rollback' });
    expect(span('transaction transfer')).toMatchObject(report);
    expect(span('transaction transfer').attributes).toMatchObject({
      'dtc.outcome': 'heuristic',
      'dtc.heuristic': 'mixed',
    });
  });

  it('with a report that agrees with the decision is none', async () => {
    const stock = {
      prepare: () => 'commit' as const,
      commit() {
        throw new HeuristicError('commit', 'done before');
      },
      rollback() {},
    };
    const { run } = await setUp({ stock, bank: {} });

    await run();

    expect(span('commit stock')).toMatchObject({ status: OK, attributes: { 'dtc.heuristic': 'commit' } });
    expect(span('transaction transfer').status).toEqual(OK);
  });
});

describe('a report of the only participant', () => {
  it.each([
    ['commit', SpanStatusCode.UNSET],
    ['rollback', SpanStatusCode.UNSET],
    ['mixed', SpanStatusCode.ERROR],
    ['hazard', SpanStatusCode.ERROR],
  ] as const)('of %s has the status %s, since it was to decide', async (heuristic, code) => {
    const { run } = await setUp({ stock: { commitOnePhase: { heuristic } } });

    await run();

    expect(span('one-phase commit stock').status.code).toBe(code);
    expect(span('one-phase commit stock').attributes).toMatchObject({ 'dtc.heuristic': heuristic });
    expect(span('transaction transfer').status.code).toBe(code);
  });

  it('that is not an answer is an error', async () => {
    const { run, clock } = await setUp({ stock: { commitOnePhase: [{ answer: undefined }, 'yes'] } });

    const outcome = run();
    await clock.advance(50);
    await outcome;

    const message = 'answered undefined, which is neither commit nor abort';
    expect(span('one-phase commit stock')).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message },
      attributes: { 'error.type': 'invalid_answer' },
    });
    expect(span('one-phase commit stock', 1).status).toEqual(OK);
  });
});

describe('a transaction of an earlier run', () => {
  it('is delivered in traces of their own, which bear its id', async () => {
    const record = {
      id: 'shop.1.1',
      name: 'transfer',
      decider: DECIDER,
      branches: [{ branchId: 'stock', participant: 'stock', payload: 1, completed: false }],
    };
    const claim = claimOf({ epoch: 2, decisions: [record] });
    const { application, registry } = await setUp({}, { name: 'shop', log: new ScriptedLog({ claim }) });
    registry.register(new ScriptedParticipant(), { name: 'stock' });

    await recoverNow(application);

    expect(tree()).toEqual(['commit stock']);
    expect(span('commit stock').links).toEqual([]);
    expect(span('commit stock').attributes).toMatchObject({
      'dtc.transaction.id': 'shop.1.1',
      'dtc.transaction.name': 'transfer',
      'dtc.branch.id': 'stock',
    });
  });

  /**
   * @returns the record of a decision that a run has left behind, and the span that its transaction had
   * there.
   */
  async function leftBehind(traceState?: TraceState): Promise<{ record: CommitRecord; own: SpanContext }> {
    const records: CommitRecord[] = [];
    const log = new ScriptedLog({});
    const append = log.append.bind(log);
    log.append = (decision) => {
      records.push(decision.toRecord());
      return append(decision);
    };
    const { run } = await setUp({ stock: {}, bank: {} }, { log, name: 'shop' });
    const request: SpanContext = {
      traceId: 'a'.repeat(32),
      spanId: 'b'.repeat(16),
      traceFlags: TraceFlags.SAMPLED,
      isRemote: true,
      ...(traceState && { traceState }),
    };
    await context.with(trace.setSpanContext(ROOT_CONTEXT, request), run);
    const own = span('transaction transfer').spanContext();
    expect(own.traceId).toBe(request.traceId);
    exporter.reset();
    started.length = 0;
    return { record: records[0]!, own };
  }

  async function restartedWith(
    record: CommitRecord,
  ): Promise<Awaited<ReturnType<typeof setUp>>['application']> {
    const claim = claimOf({ epoch: 2, decisions: [record] });
    const { application, registry } = await setUp({}, { name: 'shop', log: new ScriptedLog({ claim }) });
    for (const name of ['stock', 'bank']) registry.register(new ScriptedParticipant(), { name });
    await recoverNow(application);
    return application;
  }

  it('links to the span that it had there, in the trace of its caller', async () => {
    const { record, own } = await leftBehind(createTraceState('vendor=1'));
    expect(record.caller).toEqual({
      traceparent: `00-${own.traceId}-${own.spanId}-01`,
      tracestate: 'vendor=1',
    });

    const application = await restartedWith(record);

    const transactions = application.get(TransactionManager);
    expect(transactions.find(record.id)?.traceId).toBe(own.traceId);
    const found = (search: string): string[] =>
      transactions.list({ search }).map(({ transactionId }) => transactionId);
    expect([found(own.traceId), found(own.traceId.slice(0, 8))]).toEqual([[record.id], [record.id]]);
    expect([found(`${own.traceId}-`), found(own.spanId), found('00-')]).toEqual([[], [], []]);
    expect(tree()).toEqual(['commit stock', 'commit bank']);
    for (const name of ['commit stock', 'commit bank']) {
      const [link, ...others] = span(name).links;
      expect(others).toEqual([]);
      expect(link!.context).toMatchObject({ traceId: own.traceId, spanId: own.spanId, isRemote: true });
      expect(link!.context.traceState?.serialize()).toBe('vendor=1');
    }
  });

  it('links to the same span after one more restart, also if the run between them did not trace', async () => {
    const { record } = await leftBehind();
    trace.disable();
    const written: CommitRecord[] = [];
    const log = new ScriptedLog({ claim: claimOf({ epoch: 2, decisions: [record] }) });
    Object.assign(log, { progress: (decision: CommitDecision) => void written.push(decision.toRecord()) });
    const { application, registry } = await setUp({}, { name: 'shop', log });
    registry.register(new ScriptedParticipant(), { name: 'stock' });
    registry.register(new ScriptedParticipant({ commit: 'throw' }), { name: 'bank' });
    await recoverNow(application);
    expect(written.at(-1)).toMatchObject({ caller: record.caller });
  });

  it.each<[string, CommitRecord['caller']]>([
    ['has no trace', { requestId: 'r-1' }],
    ['is of a later version', { traceparent: `01-${'a'.repeat(32)}-${'b'.repeat(16)}-01-more` }],
    ['names no span', { traceparent: `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01` }],
    ['is no trace context', { traceparent: 'a line\nof another' }],
  ])('is delivered without a link where its note %s', async (_, caller) => {
    const { record } = await leftBehind();
    await restartedWith({ ...record, caller });
    expect(span('commit stock').links).toEqual([]);
  });

  it('has no note in its record without tracing', async () => {
    trace.disable();
    const records: CommitRecord[] = [];
    const log = new ScriptedLog({});
    log.append = (decision) => void records.push(decision.toRecord());
    const { run } = await setUp({ stock: {}, bank: {} }, { log, name: 'shop' });
    await run();
    expect(Object.keys(records[0]!)).not.toContain('caller');
  });
});

describe('an interactive transaction', () => {
  it('is a child of the span in which it was begun, and the parent of the spans of its work', async () => {
    const { transactions, branches } = await setUp({ stock: {}, bank: {} });
    const tracer = trace.getTracer('test');

    const transaction = tracer.startActiveSpan('request', (request) => {
      const begun = transactions.begin({ name: 'transfer' });
      request.end();
      return begun;
    });
    await transaction.run(async () => {
      await settled();
      tracer.startSpan('work').end();
      for (const one of branches) transaction.enlist(one);
    });
    await tracer.startActiveSpan('another request', async (request) => {
      await transaction.commit();
      request.end();
    });

    expect(tree()).toEqual([
      'request',
      '  transaction transfer',
      '    work',
      '    prepare stock',
      '    prepare bank',
      '    decision',
      '    commit stock',
      '    commit bank',
      'another request',
    ]);
  });

  it('still runs a function after its end, and passes on its error', async () => {
    const { transactions } = await setUp({});
    const transaction = transactions.begin();
    const oops = new Error('oops');

    expect(() =>
      transaction.run(() => {
        throw oops;
      }),
    ).toThrow(oops);
    await transaction.rollback('changed my mind');

    expect(transaction.run(() => trace.getActiveSpan())).toBeUndefined();
    expect(span('transaction transaction')).toMatchObject({
      status: OK,
      attributes: { 'dtc.abort.cause': 'rolled-back', 'dtc.abort.reason': 'changed my mind' },
    });
  });

  it.each(['begin', 'run'] as const)('cancelled before the %s is no error', async (how) => {
    const { transactions } = await setUp({});
    const signal = AbortSignal.abort(new Error('gone'));

    await (how === 'run'
      ? transactions.run({ branches: [], signal })
      : transactions.begin({ signal }).commit());

    expect(span('transaction transaction')).toMatchObject({
      status: OK,
      attributes: { 'dtc.abort.cause': 'cancelled' },
    });
  });
});

describe('the names of spans', () => {
  it('are few, also when callers put ids into the names of their transactions', async () => {
    const { transactions } = await setUp({});

    for (let number = 0; number < 150; number++) {
      await transactions.run({ name: `order ${number}`, branches: [] });
    }

    const names = new Set(spans().map(({ name }) => name));
    expect(names.size).toBe(101);
    expect(names).toContain('transaction');
    expect(spans().at(-1)!.attributes).toMatchObject({ 'dtc.transaction.name': 'order 149' });
  });
});

describe('without tracing', () => {
  /** Runs one transaction, and hands out what the coordinator keeps of it. */
  async function runOne(participants: Record<string, ParticipantScript>) {
    const { application, run } = await setUp(participants);
    const { transactionId } = await run();
    await settled();
    return application.get(CoordinatorRuntime).registry.find(transactionId)!;
  }

  it('nothing is made for a transaction, nor for its rollbacks', async () => {
    trace.disable();
    context.disable();

    const committed = await runOne({ stock: {}, bank: {} });
    expect(committed.extras).toBeUndefined();
    const aborted = await runOne({ stock: { prepare: 'no' }, bank: {} });
    expect(aborted.extras?.trace).toBeUndefined();
    expect(spans()).toEqual([]);
  });

  it('yet: from the moment on that a provider is registered, transactions are traced', async () => {
    trace.disable();
    context.disable();
    const { run } = await setUp({ stock: {}, bank: {} });
    await run();

    startTracing();
    await run();

    expect(tree()).toHaveLength(6);
  });

  it('any more: another provider takes the place of the first', async () => {
    const { run } = await setUp({ stock: {}, bank: {} });
    await run();
    trace.disable();
    await run();
    expect(spans()).toHaveLength(6);

    context.disable();
    startTracing();
    await run();

    expect(spans()).toHaveLength(6);
  });

  it('but the sampler drops it: participants still get the context, so that they drop it too', async () => {
    trace.disable();
    context.disable();
    startTracing(new AlwaysOffSampler());
    let active: Span | undefined;
    const stock = {
      prepare() {
        active = trace.getActiveSpan();
        return refuse('NO', 'not now');
      },
      commit() {},
      rollback() {},
    };
    const { run } = await setUp({ stock });

    await run();

    expect(active?.isRecording()).toBe(false);
    expect(trace.isSpanContextValid(active!.spanContext())).toBe(true);
    expect(spans()).toEqual([]);
  });
});

describe('a tracer that is broken', () => {
  // OpenTelemetry says so as well.
  afterEach(() => {
    complaints.length = 0;
  });

  const oops = (): never => {
    throw new Error('oops');
  };
  const BROKEN_SPAN = new Proxy({} as Span, {
    get: (_, name) => (name === 'spanContext' ? () => ({ traceId: '1', spanId: '1', traceFlags: 1 }) : oops),
  });

  async function defectsOf(commits: boolean): Promise<number> {
    const { application, run } = await setUp({ stock: {}, bank: { prepare: commits ? 'yes' : 'throw' } });
    expect(await run()).toMatchObject({ status: commits ? 'committed' : 'aborted' });
    await settled();
    return application.get(CoordinatorStatus).statistics().defects;
  }

  it.each([
    ['has no tracer', { getTracer: oops }],
    ['starts no span', { getTracer: () => ({ startSpan: oops, startActiveSpan: oops }) }],
    [
      'has spans that take nothing',
      { getTracer: () => ({ startSpan: () => BROKEN_SPAN, startActiveSpan: oops }) },
    ],
  ])('%s: transactions end as ever, and it counts as a defect', async (_, provider) => {
    trace.disable();
    trace.setGlobalTracerProvider(provider);

    expect(await defectsOf(true)).toBeGreaterThan(0);
    expect(await defectsOf(false)).toBeGreaterThan(0);
  });

  it.each([
    ['before', () => oops()],
    ['after', (work: () => unknown) => [work(), oops()]],
    ['in place of', () => undefined],
    ['twice', (work: () => unknown) => [work(), work()]],
  ])(
    'has a context manager that throws, or what not, %s the call: each participant is called once',
    async (_, run) => {
      context.disable();
      context.setGlobalContextManager({
        active: () => ROOT_CONTEXT,
        with: ((_: Context, work: () => unknown) => run(work)) as ContextManager['with'],
        bind: (_context, target) => target,
        enable() {
          return this;
        },
        disable() {
          return this;
        },
      });
      const stock = new ScriptedParticipant();
      const { run: begin } = await setUp({ stock });

      expect(await begin()).toMatchObject({ status: 'committed' });
      expect(stock.calls.map(({ method }) => method)).toEqual(['prepare', 'commit']);
    },
  );

  it('throws at every call of its context manager: a request is served once, and sent without a trace', () => {
    context.disable();
    const manager = { active: oops, with: oops, bind: oops, enable: () => manager, disable: () => manager };
    context.setGlobalContextManager(manager);
    const work = vi.fn<() => string>(() => 'served');
    expect(activeTrace()).toBeUndefined();
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    expect(inTraceOf({ traceparent }, work)).toBe('served');
    manager.active = () => ROOT_CONTEXT as never;
    expect(inTraceOf({ traceparent }, work)).toBe('served');
    expect(work).toHaveBeenCalledTimes(2);
  });
});
