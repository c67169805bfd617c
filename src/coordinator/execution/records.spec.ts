import { describe, expect, it, vi } from 'vitest';
import type { CommitDecision, CommitRecord } from '../log/decision-log.js';
import { MemoryDecisionLog } from '../log/memory-decision-log.js';
import { branch } from '../participant/branch-request.js';
import { ProtocolTransaction } from '../protocol/index.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../testing/index.js';
import { TransactionExtras } from './transaction-extras.js';
import { NEVER } from './clock.js';

const HOUR_MS = 3_600_000;

function setUp() {
  const stock = new ScriptedParticipant();
  const reader = new ScriptedParticipant({ prepare: 'read-only' });
  const coordinator = createTestCoordinator({ participants: { stock, reader } });
  const record = coordinator.runtime.admission.create('order', 5_000, 0);
  return { ...coordinator, record, startedAt: record.startedAt };
}

describe('The state of a transaction', () => {
  it('is that of the protocol at its start, field by field', () => {
    expect(setUp().record).toMatchObject(Object.fromEntries(Object.entries(new ProtocolTransaction())));
  });
});

describe('The moments of a transaction', () => {
  it('are 0 before their event', () => {
    const { record } = setUp();
    expect([record.preparingAt, record.decidedAt, record.endedAt]).toEqual([0, 0, 0]);
  });

  it.each([0, 0.25, 17, HOUR_MS, 30 * 24 * HOUR_MS])(
    'are kept to the microsecond, %d ms after the start',
    (ms) => {
      const { record, startedAt } = setUp();
      const moment = startedAt + ms;
      record.preparingAt = moment;
      record.decidedAt = moment;
      record.endedAt = moment;

      for (const kept of [record.preparingAt, record.decidedAt, record.endedAt]) {
        expect(kept).toBeCloseTo(moment, 3);
      }
      expect(record.elapsedUs(moment)).toBe(ms * 1_000);
    },
  );

  it('are rounded to the nearest microsecond', () => {
    const { record, startedAt } = setUp();
    expect(record.elapsedUs(startedAt + 0.0016)).toBe(2);
    expect(record.elapsedUs(startedAt + 0.0014)).toBe(1);
  });
});

describe('The due time of a transaction', () => {
  it('is before a moment only if that comes later', () => {
    const { record, startedAt } = setUp();
    expect(record.isDueBefore(startedAt + 5_000)).toBe(false);
    expect(record.isDueBefore(startedAt + 5_000.1)).toBe(true);
    record.dueIn(10);
    expect(record.isDueBefore(startedAt + 10.1)).toBe(true);
    record.dueAt = NEVER;
    expect(record.isDueBefore(startedAt + 24 * HOUR_MS)).toBe(false);
  });

  it('is its deadline at first', () => {
    const { record, startedAt } = setUp();
    expect([record.dueAt, record.deadlineAt]).toEqual([startedAt + 5_000, startedAt + 5_000]);
  });

  it.each([0, 1, 2.75, HOUR_MS, 12 * 24 * HOUR_MS])(
    'is kept to the millisecond, and never rounded up: %d',
    (ms) => {
      const { record, startedAt } = setUp();
      record.dueAt = startedAt + ms;
      expect(record.dueAt).toBeLessThanOrEqual(startedAt + ms);
      expect(record.dueAt).toBeGreaterThan(startedAt + ms - 1);
    },
  );

  it('leads to an early examination when it is too far off, instead of none', () => {
    const { record, startedAt } = setUp();
    record.dueAt = startedAt + 365 * 24 * HOUR_MS;
    expect(record.dueAt).toBeLessThan(startedAt + 13 * 24 * HOUR_MS);
    expect(record.dueAt).toBeGreaterThan(startedAt + 12 * 24 * HOUR_MS);
    record.dueAt = NEVER;
    expect(record.dueAt).toBe(NEVER);
  });
});

