import { describe, expect, it } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import type { CommitRecord, HeuristicRecord, LogClaim } from '../log/decision-log.js';
import type { PreparedBranch } from '../participant/participant.js';
import { ScriptedParticipant, createTestCoordinator } from '../testing/index.js';
import { Recovery } from './recovery.js';
import { DECIDER, claimOf } from '../../../test/support/identity.js';

function decisionFor(id: string): CommitRecord {
  const branches = ['stock', 'payment'].map((name) => ({
    branchId: name,
    participant: name,
    payload: 1,
    completed: false,
  }));
  return { id, name: 'sale', decider: DECIDER, branches };
}

function reportOf(
  id: string,
  participant: string,
  decision: HeuristicRecord['decision'],
  kind: HeuristicRecord['kind'],
): HeuristicRecord {
  return {
    id,
    name: 'sale',
    decision,
    branchId: participant,
    participant,
    kind,
    reason: `reported by ${id}`,
  };
}

/** A coordinator that has loaded the records of an earlier run. */
function restored(left: Pick<LogClaim, 'decisions' | 'reports'>) {
  const stock = new ScriptedParticipant();
  const payment = new ScriptedParticipant();
  const claim = claimOf({ epoch: 2, ...left });
  const coordinator = createTestCoordinator({
    participants: { stock, payment },
    log: new ScriptedLog({ claim }),
  });
  const committedAt = ({ calls }: ScriptedParticipant) =>
    calls.filter(({ method }) => method === 'commit').map(({ branch }) => branch.transactionId);
  return { ...coordinator, stock, payment, committedAt };
}

describe('Recovery of the records in the log', () => {
  it('delivers each decision to the branches that have made no report', async () => {
    const { recover, stock, payment, committedAt, transactions } = restored({
      decisions: [decisionFor('coordinator.1.1'), decisionFor('coordinator.1.2')],
      reports: [reportOf('coordinator.1.1', 'stock', 'commit', 'rollback')],
    });
    await recover();

    expect(committedAt(stock)).toEqual(['coordinator.1.2']);
    expect(committedAt(payment)).toEqual(['coordinator.1.1', 'coordinator.1.2']);
    expect(transactions.list()).toHaveLength(2);
    expect(transactions.find('coordinator.1.1')!.branches).toMatchObject([
      { branchId: 'stock', heuristic: { kind: 'rollback', reason: 'reported by coordinator.1.1' } },
      { branchId: 'payment', state: 'committed' },
    ]);
  });

  it('restores each aborted transaction with its own reports, and rolls nothing back', async () => {
    const { recover, stock, payment, transactions } = restored({
      decisions: [],
      reports: [
        reportOf('coordinator.1.1', 'stock', 'abort', 'commit'),
        reportOf('coordinator.1.2', 'stock', 'abort', 'mixed'),
        reportOf('coordinator.1.1', 'payment', 'abort', 'hazard'),
      ],
    });
    await recover();

    expect(transactions.list()).toHaveLength(2);
    expect(transactions.find('coordinator.1.1')).toMatchObject({
      state: 'ABORTED',
      branches: [
        { branchId: 'stock', heuristic: { kind: 'commit' } },
        { branchId: 'payment', heuristic: { kind: 'hazard' } },
      ],
    });
    expect(transactions.find('coordinator.1.2')).toMatchObject({
      state: 'ABORTED',
      branches: [{ branchId: 'stock', heuristic: { kind: 'mixed', reason: 'reported by coordinator.1.2' } }],
    });
    expect([...stock.calls, ...payment.calls]).toEqual([]);
  });
});

describe('A restored transaction', () => {
  it('counts as stalled if it owes a commit, and not if it only keeps a report', () => {
    const open = decisionFor('coordinator.1.1');
    const { branches } = decisionFor('coordinator.1.2');
    const over = {
      ...decisionFor('coordinator.1.2'),
      branches: [{ ...branches[0]!, completed: true }, branches[1]!],
    };
    const { participants, runtime } = restored({
      decisions: [open, over],
      reports: [
        reportOf('coordinator.1.1', 'payment', 'commit', 'rollback'),
        reportOf('coordinator.1.2', 'stock', 'commit', 'mixed'),
      ],
    });

    expect(runtime.registry.unresolvedAt(participants.resolve('stock')).stalled).toBe(1);
    expect(runtime.registry.unresolvedAt(participants.resolve('payment')).stalled).toBe(1);
  });

  it('has neither ended nor failed before its commits are delivered', async () => {
    const { transactions, recover, clock } = restored({
      decisions: [decisionFor('coordinator.1.1')],
      reports: [],
    });
    expect(transactions.find('coordinator.1.1')).toMatchObject({
      endedAt: null,
      branches: [{ lastError: null }, { lastError: null }],
    });

    await clock.advance(50);
    await recover();
    expect(transactions.find('coordinator.1.1')).toMatchObject({ state: 'COMMITTED', durationMs: 50 });
  });

  it('ignores a report of a branch that is not in its decision', () => {
    const { transactions } = restored({
      decisions: [decisionFor('coordinator.1.1')],
      reports: [{ ...reportOf('coordinator.1.1', 'stock', 'commit', 'mixed'), branchId: 'unheard-of' }],
    });

    expect(transactions.find('coordinator.1.1')).toMatchObject({ state: 'COMMITTING', heuristic: null });
  });

  it('shows how long its decision has waited, even if the wall clock was set back since', () => {
    const [begunAt, decidedAt] = [Date.parse('2029-12-24T10:00:00Z'), Date.parse('2029-12-24T10:00:01Z')];
    const later = Date.parse('2031-01-01T00:00:00Z');
    const { transactions } = restored({
      decisions: [
        { ...decisionFor('coordinator.1.1'), begunAt, decidedAt },
        { ...decisionFor('coordinator.1.2'), begunAt: later, decidedAt: later },
      ],
      reports: [],
    });

    expect(transactions.find('coordinator.1.1')).toMatchObject({
      startedAt: '2029-12-24T10:00:00.000Z',
      decidedAt: '2029-12-24T10:00:01.000Z',
    });
    expect(transactions.find('coordinator.1.2')!.ageMs).toBe(0);
  });
});

describe('Recovery', () => {
  it('keeps the recovery in progress until its decision has been tried for the first time', async () => {
    const { runtime } = restored({ decisions: [decisionFor('coordinator.1.1')], reports: [] });
    const recovery = new Recovery(runtime);
    await recovery.pass();
    expect(runtime.isRecovering).toBe(true);

    recovery.restore();
    await recovery.pass();
    expect(runtime.isRecovering).toBe(false);
  });

  it('precedes any question for prepared branches, and no question follows the stop', async () => {
    let asked = 0;
    class Listing extends ScriptedParticipant {
      async recover(): Promise<readonly PreparedBranch[]> {
        asked++;
        return [];
      }
    }
    const { runtime } = createTestCoordinator({ participants: { stock: new Listing() } });
    const recovery = new Recovery(runtime);
    await recovery.findOrphans();
    await recovery.pass();
    expect(asked).toBe(0);

    recovery.restore();
    await recovery.findOrphans();
    expect(asked).toBe(1);

    await recovery.stop();
    await recovery.findOrphans();
    await recovery.pass();
    expect(asked).toBe(1);
  });
});
