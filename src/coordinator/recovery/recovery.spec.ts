import { describe, expect, it, vi } from 'vitest';
import { type LogScript, ScriptedLog } from '../../../test/faults/scripted-log.js';
import type { BranchRecord } from '../execution/records.js';
import { LogUnavailableError } from '../log/log-errors.js';
import type { CommitRecord, DecisionLog, HeuristicRecord, LogClaim } from '../log/decision-log.js';
import { branch } from '../participant/branch-request.js';
import type { PreparedBranch } from '../participant/participant.js';
import { ManualClock, ScriptedParticipant, createTestCoordinator, settled } from '../testing/index.js';
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
  return { id, name: 'sale', decision, branchId: participant, participant, kind, reason: `said by ${id}` };
}

/** A coordinator that has taken up what an earlier run left in the log. */
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

describe('Recovery of what the log held', () => {
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
      { branchId: 'stock', heuristic: { kind: 'rollback', reason: 'said by coordinator.1.1' } },
      { branchId: 'payment', state: 'committed' },
    ]);
  });

  it('brings back each aborted transaction with its own reports, and rolls nothing back', async () => {
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
      branches: [{ branchId: 'stock', heuristic: { kind: 'mixed', reason: 'said by coordinator.1.2' } }],
    });
    expect([...stock.calls, ...payment.calls]).toEqual([]);
  });
});

