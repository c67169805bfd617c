import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Branch, type TransactionParticipant, type Vote, branch } from '../../src/coordinator/index.js';
import { TurnClock } from '../../src/coordinator/execution/clock.js';
import {
  ManualClock,
  ScriptedParticipant,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { ScriptedLog } from './scripted-log.js';
import { listenTo } from './told.js';
import { runOf } from '../support/identity.js';

/** Rows that a prepare locks, and that completion sets free. A prepare that is cancelled stops waiting. */
class Rows implements TransactionParticipant<string> {
  private readonly holders = new Map<string, string>();
  private readonly waiting = new Map<string, (() => void)[]>();

  async prepare({ payload: row, transactionId, signal }: Branch<string>): Promise<Vote> {
    while (![undefined, transactionId].includes(this.holders.get(row))) {
      if (signal.aborted) throw signal.reason;
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
        this.waiting.set(row, [...(this.waiting.get(row) ?? []), resolve]);
      });
    }
    if (signal.aborted) throw signal.reason;
    this.holders.set(row, transactionId);
    return 'commit';
  }

  commit(one: Branch<string>): void {
    this.release(one);
  }

  rollback(one: Branch<string>): void {
    this.release(one);
  }

  get lockedRows(): number {
    return this.holders.size;
  }

  private release({ payload: row, transactionId }: Branch<string>): void {
    if (this.holders.get(row) !== transactionId) return;
    this.holders.delete(row);
    for (const wake of this.waiting.get(row) ?? []) wake();
    this.waiting.delete(row);
  }
}

