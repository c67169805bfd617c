import { describe, expect, it } from 'vitest';
import type { Outcome } from '../outcome.js';
import { branch } from '../participant/branch-request.js';
import { ManualClock, type ParticipantScript, ScriptedParticipant, settled } from '../testing/index.js';
import { SharedMemoryLog } from '../testing/shared-memory-log.js';
import { SharedMemoryStore } from '../testing/shared-memory-store.js';
import {
  type TestCoordinator,
  type TestCoordinatorOptions,
  createTestCoordinator,
} from '../testing/test-coordinator.js';
import { LocalKeys } from './local-keys.js';

const KEPT_MS = 86_400_000;
const branches = [branch('stock', 1), branch('payment', 1)];

interface Shop {
  readonly stock: ScriptedParticipant;
  readonly payment: ScriptedParticipant;
  readonly coordinator: TestCoordinator;
  readonly log: SharedMemoryLog | undefined;
  readonly run: (more?: object) => Promise<Outcome>;
}

type Start = (
  scripts?: { stock?: ParticipantScript; payment?: ParticipantScript },
  options?: TestCoordinatorOptions,
) => Promise<Shop>;

function startWith(isShared: boolean): Start {
  return async (scripts = {}, options = {}) => {
    const [stock, payment] = [
      new ScriptedParticipant(scripts.stock),
      new ScriptedParticipant(scripts.payment),
    ];
    const clock = new ManualClock();
    const log = isShared ? new SharedMemoryLog(new SharedMemoryStore({ now: () => clock.now() })) : undefined;
    const coordinator: TestCoordinator = createTestCoordinator({
      ...options,
      name: 'shop',
      clock,
      participants: { stock, payment },
      ...(log !== undefined && { log, claim: await log.open('shop') }),
    });
    const run = (more: object = {}) => coordinator.transactions.run({ branches, key: 'order-1', ...more });
    return { stock, payment, coordinator, log, run };
  };
}

