import { describe, expect, it } from 'vitest';
import { FencedError, branch } from '../../src/coordinator/index.js';
import type { CommitRecord } from '../../src/coordinator/index.js';
import {
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { type LogScript, ScriptedLog } from './scripted-log.js';
import { listenTo } from './told.js';
import { DECIDER, claimOf } from '../support/identity.js';

const OLD = 'coordinator.1.7';

function recordOf(id: string, ...participants: string[]): CommitRecord {
  return {
    id,
    name: 'sale',
    decider: DECIDER,
    branches: participants.map((participant) => ({
      branchId: participant,
      participant,
      payload: { of: participant },
      completed: false,
    })),
  };
}

/** A coordinator in its second epoch, whose log holds what the first has left behind. */
function restarted(decisions: CommitRecord[], options: TestCoordinatorOptions = {}, script: LogScript = {}) {
  const claim = claimOf({ epoch: 2, decisions });
  const log = new ScriptedLog({ claim, ...script });
  return { ...createTestCoordinator({ log, ...options }), log };
}

describe('Recovery', () => {
  it('fault 49: a decision that an earlier run has recorded is delivered, with what its commit needs', async () => {
    const stock = new ScriptedParticipant();
    const payment = new ScriptedParticipant();
    const { recover, transactions, log } = restarted([recordOf(OLD, 'stock', 'payment')], {
      participants: { stock, payment },
    });
    expect(transactions.find(OLD)).toMatchObject({ state: 'COMMITTING', stalled: true, name: 'sale' });
    expect(log.ended).toEqual([]);

    await recover();

    expect(stock.calls.map(({ method, branch: { payload } }) => [method, payload])).toEqual([
      ['commit', { of: 'stock' }],
    ]);
    expect(payment.count('commit')).toBe(1);
    expect(transactions.find(OLD)).toMatchObject({ state: 'COMMITTED', stalled: false });
    expect(log.ended).toEqual([OLD]);
  });

  it('fault 47 §: the end is recorded only when every branch has acknowledged', async () => {
    const stock = new ScriptedParticipant();
    const payment = ScriptedParticipant.flaky(2);
    const { recover, log } = restarted([recordOf(OLD, 'stock', 'payment')], {
      participants: { stock, payment },
    });

    await recover();
    await recover();
    expect(log.ended).toEqual([]);
    await recover();

    expect(log.ended).toEqual([OLD]);
    expect([stock.count('commit'), payment.count('commit')]).toEqual([1, 3]);
  });

  it('fault 46: an end that cannot be recorded harms nothing and is reported', async () => {
    const stock = new ScriptedParticipant();
    const { recover, transactions } = restarted(
      [recordOf(OLD, 'stock')],
      { participants: { stock } },
      { end: () => Promise.reject(new Error('the log is full')) },
    );

    await recover();
    await settled();

    expect(transactions.find(OLD)).toMatchObject({ state: 'COMMITTED' });
    const next = await transactions.run({ branches: [branch('stock', 1)] });
    expect(next.status).toBe('committed');
  });

  it('fault 6 §: a participant that is not registered yet gets its commit when it appears', async () => {
    const { recover, transactions, participants } = restarted([recordOf(OLD, 'late-comer')]);
    await recover();
    expect(transactions.find(OLD)).toMatchObject({ state: 'COMMITTING', stalled: true });
    expect(transactions.find(OLD)?.branches[0]?.lastError).toContain(
      'no participant "late-comer" is registered',
    );

    const lateComer = new ScriptedParticipant();
    participants.register(lateComer, { name: 'late-comer' });
    await recover();

    expect(transactions.find(OLD)).toMatchObject({ state: 'COMMITTED' });
    expect(lateComer.count('commit')).toBe(1);
  });

  it('fault 55: a decision that cannot be delivered keeps no other waiting', async () => {
    const stock = new ScriptedParticipant();
    const broken = new ScriptedParticipant({ commit: 'throw' });
    const decisions = ['coordinator.1.1', 'coordinator.1.2', 'coordinator.1.3'].map((id, index) =>
      recordOf(id, index === 1 ? 'broken' : 'stock'),
    );
    const { recover, transactions } = restarted(decisions, { participants: { stock, broken } });

    await recover();

    expect(decisions.map(({ id }) => transactions.find(id)?.state)).toEqual([
      'COMMITTED',
      'COMMITTING',
      'COMMITTED',
    ]);
  });

  it('fault 64: the ids of a new epoch differ from those of an earlier one', async () => {
    const stock = new ScriptedParticipant();
    const { transactions } = restarted([recordOf('coordinator.1.1', 'stock')], { participants: { stock } });

    const { transactionId } = await transactions.run({ branches: [branch('stock', 1)] });

    expect(transactionId).toMatch(/^coordinator\.[0-9a-z]{12}\.2\.\d+$/);
    expect(transactions.find('coordinator.1.1')?.state).toBe('COMMITTING');
  });

  it('completion is not refused for lack of room: restored transactions do not count towards the limit', async () => {
    const stock = new ScriptedParticipant();
    const decisions = Array.from({ length: 20 }, (_, index) =>
      recordOf(`coordinator.1.${index + 1}`, 'stock'),
    );
    const { recover, transactions } = restarted(decisions, { participants: { stock }, maxInFlight: 1 });

    expect((await transactions.run({ branches: [branch('stock', 1)] })).status).toBe('committed');
    await recover();

    expect(transactions.list({ state: 'COMMITTING' })).toEqual([]);
  });
});

describe('Transactions restored from the log', () => {
  it('keeps to the limit of each participant, also at one that was not registered before', async () => {
    const decisions = Array.from({ length: 100 }, (_, index) =>
      recordOf(`coordinator.1.${index + 1}`, 'late-comer'),
    );
    const { recover, participants, runtime, transactions } = restarted(decisions, { recoveryConcurrency: 5 });
    await recover();
    const gate = Promise.withResolvers<void>();
    const lateComer = new ScriptedParticipant({ commit: { until: gate.promise } });
    participants.register(lateComer, { name: 'late-comer' });

    const pass = recover();
    await settled();
    expect(lateComer.count('commit')).toBe(5);
    gate.resolve();
    await pass;

    expect(transactions.list({ state: 'COMMITTED' })).toHaveLength(100);
    expect(participants.get('late-comer').counts).toMatchObject({ committed: 100 });
    expect(runtime.registry.unresolvedAt(participants.resolve('late-comer')).stalled).toBe(0);
  });

  it('does not receive an acknowledged decision again while other branches have not acknowledged', async () => {
    const stock = new ScriptedParticipant();
    const payment = new ScriptedParticipant();
    const { branches, ...record } = recordOf(OLD, 'stock', 'payment');
    const progressed = {
      ...record,
      branches: branches.map((one, index) => Object.assign({}, one, { completed: index === 0 })),
    };
    const { recover, transactions } = restarted([progressed], { participants: { stock, payment } });

    await recover();

    expect([stock.count('commit'), payment.count('commit')]).toEqual([0, 1]);
    expect(transactions.find(OLD)?.state).toBe('COMMITTED');
  });

  it('is over at once when only its end was not noted', async () => {
    const { branches, ...record } = recordOf(OLD, 'stock');
    const all = { ...record, branches: branches.map((one) => Object.assign({}, one, { completed: true })) };
    const { log, transactions } = restarted([all], { participants: { stock: new ScriptedParticipant() } });

    expect(log.ended).toEqual([OLD]);
    expect(transactions.find(OLD)).toMatchObject({ state: 'COMMITTED', stalled: false });
  });

  it('fault 39: keeps its decision although only a report is left of it', async () => {
    const report = (decision: 'commit' | 'abort', id: string) =>
      ({
        id,
        name: 'sale',
        decision,
        branchId: 'stock',
        participant: 'stock',
        kind: 'mixed',
        reason: 'half',
      }) as const;
    const reports = [report('commit', 'coordinator.1.1'), report('abort', 'coordinator.1.2')];
    const log = new ScriptedLog({ claim: claimOf({ epoch: 2, reports }) });
    const { transactions } = createTestCoordinator({
      log,
      participants: { stock: new ScriptedParticipant() },
    });

    expect(transactions.find('coordinator.1.1')).toMatchObject({ state: 'COMMITTED', heuristic: 'mixed' });
    expect(transactions.find('coordinator.1.2')).toMatchObject({ state: 'ABORTED', heuristic: 'mixed' });
  });
});

describe('A coordinator whose log another coordinator has claimed', () => {
  const fenced: LogScript = {
    append: () => Promise.reject(new Error('the epoch is over')),
    lookUp: () => Promise.resolve('fenced' as const),
  };

  it('fault 28 §: tells pending, and sends nothing more for the transaction, neither commit nor rollback', async () => {
    const stock = new ScriptedParticipant();
    const { transactions, clock, recover } = restarted([], { participants: { stock } }, fenced);

    const outcome = await transactions.run({ branches: [branch('stock', 1)] });
    await clock.advance(120_000, 1_000);
    await recover();

    expect(outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    expect(stock.calls.map(({ method }) => method)).toEqual(['prepare']);
    expect(transactions.find(outcome.transactionId)?.state).toBe('READY');
  });

  it('starts nothing more, and is not healthy', async () => {
    const stock = new ScriptedParticipant();
    const { transactions, runtime } = restarted([], { participants: { stock } }, fenced);
    await transactions.run({ branches: [branch('stock', 1)] });

    await expect(transactions.run({ branches: [branch('stock', 1)] })).rejects.toThrow(FencedError);
    expect(() => transactions.begin()).toThrow(FencedError);
    expect(runtime.admission.isOpen).toBe(false);
    expect(runtime.registry.inFlight).toBe(0);
  });

  it('fault 57 §: still accepts a late answer of the log that the record was taken before', async () => {
    const appended = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant();
    const { transactions, clock } = restarted(
      [],
      { participants: { stock } },
      { append: () => appended.promise, lookUp: () => Promise.resolve('fenced' as const) },
    );
    const told = listenTo(transactions.run({ branches: [branch('stock', 1)] }));
    await clock.advance(20_000, 1_000);
    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'unknown' });

    appended.resolve();
    await settled();

    expect(stock.count('commit')).toBe(1);
    expect(transactions.find(told.outcome!.transactionId)?.state).toBe('COMMITTED');
  });
});
