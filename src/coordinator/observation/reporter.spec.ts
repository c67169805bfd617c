import { describe, expect, it, vi } from 'vitest';
import { branch } from '../participant/branch-request.js';
import { ScriptedParticipant, createTestCoordinator } from '../testing/index.js';
import { Reporter } from './reporter.js';
import { NO_EVENTS, NO_LINES } from './silent-reporting.fixture.js';
import type { TransactionLines } from './transaction-lines.js';

const broken = (): never => {
  throw new Error('broken');
};

function setUp(lines: Partial<TransactionLines>) {
  const ended = vi.fn<() => void>();
  const events = Object.assign({}, NO_EVENTS, { ended });
  const reporter = new Reporter({ ...NO_LINES, ...lines }, events);
  const coordinator = createTestCoordinator({
    participants: { stock: new ScriptedParticipant(), refusing: new ScriptedParticipant({ prepare: 'no' }) },
    observer: reporter,
  });
  return { ...coordinator, reporter, ended };
}

describe('Reporter', () => {
  it.each<[string, Partial<TransactionLines>]>([
    ['fail to report whether debug is on', { isDebugEnabled: broken }],
    ['fail to report whether they are read', { isEnabled: broken }],
    ['cannot be written', { isEnabled: () => true, write: broken }],
  ])('lines that %s do not stop a transaction, and are counted as defects', async (_, lines) => {
    const { transactions, runtime, reporter, ended } = setUp(lines);

    expect(await transactions.run({ branches: [branch('stock', 1)] })).toMatchObject({ status: 'committed' });
    expect(await transactions.run({ branches: [branch('refusing', 1)] })).toMatchObject({
      status: 'aborted',
      cause: 'refused',
    });

    expect(transactions.list().map(({ state }) => state)).toEqual(['ABORTED', 'COMMITTED']);
    expect(runtime.registry.inFlight).toBe(0);
    expect(ended).toHaveBeenCalledTimes(2);
    expect(reporter.statistics).toMatchObject({ committed: 1, aborted: 1 });
    expect(reporter.statistics.defects).toBeGreaterThan(0);
  });

  it('lines that never log steps are not asked at a step', async () => {
    const isDebugEnabled = vi.fn<() => boolean>(() => true);
    await setUp({ isDebugEnabled, logsSteps: false }).transactions.run({ branches: [branch('stock', 1)] });
    expect(isDebugEnabled).not.toHaveBeenCalled();

    await setUp({ isDebugEnabled }).transactions.run({ branches: [branch('stock', 1)] });
    expect(isDebugEnabled).toHaveBeenCalledTimes(4);
  });

  it('lines that cannot be flushed do not fail the shutdown', () => {
    const { reporter } = setUp({ flush: broken });

    reporter.onApplicationShutdown();

    expect(reporter.statistics.defects).toBe(1);
  });
});
