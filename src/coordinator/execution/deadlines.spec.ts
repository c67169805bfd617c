import { describe, expect, it, vi } from 'vitest';
import { branch } from '../participant/branch-request.js';
import { ScriptedParticipant, createTestCoordinator } from '../testing/index.js';
import { Deadlines } from './deadlines.js';
import { NEVER } from './clock.js';
import type { TransactionRecord } from './records.js';

function setUp(count: number) {
  const { runtime } = createTestCoordinator();
  const deadlines = new Deadlines(runtime.registry);
  const records = Array.from({ length: count }, () => {
    const record = runtime.admission.create(undefined, 86_400_000, 0);
    runtime.registry.add(record);
    record.dueAt = NEVER;
    return record;
  });
  const examine = vi.fn<(record: TransactionRecord) => number>(() => NEVER);
  const examined = () => examine.mock.calls.map(([record]) => records.indexOf(record));
  return { deadlines, records, examine, examined };
}

describe('Deadlines', () => {
  it('examines what is due, and nothing else', () => {
    const { deadlines, records, examine, examined } = setUp(3);
    deadlines.arm(records[0]!, 100);
    deadlines.arm(records[1]!, 200);

    deadlines.sweep(99, examine);
    expect(examined()).toEqual([]);
    deadlines.sweep(100, examine);
    expect(examined()).toEqual([0]);
    deadlines.sweep(1_000, examine);
    expect(examined()).toEqual([0, 1]);
  });

  it('looks at no transaction before the earliest deadline', () => {
    const { runtime } = createTestCoordinator();
    const deadlines = new Deadlines(runtime.registry);
    const walk = vi.spyOn(runtime.registry, 'forEach');
    const record = runtime.admission.create(undefined, 1_000, 0);
    runtime.registry.add(record);
    deadlines.arm(record, record.deadlineAt);

    for (let now = 1_000; now < record.deadlineAt; now += 100) deadlines.sweep(now, () => NEVER);
    expect(walk).not.toHaveBeenCalled();
    deadlines.sweep(record.deadlineAt, () => NEVER);
    expect(walk).toHaveBeenCalledTimes(1);
    deadlines.sweep(record.deadlineAt + 1_000_000, () => NEVER);
    expect(walk).toHaveBeenCalledTimes(1);
  });

  it('looks at no transaction for those that have ended in time, however many are kept', async () => {
    const { transactions, clock, runtime } = createTestCoordinator({
      timeoutMs: 5_000,
      participants: { one: new ScriptedParticipant(), other: new ScriptedParticipant() },
    });
    const walk = vi.spyOn(runtime.registry, 'forEach');
    // The deadlines of each are later than those of the one before it.
    for (let count = 0; count < 50; count++) {
      await transactions.run({ branches: [branch('one', 1), branch('other', 2)] });
      await clock.advance(10);
    }
    await clock.advance(60_000, 100);
    expect(walk.mock.calls.length).toBeLessThanOrEqual(1);
  });

  it('keeps the earlier of two deadlines of a transaction', () => {
    const { deadlines, records, examine, examined } = setUp(1);
    deadlines.arm(records[0]!, 100);
    deadlines.arm(records[0]!, 300);

    deadlines.sweep(100, examine);
    expect(examined()).toEqual([0]);
  });

  it('takes a deadline as a time since the start, and keeps the earlier one there too', () => {
    const { deadlines, records, examine, examined } = setUp(2);
    const [one, other] = records as [TransactionRecord, TransactionRecord];
    deadlines.armIn(one, 300);
    deadlines.armIn(one, 500);
    deadlines.armIn(other, 400);

    deadlines.sweep(one.startedAt + 299, examine);
    expect(examined()).toEqual([]);
    deadlines.sweep(one.startedAt + 300, examine);
    expect(examined()).toEqual([0]);
    deadlines.sweep(other.startedAt + 400, examine);
    expect(examined()).toEqual([0, 1]);
  });

  it('comes back when the examination requests it', () => {
    const { deadlines, records, examine, examined } = setUp(1);
    examine.mockReturnValueOnce(500);
    deadlines.arm(records[0]!, 100);
    deadlines.sweep(100, examine);

    deadlines.sweep(499, examine);
    expect(examined()).toEqual([0]);
    deadlines.sweep(500, examine);
    expect(examined()).toEqual([0, 0]);
  });

  it('loses no deadline that is armed during a sweep, for the examined transaction or another', () => {
    const { deadlines, records, examine, examined } = setUp(3);
    examine.mockImplementationOnce(() => {
      for (const record of records) deadlines.arm(record, 150);
      return NEVER;
    });
    deadlines.arm(records[1]!, 100);
    deadlines.sweep(100, examine);

    deadlines.sweep(150, examine);
    expect(examined().toSorted((a, b) => a - b)).toEqual([0, 1, 1, 2]);
  });
});
