import { describe, expect, it } from 'vitest';
import { branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant, settled } from '../../src/coordinator/testing/index.js';
import { OLD, recordOf, restarted } from './restarted.js';

describe('Recovery', () => {
  it('fault 49: a decision that an earlier run has recorded is delivered, with everything that its commit needs', async () => {
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
