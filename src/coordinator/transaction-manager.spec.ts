import { describe, expect, it, vi } from 'vitest';
import { InvalidRequestError, ShuttingDownError, TransactionNotFoundError } from './errors.js';
import { branch } from './participant/branch-request.js';
import type { Branch, TransactionParticipant, Vote } from './participant/participant.js';
import { ScriptedParticipant, createTestCoordinator, settled } from './testing/index.js';

class Ledger implements TransactionParticipant<{ amount: number }> {
  readonly amounts: number[] = [];

  prepare({ payload }: Branch<{ amount: number }>): Vote {
    this.amounts.push(payload.amount);
    return 'commit';
  }

  commit(): void {}

  rollback(): void {}
}

describe('TransactionManager.run', () => {
  it('commits over all participants and answers once all have acknowledged', async () => {
    const gate = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant({ commit: { until: gate.promise } });
    const payment = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock, payment } });
    let isTold = false;
    const running = transactions
      .run({ name: 'create-order', branches: [branch('stock', { sku: 'a' }), branch('payment', 5)] })
      .finally(() => (isTold = true));
    await settled();
    expect(payment.count('commit')).toBe(1);
    expect(isTold).toBe(false);
    gate.resolve();
    const { status, transactionId } = await running;

    expect(status).toBe('committed');
    expect(stock.effectOn(transactionId, 'stock')).toBe('committed');
    expect(payment.effectOn(transactionId, 'payment')).toBe('committed');
    expect(transactions.find(transactionId)).toMatchObject({ name: 'create-order', state: 'COMMITTED' });
  });

  it('asks all participants to prepare at once, before any has answered', async () => {
    const gate = Promise.withResolvers<void>();
    const script = { prepare: { until: gate.promise } };
    const voters = { a: new ScriptedParticipant(script), b: new ScriptedParticipant(script) };
    const { transactions } = createTestCoordinator({ participants: voters });
    const running = transactions.run({ branches: [branch('a', 1), branch('b', 2)] });

    expect([voters.a.count('prepare'), voters.b.count('prepare')]).toEqual([1, 1]);
    gate.resolve();
    await running;
  });

  it('accepts participants by class as well, and passes the payload on unchanged', async () => {
    const ledger = new Ledger();
    const { transactions } = createTestCoordinator({ participants: { ledger } });

    expect(await transactions.run({ branches: [branch(Ledger, { amount: 7 })] })).toMatchObject({
      status: 'committed',
    });
    expect(ledger.amounts).toEqual([7]);
  });

  it('calls no participant if the signal is already aborted', async () => {
    const stock = new ScriptedParticipant();
    const { transactions, runtime } = createTestCoordinator({ participants: { stock } });

    expect(
      await transactions.run({
        branches: [branch('stock', 1)],
        signal: AbortSignal.abort(new Error('gone')),
      }),
    ).toMatchObject({ status: 'aborted', cause: 'cancelled', reason: 'the caller cancelled: gone' });
    expect(stock.calls).toEqual([]);
    expect(runtime.registry.inFlight).toBe(0);
  });

  it('aborts if the signal is aborted during the voting, and not after the votes', async () => {
    const gate = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant({ prepare: 'hang' });
    const payment = new ScriptedParticipant({ commit: { until: gate.promise } });
    const { transactions } = createTestCoordinator({ participants: { stock, payment } });
    const early = new AbortController();
    const cancelled = transactions.run({
      branches: [branch('stock', 1), branch('payment', 1)],
      signal: early.signal,
    });
    early.abort();
    expect(await cancelled).toMatchObject({ status: 'aborted', cause: 'cancelled' });
    await settled();
    expect([stock.count('rollback'), payment.count('rollback')]).toEqual([1, 2]);

    const late = new AbortController();
    const running = transactions.run({ branches: [branch('payment', 1)], signal: late.signal });
    await settled();
    late.abort();
    gate.resolve();
    expect(await running).toMatchObject({ status: 'committed' });
  });

  it('leaves no listener on the signal of a caller whose transaction cannot be started', async () => {
    const { transactions, runtime } = createTestCoordinator();
    vi.spyOn(runtime.admission, 'admit').mockImplementation(() => {
      throw new Error('no room');
    });
    const { signal } = new AbortController();
    const add = vi.spyOn(signal, 'addEventListener');
    const remove = vi.spyOn(signal, 'removeEventListener');

    await expect(transactions.run({ branches: [], signal })).rejects.toThrow('no room');
    expect(() => transactions.begin({ signal })).toThrow('no room');
    expect(add).toHaveBeenCalledTimes(2);
    expect(remove.mock.calls.map(([, listener]) => listener)).toEqual(
      add.mock.calls.map(([, listener]) => listener),
    );
  });

  it('rejects, and never throws, when the coordinator is closed', async () => {
    const { transactions, runtime } = createTestCoordinator();
    runtime.admission.close();

    await expect(transactions.run({ branches: [] })).rejects.toThrow(ShuttingDownError);
  });
});