describe.each([
  ['that several members share', true],
  ['of one process', false],
])('The key of a request, with a log %s,', (_, isShared) => {
  const start = startWith(isShared);

  it('belongs to one transaction: a repeated request begins nothing, and has its outcome', async () => {
    const { run, stock, coordinator } = await start();
    const first = await run();
    expect(first).toEqual({ status: 'committed', transactionId: first.transactionId });

    expect(await run()).toEqual({ ...first, repeated: true });
    expect(stock.count('prepare')).toBe(1);
    expect(coordinator.transactions.list()).toHaveLength(1);
    const other = await run({ key: 'order-2' });
    expect(other).toMatchObject({ status: 'committed' });
    expect(other.transactionId).not.toBe(first.transactionId);
    expect(other.repeated).toBeUndefined();
  });

  it('has its outcome also when the transaction is not kept any more', async () => {
    const { run, coordinator } = await start({}, { retainFinished: 0 });
    const first = await run();
    await settled();
    expect(coordinator.transactions.find(first.transactionId)).toBeUndefined();
    expect(await run()).toEqual({ ...first, repeated: true });
  });

  it('is refused to a request with another fingerprint, until its transaction has aborted', async () => {
    const { run, payment, stock } = await start({ payment: { prepare: ['no', 'yes'] } });
    expect((await run({ fingerprint: 'tea' })).status).toBe('aborted');
    await settled();
    const { transactionId } = await run({ fingerprint: 'coffee' });

    await expect(run({ fingerprint: 'tea' })).rejects.toMatchObject({
      code: 'DTC_KEY_REUSED',
      transactionId,
    });
    await expect(run()).rejects.toMatchObject({ code: 'DTC_KEY_REUSED' });
    expect(await run({ fingerprint: 'coffee' })).toMatchObject({ transactionId, repeated: true });
    expect([payment.count('prepare'), stock.count('prepare')]).toEqual([2, 2]);
  });

  it('answers pending with the id of a transaction that is running', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, stock, coordinator } = await start({ payment: { prepare: { until: gate.promise } } });
    const first = run();
    await settled();
    const { transactionId } = stock.calls[0]!.branch;

    expect(await run()).toMatchObject({
      status: 'pending',
      decision: 'unknown',
      transactionId,
      repeated: true,
    });
    expect(stock.count('prepare')).toBe(1);
    gate.resolve();
    expect(await first).toEqual({ status: 'committed', transactionId });
    expect(await coordinator.transactions.outcomeOf(transactionId)).toMatchObject({ status: 'committed' });
  });

  it('answers pending when commit is decided and not acknowledged', async () => {
    const { run, coordinator } = await start({ payment: { commit: 'hang' } }, { completionWaitMs: 100 });
    const first = run();
    await settled();
    await coordinator.clock.advance(200);
    const { transactionId } = await first;
    expect(await run()).toMatchObject({
      status: 'pending',
      decision: 'commit',
      transactionId,
      repeated: true,
    });
  });

  it('is free only when every rollback is acknowledged: before that, the answer is the abort', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, stock, payment } = await start({
      stock: { rollback: { until: gate.promise } },
      payment: { prepare: ['no', 'yes'] },
    });
    const first = await run();
    await settled();

    const second = await run();
    expect(second).toMatchObject({ status: 'aborted', transactionId: first.transactionId, repeated: true });
    expect(payment.count('prepare')).toBe(1);
    gate.resolve();
    await settled();
    const third = await run();
    expect(third).toMatchObject({ status: 'committed' });
    expect(third.repeated).toBeUndefined();
    expect(stock.count('prepare')).toBe(2);
  });

  it('stays with an abort that a participant has committed against, until an operator has dealt with it', async () => {
    const { run, coordinator } = await start({
      stock: { rollback: { heuristic: 'commit' } },
      payment: { prepare: ['no', 'yes'] },
    });
    const { transactionId } = await run();
    await settled();
    expect(await run()).toMatchObject({
      status: 'heuristic',
      decision: 'abort',
      transactionId,
      repeated: true,
    });

    coordinator.transactions.forget(transactionId);
    await settled();
    expect(await run()).toMatchObject({ status: 'committed' });
  });

  it('goes with a request that is run again after a conflict', async () => {
    const conflict = { refuse: 'BUSY', conflict: true } as const;
    const { run, payment, coordinator } = await start({ payment: { prepare: [conflict, 'yes'] } });
    const first = run();
    await settled();
    await coordinator.clock.advance(400);
    const { status, transactionId } = await first;
    expect(status).toBe('committed');
    expect(payment.calls[0]!.branch.transactionId).not.toBe(transactionId);
    expect(await run()).toMatchObject({ status: 'committed', transactionId, repeated: true });
  });

  it('is free when its transaction found no room, or its caller has cancelled', async () => {
    const controller = new AbortController();
    controller.abort(new Error('gone'));
    const { run, stock, coordinator } = await start();
    const cancelled = await run({ signal: controller.signal });
    expect(cancelled).toMatchObject({ status: 'aborted', cause: 'cancelled' });
    await settled();

    const { admission } = coordinator.runtime;
    const waiting = run();
    admission.isDraining = true;
    await expect(waiting).rejects.toMatchObject({ code: 'DTC_DRAINING' });
    admission.isDraining = false;
    expect(stock.calls).toEqual([]);
    expect(await run()).toMatchObject({ status: 'committed' });
  });

  it('is reserved before an interactive transaction begins as well', async () => {
    const { run, coordinator, stock } = await start();
    const { transactions } = coordinator;
    const { transaction } = await transactions.beginOnce({ key: 'order-1' });
    expect(transaction!.state).toBe('ACTIVE');
    const { earlier } = await transactions.beginOnce({ key: 'order-1' });
    expect(earlier).toMatchObject({ status: 'pending', transactionId: transaction!.id, repeated: true });

    transaction!.enlist(branch('stock', 1));
    expect(await transaction!.commit()).toMatchObject({ status: 'committed' });
    expect(await run()).toMatchObject({
      status: 'committed',
      transactionId: transaction!.id,
      repeated: true,
    });
    expect(stock.count('commit')).toBe(1);
    const { transaction: another } = await transactions.beginOnce({ key: 'order-2' });
    await another!.rollback();
    await settled();
    expect(await run({ key: 'order-2' })).toMatchObject({ status: 'committed' });
  });

  it.each([
    [{ key: '' }, 'key must be a text of 1 to 200 printable ASCII characters.'],
    [{ key: 'x'.repeat(201) }, /^key must/],
    [{ key: 'a\nb' }, /^key must/],
    [{ key: 7 }, /^key must/],
    [{ key: 'a', fingerprint: 'ä' }, /^fingerprint must/],
    [{ key: undefined, fingerprint: 'a' }, /^key is needed with a fingerprint/],
  ])('is refused in the wrong form: %j', async (given, message) => {
    const { run, coordinator } = await start();
    await expect(run(given)).rejects.toMatchObject({ code: 'DTC_INVALID_REQUEST' });
    await expect(run(given)).rejects.toThrow(message);
    expect(() => coordinator.transactions.begin({ key: 'a' } as object)).toThrow('use run() or beginOnce()');
  });
});

