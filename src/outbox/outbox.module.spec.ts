import { Test } from '@nestjs/testing';
import { Registry } from 'prom-client';
import { EMPTY, type Observable, of, throwError } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { emitWith, sendWith } from './clients.js';
import { FakeStore } from './fake-store.fixture.js';
import { OUTBOX_METRICS } from './metrics.js';
import type { OutboxMessage } from './message.js';
import { OutboxModule } from './outbox.module.js';
import type { OutboxOptions } from './outbox.options.js';
import { OutboxRelays } from './outbox-relays.js';

const MESSAGE: OutboxMessage = {
  id: 'id-1',
  topic: 'order.created',
  position: 1,
  transactionId: 'shop.1.1',
  writtenAt: '2026-01-01T00:00:00.000Z',
  attempt: 1,
  payload: { total: 1 },
};

describe('OutboxModule', () => {
  let store: FakeStore;
  beforeEach(() => {
    vi.useFakeTimers();
    store = new FakeStore();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  async function start(options: Partial<OutboxOptions> = {}) {
    const app = await Test.createTestingModule({
      imports: [
        OutboxModule.forRootAsync({ useFactory: () => ({ stores: [store], send: () => {}, ...options }) }),
      ],
    }).compile();
    app.useLogger(false);
    await app.init();
    return app;
  }

  it('sends messages from the start of the application to its end, and leaves nothing behind', async () => {
    store.write('a');
    const sent: string[] = [];
    const app = await start({ send: ({ topic }) => sent.push(topic) });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sent).toEqual(['topic']);
    const end = Promise.withResolvers<void>();
    await app.close();
    end.resolve();
    expect(store.isClosed).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    store.write('a');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sent).toHaveLength(1);
  });

  it('does not start when a store cannot be used', async () => {
    store.start = () => Promise.reject(new Error('no table'));
    await expect(start()).rejects.toThrow('no table');
  });

  it('sends nothing where another process does, and counts all the same', async () => {
    store.write();
    const app = await start({ relay: false, send: () => expect.unreachable(), purgeIntervalMs: 1_000 });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(app.get(OutboxRelays).status()).toMatchObject([{ name: 'fake', held: { waiting: 1 }, sent: 0 }]);
    expect(store.purges).toBe(0);
    await app.close();
  });

  it('deletes what was sent, statement after statement until nothing is left', async () => {
    const app = await start({ purgeIntervalMs: 60_000 });
    await vi.advanceTimersByTimeAsync(50_000);
    expect(store.purges).toBe(0);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(store.purges).toBe(3);
    await app.close();
  });

  it('tells its health and its metrics', async () => {
    const registry = new Registry();
    const app = await start({
      registry,
      maxAttempts: 1,
      send: ({ position }) => {
        if (position === 1) throw new Error('no');
      },
    });
    const relays = app.get(OutboxRelays);
    expect(relays.health()).toEqual({ status: 'up', problems: [] });
    store.write();
    store.write();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(relays.health()).toEqual({ status: 'degraded', problems: ['dead messages in fake: 1'] });
    const text = await registry.metrics();
    for (const { name, help, type } of OUTBOX_METRICS) {
      expect(text).toContain(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}{outbox="fake"} `);
    }
    for (const line of ['dead', 'dead_total', 'sent_total', 'up']) {
      expect(text).toContain(`dtc_outbox_${line}{outbox="fake"} 1\n`);
    }
    store.fault = () => 'before';
    await vi.advanceTimersByTimeAsync(40_000);
    expect(relays.health().problems).toEqual(['the database of fake does not answer']);
    expect(await registry.metrics()).not.toContain('dtc_outbox_waiting{');
    await app.close();
  });

  it('is degraded as long as one kind of its statements fails, although the others succeed', async () => {
    const app = await start({ countIntervalMs: 1_000 });
    const relays = app.get(OutboxRelays);
    store.claim = () => Promise.reject(new Error('permission denied'));
    await vi.advanceTimersByTimeAsync(20_000);
    for (let second = 0; second < 40; second++) {
      await vi.advanceTimersByTimeAsync(1_000);
      expect(relays.status()).toMatchObject([{ problem: 'permission denied', held: { waiting: 0 } }]);
    }
    await app.close();
  });

  it('is well again when the database is, also if a result was given up in the meantime', async () => {
    const app = await start({ countIntervalMs: 1_000 });
    const relays = app.get(OutboxRelays);
    const record = store.record.bind(store);
    // The server keeps the results, and its answers are lost for longer than a lease.
    store.record = async (attempts) => {
      await record(attempts);
      throw new Error('the connection is lost');
    };
    store.write();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(relays.status()).toMatchObject([{ problem: 'the connection is lost' }]);
    await vi.advanceTimersByTimeAsync(120_000);
    store.record = record;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(relays.status()).toMatchObject([{ problem: undefined }]);
    await app.close();
  });

  it('lists dead messages, and sends them again or deletes them', async () => {
    const app = await start({
      maxAttempts: 1,
      send: ({ position }) => {
        if (store.messages[position - 1]!.error === undefined) throw new Error('no');
      },
    });
    const relays = app.get(OutboxRelays);
    for (let index = 0; index < 3; index++) store.write();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await relays.listDead('fake', 2)).toMatchObject([{ id: 'id-1', error: 'no' }, { id: 'id-2' }]);
    expect(await relays.listDead('fake', 2, 2)).toMatchObject([{ id: 'id-3' }]);
    expect(await relays.findDead('fake', 'id-3')).toMatchObject({ json: '{"position":3}' });
    expect(await relays.requeue('fake', ['id-1', 'id-9'])).toBe(1);
    expect(await relays.discard('fake', ['id-2'])).toBe(1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(store.messages.map(({ state }) => state)).toEqual(['sent', 'sent', 'dead']);
    store.fault = () => 'before';
    await expect(relays.listDead('fake')).rejects.toMatchObject({ code: 'DTC_OUTBOX_UNREACHABLE' });
    store.fault = () => undefined;
    await app.close();
  });

  it('asks only for outboxes and ids that can be', async () => {
    const app = await start();
    const relays = app.get(OutboxRelays);
    await expect(relays.listDead('other')).rejects.toThrow('outbox must be one of fake');
    await expect(relays.requeue('fake', 'id' as never)).rejects.toThrow('ids must be a list');
    await expect(relays.discard('fake', Array.from({ length: 1_001 }, String))).rejects.toThrow(
      'at most 1000 ids',
    );
    expect(await relays.listDead('fake')).toEqual([]);
    await app.close();
  });

  it.each([
    [{ stores: [] }, 'stores: must be a list of outboxes'],
    [{ stores: [{ name: 'x' }] }, 'stores: must be a list of outboxes'],
    [{ stores: [new FakeStore(), new FakeStore()] }, 'two have the name "fake"'],
    [{ send: undefined }, 'send: must be a function'],
    [{ registry: {} }, 'registry: must be a registry'],
    [{ retryMinMs: 2_000, retryMaxMs: 1_000 }, '2000 is above 1000'],
    [{ maxAttempts: 0 }, 'maxAttempts'],
    [{ retries: 3 }, 'retries'],
  ])('cannot be used with %j', (options, problem) => {
    const all = { stores: [new FakeStore()], send: () => {}, ...options };
    expect(() => OutboxModule.forRoot(all as unknown as OutboxOptions)).toThrow(problem);
  });
});

describe('A client of Nest', () => {
  function clientOf(answer: () => Observable<unknown>) {
    const calls: unknown[] = [];
    const call = (kind: string) => (pattern: string, data: unknown) => {
      calls.push([kind, pattern, data]);
      return answer();
    };
    return { calls, emit: call('emit'), send: call('send') };
  }
  const { signal } = new AbortController();

  it.each([
    ['emit', emitWith],
    ['send', sendWith],
  ] as const)('is given the topic as pattern and the whole message by %s', async (kind, using) => {
    const client = clientOf(() => of(1, 2));
    await using(client)(MESSAGE, signal);
    expect(client.calls).toEqual([[kind, 'order.created', MESSAGE]]);
  });

  it('may be given another pattern and other data', async () => {
    const client = clientOf(() => EMPTY);
    const options = {
      pattern: ({ id }: OutboxMessage) => `v1.${id}`,
      data: ({ payload }: OutboxMessage) => payload,
    };
    await emitWith(client, options)(MESSAGE, signal);
    expect(client.calls).toEqual([['emit', 'v1.id-1', { total: 1 }]]);
  });

  it('has failed when it says so', async () => {
    const client = clientOf(() => throwError(() => new Error('no receiver')));
    await expect(sendWith(client)(MESSAGE, signal)).rejects.toThrow('no receiver');
  });

  it('is left when the attempt is aborted', async () => {
    const { Observable: Source } = await import('rxjs');
    let isLeft = false;
    const client = clientOf(() => new Source(() => () => (isLeft = true)));
    const controller = new AbortController();
    const sending = sendWith(client)(MESSAGE, controller.signal);
    controller.abort(new Error('too late'));
    await expect(sending).rejects.toThrow('too late');
    expect(isLeft).toBe(true);
  });
});