describe('TransactionManager.find and list', () => {
  it('show the present state of a transaction, without its payloads', async () => {
    const gate = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant({ prepare: { until: gate.promise } });
    const { transactions, clock } = createTestCoordinator({ participants: { stock } });
    const running = transactions.run({ branches: [branch('stock', { secret: 'x' })] });
    const [shown] = transactions.list();
    expect(shown).toMatchObject({
      state: 'PREPARING',
      decision: null,
      endedAt: null,
      durationMs: null,
      branches: [{ branchId: 'stock', participant: 'stock', vote: null, state: 'preparing', attempts: 0 }],
    });
    expect(shown!.startedAt).toBe(new Date(clock.epochMs + 1_000).toISOString());
    expect(shown!.deadlineAt).toBe(new Date(clock.epochMs + 6_000).toISOString());

    await clock.advance(20);
    gate.resolve();
    await running;
    const view = transactions.find(shown!.transactionId)!;
    expect(view).toMatchObject({ state: 'COMMITTED', decision: 'commit', durationMs: 20 });
    expect(view.timeline.map(({ event }) => event)).toEqual([
      'begun',
      'preparing',
      'voted',
      'decided',
      'committed',
      'ended',
    ]);
    expect(JSON.stringify(view)).not.toContain('secret');
    expect(shown!.state).toBe('PREPARING');
  });

  it('show which participant refused and why', async () => {
    const stock = new ScriptedParticipant({ prepare: { refuse: 'OUT_OF_STOCK', reason: 'none left' } });
    const { transactions } = createTestCoordinator({ participants: { stock } });
    const { transactionId } = await transactions.run({ branches: [branch('stock', 1)] });

    expect(transactions.find(transactionId)).toMatchObject({
      state: 'ABORTED',
      decision: 'abort',
      cause: 'refused',
      reason: 'none left',
      branches: [{ vote: 'abort', state: 'refused', lastError: 'none left' }],
    });
  });

  it('list the latest first, filtered, up to the limit', async () => {
    const stock = new ScriptedParticipant({ prepare: ['yes', 'no', 'yes', 'no', 'yes'] });
    const { transactions } = createTestCoordinator({ participants: { stock } });
    const ids: string[] = [];
    for (let number = 0; number < 5; number++) {
      ids.unshift((await transactions.run({ branches: [branch('stock', number)] })).transactionId);
    }
    const listed = (filter: Parameters<typeof transactions.list>[0]) =>
      transactions.list(filter).map(({ transactionId }) => ids.indexOf(transactionId));

    expect(listed({})).toEqual([0, 1, 2, 3, 4]);
    expect(listed({ limit: 2 })).toEqual([0, 1]);
    expect(listed({ state: 'ABORTED' })).toEqual([1, 3]);
    expect(listed({ state: 'COMMITTED', limit: 1 })).toEqual([0]);
    expect(listed({ stalled: true })).toEqual([]);
    expect(listed({ stalled: false })).toHaveLength(5);
  });

  it.each([0, -1, 1_001, 1.5, Number.NaN])('refuse to list %s transactions', (limit) => {
    const { transactions } = createTestCoordinator();

    expect(() => transactions.list({ limit })).toThrow(InvalidRequestError);
  });

  it('forget reports only of known transactions, and return whether there were any', async () => {
    const { transactions } = createTestCoordinator();
    const { transactionId } = await transactions.run({ branches: [] });

    expect(transactions.forget(transactionId)).toBe(false);
    expect(() => transactions.forget('nothing.like.it')).toThrow(TransactionNotFoundError);
  });
});