describe('A moment', () => {
  it('is not never, even if its number is the one that stands for never', () => {
    const { record, startedAt } = setUp();
    const standsForNever = 0x3fffffff;
    for (const ms of [standsForNever - 1, standsForNever, standsForNever + 1]) {
      record.dueAt = startedAt + ms;
      expect(record.dueAt).toBeLessThanOrEqual(startedAt + ms);
    }
  });
});

describe('The branches of a transaction', () => {
  it('keep the order in which they were enlisted, with the shortest time-out of all', () => {
    const { record, runtime, participants } = setUp();
    participants.register(new ScriptedParticipant(), { name: 'quick', prepareTimeoutMs: 20 });
    participants.register(new ScriptedParticipant(), { name: 'slow', prepareTimeoutMs: 60_000 });
    expect(record.branches).toEqual([]);
    for (const name of ['stock', 'quick', 'slow']) runtime.admission.enlist(record, branch(name, 1));

    expect(record.branches.map(({ branchId, index }) => [branchId, index])).toEqual([
      ['stock', 0],
      ['quick', 1],
      ['slow', 2],
    ]);
    expect(record.shortestTimeoutMs).toBe(20);
  });

  it('are in its commit record if they voted commit, each with the data that its commit needs', async () => {
    const { transactions, runtime, participants } = setUp();
    const gate = Promise.withResolvers<void>();
    participants.register(new ScriptedParticipant({ commit: { until: gate.promise } }), { name: 'payment' });
    const transaction = transactions.begin({ name: 'order' });
    for (const [name, payload] of Object.entries({ reader: 1, stock: 2, payment: 3 })) {
      transaction.enlist(branch(name, payload));
    }
    const outcome = transaction.commit();
    await settled();

    expect(runtime.registry.find(transaction.id)!.toRecord()).toEqual({
      id: transaction.id,
      name: 'order',
      decider: { kind: 'log' },
      begunAt: Date.parse(transactions.find(transaction.id)!.startedAt),
      decidedAt: Date.parse(transactions.find(transaction.id)!.decidedAt!),
      branches: [
        { branchId: 'stock', participant: 'stock', payload: 2, completed: true },
        { branchId: 'payment', participant: 'payment', payload: 3, completed: false },
      ],
    });
    gate.resolve();
    await outcome;
  });

  it('are all open in the record that makes the decision durable', async () => {
    const log = new MemoryDecisionLog();
    const append = vi.fn<(decision: CommitDecision) => void>();
    const records: CommitRecord[] = [];
    append.mockImplementation((decision) => void records.push(decision.toRecord()));
    const [stock, payment] = [new ScriptedParticipant(), new ScriptedParticipant()];
    const { transactions } = createTestCoordinator({
      participants: { stock, payment },
      log: Object.assign(log, { append }),
    });
    await transactions.run({ branches: [branch('stock', 1), branch('payment', 2)] });

    expect(records).toMatchObject([{ branches: [{ completed: false }, { completed: false }] }]);
  });
});

describe('The commit record', () => {
  it('is refused after an abort', async () => {
    const stock = new ScriptedParticipant({ prepare: 'no' });
    const { transactions, runtime } = createTestCoordinator({ participants: { stock } });
    const { transactionId } = await transactions.run({ branches: [branch('stock', 1)] });

    expect(() => runtime.registry.find(transactionId)!.toRecord()).toThrow(
      /is aborted, so it has no commit record/,
    );
  });
});

describe('The incidents of a transaction', () => {
  it('are all kept up to 40, and then the first twenty and the latest twenty', () => {
    const extras = new TransactionExtras<unknown, unknown>();
    const note = (atUs: number) =>
      extras.note({ atUs, type: 'attempt-failed', branch: 0, attempt: 1, message: 'x' });
    const kept = () => extras.incidents.map(({ atUs }) => atUs);
    const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

    for (const number of range(0, 40)) note(number);
    expect(kept()).toEqual(range(0, 40));
    for (const number of range(40, 1_000)) note(number);
    expect(kept()).toEqual([...range(0, 20), ...range(980, 1_000)]);
  });
});
