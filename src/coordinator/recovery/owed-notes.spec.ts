import { describe, expect, it, vi } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import type { BranchRecord } from '../execution/records.js';
import type { DecisionLog } from '../log/decision-log.js';
import { branch } from '../participant/branch-request.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../testing/index.js';

describe('Records that a failed log has not taken', () => {
  it('are written once the log works, if they are reports', async () => {
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

  it('are written once each, if they are reports', async () => {
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

  it('are not written again if they are end records, which cost one more delivery', async () => {
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

  it('are written again if only the report could not be written', async () => {
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

  it('include the end that an operator stated, so that the branch is not tried after a restart', async () => {
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

  it('are not written if the report was forgotten before', async () => {
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

  it('are kept up to ten thousand reports', () => {
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
});
