import { Module } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { ROOT_CONTEXT, context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  CoordinatorModule,
  CoordinatorStatus,
  type CoordinatorRun,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { ManualClock, ScriptedParticipant, settled } from '../../src/coordinator/testing/index.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import { preparedAt } from '../support/cluster.js';

const LEASE_MS = 1_000;

/** A participant that outlives its coordinators, and keeps which runs have claimed it. */
class Bank extends ScriptedParticipant {
  readonly preparesDurably = true;
  readonly runs: CoordinatorRun[] = [];

  claim(run: CoordinatorRun): void {
    this.runs.push(run);
  }

  recover = () => preparedAt(this);
}

const applications: TestingModule[] = [];
const lines: string[] = [];
const say = (line: unknown): void => void lines.push(String(line));

afterEach(async () => {
  lines.length = 0;
  await Promise.all(applications.splice(0).map((application) => application.close()));
});

/** An application of its own: one member of the coordinator `shop`. */
async function startMember(log: SharedMemoryLog, clock: ManualClock, bank: Bank): Promise<TestingModule> {
  @Module({
    imports: [
      CoordinatorModule.forRoot({ name: 'shop', log, clock, leaseMs: LEASE_MS, recoveryIntervalMs: 60_000 }),
    ],
  })
  class Member {}
  const application = await Test.createTestingModule({ imports: [Member] })
    .setLogger({ log: say, warn: say, error: say })
    .compile();
  application.get(ParticipantRegistry).register(bank, { name: 'bank', maxAttempts: 1 });
  await application.init();
  applications.push(application);
  return application;
}

const epochOf = (application: TestingModule): number => application.get(CoordinatorStatus).view().epoch;

describe('Applications over one shared log', () => {
  it('are members of one coordinator: each has an epoch, and a member that stops hands over its stalled transactions', async () => {
    const clock = new ManualClock();
    const store = new SharedMemoryStore({ now: () => clock.now() });
    const bank = new Bank();
    const [one, two] = [
      await startMember(new SharedMemoryLog(store), clock, bank),
      await startMember(new SharedMemoryLog(store), clock, bank),
    ];
    expect([epochOf(one), epochOf(two)]).toEqual([1, 2]);
    expect(bank.runs).toMatchObject([
      { epoch: 1, isShared: true },
      { epoch: 2, isShared: true },
    ]);
    bank.script = { commit: 'throw' };
    const { status } = await one.get(TransactionManager).run({ branches: [branch('bank', 1)] });
    expect(status).toBe('pending');

    bank.script = {};
    applications.shift();
    await one.close();
    await clock.advance(LEASE_MS, 50);

    expect(Array.from(bank.effects.values())).toEqual(['committed']);
    expect(epochOf(two)).toBe(2);
  });

  it('follow a transaction to its caller: the member that adopts it knows its trace and its request', async () => {
    const exporter = new InMemorySpanExporter();
    trace.setGlobalTracerProvider(
      new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
    );
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    onTestFinished(() => {
      trace.disable();
      context.disable();
    });
    const clock = new ManualClock();
    const store = new SharedMemoryStore({ now: () => clock.now() });
    const bank = new Bank();
    const one = await startMember(new SharedMemoryLog(store), clock, bank);
    await startMember(new SharedMemoryLog(store), clock, bank);
    bank.script = { commit: 'throw' };
    const caller = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 };
    await context.with(trace.setSpanContext(ROOT_CONTEXT, caller), () =>
      one.get(TransactionManager).run({
        name: 'sale',
        branches: [branch('bank', 1), { ...branch('bank', 2), branchId: 'more' }],
        requestId: 'r-1',
      }),
    );
    const own = exporter
      .getFinishedSpans()
      .find(({ name }) => name === 'transaction sale')!
      .spanContext();
    applications.shift();
    await one.close();
    exporter.reset();
    lines.length = 0;
    bank.script = {};

    await clock.advance(LEASE_MS, 50);

    const attempts = exporter.getFinishedSpans().filter(({ name }) => name === 'commit bank');
    expect(attempts).toHaveLength(2);
    for (const { links } of attempts)
      expect(links.map(({ context: to }) => to)).toMatchObject([
        { traceId: caller.traceId, spanId: own.spanId, isRemote: true },
      ]);
    expect(bank.calls.at(-1)!.branch).toMatchObject({ requestId: 'r-1' });
    expect(bank.calls.at(-1)!.branch.run.epoch).toBe(2);
    expect(lines.find((line) => line.startsWith('transaction committed'))).toMatch(
      new RegExp(`requestId: 'r-1', trace_id: '${caller.traceId}', span_id: '${own.spanId}'`),
    );
  });

  it('go on with a new epoch after a fence, once the participants have accepted the new run', async () => {
    const clock = new ManualClock();
    const store = new SharedMemoryStore({ now: () => clock.now() });
    const bank = new Bank();
    const log = new SharedMemoryLog(store);
    const application = await startMember(log, clock, bank);
    await log.members.leave();

    await clock.advance(LEASE_MS, 50);
    await settled();

    expect(epochOf(application)).toBe(2);
    expect(bank.runs.map(({ epoch }) => epoch)).toEqual([1, 2]);
    expect(application.get(CoordinatorStatus).condition()).toMatchObject({
      accepting: true,
      logProblem: null,
    });
    const outcome = await application.get(TransactionManager).run({ branches: [branch('bank', 1)] });
    expect(outcome).toMatchObject({ status: 'committed' });
    expect(bank.calls.at(-1)!.branch.run.epoch).toBe(2);
    expect(lines.join('\n')).toMatch(/another member has fenced this one[^]*It goes on with epoch 2/);
  });
});
