import { Logger } from '@nestjs/common';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { LogLine } from '../gate/log-line.js';
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

  it('internal errors are limited where code of the application fails at each step, and never where they concern a transaction', async () => {
    const written: unknown[] = [];
    const error = vi.spyOn(Logger.prototype, 'error').mockImplementation((line: unknown) => {
      written.push({ ...(line as object) });
    });
    onTestFinished(() => error.mockRestore());
    const warn = vi.spyOn(Logger.prototype, 'warn').mockImplementation((line: unknown) => {
      written.push({ ...(line as object) });
    });
    onTestFinished(() => warn.mockRestore());
    const reporter = new Reporter(NO_LINES, Object.assign({}, NO_EVENTS), { maxLinesOfKind: 2 });
    const { transactions, runtime } = createTestCoordinator({
      participants: { stock: new ScriptedParticipant() },
    });
    const { transactionId } = await transactions.run({ branches: [branch('stock', 1)], requestId: 'r-1' });
    const record = runtime.registry.find(transactionId)!;
    for (let turn = 0; turn < 5; turn++) {
      reporter.defect(new Error('no exporter'), 'tracing');
      reporter.defect(new Error('two decisions'), transactionId, record);
    }
    reporter.onApplicationShutdown();

    expect(reporter.statistics.defects).toBe(10);
    const about = (text: string) => written.filter((line) => (line as LogLine).msg.includes(text));
    expect(about('internal error (tracing): no exporter')).toHaveLength(2);
    expect(about('3 lines of the kind "defect" were left out')).toHaveLength(1);
    expect(about('two decisions')).toEqual(
      Array.from({ length: 5 }, () => ({
        msg: `internal error (${transactionId}): two decisions`,
        transactionId,
        name: 'transaction',
        requestId: 'r-1',
        stack: expect.stringContaining('two decisions'),
      })),
    );
    expect([...reporter.leftOutLines]).toEqual([['defect', 3]]);
  });

  it('lines of listeners that fail are limited as well', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockReturnValue(undefined);
    const error = vi.spyOn(Logger.prototype, 'error').mockReturnValue(undefined);
    onTestFinished(() => {
      warn.mockRestore();
      error.mockRestore();
    });
    const events = Object.assign({}, NO_EVENTS);
    const reporter = new Reporter(NO_LINES, events, { maxLinesOfKind: 2 });
    const { transactions, runtime } = createTestCoordinator({
      participants: { stock: new ScriptedParticipant() },
    });
    const { transactionId } = await transactions.run({ branches: [branch('stock', 1)] });
    for (let turn = 0; turn < 5; turn++)
      events.failed('transaction.committed', runtime.registry.find(transactionId)!, new Error('broken'));
    reporter.onApplicationShutdown();

    expect(error).toHaveBeenCalledTimes(2);
    expect([...reporter.leftOutLines]).toEqual([['listener', 3]]);
  });

  it('lines that cannot be flushed do not fail the shutdown', () => {
    const { reporter } = setUp({ flush: broken });

    reporter.onApplicationShutdown();

    expect(reporter.statistics.defects).toBe(1);
  });
});