describe('While a request waits for its key', () => {
  const start = startWith(true);

  it('its transaction is pending, and not aborted: it may still commit', async () => {
    const { run, log, coordinator } = await start();
    const gate = Promise.withResolvers<void>();
    const reserve = log!.reserve.bind(log);
    let id = '';
    log!.reserve = async (request) => {
      id = request.transactionId;
      await gate.promise;
      return reserve(request);
    };
    const running = run();
    await settled();
    expect(await coordinator.transactions.outcomeOf(id)).toEqual({ transactionId: id, status: 'pending' });
    const { run: current } = coordinator.runtime.log;
    expect(current.isUnsettled!(id)).toBe(true);
    // A participant that is told that it is over would refuse it.
    const [mark] = current.lowWaterMarks!();
    expect(mark!.sequence).toBeLessThan(coordinator.runtime.ids.sequenceOf(id));
    gate.resolve();
    expect(await running).toEqual({ status: 'committed', transactionId: id });
  });

  it('no more requests wait than transactions may be in flight', async () => {
    const { run, log, coordinator } = await start({}, { maxInFlight: 2 });
    log!.reserve = () => new Promise(() => {});
    const waiting = [run({ key: 'a', timeoutMs: 500 }), run({ key: 'b', timeoutMs: 500 })].map((one) =>
      one.catch((error: unknown) => error),
    );
    await settled();
    await expect(run({ key: 'c' })).rejects.toMatchObject({ code: 'DTC_OVERLOADED' });
    await coordinator.clock.advance(500);
    expect(await Promise.all(waiting)).toMatchObject([
      { code: 'DTC_LOG_UNAVAILABLE' },
      { code: 'DTC_LOG_UNAVAILABLE' },
    ]);
  });
});

describe('LocalKeys', () => {
  const request = (key: string, transactionId = `of ${key}`) => ({ key, fingerprint: '', transactionId });

  it('keeps the key of a commit for 24 hours', () => {
    let now = 0;
    const keys = new LocalKeys({ now: () => now, epochMs: 0 }, () => 1);
    keys.reserve(request('a'));
    keys.keep('a', 'of a');
    now = KEPT_MS - 1;
    expect(keys.reserve(request('a', 'again'))).toMatchObject({ kind: 'earlier', transactionId: 'of a' });
    now = KEPT_MS;
    expect(keys.reserve(request('a', 'again'))).toEqual({ kind: 'reserved' });
  });

  it('keeps the latest 100,000 commits, and never drops the key of a transaction that has not ended', () => {
    const keys = new LocalKeys({ now: () => 0, epochMs: 0 }, () => 1);
    keys.reserve(request('open'));
    for (let number = 0; number <= 100_000; number++) {
      keys.reserve(request(`k${number}`));
      keys.keep(`k${number}`, `of k${number}`);
    }
    expect(keys.reserve(request('k0', 'again'))).toEqual({ kind: 'reserved' });
    expect(keys.reserve(request('k1', 'again')).kind).toBe('earlier');
    expect(keys.reserve(request('open', 'again')).kind).toBe('earlier');
  });

  it('frees a key only for the transaction that has it', () => {
    const keys = new LocalKeys({ now: () => 0, epochMs: 0 }, () => 1);
    keys.reserve(request('a'));
    keys.release('a', 'another');
    keys.keep('a', 'another');
    expect(keys.reserve(request('a', 'again'))).toMatchObject({ transactionId: 'of a' });
  });
});
