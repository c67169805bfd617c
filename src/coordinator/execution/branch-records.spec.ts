import { describe, expect, it, vi } from 'vitest';
import { branch } from '../participant/branch-request.js';
import type { Branch } from '../participant/participant.js';
import { createTestCoordinator, settled } from '../testing/index.js';
import { TurnClock } from './clock.js';

function setUp() {
  const coordinator = createTestCoordinator({
    timeoutMs: 1_000,
    prepareTimeoutMs: 3_000,
    completionTimeoutMs: 400,
  });
  const seen: Branch[] = [];
  const hang = (one: Branch) => {
    seen.push(one);
    return new Promise<never>(() => {});
  };
  const dueInMs = ({ deadline }: Branch) => deadline - coordinator.clock.epochMs - coordinator.clock.now();
  return { ...coordinator, seen, hang, dueInMs };
}

describe('The deadline that a participant receives', () => {
  it('in prepare is the earlier of its own time-out and the deadline of the transaction', async () => {
    const { participants, transactions, seen, hang, dueInMs } = setUp();
    const rest = { commit() {}, rollback() {} };
    participants.register({ prepare: hang, ...rest }, { name: 'slow' });
    participants.register({ prepare: hang, ...rest }, { name: 'quick', prepareTimeoutMs: 200 });
    void transactions.run({ branches: [branch('slow', 1), branch('quick', 1)] });
    await settled();

    expect(seen.map(dueInMs)).toEqual([1_000, 200]);
  });

  it('in a one-phase commit is its own time-out, since the deadline of the transaction can no longer abort it', async () => {
    const { participants, transactions, clock, seen, hang, dueInMs } = setUp();
    participants.register(
      { prepare: hang, commit() {}, rollback() {}, commitOnePhase: hang },
      { name: 'sole' },
    );
    const outcome = transactions.run({ branches: [branch('sole', 1)] });
    await settled();
    expect(seen.map(dueInMs)).toEqual([3_000]);
    const { signal } = seen[0]!;

    await clock.advance(2_990);
    expect(await outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    expect([signal.aborted, seen.length]).toEqual([false, 1]);
    await clock.advance(10);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ name: 'AttemptAbandonedError', code: 'DTC_ATTEMPT_ABANDONED' });
  });

  it('comes with a signal that is aborted when the coordinator no longer waits for the prepare', async () => {
    const { participants, transactions, clock, seen, hang } = setUp();
    participants.register({ prepare: hang, commit() {}, rollback() {} }, { name: 'slow' });
    const outcome = transactions.run({ branches: [branch('slow', 1)] });
    await settled();
    const { signal } = seen[0]!;
    expect(signal.aborted).toBe(false);
    await clock.advance(1_000);

    const { transactionId } = await outcome;
    expect(signal.reason).toMatchObject({
      name: 'TransactionAbortedError',
      code: 'DTC_ABORTED',
      transactionId,
    });
  });

  it.each(['commit', 'rollback'] as const)(
    'in %s is the time-out of the attempt, each with its own signal',
    async (method) => {
      const { participants, transactions, clock, seen, hang, dueInMs } = setUp();
      const rest = { prepare: () => 'commit' as const, commit() {}, rollback() {} };
      participants.register({ ...rest, [method]: hang }, { name: 'slow' });
      const transaction = transactions.begin();
      transaction.enlist(branch('slow', 1));
      if (method === 'rollback') {
        participants.register({ ...rest, prepare: () => 'abort' }, { name: 'refusing' });
        transaction.enlist(branch('refusing', 1));
      }
      void transaction.commit();
      await settled();
      expect(seen.map(dueInMs)).toEqual([400]);
      const { signal } = seen[0]!;
      expect(seen[0]!.signal).toBe(signal);

      await clock.advance(390);
      expect(signal.aborted).toBe(false);
      await clock.advance(10);
      expect(signal.reason).toMatchObject({ code: 'DTC_ATTEMPT_ABANDONED' });
      await clock.advance(1_000);
      expect(seen.length).toBeGreaterThan(1);
      expect(seen[1]!.attempt).toBe(2);
      expect(seen[1]!.signal).not.toBe(signal);
    },
  );
});

describe('The deadline of a branch', () => {
  it.each(['prepare', 'commit', 'rollback'] as const)(
    'is a whole number of milliseconds in %s, and keeps its distance when the wall clock is set',
    async (method) => {
      const { now } = Date;
      const set = vi.spyOn(Date, 'now');
      const left: number[] = [];
      const look = ({ deadline }: Branch) => {
        expect(Number.isInteger(deadline)).toBe(true);
        left.push(deadline - Date.now());
      };
      const { transactions } = createTestCoordinator({
        clock: new TurnClock(),
        prepareTimeoutMs: 2_000,
        completionTimeoutMs: 2_000,
        participants: {
          one: {
            prepare(branch) {
              if (method === 'prepare') look(branch);
              return 'commit';
            },
            commit: (branch) => (method === 'commit' ? look(branch) : undefined),
            rollback: (branch) => (method === 'rollback' ? look(branch) : undefined),
          },
          other: { prepare: () => (method === 'rollback' ? 'abort' : 'commit'), commit() {}, rollback() {} },
        },
      });
      for (const shiftMs of [0, 3_600_000, -3_600_000]) {
        set.mockImplementation(() => now() + shiftMs);
        await transactions.run({ branches: [branch('one', 1), branch('other', 1)], timeoutMs: 5_000 });
        await settled();
      }
      set.mockRestore();

      expect(left.length).toBeGreaterThanOrEqual(3);
      for (const leftMs of left) {
        expect(leftMs).toBeGreaterThan(1_000);
        expect(leftMs).toBeLessThanOrEqual(2_003);
      }
    },
  );
});
