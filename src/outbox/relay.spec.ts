import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import fc from 'fast-check';
import { type FakeMessage, FakeStore } from './fake-store.fixture.js';
import { pauseAfter } from './backoff.js';
import { resolveRelaySettings, type RelaySettings } from './options.js';
import { LEASE_MARGIN_MS, Relay, type SendMessage } from './relay.js';

const SEED = 20_261_129;

interface Reported {
  readonly troubles: (string | undefined)[];
  readonly dead: string[];
  readonly hanging: number[];
  readonly late: number[];
}

function relayOf(
  store: FakeStore,
  send: SendMessage,
  settings: RelaySettings = {},
): Relay & { readonly reported: Reported } {
  const reported: Reported = { troubles: [], dead: [], hanging: [], late: [] };
  const relay = new Relay(
    store,
    send,
    resolveRelaySettings(settings),
    {
      trouble: (errand, problem) => problem !== undefined && reported.troubles.push(`${errand}: ${problem}`),
      dead: (message, error) => reported.dead.push(`${message.id}: ${error}`),
      hanging: (attempts) => reported.hanging.push(attempts),
      late: (messages) => reported.late.push(messages),
    },
    () => 0,
  );
  return Object.assign(relay, { reported });
}

function statesOf(store: FakeStore): string[] {
  return store.messages.map(({ state }) => state);
}

