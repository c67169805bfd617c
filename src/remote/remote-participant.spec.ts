import { afterEach, describe, expect, it, vi } from 'vitest';
import { idOf, runOf } from '../../test/support/identity.js';
import type { Branch } from '../coordinator/index.js';
import { RemoteParticipant } from './remote-participant.js';
import type { ParticipantTransport } from './transport.js';

const LIMITS = { maxInFlight: 8, maxQueued: 8, maxPayloadBytes: 1_000, adminTimeoutMs: 1_000 };

/** @returns a participant whose host gives these answers, one to each message, and the last one again and again. */
function hostThatAnswers(...answers: readonly object[]): {
  participant: RemoteParticipant;
  asked: () => number;
} {
  let asked = 0;
  const transport: ParticipantTransport = {
    address: 'http://stock',
    send: async (_message, receive) => {
      receive({ id: 0, ...answers[Math.min(asked++, answers.length - 1)] });
    },
    close: () => {},
  };
  return { participant: new RemoteParticipant('stock', transport, LIMITS), asked: () => asked };
}

const page = (sequences: readonly number[], more: boolean, payload: unknown = 1): object => ({
  kind: 'branches',
  branches: sequences.map((sequence) => ({
    transactionId: idOf('shop', 1, sequence),
    branchId: 'b',
    payload,
  })),
  more,
});

describe('The list of a host', () => {
  it('is read page by page', async () => {
    const { participant } = hostThatAnswers(page([1, 2], true), page([3], false));
    expect(await participant.recover(runOf())).toHaveLength(3);
  });

  it('counts for nothing when its pages are not in order, and may so have no end', async () => {
    const { participant, asked } = hostThatAnswers(page([1, 2], true), page([2, 3], true));
    await expect(participant.recover(runOf())).rejects.toThrow('its list of branches is not in order');
    expect(asked()).toBe(2);
  });

  it('counts for nothing when it takes more memory than a list may', async () => {
    let pages = 0;
    const payload = 'x'.repeat(1_000);
    const transport: ParticipantTransport = {
      address: 'http://stock',
      send: async (_message, receive) => receive({ id: 0, ...page([10 + pages++], true, payload) }),
      close: () => {},
    };
    const participant = new RemoteParticipant('stock', transport, { ...LIMITS, maxListBytes: 10_000 });
    await expect(participant.recover(runOf())).rejects.toThrow('its list has more than 10000 bytes');
    expect(pages).toBeLessThan(20);
  });
});

describe('A transport that gives no promise', () => {
  it.each<[what: string, send: () => never, reason: string]>([
    [
      'throws',
      () => {
        throw new Error('it is not open');
      },
      'it is not open',
    ],
    [
      'throws what has no text',
      () => {
        throw Object.create(null);
      },
      'something that cannot be shown was thrown',
    ],
    ['returns nothing', () => undefined as never, 'its answer is missing'],
  ])('and %s ends only its message, and gives the places of its calls back', async (_what, send, reason) => {
    const transport: ParticipantTransport = { address: 'http://stock', send, close: () => {} };
    const participant = new RemoteParticipant('stock', transport, {
      ...LIMITS,
      maxInFlight: 1,
      maxQueued: 1,
    });
    for (let call = 0; call < 3; call++) await expect(participant.recover(runOf())).rejects.toThrow(reason);
  });
});

describe('The question of a host about an earlier run', () => {
  it.each([0, -1, 0.5, 36 ** 4, 1e15, '1'])('never reaches the log with the epoch %s', async (epoch) => {
    const { participant } = hostThatAnswers({ kind: 'ask', questions: [{ epoch, token: 't' }] });
    let questions = 0;
    const claimed = participant.claim(runOf(), async () => questions++ === 0);
    await expect(claimed).rejects.toMatchObject({ code: 'DTC_PARTICIPANT_UNREACHABLE' });
    expect(questions).toBe(0);
  });
});

