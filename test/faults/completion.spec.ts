import { describe, expect, it } from 'vitest';
import {
  type Branch,
  type CoordinatorOptions,
  HeuristicError,
  MemoryGuardStore,
  ParticipantGuard,
  branch,
} from '../../src/coordinator/index.js';
import {
  type ParticipantScript,
  ScriptedParticipant,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { listenTo } from './told.js';
import { runOf } from '../support/identity.js';

function pair(script: ParticipantScript, options: CoordinatorOptions = {}, other: ParticipantScript = {}) {
  const faulty = new ScriptedParticipant(script);
  const sound = new ScriptedParticipant(other);
  const coordinator = createTestCoordinator({
    participants: { faulty, sound },
    completionTimeoutMs: 500,
    maxAttempts: 3,
    ...options,
  });
  const run = () => coordinator.transactions.run({ branches: [branch('faulty', 1), branch('sound', 1)] });
  const view = (id: string) => coordinator.transactions.find(id)!;
  return { ...coordinator, faulty, sound, run, view };
}

function branchOf(transactionId: string): Branch {
  const { signal } = new AbortController();
  return { transactionId, branchId: 'one', payload: 1, deadline: 0, signal, attempt: 1, run: runOf() };
}

describe('Completion', () => {
  it('fault 35: a lost commit is sent again until it is acknowledged, and then never more', async () => {
    const { run, clock, faulty, sound, view } = pair({ commit: ['hang', 'throw', 'yes'] });
    const told = listenTo(run());
    await clock.advance(2_000);

    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect(faulty.calls.map(({ branch: { attempt } }) => attempt)).toEqual([0, 1, 2, 3]);
    expect(sound.count('commit')).toBe(1);
    await clock.advance(60_000);
    expect(faulty.count('commit')).toBe(3);
    expect(view(told.outcome!.transactionId)).toMatchObject({ state: 'COMMITTED' });
  });

  it('fault 35: an answer to an attempt given up long ago still counts, and a repeat of it does nothing', async () => {
    const first = Promise.withResolvers<void>();
    const second = Promise.withResolvers<void>();
    const { run, clock, view } = pair({
      commit: [{ until: first.promise }, { until: second.promise }],
    });
    const told = listenTo(run());
    await clock.advance(600);
    first.resolve();
    await settled();
    expect(told.outcome).toMatchObject({ status: 'committed' });

    second.resolve();
    await clock.advance(10_000);
    expect(view(told.outcome!.transactionId)).toMatchObject({ state: 'COMMITTED', stalled: false });
  });

  it('fault 35: the failure of an attempt given up long ago does not affect the running one', async () => {
    const answers = [1, 2, 3].map(() => Promise.withResolvers<void>());
    const { run, clock, faulty, participants, runtime } = pair({
      commit: answers.map(({ promise }) => ({ until: promise })),
    });
    const told = listenTo(run());
    await settled();
    await clock.advance(1_400);
    expect(faulty.count('commit')).toBe(3);
    for (const { reject } of answers.slice(0, 2)) reject(new Error('far too late'));
    await clock.advance(100);
    expect(faulty.count('commit')).toBe(3);
    expect(participants.get('faulty').counts).toMatchObject({ failedAttempts: 2 });
    expect(runtime.registry.unresolvedAt(participants.resolve('faulty')).stalled).toBe(0);

    answers[2]!.resolve();
    await settled();
    expect(told.outcome).toMatchObject({ status: 'committed' });
  });

  it.each(['commit', 'rollback'] as const)(
    'fault 36 §: a %s whose attempts are used up stays decided, is visible, and is completed by recovery',
    async (method) => {
      const { run, clock, faulty, view, recover, participants, runtime, sound } = pair(
        { [method]: 'throw' },
        {},
        { prepare: method === 'commit' ? 'yes' : 'no' },
      );
      const told = listenTo(run());
      await settled();
      await clock.advance(3_600_000, 60_000);

      expect(told.outcome).toMatchObject(
        method === 'commit' ? { status: 'pending', decision: 'commit' } : { status: 'aborted' },
      );
      const { transactionId } = told.outcome!;
      const state = method === 'commit' ? 'COMMITTING' : 'ABORTING';
      expect(view(transactionId)).toMatchObject({ state, stalled: true });
      expect(view(transactionId).branches[0]).toMatchObject({ attempts: 3, lastError: 'scripted failure' });
      expect(runtime.registry.unresolvedAt(participants.resolve('faulty')).stalled).toBe(1);

      await recover();
      expect(view(transactionId)).toMatchObject({ state, stalled: true });
      expect(faulty.count(method)).toBe(4);

      faulty.script = {};
      await recover();
      expect(view(transactionId)).toMatchObject({
        state: method === 'commit' ? 'COMMITTED' : 'ABORTED',
        stalled: false,
      });
      expect(runtime.registry.unresolvedAt(participants.resolve('faulty')).stalled).toBe(0);
      expect(faulty.count(method === 'commit' ? 'rollback' : 'commit')).toBe(0);
      expect(sound.count(method === 'commit' ? 'rollback' : 'commit')).toBe(0);
    },
  );

  it.each(['throw', 'throw-after', 'hang', 'hang-after'] as const)(
    'fault 37: a participant that commits like this (%s) is asked again, and a second commit is harmless',
    async (behaviour) => {
      const works: string[] = [];
      const guard = new ParticipantGuard(new MemoryGuardStore());
      let calls = 0;
      const { transactions, participants, clock } = createTestCoordinator({ completionTimeoutMs: 500 });
      participants.register(
        {
          prepare: (one) => guard.prepare(one, () => 'commit'),
          commit: async (one) => {
            const isFirst = calls++ === 0;
            if (isFirst && behaviour === 'throw') throw new Error('died before the effect');
            if (isFirst && behaviour === 'hang') return new Promise<void>(() => {});
            await guard.commit(one, () => void works.push('commit'));
            if (isFirst && behaviour === 'throw-after') throw new Error('died after the effect');
            if (isFirst && behaviour === 'hang-after') return new Promise<void>(() => {});
          },
          rollback: (one) => guard.rollback(one, () => {}),
        },
        { name: 'stock' },
      );
      const told = listenTo(transactions.run({ branches: [branch('stock', 1)] }));
      await clock.advance(2_000);

      expect(told.outcome).toMatchObject({ status: 'committed' });
      expect(calls).toBe(2);
      expect(works).toEqual(['commit']);
    },
  );

  it('fault 38 §: a commit for a branch that the participant does not know is a hazard, never a success', async () => {
    const guard = new ParticipantGuard(new MemoryGuardStore());
    const { transactions, participants } = createTestCoordinator();
    participants.register(
      {
        prepare: () => 'commit',
        commit: (one) => guard.commit(one, () => {}),
        rollback: (one) => guard.rollback(one, () => {}),
      },
      { name: 'forgetful' },
    );
    const outcome = await transactions.run({ branches: [branch('forgetful', 1)] });

    expect(outcome).toMatchObject({
      status: 'heuristic',
      decision: 'commit',
      heuristic: 'hazard',
      reports: [{ participant: 'forgetful', branchId: 'forgetful', kind: 'hazard' }],
    });
  });

  it.each([
    ['rollback', 'mixed'],
    ['mixed', 'mixed'],
    ['hazard', 'hazard'],
  ] as const)(
    'fault 39: one branch of two that reports %s at commit makes the outcome %s, which is kept until forgotten',
    async (kind, expected) => {
      const { run, clock, faulty, view, transactions } = pair(
        { commit: { heuristic: kind } },
        { retainFinished: 2, retainFinishedMs: 1_000, retainRemarkableMs: 1_000 },
      );
      const outcome = await run();

      expect(outcome).toMatchObject({
        status: 'heuristic',
        heuristic: expected,
        reports: [{ participant: 'faulty', branchId: 'faulty', kind, reason: 'scripted' }],
      });
      expect(faulty.count('commit')).toBe(1);

      faulty.script = {};
      for (let others = 0; others < 10; others++) await run();
      await clock.advance(60_000, 1_000);
      expect(view(outcome.transactionId)).toMatchObject({ state: 'COMMITTED', heuristic: expected });

      expect(transactions.forget(outcome.transactionId)).toBe(true);
      expect(transactions.forget(outcome.transactionId)).toBe(false);
      await clock.advance(2_000, 1_000);
      expect(transactions.find(outcome.transactionId)).toBeUndefined();
    },
  );

  it('fault 39: all branches that end against the decision make it a heuristic rollback', async () => {
    const { run } = pair({ commit: { heuristic: 'rollback' } }, {}, { commit: { heuristic: 'rollback' } });

    expect(await run()).toMatchObject({ status: 'heuristic', heuristic: 'rollback' });
  });

  it('fault 39: a heuristic commit of a commit, or a heuristic rollback of a rollback, is as decided', async () => {
    const committing = pair({ commit: { heuristic: 'commit' } });
    expect(await committing.run()).toMatchObject({ status: 'committed' });

    const aborting = pair({ rollback: { heuristic: 'rollback' } }, {}, { prepare: 'no' });
    const { transactionId } = await aborting.run();
    await settled();
    expect(aborting.view(transactionId)).toMatchObject({ state: 'ABORTED', heuristic: null });
  });

  it('fault 39: a branch that committed against an abort is reported, and the caller was told the decision', async () => {
    const { run, view } = pair({ rollback: { heuristic: 'commit' } }, {}, { prepare: 'no' });
    const outcome = await run();
    await settled();

    expect(outcome).toMatchObject({ status: 'aborted', participant: 'sound' });
    expect(view(outcome.transactionId)).toMatchObject({ state: 'ABORTED', heuristic: 'commit' });
  });

  it('fault 39: a heuristic report thrown by another copy of this package counts as well', async () => {
    const { transactions, participants } = createTestCoordinator();
    participants.register(
      {
        prepare: () => 'commit',
        commit: () => {
          throw Object.assign(new Error('elsewhere'), { code: 'DTC_HEURISTIC', kind: 'hazard' });
        },
        rollback: () => {},
      },
      { name: 'foreign' },
    );

    expect(await transactions.run({ branches: [branch('foreign', 1)] })).toMatchObject({
      status: 'heuristic',
      heuristic: 'hazard',
    });
  });

  it('fault 39: an error that has the kind of a report, and not its code, is a failure: the commit is sent again', async () => {
    const failure = Object.assign(new Error('row lock lost'), { kind: 'rollback' });
    let commits = 0;
    const { transactions, participants, clock } = createTestCoordinator();
    participants.register(
      {
        prepare: () => 'commit',
        commit: () => {
          if (++commits === 1) throw failure;
        },
        rollback: () => {},
      },
      { name: 'alike' },
    );
    const told = listenTo(transactions.run({ branches: [branch('alike', 1)] }));
    await clock.advance(1_000);

    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect(commits).toBe(2);
  });

  it('fault 39: forgetting a report leaves the other branches of the transaction to the recovery', async () => {
    const gate = Promise.withResolvers<void>();
    const late = new ScriptedParticipant({
      prepare: { until: gate.promise, then: { answer: 'commit' } },
      rollback: ['yes', 'throw', 'yes'],
    });
    const { participants, transactions, recover } = pair(
      { prepare: 'no' },
      { maxAttempts: 1 },
      { rollback: { heuristic: 'commit' } },
    );
    participants.register(late, { name: 'late' });
    const { transactionId } = await transactions.run({
      branches: [branch('faulty', 1), branch('sound', 1), branch('late', 1)],
    });
    await settled();
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED', heuristic: 'mixed' });
    gate.resolve();
    await settled();
    expect(transactions.find(transactionId)).toMatchObject({ stalled: true });

    expect(transactions.forget(transactionId)).toBe(true);
    await recover();
    expect(late.count('rollback')).toBe(3);
    expect(transactions.find(transactionId)).toMatchObject({ stalled: false, heuristic: null });
  });

  it('fault 44: a lost acknowledgement is asked for again, and one that comes twice counts once', async () => {
    let commits = 0;
    const { transactions, participants, clock } = createTestCoordinator({ completionTimeoutMs: 500 });
    participants.register(
      {
        prepare: () => 'commit',
        commit: () => {
          if (++commits === 1) return new Promise<void>(() => {});
          return {
            then: (resolve: () => void) => {
              resolve();
              resolve();
            },
          } as unknown as Promise<void>;
        },
        rollback: () => {},
      },
      { name: 'twice' },
    );
    const told = listenTo(transactions.run({ branches: [branch('twice', 1)] }));
    await clock.advance(2_000);

    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect(commits).toBe(2);
    expect(participants.get('twice').counts).toMatchObject({ committed: 1, failedAttempts: 1 });
  });

  it('fault 45 §: a guarded participant reports a commit of a rolled-back branch, and the reverse', async () => {
    const guard = new ParticipantGuard(new MemoryGuardStore());
    const committed = branchOf('committed');
    await guard.prepare(committed, () => 'commit');
    await guard.commit(committed, () => {});
    const rolledBack = branchOf('rolled-back');
    await guard.prepare(rolledBack, () => 'commit');
    await guard.rollback(rolledBack, () => {});

    await expect(guard.rollback(committed, () => {})).rejects.toMatchObject({ kind: 'commit' });
    await expect(guard.rollback(committed, () => {})).rejects.toThrow(HeuristicError);
    await expect(guard.commit(rolledBack, () => {})).rejects.toMatchObject({ kind: 'rollback' });
  });

  it('fault 43 §: a participant that lost its prepared branch makes a hazard of the commit', async () => {
    const guards = [
      new ParticipantGuard(new MemoryGuardStore()),
      new ParticipantGuard(new MemoryGuardStore()),
    ];
    const { transactions, participants } = createTestCoordinator();
    participants.register(
      {
        prepare: (one) => guards[0]!.prepare(one, () => 'commit'),
        // Restored from an old backup, it knows nothing of the prepare.
        commit: (one) => guards[1]!.commit(one, () => expect.unreachable()),
        rollback: () => {},
      },
      { name: 'restored' },
    );

    expect(await transactions.run({ branches: [branch('restored', 1)] })).toMatchObject({
      status: 'heuristic',
      heuristic: 'hazard',
    });
  });

  it.each(['yes', 'no'] as const)(
    'fault 47 §: a transaction (other vote: %s) is not over before the last branch has acknowledged',
    async (vote) => {
      const gate = Promise.withResolvers<void>();
      const slow = { until: gate.promise };
      const { run, view, clock, runtime } = pair(
        { commit: slow, rollback: slow },
        { retainFinished: 1, retainFinishedMs: 1, completionTimeoutMs: 86_400_000 },
        { prepare: vote },
      );
      const told = listenTo(run());
      await settled();
      await clock.advance(60_000, 1_000);
      const { transactionId } = told.outcome!;
      expect(view(transactionId)).toMatchObject({
        state: vote === 'yes' ? 'COMMITTING' : 'ABORTING',
        endedAt: null,
      });
      expect(runtime.registry.inFlight).toBe(1);

      gate.resolve();
      await settled();
      expect(view(transactionId)).toMatchObject({ state: vote === 'yes' ? 'COMMITTED' : 'ABORTED' });
      expect(runtime.registry.inFlight).toBe(0);
    },
  );

  it('fault 52 §: recovery touches no transaction that is on its way', async () => {
    const gate = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant({ prepare: { until: gate.promise } });
    const stuck = new ScriptedParticipant({ commit: ['throw', 'yes'] });
    const { transactions, recover } = createTestCoordinator({
      participants: { stock, stuck },
      maxAttempts: 1,
    });
    const active = transactions.begin();
    active.enlist(branch('stock', 'later'));
    const preparing = transactions.run({ branches: [branch('stock', 1)] });
    const stalled = await transactions.run({ branches: [branch('stuck', 1)] });
    expect(stalled).toMatchObject({ status: 'pending' });

    await recover();

    expect(transactions.find(stalled.transactionId)).toMatchObject({ state: 'COMMITTED' });
    expect(active.state).toBe('ACTIVE');
    expect(stock.calls.map(({ method }) => method)).toEqual(['prepare']);
    gate.resolve();
    expect(await preparing).toMatchObject({ status: 'committed' });
  });

  it('fault 58 §: two running attempts on one branch at once are harmless', async () => {
    const guard = new ParticipantGuard(new MemoryGuardStore());
    const gate = Promise.withResolvers<void>();
    let calls = 0;
    let sold = 0;
    const { transactions, participants, clock } = createTestCoordinator({ completionTimeoutMs: 500 });
    participants.register(
      {
        prepare: (one) => guard.prepare(one, () => 'commit'),
        commit: (one) => {
          calls++;
          return guard.commit(one, async () => {
            await gate.promise;
            sold++;
          });
        },
        rollback: () => {},
      },
      { name: 'stock' },
    );
    const told = listenTo(transactions.run({ branches: [branch('stock', 1)] }));
    await settled();
    await clock.advance(700);
    expect(calls).toBe(2);
    gate.resolve();
    await settled();

    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect(sold).toBe(1);
  });

  it('fault 55: one poisoned transaction stops neither recovery nor any other', async () => {
    const poisoned = new ScriptedParticipant({ commit: 'throw' });
    const flaky = new ScriptedParticipant({ commit: ['throw', 'throw', 'throw', 'yes'] });
    const { transactions, recover } = createTestCoordinator({
      participants: { poisoned, flaky },
      maxAttempts: 1,
      recoveryConcurrency: 1,
    });
    const stuck = [await transactions.run({ branches: [branch('poisoned', 1)] })];
    for (let number = 0; number < 3; number++) {
      stuck.push(await transactions.run({ branches: [branch('flaky', number)] }));
    }
    expect(stuck.map(({ status }) => status)).toEqual(['pending', 'pending', 'pending', 'pending']);

    await recover();

    expect(stuck.map(({ transactionId }) => transactions.find(transactionId)!.state)).toEqual([
      'COMMITTING',
      'COMMITTED',
      'COMMITTED',
      'COMMITTED',
    ]);
    expect(await transactions.run({ branches: [branch('flaky', 9)] })).toMatchObject({ status: 'committed' });
  });
});