describe('The relay', () => {
  let store: FakeStore;
  beforeEach(() => {
    vi.useFakeTimers();
    store = new FakeStore();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('sends each message once, with its payload, and also one that becomes visible after later ones', async () => {
    const late = store.write(undefined, false);
    store.write();
    const sent: unknown[] = [];
    const relay = relayOf(store, ({ position, payload, attempt }) =>
      sent.push({ position, payload, attempt }),
    );
    relay.start();
    await vi.advanceTimersByTimeAsync(1_000);
    late.isVisible = true;
    await vi.advanceTimersByTimeAsync(1_000);
    await relay.stop();
    expect(sent).toEqual([2, 1].map((position) => ({ position, payload: { position }, attempt: 1 })));
    expect(relay.counts).toEqual({ sent: 2, retried: 0, dead: 0, sending: 0, hanging: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('keeps the later messages of a key until the first is sent, and sends all others meanwhile', async () => {
    store.write('a');
    store.write('a');
    store.write('b');
    const sent: number[] = [];
    const relay = relayOf(store, ({ position, attempt }) => {
      if (position === 1 && attempt < 3) throw new Error('not yet');
      sent.push(position);
    });
    relay.start();
    await vi.advanceTimersByTimeAsync(60_000);
    await relay.stop();
    expect(sent).toEqual([3, 1, 2]);
    expect(relay.counts).toMatchObject({ sent: 3, retried: 2 });
  });

  it('gives a message up after its last attempt, with longer and longer pauses before, and goes on with its key', async () => {
    store.write('a');
    store.write('a');
    const times: number[] = [];
    const relay = relayOf(
      store,
      ({ position }) => {
        if (position !== 1) return;
        times.push(performance.now());
        throw new Error('refused');
      },
      { maxAttempts: 5, retryMinMs: 1_000, retryMaxMs: 3_000 },
    );
    relay.start();
    await vi.advanceTimersByTimeAsync(60_000);
    await relay.stop();
    expect(statesOf(store)).toEqual(['dead', 'sent']);
    expect(store.messages[0]!.error).toBe('refused');
    expect(relay.reported.dead).toEqual(['id-1: refused']);
    const pauses = times.slice(1).map((time, index) => Math.floor((time - times[index]!) / 1_000));
    expect(pauses).toEqual([1, 2, 3, 3]);
  });

  it('gives up a message that ends its process in each attempt', async () => {
    store.write().attempts = 3;
    const relay = relayOf(store, () => expect.unreachable(), { maxAttempts: 3 });
    relay.start();
    await vi.advanceTimersByTimeAsync(100);
    await relay.stop();
    expect(relay.reported.dead).toEqual(['id-1: the relay has ended during attempt 3, its last']);
  });

  it('ends an attempt that takes too long, and tries again', async () => {
    store.write();
    const signals: AbortSignal[] = [];
    const relay = relayOf(
      store,
      ({ attempt }, signal) => {
        signals.push(signal);
        if (attempt > 1) return undefined;
        return new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason as Error)),
        );
      },
      { sendTimeoutMs: 500 },
    );
    relay.start();
    await vi.advanceTimersByTimeAsync(499);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    expect(store.messages[0]!.error).toBe('the attempt was not over after 500 ms');
    await relay.stop();
    expect(relay.counts).toMatchObject({ sent: 1, retried: 1, hanging: 0 });
  });

  it('makes no further attempt while as many as it may make hang', async () => {
    for (let index = 0; index < 10; index++) store.write();
    const ends: (() => void)[] = [];
    const relay = relayOf(store, () => new Promise<void>((resolve) => ends.push(resolve)), {
      maxInFlight: 2,
      sendTimeoutMs: 100,
      retryMinMs: 3_600_000,
      retryMaxMs: 3_600_000,
    });
    relay.start();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(ends.length).toBe(2);
    expect(relay.reported.hanging).toEqual([2]);
    expect(relay.counts).toMatchObject({ sending: 0, hanging: 2 });
    ends[0]!();
    await vi.advanceTimersByTimeAsync(10);
    expect(relay.counts).toMatchObject({ sending: 1, hanging: 1 });
    for (const end of ends) end();
    await relay.stop();
    expect(relay.counts).toMatchObject({ sending: 0, hanging: 0 });
  });

  it('waits at a stop for attempts under way, and then interrupts them without counting them', async () => {
    for (let index = 0; index < 3; index++) store.write();
    const end = Promise.withResolvers<void>();
    const relay = relayOf(store, ({ position }) => (position === 1 ? end.promise : new Promise(() => {})), {
      maxInFlight: 2,
      shutdownGraceMs: 2_000,
    });
    relay.start();
    await vi.advanceTimersByTimeAsync(100);
    let isStopped = false;
    const stopped = relay.stop().then(() => (isStopped = true));
    await vi.advanceTimersByTimeAsync(1_900);
    end.resolve();
    expect(isStopped).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    await stopped;
    expect(statesOf(store)).toEqual(['sent', 'waiting', 'waiting']);
    expect(store.messages.map(({ attempts }) => attempts)).toEqual([1, 0, 0]);
    expect(store.messages[1]!.dueAt).toBeLessThanOrEqual(performance.now());
    expect(vi.getTimerCount()).toBe(0);
  });

  it('stops in time while its store does not answer', async () => {
    store.write();
    const relay = relayOf(store, () => {
      store.fault = () => 'before';
    });
    relay.start();
    await vi.advanceTimersByTimeAsync(100);
    const stopped = relay.stop();
    await vi.advanceTimersByTimeAsync(10_000 + 200);
    await stopped;
    expect(statesOf(store)).toEqual(['waiting']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('keeps a result until its store answers again, and so does not send twice', async () => {
    store.write();
    let sends = 0;
    const relay = relayOf(store, () => {
      sends++;
      store.fault = () => 'before';
    });
    relay.start();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(relay.reported.troubles.length).toBeGreaterThan(1);
    store.fault = () => undefined;
    await vi.advanceTimersByTimeAsync(LEASE_MARGIN_MS * 3);
    await relay.stop();
    expect([sends, statesOf(store)]).toEqual([1, ['sent']]);
  });

  it('sends nothing of what came so late that another relay may have it, and gives it back', async () => {
    store.write();
    const sent: number[] = [];
    const relay = relayOf(store, ({ position }) => sent.push(position), { sendTimeoutMs: 1_000 });
    let delay = LEASE_MARGIN_MS + 1;
    store.delay = () => delay;
    relay.start();
    await vi.advanceTimersByTimeAsync(LEASE_MARGIN_MS + 1);
    // A pause is no fault of the database.
    expect([sent, relay.reported.troubles, relay.reported.late]).toEqual([[], [], [1]]);
    delay = 0;
    await vi.advanceTimersByTimeAsync(3 * LEASE_MARGIN_MS);
    await relay.stop();
    expect([sent, store.messages[0]!.attempts]).toEqual([[1], 1]);
  });

  it('keeps no error that a database could not keep', async () => {
    store.write();
    const relay = relayOf(
      store,
      () => {
        throw new Error('no\u0000\nway');
      },
      { maxAttempts: 1 },
    );
    relay.start();
    await vi.advanceTimersByTimeAsync(100);
    await relay.stop();
    expect(store.messages[0]!.error).toBe('no\\u0000\\u000away');
  });

  it('asks a store that does not answer less and less often', async () => {
    let calls = 0;
    store.fault = () => {
      calls++;
      return 'before';
    };
    const relay = relayOf(store, () => {}, { pollIntervalMs: 100 });
    relay.start();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(calls).toBeLessThan(15);
    await relay.stop();
  });
});

describe('The pause between attempts', () => {
  it('doubles up to its limit, and up to half of it is left out', () => {
    const limits = { retryMinMs: 1_000, retryMaxMs: 300_000 };
    expect([1, 2, 3, 9, 10, 2_000].map((attempt) => pauseAfter(attempt, limits, 0))).toEqual([
      1_000, 2_000, 4_000, 256_000, 300_000, 300_000,
    ]);
    expect(pauseAfter(2, limits, 1)).toBe(1_000);
  });
});

/** How one attempt ends in a random run. */
type Fate = 'good' | 'bad' | 'hang' | 'lost answer';

interface World {
  readonly messages: readonly {
    readonly key: string | undefined;
    readonly at: number;
    readonly lateMs: number;
  }[];
  readonly relays: number;
  readonly fates: readonly Fate[];
  readonly faults: readonly ('before' | 'after' | undefined)[];
  readonly stopAt: number;
  readonly maxInFlight: number;
}

const world: fc.Arbitrary<World> = fc.record({
  messages: fc.array(
    fc.record({
      key: fc.constantFrom(undefined, 'a', 'b'),
      at: fc.integer({ min: 0, max: 3_000 }),
      lateMs: fc.constantFrom(0, 0, 700, -1),
    }),
    { minLength: 1, maxLength: 12 },
  ),
  relays: fc.integer({ min: 1, max: 3 }),
  fates: fc.array(fc.constantFrom<Fate[]>('good', 'good', 'bad', 'hang', 'lost answer'), { maxLength: 20 }),
  faults: fc.array(fc.constantFrom(undefined, undefined, 'before' as const, 'after' as const), {
    maxLength: 20,
  }),
  stopAt: fc.integer({ min: 1, max: 4_000 }),
  maxInFlight: fc.integer({ min: 1, max: 4 }),
});

/** Runs a world until nothing is left to do, and checks at each moment what must always hold. @returns the sends of each message. */
async function run({ messages, relays, fates, faults, stopAt, maxInFlight }: World): Promise<{
  readonly store: FakeStore;
  readonly sends: ReadonlyMap<number, number>;
}> {
  const store = new FakeStore();
  store.delay = () => 1;
  const [fate, fault] = [fates.values(), faults.values()];
  store.fault = () => fault.next().value;
  const sends = new Map<number, number>();
  const sending = new Set<number>();
  const violations: string[] = [];
  const send: (relay: number) => SendMessage = (relay) => {
    let running = 0;
    return async ({ position, attempt }, signal) => {
      const message = store.messages[position - 1]!;
      if (!message.isVisible) violations.push(`${position} was sent although it is not committed`);
      if (sending.has(position)) violations.push(`${position} is sent twice at the same time`);
      if (store.earlierOf(message).length > 0) violations.push(`${position} overtakes one of its key`);
      if (attempt > 4) violations.push(`${position} has attempt ${attempt}`);
      if (++running > maxInFlight) violations.push(`relay ${relay} sends ${running} at the same time`);
      sending.add(position);
      const decided = fate.next().value ?? 'good';
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, decided === 'hang' ? 4_000 : 5);
        signal.addEventListener('abort', () => [clearTimeout(timer), resolve()], { once: true });
      });
      if (decided === 'lost answer' || (decided === 'good' && !signal.aborted))
        sends.set(position, (sends.get(position) ?? 0) + 1);
      sending.delete(position);
      running--;
      if (decided !== 'good') throw signal.aborted ? signal.reason : new Error(decided);
    };
  };
  const settings = {
    maxInFlight,
    batchSize: 3,
    maxAttempts: 4,
    sendTimeoutMs: 3_000,
    shutdownGraceMs: 100,
    pollIntervalMs: 1_000,
  };
  const all = Array.from({ length: relays }, (_, index) => relayOf(store, send(index), settings));
  for (const relay of all) relay.start();
  // Of one key, the lock makes messages visible in the order of their positions.
  const visibleAt = new Map<string, number>();
  for (const { key, at, lateMs } of messages.toSorted((one, other) => one.at - other.at)) {
    const start = key === undefined ? at : Math.max(at, visibleAt.get(key) ?? 0);
    if (key !== undefined) visibleAt.set(key, start + Math.max(lateMs, 0));
    setTimeout(() => {
      const message: FakeMessage = store.write(key, false);
      if (lateMs >= 0) setTimeout(() => (message.isVisible = true), lateMs);
    }, start);
  }
  await vi.advanceTimersByTimeAsync(stopAt);
  const stopped = all[0]!.stop();
  const next = relayOf(store, send(relays), settings);
  next.start();
  await vi.advanceTimersByTimeAsync(200_000);
  await Promise.all([
    stopped,
    next.stop(),
    ...all.slice(1).map((relay) => relay.stop()),
    vi.advanceTimersByTimeAsync(200),
  ]);
  expect(violations).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
  return { store, sends };
}

describe('In every random run of relays that share a store', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('each committed message is sent at least once or dead after all its attempts, none overtakes one of its key', async () => {
    let dead = 0;
    const property = fc.asyncProperty(world, async (given) => {
      const { store, sends } = await run(given);
      for (const { position, isVisible, state, attempts } of store.messages) {
        expect([position, state]).toEqual([
          position,
          isVisible ? expect.stringMatching(/sent|dead/) : 'waiting',
        ]);
        if (state === 'sent') expect(sends.get(position)).toBeGreaterThan(0);
        if (state === 'dead') expect(attempts).toBeGreaterThanOrEqual(4);
        if (state === 'dead') dead++;
      }
    });
    await fc.assert(property, { seed: SEED, numRuns: 100 });
    expect(dead).toBeGreaterThan(5);
  });

  it('each committed message is sent exactly once where nothing fails', async () => {
    const property = fc.asyncProperty(world, async (given) => {
      const { store, sends } = await run({ ...given, fates: [], faults: [], stopAt: 60_000 });
      for (const { position, isVisible } of store.messages) {
        expect([position, sends.get(position) ?? 0]).toEqual([position, isVisible ? 1 : 0]);
      }
    });
    await fc.assert(property, { seed: SEED, numRuns: 30 });
  });
});
