import { describe, expect, it } from 'vitest';
import {
  type Branch,
  type CommitDecision,
  type CommitRecord,
  MAX_VALID_FOR_MS,
  MemoryDecisionLog,
  MemoryGuardStore,
  ParticipantGuard,
  branch,
} from '../../src/coordinator/index.js';
import {
  type ParticipantScript,
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { idOf } from '../support/identity.js';
import { OLD, recordOf, restarted } from './restarted.js';
import { ScriptedLog } from './scripted-log.js';
import { listenTo } from './told.js';

/** A vote for commit that holds for a time. */
function validFor(validForMs: unknown) {
  return { answer: { vote: 'commit', validForMs } };
}

function setUp(scripts: Record<string, ParticipantScript>, options: TestCoordinatorOptions = {}) {
  const order: string[] = [];
  class Ordered extends ScriptedParticipant {
    constructor(
      private readonly name: string,
      script: ParticipantScript,
    ) {
      super(script, undefined);
    }
    override commit(one: Branch): Promise<void> {
      order.push(this.name);
      return super.commit(one);
    }
  }
  const participants = Object.fromEntries(
    Object.entries(scripts).map(([name, script]) => [name, new Ordered(name, script)]),
  );
  const coordinator = createTestCoordinator({
    participants,
    timeoutMs: 60_000,
    prepareTimeoutMs: 60_000,
    expiryMarginMs: 1_000,
    ...options,
  });
  const branches = Object.keys(scripts).map((name) => branch(name, 1));
  const run = () => listenTo(coordinator.transactions.run({ branches }));
  return { ...coordinator, run, order, of: participants };
}

describe('Votes that expire', () => {
  it('a vote that expires while another one is missing aborts the transaction, with a cause and a code of its own', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, clock, of } = setUp({
      payment: { prepare: validFor(5_000) },
      stock: { prepare: { until: gate.promise } },
    });
    const told = run();
    await clock.advance(3_990);
    expect(told.outcome).toBeUndefined();
    await clock.advance(10);

    expect(told.outcome).toMatchObject({
      status: 'aborted',
      cause: 'expired',
      participant: 'payment',
      code: 'VOTE_EXPIRED',
      reason:
        'the vote of payment expired before the decision: it was valid until 5000 ms after the start, and no decision is made ' +
        'in the last 1000 ms',
      temporary: true,
    });
    expect(of['payment']!.count('rollback')).toBe(1);
    gate.resolve();
    await settled();
    expect([...of['stock']!.effects.values()]).toEqual(['rolled-back']);
    expect([of['payment']!.count('commit'), of['stock']!.count('commit')]).toEqual([0, 0]);
  });

  it('the last vote does not decide commit after the expiry, also when no sweep has run since', async () => {
    const clock = { epochMs: 0, time: 1_000, now: () => clock.time };
    const decide = async (afterMs: number) => {
      const gate = Promise.withResolvers<void>();
      const { transactions } = createTestCoordinator({
        clock,
        participants: {
          payment: new ScriptedParticipant({ prepare: validFor(3_000) }),
          stock: new ScriptedParticipant({ prepare: { until: gate.promise } }),
        },
        prepareTimeoutMs: 10_000,
        timeoutMs: 10_000,
        expiryMarginMs: 1_000,
      });
      const outcome = transactions.run({ branches: [branch('payment', 1), branch('stock', 1)] });
      await settled();
      clock.time += afterMs;
      gate.resolve();
      return (await outcome).status;
    };
    expect(await decide(1_999)).toBe('committed');
    expect(await decide(2_001)).toBe('aborted');
  });

  it('a vote that has expired when it arrives is no yes: its time is counted from the call', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, clock, of } = setUp({
      payment: { prepare: { until: gate.promise, then: validFor(5_000) } },
      stock: {},
    });
    const told = run();
    await clock.advance(4_500);
    gate.resolve();
    await settled();

    expect(told.outcome).toMatchObject({ status: 'aborted', cause: 'expired', participant: 'payment' });
    expect([of['payment']!.count('rollback'), of['stock']!.count('rollback')]).toEqual([1, 1]);
  });

  it('a decision that was sent to the log in time stands, however late it becomes durable', async () => {
    const gate = Promise.withResolvers<void>();
    const log = new ScriptedLog({ append: (write) => gate.promise.then(write) });
    const { run, clock, of } = setUp({ payment: { prepare: validFor(3_000) }, stock: {} }, { log });
    const told = run();
    await clock.advance(9_000);
    expect(told.outcome).toBeUndefined();
    gate.resolve();
    await settled();

    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect([of['payment']!.count('commit'), of['stock']!.count('commit')]).toEqual([1, 1]);
  });

  it('completes the branch first whose vote expires first, and those that do not expire last', async () => {
    const { run, order } = setUp({
      stock: {},
      payment: { prepare: validFor(50_000) },
      order: {},
      seats: { prepare: validFor(20_000) },
    });
    const told = run();
    await settled();
    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect(order).toEqual(['seats', 'payment', 'stock', 'order']);
  });

  it('tries the branch first whose vote expires first', async () => {
    const { run, order, clock } = setUp(
      {
        stock: { commit: ['throw', 'yes'] },
        seats: { prepare: validFor(20_000), commit: ['throw', 'yes'] },
      },
      { random: () => 0.5 },
    );
    const told = run();
    await clock.advance(1_000);
    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect(order).toEqual(['seats', 'stock', 'seats', 'stock']);
  });

  it('an expiry after the decision is a heuristic outcome of that branch, as its participant says', async () => {
    const { run, clock, transactions } = setUp({
      payment: { prepare: validFor(3_000), commit: ['throw', 'throw', { heuristic: 'rollback' }] },
      stock: {},
    });
    const told = run();
    await clock.advance(5_000);

    expect(told.outcome).toMatchObject({ status: 'heuristic', decision: 'commit', heuristic: 'mixed' });
    const { transactionId } = told.outcome!;
    const [payment, stock] = transactions.find(transactionId)!.branches;
    expect(payment).toMatchObject({ state: 'heuristic', heuristic: { kind: 'rollback' } });
    expect(stock).toMatchObject({ state: 'committed', heuristic: null });
  });

  it('an expiry after the decision reverses nothing, and commit is delivered until it is answered', async () => {
    const { run, clock, of } = setUp(
      { payment: { prepare: validFor(3_000), commit: 'throw' }, stock: {} },
      { maxAttempts: 1_000 },
    );
    const told = run();
    await clock.advance(10_000);
    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'commit' });
    of['payment']!.script = {};
    await clock.advance(10_000);
    expect([of['payment']!.count('rollback'), of['stock']!.count('rollback')]).toEqual([0, 0]);
    expect([...of['payment']!.effects.values()]).toEqual(['committed']);
  });

  it.each([
    [undefined, 'a vote for commit without validForMs (answer "commit" if it does not expire)'],
    [0, 'a vote for commit with a validForMs of 0'],
    [-5, 'a vote for commit with a validForMs of -5'],
    [Number.NaN, 'a vote for commit with a validForMs of NaN'],
    [MAX_VALID_FOR_MS + 1, `a vote for commit with a validForMs of ${MAX_VALID_FOR_MS + 1}`],
    ['5000', 'a vote for commit with a validForMs that is not a number'],
  ])('a vote that is valid for %j is not a vote', async (validForMs, said) => {
    const { run, of } = setUp({ payment: { prepare: validFor(validForMs) }, stock: {} });
    const told = run();
    await settled();
    expect(told.outcome).toMatchObject({ status: 'aborted', cause: 'failed', participant: 'payment' });
    expect(told.outcome).toHaveProperty('reason', expect.stringContaining(`answered prepare with ${said}`));
    expect(of['payment']!.count('rollback')).toBe(1);
  });

  it('after a restart the branch whose vote expires first is completed first, whichever transaction it belongs to', async () => {
    const order: string[] = [];
    class Seats extends ScriptedParticipant {
      override commit(one: Branch): Promise<void> {
        order.push(one.transactionId);
        return super.commit(one);
      }
    }
    const ids = [1, 2, 3].map((number) => idOf('coordinator', 1, number));
    const epochMs = Date.UTC(2030, 0, 1);
    const decisions = ids.map((id, index) => {
      const expiresAt = [undefined, epochMs + 900_000, epochMs + 600_000][index];
      return recordWith(id, 'seats', expiresAt);
    });
    const { recover } = restarted(decisions, {
      participants: { seats: new Seats() },
      recoveryConcurrency: 1,
    });
    await recover();
    expect(order).toEqual([ids[2], ids[1], ids[0]]);
  });

  it('after a restart the expiry is kept, shown, and reported once the time is near', async () => {
    const { transactions, clock, runtime } = restarted(
      [recordWith(OLD, 'payment', Date.UTC(2030, 0, 1) + 101_000)],
      { participants: { payment: new ScriptedParticipant({ commit: 'throw' }) }, expiryWarningMs: 60_000 },
    );
    expect(transactions.find(OLD)!.branches[0]).toMatchObject({ expiresAt: '2030-01-01T00:01:41.000Z' });
    await clock.advance(39_990, 10);
    expect(timelineOf(transactions, OLD)).not.toContain('vote-expiring');
    await clock.advance(20, 10);
    expect(timelineOf(transactions, OLD)).toContain('vote-expiring');
    await clock.advance(60_000, 1_000);
    expect(timelineOf(transactions, OLD)).toContain('vote-expired');
    expect(runtime.registry.find(OLD)!.stateName).toBe('COMMITTING');
  });

  it('the record of a decision has the expiry of each vote', async () => {
    const records: CommitRecord[] = [];
    const log = new MemoryDecisionLog();
    log.append = (decision?: CommitDecision) => void records.push(decision!.toRecord());
    const { run, clock } = setUp({ payment: { prepare: validFor(30_000) }, stock: {} }, { log });
    const startedAt = clock.epochMs + clock.now();
    run();
    await settled();
    expect(records.map(({ branches }) => branches.map(({ expiresAt }) => expiresAt))).toEqual([
      [startedAt + 30_000, undefined],
    ]);
  });

  it('works for a transaction that was begun: the time is counted from its commit', async () => {
    const { transactions, clock } = setUp({ payment: { prepare: validFor(5_000) }, stock: {} });
    const transaction = transactions.begin({ timeoutMs: 60_000 });
    transaction.enlist(branch('payment', 1));
    transaction.enlist(branch('stock', 1));
    await clock.advance(20_000);
    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
  });

  it('a guard answers a repeated prepare with the rest of the time', async () => {
    const guard = new ParticipantGuard(new MemoryGuardStore());
    const one = { transactionId: OLD, branchId: 'payment' } as Branch;
    const first = await guard.prepare(one, () => ({ vote: 'commit', validForMs: 60_000 }));
    expect(first).toEqual({ vote: 'commit', validForMs: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, 2));
    const again = await guard.prepare(one, () => {
      throw new Error('the work runs once');
    });
    expect(again).toMatchObject({ vote: 'commit' });
    expect((again as { validForMs: number }).validForMs).toBeLessThan(60_000);
    let isCommitted = false;
    await guard.commit(one, () => {
      isCommitted = true;
    });
    expect(isCommitted).toBe(true);
  });
});

/** @returns the record of a commit with one branch, whose vote expires at this time. */
function recordWith(id: string, participant: string, expiresAt: number | undefined): CommitRecord {
  const record = recordOf(id, participant);
  return { ...record, branches: [{ ...record.branches[0]!, expiresAt }] };
}

function timelineOf(transactions: ReturnType<typeof setUp>['transactions'], id: string): string[] {
  return transactions.find(id)!.timeline.map(({ event }) => event);
}
