import { describe, expect, it } from 'vitest';
import {
  BranchConflictError,
  NotActiveError,
  OverloadedError,
  UnknownParticipantError,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';

describe('Begin and enlist', () => {
  it('fault 2: the id of a transaction of an earlier run is unknown, which means aborted', async () => {
    const earlier = createTestCoordinator();
    const { id } = earlier.transactions.begin();
    const later = createTestCoordinator();
    later.transactions.begin();

    expect(earlier.transactions.find(id)).toMatchObject({ state: 'ACTIVE' });
    expect(later.transactions.find(id)).toBeUndefined();
  });

  it('fault 2: a transaction that its caller abandons is aborted by its deadline', async () => {
    const stock = new ScriptedParticipant();
    const { transactions, clock } = createTestCoordinator({ participants: { stock }, timeoutMs: 1_000 });
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));

    await clock.advance(990);
    expect(transaction.state).toBe('ACTIVE');
    await clock.advance(10);

    expect(transaction.state).toBe('ABORTED');
    expect(await transaction.commit()).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(stock.calls.map(({ method }) => method)).toEqual(['rollback']);
  });

  it('fault 3: a repeated enlist adds nothing, and the same id for another participant is a conflict', async () => {
    const stock = new ScriptedParticipant();
    const payment = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock, payment } });
    const transaction = transactions.begin();

    expect(transaction.enlist(branch('stock', 'first', { branchId: 'item-1' }))).toBe('item-1');
    expect(transaction.enlist(branch('stock', 'first', { branchId: 'item-1' }))).toBe('item-1');
    expect(() => transaction.enlist(branch('payment', 1, { branchId: 'item-1' }))).toThrow(
      BranchConflictError,
    );

    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
    expect(stock.count('prepare')).toBe(1);
    expect(stock.calls[0]!.branch.branchId).toBe('item-1');
    expect(payment.calls).toEqual([]);
  });

  it('fault 3: the same id with another payload is a conflict, and the first payload stands', async () => {
    const stock = new ScriptedParticipant<{ sku: string }>();
    const { transactions } = createTestCoordinator({ participants: { stock } });
    const transaction = transactions.begin();
    const enlist = (payload: unknown) => transaction.enlist(branch('stock', payload, { branchId: 'item-1' }));
    enlist({ sku: 'keyboard' });

    for (const other of [{ sku: 'mouse' }, undefined, new Proxy({}, { ownKeys: () => expect.fail() })]) {
      expect(() => enlist(other)).toThrow(
        'The branch "item-1" of "stock" is already enlisted with another payload, which stays unchanged.',
      );
    }
    expect(enlist({ sku: 'keyboard' })).toBe('item-1');

    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
    expect(stock.calls.map(({ method, branch: { payload } }) => [method, payload])).toEqual([
      ['prepare', { sku: 'keyboard' }],
      ['commit', { sku: 'keyboard' }],
    ]);
  });

  it('fault 4 §: an enlist that arrives after commit began, or after the decision, is refused', async () => {
    const gate = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant({ prepare: { until: gate.promise } });
    const late = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock, late } });
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));

    const committing = transaction.commit();
    expect(() => transaction.enlist(branch('late', 1))).toThrow(NotActiveError);
    gate.resolve();
    await committing;
    expect(() => transaction.enlist(branch('late', 1))).toThrow(NotActiveError);

    expect(transactions.find(transaction.id)?.branches).toHaveLength(1);
    expect(late.calls).toEqual([]);
  });

  it('fault 4 §: a repeated enlist is refused as well, once commit or rollback was asked for', async () => {
    const { transactions } = createTestCoordinator({ participants: { stock: new ScriptedParticipant() } });
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1, { branchId: 'shelf' }));
    await transaction.rollback();
    expect(() => transaction.enlist(branch('stock', 1, { branchId: 'shelf' }))).toThrow(NotActiveError);
  });

  it('fault 4 §: a participant that enlists another while it prepares is refused, and nothing is missed', async () => {
    const late = new ScriptedParticipant();
    const coordinator = createTestCoordinator({ participants: { late } });
    const transaction = coordinator.transactions.begin();
    coordinator.participants.register(
      {
        prepare: () => {
          transaction.enlist(branch('late', 1));
          return 'commit' as const;
        },
        commit: () => {},
        rollback: () => {},
      },
      { name: 'recruiter' },
    );
    transaction.enlist(branch('recruiter', 1));

    const outcome = await transaction.commit();

    expect(outcome).toMatchObject({ status: 'aborted', cause: 'failed', participant: 'recruiter' });
    expect((outcome as { error: unknown }).error).toBeInstanceOf(NotActiveError);
    expect(late.calls).toEqual([]);
  });

  it('fault 5: an unknown or removed participant is refused, and no trace of the branch remains', async () => {
    const stock = new ScriptedParticipant();
    const { transactions, participants, runtime } = createTestCoordinator({ participants: { stock } });

    await expect(transactions.run({ branches: [branch('stock', 1), branch('nobody', 1)] })).rejects.toThrow(
      UnknownParticipantError,
    );
    participants.unregister('stock');
    await expect(transactions.run({ branches: [branch('stock', 1)] })).rejects.toThrow(
      UnknownParticipantError,
    );

    expect(stock.calls).toEqual([]);
    expect(runtime.registry.inFlight).toBe(0);
    expect(transactions.list()).toEqual([]);
  });

  it('fault 6 §: a participant removed while in doubt still gets the decision, also after it stalled', async () => {
    const stock = new ScriptedParticipant({ commit: ['throw', 'throw', 'yes'] });
    const { transactions, participants, clock, recover } = createTestCoordinator({
      participants: { stock },
      maxAttempts: 2,
    });
    const running = transactions.run({ branches: [branch('stock', 1)] });
    expect(participants.unregister('stock')).toBe(true);

    await clock.advance(1_000);
    const outcome = await running;
    expect(outcome).toMatchObject({ status: 'pending', decision: 'commit' });
    participants.register(new ScriptedParticipant(), { name: 'stock' });
    await recover();

    expect(transactions.find(outcome.transactionId)).toMatchObject({ state: 'COMMITTED', stalled: false });
    expect(stock.effectOn(outcome.transactionId, 'stock')).toBe('committed');
  });

  it('fault 7: without branches commit is decided at once, and no participant is called', async () => {
    const { transactions } = createTestCoordinator();

    expect(await transactions.run({ branches: [] })).toMatchObject({ status: 'committed' });
  });

  it('fault 7: one branch that supports it is committed in one phase', async () => {
    const calls: string[] = [];
    const { transactions, participants } = createTestCoordinator();
    participants.register(
      {
        prepare: () => (calls.push('prepare'), 'commit' as const),
        commit: () => void calls.push('commit'),
        rollback: () => void calls.push('rollback'),
        commitOnePhase: () => (calls.push('commitOnePhase'), 'commit' as const),
      },
      { name: 'ledger' },
    );

    expect(await transactions.run({ branches: [branch('ledger', 1)] })).toMatchObject({
      status: 'committed',
    });
    expect(calls).toEqual(['commitOnePhase']);

    calls.length = 0;
    await transactions.run({ branches: [branch('ledger', 1), branch('ledger', 2)] });
    expect(calls).toEqual(['prepare', 'prepare', 'commit', 'commit']);
  });

  it('fault 7 §: the unknown result of a one-phase commit is in doubt, never an abort', async () => {
    const answers = [
      () => Promise.reject(new Error('connection cut')),
      () => new Promise<'commit'>(() => {}),
    ];
    const late = Promise.withResolvers<'commit'>();
    answers.push(() => late.promise);
    const rollbacks: string[] = [];
    const { transactions, participants, clock } = createTestCoordinator({ timeoutMs: 1_000 });
    participants.register(
      {
        prepare: () => 'commit' as const,
        commit: () => {},
        rollback: ({ branchId }) => void rollbacks.push(branchId),
        commitOnePhase: () => answers.shift()!(),
      },
      { name: 'ledger', prepareTimeoutMs: 500 },
    );

    const running = transactions.run({ branches: [branch('ledger', 1)] });
    await clock.advance(1_000);
    const outcome = await running;
    expect(outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    expect(transactions.find(outcome.transactionId)).toMatchObject({ state: 'READY', decision: null });

    late.resolve('commit');
    await settled();
    expect(transactions.find(outcome.transactionId)).toMatchObject({ state: 'COMMITTED' });
    expect(rollbacks).toEqual([]);
  });

  it('fault 7: a refusal of the one-phase commit is an abort, and nothing needs to be rolled back', async () => {
    const rollbacks: string[] = [];
    const { transactions, participants } = createTestCoordinator();
    participants.register(
      {
        prepare: () => 'commit' as const,
        commit: () => {},
        rollback: ({ branchId }) => void rollbacks.push(branchId),
        commitOnePhase: () => ({ vote: 'abort' as const, code: 'NO_FUNDS', reason: 'empty' }),
      },
      { name: 'ledger' },
    );

    expect(await transactions.run({ branches: [branch('ledger', 1)] })).toMatchObject({
      status: 'aborted',
      cause: 'refused',
      code: 'NO_FUNDS',
      participant: 'ledger',
    });
    expect(rollbacks).toEqual([]);
  });

  it('fault 7: a wholly read-only transaction has no second phase', async () => {
    const catalogue = new ScriptedParticipant({ prepare: 'read-only' });
    const prices = new ScriptedParticipant({ prepare: 'read-only' });
    const { transactions } = createTestCoordinator({ participants: { catalogue, prices } });

    expect(await transactions.run({ branches: [branch('catalogue', 1), branch('prices', 1)] })).toMatchObject(
      { status: 'committed' },
    );
    await settled();
    expect([...catalogue.calls, ...prices.calls].map(({ method }) => method)).toEqual(['prepare', 'prepare']);
  });

  it('fault 63: beyond maxInFlight a transaction is refused before anything starts, and completion continues', async () => {
    const gate = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant({ commit: { until: gate.promise } });
    const { transactions } = createTestCoordinator({ participants: { stock }, maxInFlight: 2 });
    const request = { branches: [branch('stock', 1)] };
    const first = transactions.run(request);
    const second = transactions.run(request);

    await expect(transactions.run(request)).rejects.toThrow(OverloadedError);
    expect(() => transactions.begin()).toThrow(OverloadedError);
    expect(stock.count('prepare')).toBe(2);

    gate.resolve();
    expect(await Promise.all([first, second])).toMatchObject([
      { status: 'committed' },
      { status: 'committed' },
    ]);
    expect(await transactions.run(request)).toMatchObject({ status: 'committed' });
  });

  it('fault 64: the ids of two runs of one coordinator never meet', () => {
    const ids = new Set<string>();
    for (let run = 0; run < 50; run++) {
      const { transactions } = createTestCoordinator({ name: 'shop' });
      for (let number = 0; number < 20; number++) ids.add(transactions.begin().id);
    }

    expect(ids.size).toBe(1_000);
    for (const id of ids) expect(id).toMatch(/^shop\.[a-z0-9]{12}\.[a-z0-9]+\.[0-9]+$/);
  });
});
