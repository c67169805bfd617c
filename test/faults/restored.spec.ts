import { describe, expect, it } from 'vitest';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { claimOf } from '../support/identity.js';
import { OLD, recordOf, restarted } from './restarted.js';
import { ScriptedLog } from './scripted-log.js';

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