describe('Time and locks', () => {
  it('fault 18: a yes after the deadline is late, also when no sweep has come by yet', async () => {
    const clock = { epochMs: 0, time: 1_000, now: () => clock.time };
    const votes: ((vote: Vote) => void)[] = [];
    const slow: TransactionParticipant = {
      prepare: () => new Promise((resolve) => votes.push(resolve)),
      commit() {},
      rollback() {},
    };
    const { transactions } = createTestCoordinator({ clock, participants: { slow }, prepareTimeoutMs: 500 });
    const vote = async (afterMs: number) => {
      const outcome = transactions.run({ branches: [branch('slow', 1)] });
      clock.time += afterMs;
      votes.pop()!('commit');
      return (await outcome).status;
    };
    expect(await vote(500)).toBe('committed');
    expect(await vote(501)).toBe('aborted');
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([15, -15])('fault 56: a wall clock that jumps by %i days ends nothing early', async (days) => {
    const gate = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant({ prepare: { until: gate.promise } });
    const { transactions, sweep } = createTestCoordinator({
      participants: { stock },
      clock: new TurnClock(),
      timeoutMs: 60_000,
      prepareTimeoutMs: 60_000,
    });
    const finished = await transactions.run({ branches: [] });
    const told = listenTo(transactions.run({ branches: [branch('stock', 1)] }));

    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + days * 86_400_000 });
    sweep();
    await settled();
    expect(told.outcome).toBeUndefined();
    expect(transactions.find(finished.transactionId)).toMatchObject({ state: 'COMMITTED' });

    gate.resolve();
    await settled();
    expect(told.outcome).toMatchObject({ status: 'committed' });
  });

  it('fault 23 §: while the log cannot answer, the caller is told at the deadline, and not when the log is asked', async () => {
    const away = () => Promise.reject(new Error('away'));
    const { transactions, clock } = createTestCoordinator({
      // As of a process that has run for a while: no moment of a decision is that small.
      clock: new ManualClock(1_000_000),
      participants: { stock: new ScriptedParticipant() },
      log: new ScriptedLog({ append: away, lookUp: away }),
      timeoutMs: 2_000,
    });
    const told = listenTo(transactions.run({ branches: [branch('stock', 1)] }));
    await clock.advance(1_990);
    expect(told.outcome).toBeUndefined();
    await clock.advance(10);

    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
  });

  it('the deadline is for the decision: a caller that waits for completion is not answered by it', async () => {
    const gate = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant({ commit: ['hang', { until: gate.promise }] });
    const { transactions, clock } = createTestCoordinator({
      participants: { stock },
      timeoutMs: 500,
      completionTimeoutMs: 600,
      completionWaitMs: 3_000,
    });
    const told = listenTo(transactions.run({ branches: [branch('stock', 1)] }));
    await clock.advance(2_000);
    expect(stock.count('commit')).toBeGreaterThan(1);
    expect(told.outcome).toBeUndefined();

    gate.resolve();
    await settled();
    expect(told.outcome).toMatchObject({ status: 'committed' });
  });

  it('fault 8: each participant has its own time to prepare, and is late only beyond it', async () => {
    const { transactions, participants, clock } = createTestCoordinator({ timeoutMs: 5_000 });
    participants.register(new ScriptedParticipant(), { name: 'quick', prepareTimeoutMs: 50 });
    participants.register(new ScriptedParticipant({ prepare: 'hang' }), {
      name: 'stuck',
      prepareTimeoutMs: 300,
    });
    participants.register(new ScriptedParticipant({ prepare: 'hang' }), {
      name: 'slow',
      prepareTimeoutMs: 2_000,
    });
    const told = listenTo(
      transactions.run({ branches: ['quick', 'stuck', 'slow'].map((name) => branch(name, 1)) }),
    );
    await clock.advance(290);
    expect(told.outcome).toBeUndefined();
    await clock.advance(10);

    expect(told.outcome).toMatchObject({ status: 'aborted', cause: 'timed-out', participant: 'stuck' });
    const timeouts = participants.list().map(({ name, counts }) => [name, counts.timeouts]);
    expect(timeouts).toEqual([
      ['quick', 0],
      ['stuck', 1],
      ['slow', 0],
    ]);
  });

  it('fault 35: an attempt to roll back is given up in its own time, though the prepare is still out', async () => {
    const { transactions, participants, clock } = createTestCoordinator({
      timeoutMs: 60_000,
      prepareTimeoutMs: 60_000,
      retryBaseMs: 100,
    });
    const hanging = { prepare: 'hang', rollback: ['hang', 'yes'] } as const;
    participants.register(new ScriptedParticipant(hanging), { name: 'first', completionTimeoutMs: 500 });
    participants.register(new ScriptedParticipant(hanging), { name: 'second', completionTimeoutMs: 900 });
    participants.register(new ScriptedParticipant({ prepare: 'no' }), { name: 'refusing' });
    await transactions.run({
      branches: ['first', 'second', 'refusing'].map((name) => branch(name, 1)),
    });
    await clock.advance(899, 1);
    expect(participants.get('first').counts).toMatchObject({ timeouts: 1, rolledBack: 1 });
    expect(participants.get('second').counts).toMatchObject({ timeouts: 0 });

    await clock.advance(1);
    expect(participants.get('second').counts).toMatchObject({ timeouts: 1 });
  });

  it('fault 61 §: two transactions that wait for each other: one times out, the other commits', async () => {
    const left = new Rows();
    const right = new Rows();
    const { transactions, participants, clock } = createTestCoordinator({ timeoutMs: 1_000 });
    participants.register(left, { name: 'left' });
    participants.register(right, { name: 'right' });
    const first = transactions.begin({ timeoutMs: 500 });
    first.enlist(branch('left', 'row'));
    first.enlist(branch('right', 'other'));
    const second = transactions.begin({ timeoutMs: 1_000 });
    second.enlist(branch('right', 'other'));
    second.enlist(branch('left', 'row'));
    // Each gets one of its locks before the other asks for it.
    await left.prepare(lock('row', first.id));
    await right.prepare(lock('other', second.id));

    const toldFirst = listenTo(first.commit());
    const toldSecond = listenTo(second.commit());
    await settled();
    expect([toldFirst.outcome, toldSecond.outcome]).toEqual([undefined, undefined]);

    await clock.advance(500);
    expect(toldFirst.outcome).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(toldSecond.outcome).toMatchObject({ status: 'committed' });
    expect(left.lockedRows + right.lockedRows).toBe(0);
  });
});

function lock(payload: string, transactionId: string): Branch<string> {
  const { signal } = new AbortController();
  return { transactionId, branchId: 'lock', payload, deadline: 0, signal, attempt: 0, run: runOf() };
}