describe('What is known of a host', () => {
  afterEach(() => void vi.useRealTimers());

  /** Answers each call of a message as a host of this kind does. */
  const hostAt = (address: string, host?: object): ParticipantTransport => ({
    address,
    send: async (message, receive) => {
      const [{ method }] = (JSON.parse(message) as { calls: [{ method: string }] }).calls;
      const said = { kind: 'capabilities', participant: 'stock', onePhase: true, durable: true, host };
      if (method === 'capabilities') receive({ id: 0, ...said });
      else receive({ id: 0, ...(method === 'recover' ? page([1], false) : { kind: 'done' }) });
    },
    close: () => {},
  });

  it('is its version and what it counts, asked for after the claim', async () => {
    const said = { version: '1.2.0-rc.1', atWork: 2, calls: 40, errors: 3 };
    const participant = new RemoteParticipant('stock', hostAt('http://stock', said), LIMITS);
    expect(participant.remoteContact.host).toBeUndefined();
    await participant.claim(runOf(), async () => true);
    await participant.looked();
    expect(participant.remoteContact.host).toMatchObject({ ...said, versions: ['1.2.0-rc.1'] });
  });

  it.each([
    ['of an earlier version, which says nothing', undefined],
    ['that says nonsense', { version: 'x'.repeat(51), calls: -1 }],
    ['that says it in another way', 'v1'],
  ])('is unknown for a host %s', async (_, said) => {
    const transport = hostAt('http://stock', said as object | undefined);
    const participant = new RemoteParticipant('stock', transport, LIMITS);
    await participant.claim(runOf(), async () => true);
    await participant.looked();
    expect(participant.remoteContact.host).toMatchObject({
      version: null,
      versions: ['unknown'],
      atWork: null,
      calls: null,
      errors: null,
    });
  });

  it('names all versions that have answered at its address in the last minutes', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    const said = { version: '1.0.0' };
    const participant = new RemoteParticipant('stock', hostAt('http://stock', said), LIMITS);
    await participant.claim(runOf(), async () => true);
    await participant.looked();
    const versionsNow = async (version: string): Promise<readonly string[]> => {
      said.version = version;
      participant.lookSoon();
      await participant.looked();
      return participant.remoteContact.host!.versions;
    };
    vi.advanceTimersByTime(30_000);
    expect(await versionsNow('1.1.0')).toEqual(['1.0.0', '1.1.0']);
    vi.advanceTimersByTime(270_001);
    expect(await versionsNow('1.1.0')).toEqual(['1.1.0']);
  });

  it('is that of its new host, once it has moved', async () => {
    const participant = new RemoteParticipant('stock', hostAt('http://old', { version: '1.0.0' }), LIMITS);
    await participant.claim(runOf(), async () => true);
    await participant.looked();
    const open = Promise.withResolvers<void>();
    const deaf = { ...hostAt('http://old'), send: () => open.promise };
    participant.moveTo(deaf);
    const lost = participant.recover(runOf());
    await new Promise((resolve) => setImmediate(resolve));
    expect(participant.remoteContact).toMatchObject({ answeredAt: null, failure: null });
    expect(participant.remoteContact.host).toBeUndefined();

    participant.moveTo(hostAt('http://new', { version: '2.0.0' }));
    open.reject(new Error('the old host is gone'));
    await expect(lost).rejects.toThrow('the old host is gone');
    await participant.looked();
    expect(participant.remoteContact).toMatchObject({
      answeredAt: expect.any(String) as string,
      failure: null,
      host: { version: '2.0.0' },
    });
  });

  it('has the calls that were never sent', async () => {
    const deaf = { ...hostAt('http://stock'), send: () => new Promise<never>(() => {}) };
    const participant = new RemoteParticipant('stock', deaf, { ...LIMITS, maxInFlight: 1, maxQueued: 0 });
    void participant.recover(runOf()).catch(() => {});
    await new Promise((resolve) => process.nextTick(resolve));
    await expect(participant.recover(runOf())).rejects.toThrow('wait for an answer');
    expect(participant.remoteContact.failure!.problem).toMatch(/^1 calls to it wait for an answer/);

    const other = new RemoteParticipant('stock', hostAt('http://stock'), LIMITS);
    const branch = { transactionId: idOf('shop', 1, 1), branchId: 'b', payload: 1, attempt: 1, run: runOf() };
    await expect(other.commit({ ...branch, deadline: Date.now() - 1 } as Branch)).rejects.toThrow(
      'its time was over',
    );
    expect(other.remoteContact.failure!.problem).toBe('its time was over before the call was sent');
  });

  it('has no call that nothing waited for any more when there was a place: that says nothing of the host', async () => {
    const open = Promise.withResolvers<void>();
    const slow = { ...hostAt('http://stock'), send: () => open.promise };
    const participant = new RemoteParticipant('stock', slow, { ...LIMITS, maxInFlight: 1, maxQueued: 1 });
    const branch = { transactionId: idOf('shop', 1, 1), branchId: 'b', payload: 1, attempt: 1, run: runOf() };
    const deadline = Date.now() + 60_000;
    const first = participant.prepare({ ...branch, deadline } as Branch);
    first.catch(() => {});
    const second = participant.prepare({ ...branch, deadline, signal: AbortSignal.abort() });
    open.resolve();
    await expect(second).rejects.toThrow('nothing waited for it any more');
    await expect(first).rejects.toThrow('its answer is missing');
    expect(participant.remoteContact.failure!.problem).toBe('its answer is missing');
  });

  it('is when it has answered last, and which call has got no answer and why', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.parse('2026-01-01T00:00:00.000Z') });
    let answer: (receive: (value: unknown) => void) => Promise<void>;
    const transport: ParticipantTransport = {
      address: 'http://stock',
      send: (_message, receive) => answer(receive),
      close: () => {},
    };
    const participant = new RemoteParticipant('stock', transport, LIMITS);
    const nothing = { inFlight: 0, queued: 0, answeredAt: null, failure: null };
    expect(participant.remoteContact).toEqual(nothing);

    answer = () => Promise.reject(new Error(`ECONNREFUSED ${'x'.repeat(400)}`));
    await expect(participant.recover(runOf())).rejects.toThrow('ECONNREFUSED');
    const failed = {
      at: '2026-01-01T00:00:00.000Z',
      problem: expect.stringMatching(/^ECONNREFUSED x{287}…$/) as string,
    };
    expect(participant.remoteContact).toEqual({ ...nothing, failure: failed });

    vi.advanceTimersByTime(5_000);
    answer = async (receive) => receive({ id: 0, ...page([1], false) });
    await participant.recover(runOf());
    vi.advanceTimersByTime(60_000);
    expect(participant.remoteContact).toEqual({
      ...nothing,
      answeredAt: '2026-01-01T00:00:05.000Z',
      failure: failed,
    });

    const open = Promise.withResolvers<void>();
    answer = () => open.promise;
    const asked = participant.recover(runOf());
    await new Promise((resolve) => process.nextTick(resolve));
    expect(participant.remoteContact.inFlight).toBe(1);
    open.resolve();
    await expect(asked).rejects.toThrow('its answer is missing');
    expect(participant.remoteContact).toMatchObject({
      inFlight: 0,
      failure: { at: '2026-01-01T00:01:05.000Z', problem: 'its answer is missing' },
    });
  });
});
