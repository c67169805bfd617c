import { type Span, type TracerProvider, metrics, trace } from '@opentelemetry/api';
import { afterEach, describe, expect, it } from 'vitest';
import { idOf, runOf } from '../../test/support/identity.js';
import { MemoryReplicaGuardStore } from '../coordinator/guard/index.js';
import type { WireAnswer } from '../remote/wire/index.js';
import { CallServer } from './call-server.js';
import { HostLog } from './host-log.js';
import { HostMeasurements } from './measurements.js';
import { RunsOfHost } from './runs.js';
import { serve } from './served-participant.js';
import { traced } from './tracing.js';

const fail = (): never => {
  throw new Error('the collector is away');
};
const span = (broken: Partial<Span>): Span =>
  ({
    setAttribute: () => undefined,
    setStatus: () => undefined,
    end: () => undefined,
    ...broken,
  }) as unknown as Span;
const tracerWith = (startActiveSpan: (...args: unknown[]) => unknown): TracerProvider => ({
  getTracer: () => ({ startActiveSpan, startSpan: fail }),
});
type Work = (span: Span) => unknown;

/** A host with one place, and what it has done. */
function host(write: () => void = () => {}) {
  const prepared: string[] = [];
  const store = new MemoryReplicaGuardStore();
  const stock = serve(
    'stock',
    {
      prepare: ({ transactionId }) => {
        prepared.push(transactionId);
        return 'commit';
      },
      commit: () => {},
      rollback: () => {},
    },
    store,
    {},
  );
  const log = new HostLog({ log: write, warn: write, error: write });
  const server = new CallServer({
    participants: new Map([['stock', stock]]),
    store,
    runs: new RunsOfHost(),
    measurements: new HostMeasurements(log),
    log,
    maxCalls: 1,
    coordinators: [],
  });
  const prepare = async (sequence: number): Promise<WireAnswer[]> => {
    const answers: WireAnswer[] = [];
    const transactionId = idOf('shop', 1, sequence);
    const call = {
      method: 'prepare',
      transactionId,
      branchId: 'stock',
      attempt: 0,
      timeLeftMs: 60_000,
      payload: 1,
    };
    const { name, logId, epoch, token } = runOf();
    const message = {
      participant: 'stock',
      run: { name, logId, epoch, token, durable: true },
      calls: [call as never],
    };
    await server.serve(message, (answer) => answers.push(answer));
    return answers;
  };
  return { server, log, prepare, prepared };
}

describe('A host', () => {
  afterEach(() => {
    trace.disable();
    metrics.disable();
  });

  it.each<[what: string, provider: TracerProvider]>([
    ['is not there', { getTracer: fail }],
    ['starts no span', tracerWith(fail)],
    [
      'throws after the call was served',
      tracerWith((...args) => {
        (args.at(-1) as Work)(span({}));
        fail();
      }),
    ],
    ['describes no span', tracerWith((...args) => (args.at(-1) as Work)(span({ setAttribute: fail })))],
    ['ends no span', tracerWith((...args) => (args.at(-1) as Work)(span({ end: fail })))],
  ])('serves each call once, and keeps no place of it, although the tracer %s', async (_what, provider) => {
    trace.setGlobalTracerProvider(provider);
    const { server, log, prepare, prepared } = host();
    for (const sequence of [1, 2]) {
      expect(await prepare(sequence)).toEqual([{ id: 0, kind: 'vote', vote: 'commit' }]);
    }
    expect(prepared).toHaveLength(2);
    expect(server.atWork).toBe(0);
    expect(log.defects).toBe(2);
  });

  it('runs a call once although the tracer throws after it', async () => {
    trace.setGlobalTracerProvider(
      tracerWith((...args) => {
        (args.at(-1) as Work)(span({}));
        fail();
      }),
    );
    let runs = 0;
    const { log } = host();
    const call = { method: 'capabilities', timeLeftMs: 1_000 } as const;
    const answer = await traced(log, 'stock', call, async () => ({
      kind: 'ask',
      questions: [{ epoch: ++runs, token: '' }],
    }));
    expect([answer, runs]).toEqual([{ kind: 'ask', questions: [{ epoch: 1, token: '' }] }, 1]);
  });

  it('answers each call although the meter and the logger throw', async () => {
    metrics.setGlobalMeterProvider({
      getMeter: () =>
        ({ createCounter: () => ({ add: fail }), createHistogram: () => ({ record: fail }) }) as never,
    });
    const { server, log, prepare } = host(fail);
    for (const sequence of [1, 2]) {
      expect(await prepare(sequence)).toEqual([{ id: 0, kind: 'vote', vote: 'commit' }]);
    }
    expect(server.atWork).toBe(0);
    // The meter twice, and the logger once: the second defect is the same.
    expect(log.defects).toBe(3);
  });
});

describe('The log of a host', () => {
  const call = {
    method: 'commit' as const,
    transactionId: idOf('shop', 1, 7),
    branchId: 'stock',
    attempt: 2,
    timeLeftMs: 1,
    traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    requestId: 'r-1',
  };
  const fields = {
    transactionId: call.transactionId,
    branchId: 'stock',
    attempt: 2,
    participant: 'stock',
    requestId: 'r-1',
    trace_id: 'a'.repeat(32),
    span_id: 'b'.repeat(16),
  };

  it('names the transaction and its trace where a call fails, and leaves out no report', () => {
    const lines: object[] = [];
    const write = (line: unknown): void => void lines.push({ ...(line as object) });
    const log = new HostLog({ log: write, warn: write, error: write });
    const times = (kind: 'error' | 'heuristic'): number =>
      lines.filter((line) => 'heuristic' in line === (kind === 'heuristic')).length;
    log.answered('stock', call, { kind: 'done' });
    expect(lines).toEqual([]);
    for (let turn = 0; turn < 60; turn++) {
      log.answered('stock', call, { kind: 'error', code: 'EPIPE', reason: 'no\nroute' });
      log.answered('stock', call, { kind: 'heuristic', heuristic: 'rollback', reason: 'by hand' });
    }
    expect(lines[0]).toEqual({
      msg: 'commit failed: no\\u000aroute',
      ...fields,
      cause: 'failed',
      code: 'EPIPE',
    });
    expect(lines[1]).toEqual({
      msg: 'commit reports a heuristic rollback: by hand',
      ...fields,
      heuristic: 'rollback',
    });
    expect([times('error'), times('heuristic'), log.leftOut]).toEqual([50, 60, 10]);
    log.close();
    expect(lines.at(-1)).toEqual({
      msg: '10 lines about failed calls were left out in the last 10 s',
      participant: 'stock',
      leftOut: 10,
    });
  });
});
