import { describe, expect, it } from 'vitest';
import { type Branch, type TransactionParticipant, type Vote, branch } from '../../src/coordinator/index.js';
import {
  type ParticipantScript,
  ScriptedParticipant,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';

const branches = [branch('first', 1), branch('second', 2), branch('third', 3)];

function three(first: ParticipantScript = {}, second: ParticipantScript = {}, third: ParticipantScript = {}) {
  const participants = {
    first: new ScriptedParticipant(first),
    second: new ScriptedParticipant(second),
    third: new ScriptedParticipant(third),
  };
  const coordinator = createTestCoordinator({ participants, prepareTimeoutMs: 500, timeoutMs: 2_000 });
  const run = () => coordinator.transactions.run({ branches, prepareInTurn: true });
  return { ...coordinator, ...participants, run };
}

const prepares = (...participants: ScriptedParticipant[]): number[] =>
  participants.map((participant) => participant.count('prepare'));

describe('Participants that prepare in turn', () => {
  it('are asked each when the one before has voted, in the order of their branches', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { run, first, second, third } = three(
      { prepare: { until: gates[0]!.promise, then: 'yes' } },
      { prepare: { until: gates[1]!.promise, then: 'read-only' } },
    );
    const running = run();
    await settled();
    expect(prepares(first, second, third)).toEqual([1, 0, 0]);
    gates[0]!.resolve();
    await settled();
    expect(prepares(first, second, third)).toEqual([1, 1, 0]);
    gates[1]!.resolve();
    expect((await running).status).toBe('committed');
    expect([first, second, third].map((one) => one.count('commit'))).toEqual([1, 0, 1]);
  });

  it('are so as well where the branches come one by one', async () => {
    const gate = Promise.withResolvers<void>();
    const { transactions, first, second, third } = three({ prepare: { until: gate.promise, then: 'yes' } });
    const transaction = transactions.begin({ prepareInTurn: true });
    for (const request of branches) transaction.enlist(request);
    const committing = transaction.commit();
    await settled();
    expect(prepares(first, second, third)).toEqual([1, 0, 0]);
    gate.resolve();
    expect((await committing).status).toBe('committed');
  });

  it.each(['no', 'throw'] as const)(
    'are not asked after one that answers %s, and the decision reaches all',
    async (answer) => {
      const { run, first, second, third } = three({}, { prepare: answer });
      expect(await run()).toMatchObject({ status: 'aborted', participant: 'second' });
      await settled();
      expect(prepares(first, second, third)).toEqual([1, 1, 0]);
      expect(first.count('rollback')).toBe(1);
      expect([first, third].map((one) => one.count('commit'))).toEqual([0, 0]);
    },
  );

  it('have their time from their own turn on, and the one that is late is named, and only that', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { run, clock, second, third, transactions } = three(
      { prepare: { until: gates[0]!.promise, then: 'yes' } },
      { prepare: { until: gates[1]!.promise, then: 'yes' } },
    );
    const running = run();
    await clock.advance(400);
    gates[0]!.resolve();
    await settled();
    await clock.advance(400);
    expect(transactions.list()).toMatchObject([{ state: 'PREPARING' }]);
    await clock.advance(200);
    expect(await running).toMatchObject({
      status: 'aborted',
      cause: 'timed-out',
      participant: 'second',
      reason: 'second did not answer prepare within 500 ms',
    });
    gates[1]!.resolve();
    await settled();
    expect(third.count('prepare')).toBe(0);
    expect(second.count('commit')).toBe(0);
  });

  it('are all done by the deadline of the transaction', async () => {
    const gate = Promise.withResolvers<void>();
    const never = new Promise<void>(() => {});
    const { transactions, clock } = three(
      { prepare: { until: gate.promise, then: 'yes' } },
      { prepare: { until: never, then: 'yes' } },
    );
    const running = transactions.run({ branches, prepareInTurn: true, timeoutMs: 600 });
    await clock.advance(400);
    gate.resolve();
    await clock.advance(199);
    expect(transactions.list()).toMatchObject([{ state: 'PREPARING' }]);
    await clock.advance(1);
    expect(await running).toMatchObject({ status: 'aborted', cause: 'timed-out', participant: 'second' });
  });

  it('go on when one answers at once, however many there are', async () => {
    const asked: number[] = [];
    const at = (index: number): TransactionParticipant => ({
      prepare: (one: Branch): Vote => {
        asked.push(index);
        expect(one.branchId).toBe(`at-${index}`);
        return 'commit';
      },
      commit: () => {},
      rollback: () => {},
    });
    const { transactions, participants } = createTestCoordinator({ maxBranches: 30 });
    const names = Array.from({ length: 30 }, (_, index) => `at-${index}`);
    for (const [index, name] of names.entries()) participants.register(at(index), { name });
    const outcome = await transactions.run({
      branches: names.map((name) => branch(name, 0)),
      prepareInTurn: true,
    });
    expect(outcome.status).toBe('committed');
    expect(asked).toEqual(names.map((_, index) => index));
  });

  it('is a choice of yes or no', async () => {
    const { transactions } = three();
    const odd = { prepareInTurn: 'yes' } as unknown as { prepareInTurn: boolean };
    const refusal = { code: 'DTC_INVALID_REQUEST' };
    await expect(transactions.run({ branches, ...odd })).rejects.toMatchObject(refusal);
    expect(() => transactions.begin(odd)).toThrow(expect.objectContaining(refusal));
    expect(transactions.list()).toEqual([]);
  });
});