describe('What is restored', () => {
  it('counts as stalled where a commit is owed, and not where a report is kept', () => {
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

    expect(runtime.registry.unresolvedAt(participants.get('stock')).stalled).toBe(1);
    expect(runtime.registry.unresolvedAt(participants.get('payment')).stalled).toBe(1);
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

  it('needs no report of a branch that is none of its decision', () => {
    const { transactions } = restored({
      decisions: [decisionFor('coordinator.1.1')],
      reports: [{ ...reportOf('coordinator.1.1', 'stock', 'commit', 'mixed'), branchId: 'unheard-of' }],
    });

    expect(transactions.find('coordinator.1.1')).toMatchObject({ state: 'COMMITTING', heuristic: null });
  });
});

describe('Recovery of a log that failed', () => {
  /** A coordinator whose log has failed to take a record, and answers as the script says when it is asked. */
  function failing(check: NonNullable<LogScript['check']>) {
    let asked = 0;
    const log = new ScriptedLog({
      check: () => {
        asked++;
        return check();
      },
    });
    const coordinator = createTestCoordinator({ log, clock: new ManualClock(100_000) });
    coordinator.runtime.log.failed(new Error('no space left'));
    const pass = async (): Promise<void> => {
      void coordinator.recover();
      await settled();
    };
    return { ...coordinator, pass, asked: () => asked };
  }

  it('asks a log that takes records nothing', async () => {
    const { runtime, pass, asked } = failing(() => Promise.resolve());
    runtime.log.succeeded();
    await pass();

    expect(asked()).toBe(0);
  });

  it('admits transactions again when the log says that it works', async () => {
    const { transactions, pass, asked } = failing(() => Promise.resolve());
    expect(() => transactions.begin()).toThrow(LogUnavailableError);

    await pass();
    expect((await transactions.begin().commit()).status).toBe('committed');
    await pass();
    expect(asked()).toBe(1);
  });

  it('keeps the door shut while the log fails, with its newest words, and asks again in each pass', async () => {
    const failures = ['the quota is used up', 'the disk is read-only'];
    const { runtime, transactions, pass, asked } = failing(() => Promise.reject(new Error(failures.shift())));

    await pass();
    expect(runtime.log.problem).toBe('the quota is used up');
    await pass();
    expect(runtime.log.problem).toBe('the disk is read-only');
    expect(() => transactions.begin()).toThrow(LogUnavailableError);
    expect(asked()).toBe(2);
  });

  it('asks a log that does not answer again after ten seconds, and not before', async () => {
    const { clock, pass, asked, runtime } = failing(() => new Promise(() => {}));
    await pass();
    await pass();
    await clock.advance(9_999, 1_000);
    await pass();
    expect(asked()).toBe(1);

    await clock.advance(1);
    await pass();
    expect(asked()).toBe(2);
    expect(runtime.log.problem).toContain('no space left');
  });

  it('writes the reports that the log has not taken, once it works', async () => {
    const log: DecisionLog = new ScriptedLog();
    const report = vi.spyOn(log, 'report').mockImplementationOnce(() => {
      throw new Error('no space left');
    });
    const stock = new ScriptedParticipant({ commit: { heuristic: 'rollback' } });
    const { transactions, runtime, recover } = createTestCoordinator({ log, participants: { stock } });
    const { transactionId } = await transactions.run({
      branches: [branch('stock', 1), branch('stock', 2, { branchId: 'stock-2' })],
    });
    runtime.log.failed(new Error('no space left'));
    const before = report.mock.calls.length;
    await recover();
    await settled();

    expect(report.mock.calls.length).toBe(before + 1);
    expect(report.mock.lastCall?.[0]).toMatchObject({
      id: transactionId,
      branchId: 'stock',
      kind: 'rollback',
    });
  });

  it('writes every report that the log has not taken, and each of them once', async () => {
    const log: DecisionLog = new ScriptedLog();
    const full = (): never => {
      throw new Error('no space left');
    };
    const report = vi.spyOn(log, 'report').mockImplementation(full);
    const stock = new ScriptedParticipant({ commit: { heuristic: 'rollback' } });
    const { transactions, runtime, recover } = createTestCoordinator({ log, participants: { stock } });
    for (const number of [1, 2]) {
      const branches = [branch('stock', number), branch('stock', number, { branchId: 'stock-2' })];
      await transactions.run({ branches });
    }
    const lost = report.mock.calls.map(([{ id, branchId }]) => `${id} ${branchId}`);
    expect(new Set(lost).size).toBe(4);

    report.mockReset();
    for (let failure = 0; failure < 2; failure++) {
      runtime.log.failed(new Error('no space left'));
      await recover();
      await settled();
    }
    expect(report.mock.calls.map(([{ id, branchId }]) => `${id} ${branchId}`)).toEqual(lost);
  });

  it('writes no end again that it could not write: it costs one more delivery', async () => {
    const log = new ScriptedLog({ end: () => Promise.reject(new Error('no space left')) });
    const { transactions, runtime, recover } = createTestCoordinator({
      log,
      participants: { stock: new ScriptedParticipant() },
    });
    const { transactionId } = await transactions.run({ branches: [branch('stock', 1)] });
    await settled();
    runtime.log.failed(new Error('no space left'));
    await recover();
    await settled();

    expect(log.ended).toEqual([transactionId]);
  });

  it('shows since when a decision of an earlier run has waited, also when the wall clock was set back since', () => {
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

  it('writes a report again that alone could not be written', async () => {
    const log: DecisionLog = new ScriptedLog();
    const report = vi.spyOn(log, 'report').mockImplementationOnce(() => {
      throw new Error('no space left');
    });
    const { transactions, recover } = createTestCoordinator({
      log,
      participants: { stock: new ScriptedParticipant({ commit: { heuristic: 'hazard' } }) },
    });
    await transactions.run({ branches: [branch('stock', 1)] });
    await recover();
    await settled();
    await recover();
    await settled();

    expect(report).toHaveBeenCalledTimes(2);
  });

  it('notes in the log what an operator has resolved as it was decided, so that it is not tried after a restart', async () => {
    const log: DecisionLog = new ScriptedLog();
    const progress = vi.spyOn(log, 'progress');
    const { transactions, runtime } = createTestCoordinator({
      log,
      maxAttempts: 1,
      participants: {
        stock: new ScriptedParticipant({ commit: 'throw' }),
        payment: new ScriptedParticipant({ commit: 'throw' }),
      },
    });
    const { transactionId } = await transactions.run({
      branches: [branch('stock', 1), branch('payment', 1)],
    });
    const transaction = runtime.registry.find(transactionId)!;
    progress.mockClear();
    runtime.executor.completion.resolve(transaction.branches[0]!, 'commit', 'seen in the database');

    expect(progress).toHaveBeenCalledOnce();
    expect(transaction.toRecord().branches).toMatchObject([{ completed: true }, { completed: false }]);
  });

  it('does not write a report that was forgotten before it could be written', async () => {
    const log: DecisionLog = new ScriptedLog();
    let isFull = true;
    const report = vi.spyOn(log, 'report').mockImplementation(() => {
      if (isFull) throw new Error('no space left');
    });
    const { transactions, runtime, recover } = createTestCoordinator({
      log,
      participants: { stock: new ScriptedParticipant({ commit: { heuristic: 'hazard' } }) },
    });
    const { transactionId } = await transactions.run({ branches: [branch('stock', 1)] });
    expect(report).toHaveBeenCalledTimes(1);
    runtime.log.failed(new Error('no space left'));
    isFull = false;
    expect(transactions.forget(transactionId)).toBe(true);
    await recover();
    await settled();

    expect(report).toHaveBeenCalledTimes(1);
  });

  it('keeps ten thousand reports to be written again, and no more', () => {
    const log: DecisionLog = new ScriptedLog();
    let written = 0;
    vi.spyOn(log, 'report').mockImplementation(() => {
      written++;
      throw new Error('no space left');
    });
    const { runtime } = createTestCoordinator({ log });
    const { records } = runtime.executor;
    for (let number = 0; number < 10_001; number++) {
      const transaction = runtime.admission.create(undefined, undefined, 0);
      records.reported({
        transaction,
        branchId: 'stock',
        participant: { name: 'stock' },
        heuristic: { kind: 'mixed', reason: '' },
      } as BranchRecord);
    }

    written = 0;
    records.writeAgain();
    expect(written).toBe(10_000);
  });

  it('asks at once also while the clock has run for less than that', async () => {
    let asked = 0;
    const log = new ScriptedLog({ check: async () => void asked++ });
    const { runtime, recover } = createTestCoordinator({ log, clock: new ManualClock(1) });
    runtime.log.failed(new Error('no space left'));
    await recover();

    expect(asked).toBe(1);
  });
});

describe('Recovery', () => {
  it('is under way until decisions are restored and have been tried for the first time', async () => {
    const { runtime } = restored({ decisions: [decisionFor('coordinator.1.1')], reports: [] });
    const recovery = new Recovery(runtime);
    await recovery.pass();
    expect(runtime.isRecovering).toBe(true);

    recovery.restore();
    await recovery.pass();
    expect(runtime.isRecovering).toBe(false);
  });

  it('asks nobody for prepared branches before the decisions are restored, nor after it was stopped', async () => {
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
