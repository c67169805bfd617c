import { describe, expect, it } from 'vitest';
import { MemoryGuardStore, ParticipantGuard, branch, refuse } from '../../src/coordinator/index.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { listenTo } from './told.js';

describe('Defects that other coordinators shipped', () => {
  it('a refusal wins over a yes and a read-only vote in every order of arrival, and the refusing participant receives no commit', async () => {
    const votes = ['abort', 'commit', 'read-only'] as const;
    for (const order of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ]) {
      const gates = votes.map(() => Promise.withResolvers<void>());
      const voters = votes.map(
        (answer, index) =>
          new ScriptedParticipant({ prepare: { until: gates[index]!.promise, then: { answer } } }),
      );
      const { transactions } = createTestCoordinator({
        participants: Object.fromEntries(voters.map((voter, index) => [`p${index}`, voter])),
      });
      const running = transactions.run({ branches: votes.map((_, index) => branch(`p${index}`, index)) });
      for (const index of order) {
        gates[index]!.resolve();
        await settled();
      }

      expect(await running).toMatchObject({ status: 'aborted', cause: 'refused', participant: 'p0' });
      expect(voters.map((voter) => voter.count('commit'))).toEqual([0, 0, 0]);
      expect(voters[0]!.calls.at(-1)?.method).toBe('prepare');
    }
  });

  it('a business refusal behind the guard does not come out as a success, also when it is asked again', async () => {
    const guard = new ParticipantGuard(new MemoryGuardStore());
    const { transactions, participants } = createTestCoordinator();
    participants.register(
      {
        prepare: async (one) => {
          await guard.prepare(one, () => refuse('NO_FUNDS', 'the account is empty'));
          return guard.prepare(one, () => 'commit');
        },
        commit: (one) => guard.commit(one, () => {}),
        rollback: (one) => guard.rollback(one, () => {}),
      },
      { name: 'payment' },
    );

    expect(await transactions.run({ branches: [branch('payment', 1)] })).toMatchObject({
      status: 'aborted',
      cause: 'refused',
      code: 'NO_FUNDS',
    });
  });

  it('a mixed end is reported: the caller is told of it, and it stays on the list', async () => {
    const sound = new ScriptedParticipant();
    const odd = new ScriptedParticipant({ commit: { heuristic: 'rollback' } });
    const { transactions } = createTestCoordinator({ participants: { sound, odd } });
    const outcome = await transactions.run({ branches: [branch('sound', 1), branch('odd', 1)] });

    expect(outcome).toMatchObject({ status: 'heuristic', heuristic: 'mixed' });
    expect(transactions.list()).toMatchObject([{ heuristic: 'mixed' }]);
  });

  it('time-outs leak no place in flight', async () => {
    const hung = new ScriptedParticipant({ prepare: 'hang' });
    const { transactions, clock, runtime } = createTestCoordinator({
      participants: { hung },
      maxInFlight: 50,
      prepareTimeoutMs: 10,
    });
    for (let number = 0; number < 200; number++) {
      const running = transactions.run({ branches: [branch('hung', number)] });
      await clock.advance(10);
      expect(await running).toMatchObject({ status: 'aborted' });
    }

    expect(runtime.registry.inFlight).toBe(0);
  });

  it('a repeated enlist after a lost answer registers no second branch', async () => {
    const stock = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock } });
    const transaction = transactions.begin();
    const request = branch('stock', 1, { branchId: 'reserve-1' });
    for (let repeat = 0; repeat < 3; repeat++) transaction.enlist(request);
    await transaction.commit();

    expect(stock.calls.map(({ method }) => method)).toEqual(['prepare', 'commit']);
  });

  it('a transaction in doubt or with open branches never expires', async () => {
    const stuck = new ScriptedParticipant({ commit: 'throw' });
    const { transactions, clock, recover } = createTestCoordinator({
      participants: { stuck },
      maxAttempts: 1,
      retainFinished: 1,
      retainFinishedMs: 1_000,
    });
    const { transactionId } = await transactions.run({ branches: [branch('stuck', 1)] });
    for (let number = 0; number < 20_000; number++) await transactions.run({ branches: [] });
    await clock.advance(30 * 86_400_000, 86_400_000);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'COMMITTING', stalled: true });

    stuck.script = {};
    await recover();
    expect(transactions.find(transactionId)).toMatchObject({ state: 'COMMITTED' });
  });

  it('after an outage of three hours the next attempt comes within the cap', async () => {
    let isAway = true;
    const moments: number[] = [];
    const { transactions, participants, clock } = createTestCoordinator({
      maxAttempts: 1_000,
      retryCapMs: 30_000,
      random: () => 0.999_999,
    });
    participants.register(
      {
        prepare: () => 'commit',
        commit: () => {
          moments.push(clock.now());
          if (isAway) throw new Error('away');
        },
        rollback: () => {},
      },
      { name: 'stock' },
    );
    void transactions.run({ branches: [branch('stock', 1)] });
    await settled();
    await clock.advance(3 * 3_600_000, 1_000);
    isAway = false;
    const back = clock.now();
    await clock.advance(31_000, 1_000);

    expect(moments.at(-1)! - back).toBeLessThanOrEqual(30_000);
    expect(transactions.list({ state: 'COMMITTED' })).toHaveLength(1);
  });

  it('a branch that hangs in phase two delays no other branch of its transaction', async () => {
    const hung = new ScriptedParticipant({ commit: 'hang' });
    const others = [new ScriptedParticipant(), new ScriptedParticipant()];
    const { transactions, clock } = createTestCoordinator({
      participants: { hung, second: others[0]!, third: others[1]! },
    });
    const told = listenTo(
      transactions.run({ branches: [branch('hung', 1), branch('second', 1), branch('third', 1)] }),
    );
    const started = clock.now();
    await settled();

    expect(others.map((other) => other.count('commit'))).toEqual([1, 1]);
    expect(clock.now()).toBe(started);
    expect(told.outcome).toBeUndefined();
  });
});
