import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  type Branch,
  MemoryGuardStore,
  ParticipantGuard,
  type TransactionParticipant,
  type Vote,
  branch,
} from '../../src/coordinator/index.js';
import {
  type ParticipantScript,
  ScriptedParticipant,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { listenTo } from './told.js';

/** A reservation behind a guard, as a user would write it; `gate` holds the work of prepare back. */
class GuardedStock implements TransactionParticipant {
  readonly held = new Set<string>();
  readonly works: string[] = [];
  gate: Promise<unknown> = Promise.resolve();
  private readonly guard = new ParticipantGuard(new MemoryGuardStore());

  prepare(one: Branch): Promise<Vote> {
    return this.guard.prepare(one, async (): Promise<Vote> => {
      await this.gate;
      this.works.push('reserve');
      this.held.add(one.transactionId);
      return 'commit';
    });
  }

  commit(one: Branch): Promise<void> {
    return this.guard.commit(one, () => {
      this.works.push('sell');
      this.held.delete(one.transactionId);
    });
  }

  rollback(one: Branch): Promise<void> {
    return this.guard.rollback(one, () => {
      this.works.push('release');
      this.held.delete(one.transactionId);
    });
  }
}

function pair(script: ParticipantScript, other: ParticipantScript = {}) {
  const faulty = new ScriptedParticipant(script);
  const sound = new ScriptedParticipant(other);
  const coordinator = createTestCoordinator({
    participants: { faulty, sound },
    prepareTimeoutMs: 500,
    timeoutMs: 2_000,
  });
  const run = () => coordinator.transactions.run({ branches: [branch('faulty', 1), branch('sound', 1)] });
  return { ...coordinator, faulty, sound, run };
}

describe('Voting', () => {
  it('fault 8: a lost prepare times out, and the branch that never answered is rolled back too', async () => {
    const { run, clock, faulty, sound, transactions } = pair({ prepare: 'hang' });
    const told = listenTo(run());

    await clock.advance(490);
    expect(told.outcome).toBeUndefined();
    await clock.advance(10);

    expect(told.outcome).toMatchObject({ status: 'aborted', cause: 'timed-out', participant: 'faulty' });
    const { transactionId } = told.outcome!;
    expect(faulty.effectOn(transactionId, 'faulty')).toBe('rolled-back');
    expect(sound.effectOn(transactionId, 'sound')).toBe('rolled-back');
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED' });
  });

  it('fault 9: a prepare that arrives twice has one effect and one vote', async () => {
    const stock = new GuardedStock();
    const coordinator = createTestCoordinator();
    coordinator.participants.register(
      {
        prepare: async (one) => (await Promise.all([stock.prepare(one), stock.prepare(one)]))[1],
        commit: (one) => stock.commit(one),
        rollback: (one) => stock.rollback(one),
      },
      { name: 'stock' },
    );

    expect(await coordinator.transactions.run({ branches: [branch('stock', 1)] })).toMatchObject({
      status: 'committed',
    });
    expect(stock.works).toEqual(['reserve', 'sell']);
  });

  it('fault 10 §: a prepare delivered after its rollback votes no and has no effect', async () => {
    const stock = new GuardedStock();
    const network = Promise.withResolvers<void>();
    const { transactions, participants, clock } = createTestCoordinator({ prepareTimeoutMs: 500 });
    participants.register(
      {
        prepare: async (one) => {
          await network.promise;
          return stock.prepare(one);
        },
        commit: (one) => stock.commit(one),
        rollback: (one) => stock.rollback(one),
      },
      { name: 'stock' },
    );
    const running = transactions.run({ branches: [branch('stock', 1)] });
    await clock.advance(500);
    const { transactionId } = await running;
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED' });

    network.resolve();
    await settled();

    expect(stock.works).toEqual([]);
    expect(transactions.find(transactionId)!.branches).toMatchObject([{ vote: 'abort', state: 'refused' }]);
  });

  it('fault 11 §: a rollback for a branch that never prepared is acknowledged and undoes nothing', async () => {
    const stock = new GuardedStock();
    const { transactions, participants } = createTestCoordinator();
    participants.register(stock, { name: 'stock' });
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));

    expect(await transaction.rollback('changed my mind')).toMatchObject({
      status: 'aborted',
      cause: 'rolled-back',
      reason: 'changed my mind',
    });
    await settled();

    expect(transaction.state).toBe('ABORTED');
    expect(transactions.find(transaction.id)!.branches).toMatchObject([
      { state: 'rolled-back', attempts: 1 },
    ]);
    expect(stock.works).toEqual([]);
  });

  it('fault 12: a participant that dies before its prepare takes effect aborts the transaction', async () => {
    const { run, faulty, sound } = pair({ prepare: 'throw' });
    const outcome = await run();

    expect(outcome).toMatchObject({
      status: 'aborted',
      cause: 'failed',
      participant: 'faulty',
      reason: 'scripted failure',
      error: new Error('scripted failure'),
    });
    await settled();
    expect(faulty.effectOn(outcome.transactionId, 'faulty')).toBe('rolled-back');
    expect(sound.effectOn(outcome.transactionId, 'sound')).toBe('rolled-back');
  });

  it('fault 13 §: a participant that dies after its effect and before its vote is rolled back', async () => {
    const { run, faulty, sound, transactions } = pair({ prepare: 'throw-after' });
    const outcome = await run();

    expect(outcome).toMatchObject({ status: 'aborted', cause: 'failed', participant: 'faulty' });
    await settled();
    expect(faulty.calls.map(({ method }) => method)).toEqual(['prepare', 'rollback']);
    expect(faulty.effectOn(outcome.transactionId, 'faulty')).toBe('rolled-back');
    expect(sound.effectOn(outcome.transactionId, 'sound')).toBe('rolled-back');
    expect(transactions.find(outcome.transactionId)).toMatchObject({ state: 'ABORTED' });
  });

  it('fault 14 §: a prepare that is still running at the time-out is rolled back when it takes effect', async () => {
    const stock = new GuardedStock();
    const gate = Promise.withResolvers<void>();
    stock.gate = gate.promise;
    const { transactions, participants, clock } = createTestCoordinator({ prepareTimeoutMs: 500 });
    participants.register(stock, { name: 'stock' });
    const running = transactions.run({ branches: [branch('stock', 1)] });
    await clock.advance(500);
    const { transactionId } = await running;

    gate.resolve();
    await settled();

    expect(stock.works).toEqual(['reserve', 'release']);
    expect(stock.held.size).toBe(0);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED' });
  });

  it('fault 14 §: without a guard, the rollback that a late effect overtook is sent again', async () => {
    const gate = Promise.withResolvers<void>();
    let held = 0;
    const { transactions, participants, clock } = createTestCoordinator({ prepareTimeoutMs: 500 });
    participants.register(
      {
        prepare: async () => {
          await gate.promise;
          held++;
          return 'commit' as const;
        },
        commit: () => {},
        rollback: () => void (held = 0),
      },
      { name: 'stock' },
    );
    const running = transactions.run({ branches: [branch('stock', 1)] });
    await clock.advance(500);
    await running;

    gate.resolve();
    await settled();

    expect(held).toBe(0);
  });

  it('fault 16: a hung participant holds up no other transaction, and the others stop preparing', async () => {
    const { clock, transactions, sound, run } = pair({ prepare: 'hang' }, { prepare: ['hang', 'yes'] });
    const stuck = listenTo(run());
    const signal = sound.calls[0]!.branch.signal;

    expect(await transactions.run({ branches: [branch('sound', 1)] })).toMatchObject({ status: 'committed' });
    expect(stuck.outcome).toBeUndefined();
    expect(signal.aborted).toBe(false);

    await clock.advance(500);
    expect(stuck.outcome).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ code: 'DTC_ABORTED' });
  });

  it('fault 17: a lost vote is not a yes: the prepared branch is rolled back after the time-out', async () => {
    const { run, clock, faulty } = pair({ prepare: 'hang-after' });
    const running = run();
    await clock.advance(500);
    const outcome = await running;

    expect(outcome).toMatchObject({ status: 'aborted', cause: 'timed-out', participant: 'faulty' });
    expect(faulty.effectOn(outcome.transactionId, 'faulty')).toBe('rolled-back');
  });

  it('fault 18 §: a late yes after a time-out abort is ignored, counted, and rolled back again until acknowledged', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, clock, faulty, participants, transactions } = pair({
      prepare: { until: gate.promise, then: { answer: 'commit' } },
      rollback: ['yes', 'throw', 'throw', 'yes'],
    });
    const running = run();
    await clock.advance(500);
    const outcome = await running;
    const { transactionId } = outcome;
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED' });
    expect(faulty.count('rollback')).toBe(1);

    gate.resolve();
    await settled();
    expect(faulty.count('rollback')).toBe(2);
    expect(transactions.find(transactionId)!.branches[0]).toMatchObject({ state: 'rolling-back' });

    await clock.advance(1_000);
    expect(faulty.count('rollback')).toBe(4);
    expect(faulty.count('commit')).toBe(0);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED', decision: 'abort' });
    expect(transactions.find(transactionId)!.branches[0]).toMatchObject({ state: 'rolled-back' });
    expect(participants.get('faulty').counts.lateAnswers).toBe(1);
    expect(outcome).toMatchObject({ status: 'aborted', cause: 'timed-out' });
  });

  it('fault 18 §: the acknowledgement of the rollback that the late yes overtook does not count', async () => {
    const gate = Promise.withResolvers<void>();
    const firstRollback = Promise.withResolvers<void>();
    const secondRollback = Promise.withResolvers<void>();
    const { run, clock, transactions } = pair({
      prepare: { until: gate.promise, then: { answer: 'commit' } },
      rollback: [{ until: firstRollback.promise }, { until: secondRollback.promise }],
    });
    const running = run();
    await clock.advance(500);
    const { transactionId } = await running;

    gate.resolve();
    await settled();
    firstRollback.resolve();
    await settled();
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTING' });

    secondRollback.resolve();
    await settled();
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED' });
  });

  it('fault 18 §: a report on the rollback that the late yes overtook counts for nothing, and stops nothing', async () => {
    const gate = Promise.withResolvers<void>();
    const firstRollback = Promise.withResolvers<void>();
    const { run, clock, transactions, participants, faulty } = pair({
      prepare: { until: gate.promise, then: { answer: 'commit' } },
      rollback: [{ until: firstRollback.promise, then: { heuristic: 'commit' } }, 'throw', 'yes'],
    });
    const running = run();
    await clock.advance(500);
    const { transactionId } = await running;

    gate.resolve();
    await settled();
    firstRollback.resolve();
    await clock.advance(1_000);
    expect(faulty.count('rollback')).toBe(3);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED', heuristic: null });
    expect(participants.get('faulty').counts.heuristicReports).toBe(0);
  });

  it('fault 18 §: a late yes is not shown as the end of the rollback that it makes necessary', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, clock, transactions } = pair({
      prepare: { until: gate.promise, then: { answer: 'commit' } },
      rollback: 'hang',
    });
    const running = run();
    await clock.advance(500);
    const { transactionId } = await running;
    gate.resolve();
    await settled();

    const { timeline, branches } = transactions.find(transactionId)!;
    expect(branches[0]).toMatchObject({ state: 'rolling-back' });
    const rolledBack = timeline.filter(({ event }) => event === 'rolled-back');
    expect(rolledBack.map(({ branchId }) => branchId)).toEqual(['sound']);
  });

  it('fault 18 §: a late yes of a branch with a stalled rollback restarts it, and nothing stays counted as stalled', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, clock, participants, runtime, transactions, faulty } = pair({
      prepare: { until: gate.promise, then: { answer: 'commit' } },
      rollback: ['throw', 'throw', 'throw', 'throw', 'throw', 'yes'],
    });
    const running = run();
    await clock.advance(10_000);
    const { transactionId } = await running;
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTING', stalled: true });
    expect(runtime.registry.unresolvedAt(participants.resolve('faulty')).stalled).toBe(1);

    gate.resolve();
    await settled();

    expect(faulty.count('rollback')).toBe(6);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED', stalled: false });
    expect(runtime.registry.unresolvedAt(participants.resolve('faulty')).stalled).toBe(0);
  });

  it('fault 18 §: a late yes brings back a transaction that was finished and dropped long ago, for as long as it takes', async () => {
    const gate = Promise.withResolvers<void>();
    const late = new ScriptedParticipant({
      prepare: { until: gate.promise, then: { answer: 'commit' } },
      rollback: ['yes', 'throw', 'throw', 'yes'],
    });
    const { transactions, clock, recover, runtime } = createTestCoordinator({
      participants: { late },
      prepareTimeoutMs: 500,
      maxAttempts: 2,
      retainFinished: 0,
    });
    const running = transactions.run({ branches: [branch('late', 'payload')] });
    await clock.advance(500);
    const { transactionId } = await running;
    for (let number = 0; number < 20_000; number++) await transactions.run({ branches: [] });
    expect(transactions.find(transactionId)).toBeUndefined();

    gate.resolve();
    await clock.advance(1_000);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED', stalled: true });
    expect(runtime.registry.inFlight).toBe(0);
    await recover();

    expect(late.count('rollback')).toBe(4);
    expect(late.calls.at(-1)!.branch.payload).toBe('payload');
    expect(transactions.list({ stalled: true })).toEqual([]);
    expect(runtime.registry.unsettled.size).toBe(0);
  });

  const garbage: [string, unknown][] = [
    ['undefined', undefined],
    ['null', null],
    ['true', true],
    ['a yes in capitals', 'COMMIT'],
    ['a yes with a blank', 'commit '],
    ['an object', {}],
    ['an object that says commit', { vote: 'commit' }],
    ['a list with a yes', ['commit']],
    ['a page of HTML', '<!doctype html><title>200 OK</title>'],
    ['a number', 200],
    ['a String object', new String('commit')],
    ['a function', () => 'commit'],
  ];
  it.each(garbage)('fault 19: %s is not a yes', async (_, answer) => {
    const { run, faulty, sound } = pair({ prepare: { answer } });
    const outcome = await run();

    expect(outcome).toMatchObject({ status: 'aborted', cause: 'failed', participant: 'faulty' });
    await settled();
    expect(faulty.effectOn(outcome.transactionId, 'faulty')).toBe('rolled-back');
    expect(sound.effectOn(outcome.transactionId, 'sound')).toBe('rolled-back');
  });

  it('fault 19: an answer instead of a vote may be a secret, and is repeated nowhere', async () => {
    for (const answer of ['4111-1111', { card: '4111-1111' }, ['4111-1111'], { vote: '4111-1111' }]) {
      const { run, transactions } = pair({ prepare: { answer } });
      const outcome = await run();
      await settled();

      const view = transactions.find(outcome.transactionId);
      expect(view).toMatchObject({ state: 'ABORTED' });
      expect(inspect([outcome, view], { depth: null, showHidden: true })).not.toContain('4111');
    }
  });

  it('fault 19: a refusal with an empty code and an empty reason is a refusal without text', async () => {
    const { run } = pair({ prepare: { refuse: '', reason: '' } });
    const outcome = await run();

    expect(outcome).toMatchObject({
      status: 'aborted',
      cause: 'refused',
      reason: 'refused without a reason',
    });
    expect(outcome).not.toHaveProperty('code');
  });

  it('fault 19: the first answer of a participant that answers twice counts', async () => {
    const answersTwice = (first: Vote, second: Vote): TransactionParticipant => ({
      prepare: () =>
        ({
          then: (resolve: (vote: Vote) => void) => {
            resolve(first);
            resolve(second);
          },
        }) as unknown as Promise<Vote>,
      commit: () => {},
      rollback: () => {},
    });
    const { transactions, participants } = createTestCoordinator();
    participants.register(answersTwice('abort', 'commit'), { name: 'no-then-yes' });
    participants.register(answersTwice('commit', 'abort'), { name: 'yes-then-no' });
    participants.register(answersTwice('commit', 'commit'), { name: 'yes-twice' });
    participants.register(new ScriptedParticipant(), { name: 'sound' });
    const run = (name: string) => transactions.run({ branches: [branch(name, 1), branch('sound', 1)] });

    expect(await run('no-then-yes')).toMatchObject({ status: 'aborted', cause: 'refused' });
    expect(await run('yes-then-no')).toMatchObject({ status: 'committed' });
    expect(await run('yes-twice')).toMatchObject({ status: 'committed' });
  });

  it('fault 20: a branch that voted read-only is never contacted again, whatever is decided', async () => {
    for (const other of ['yes', 'no'] as const) {
      const gate = Promise.withResolvers<void>();
      const { run, faulty, clock } = pair(
        { prepare: 'read-only' },
        { prepare: { until: gate.promise, then: other } },
      );
      const running = run();
      await settled();
      gate.resolve();
      expect((await running).status).toBe(other === 'yes' ? 'committed' : 'aborted');
      await clock.advance(10_000);
      expect(faulty.calls.map(({ method }) => method)).toEqual(['prepare']);
    }
  });

  it('fault 21: one refusal answers the caller at once and rolls back the branches in flight as well', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, faulty, sound, clock } = pair(
      { prepare: { refuse: 'OUT_OF_STOCK', reason: 'none left' } },
      { prepare: { until: gate.promise, then: 'yes' } },
    );
    const started = clock.now();
    const outcome = await run();

    expect(outcome).toMatchObject({
      status: 'aborted',
      cause: 'refused',
      participant: 'faulty',
      branchId: 'faulty',
      code: 'OUT_OF_STOCK',
      reason: 'none left',
    });
    expect(clock.now()).toBe(started);
    expect(faulty.count('rollback')).toBe(0);
    expect(sound.count('rollback')).toBe(1);
    gate.resolve();
    await settled();
    expect(sound.effectOn(outcome.transactionId, 'sound')).toBe('rolled-back');
    expect(sound.count('commit')).toBe(0);
  });
});
