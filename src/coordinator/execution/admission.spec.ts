import { describe, expect, it, vi } from 'vitest';
import { InvalidRequestError, ParticipantStalledError } from '../errors.js';
import { branch } from '../participant/branch-request.js';
import { ScriptedParticipant, createTestCoordinator } from '../testing/index.js';

describe('Admission', () => {
  it('states the requested number of branches when there are too many, all at once or one by one', async () => {
    const { transactions } = createTestCoordinator({ participants: { stock: new ScriptedParticipant() } });
    const many = Array.from({ length: 15 }, (_, index) => branch('stock', index));

    await expect(transactions.run({ branches: many })).rejects.toMatchObject({
      branches: 15,
      maxBranches: 10,
    });
    const transaction = transactions.begin();
    for (const one of many.slice(0, 10)) transaction.enlist(one);
    expect(() => transaction.enlist(branch('stock', 11))).toThrow(
      expect.objectContaining({ branches: 11, maxBranches: 10 }),
    );
    await transaction.rollback();
  });

  it('accepts a name of 100 characters, and names a transaction without a name', async () => {
    const { transactions } = createTestCoordinator();
    const name = 'x'.repeat(100);
    const named = await transactions.run({ name, branches: [] });
    const nameless = await transactions.run({ branches: [] });

    expect(transactions.find(named.transactionId)).toMatchObject({ name });
    expect(transactions.find(nameless.transactionId)).toMatchObject({ name: 'transaction' });
  });

  it('counts stalled branches and heuristic reports of a participant together, not one against the other', async () => {
    const troubled = new ScriptedParticipant({ commit: ['throw', { heuristic: 'hazard' }] });
    const { transactions } = createTestCoordinator({
      participants: { troubled },
      maxAttempts: 1,
      maxStalled: 2,
    });
    const request = { branches: [branch('troubled', 1)] };
    expect(await transactions.run(request)).toMatchObject({ status: 'pending' });
    expect(await transactions.run(request)).toMatchObject({ status: 'heuristic' });

    await expect(transactions.run(request)).rejects.toThrow(ParticipantStalledError);
  });

  it('accepts a participant and a branch id of 64 bytes together, and refuses more when the branch is enlisted', async () => {
    const name = 'p'.repeat(32);
    const participant = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { [name]: participant } });
    const withId = (branchId: string) => ({ branches: [branch(name, 1, { branchId })] });

    await expect(transactions.run(withId('b'.repeat(32)))).resolves.toMatchObject({ status: 'committed' });
    await expect(transactions.run({ branches: [branch(name, 1)] })).resolves.toMatchObject({
      status: 'committed',
    });
    participant.calls.length = 0;
    await expect(transactions.run(withId('b'.repeat(33)))).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
      message: expect.stringMatching(
        /64 bytes together, and they have 65: choose a shorter branchId/,
      ) as string,
    });
    // The id of its second branch would be derived from it, and be too long.
    await expect(transactions.run({ branches: [branch(name, 1), branch(name, 2)] })).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
    });
    const begun = transactions.begin();
    expect(() => begun.enlist(branch(name, 1, { branchId: 'b'.repeat(33) }))).toThrow(
      'choose a shorter branchId',
    );
    begun.enlist(branch(name, 1));
    await expect(begun.commit()).resolves.toMatchObject({ status: 'committed' });
    expect(participant.calls.every(({ branch: { branchId } }) => branchId === name)).toBe(true);
  });

  it('is open until it is closed', () => {
    const { runtime } = createTestCoordinator();
    expect(runtime.admission.isOpen).toBe(true);
    runtime.admission.close();
    expect(runtime.admission.isOpen).toBe(false);
  });
});

describe('A request with the participants of an earlier one', () => {
  const called = ({ calls }: ScriptedParticipant): string[] =>
    calls.filter(({ method }) => method === 'prepare').map(({ branch: { branchId } }) => branchId);

  it('goes to the participants that are registered now', async () => {
    const [before, after] = [new ScriptedParticipant(), new ScriptedParticipant()];
    const { transactions, participants } = createTestCoordinator({ participants: { stock: before } });
    const request = { branches: [branch('stock', 1)] };
    await transactions.run(request);
    await transactions.run(request);
    participants.unregister('stock');
    await expect(transactions.run(request)).rejects.toMatchObject({ code: 'DTC_UNKNOWN_PARTICIPANT' });
    participants.register(after, { name: 'stock' });
    await transactions.run(request);
    expect([called(before).length, called(after).length]).toEqual([2, 1]);
  });

  it('heeds a change of the participants while its branches are read', async () => {
    const [before, after] = [new ScriptedParticipant(), new ScriptedParticipant()];
    const { transactions, participants } = createTestCoordinator({
      participants: { first: before, stock: before },
    });
    const branches = [branch('first', 1), branch('stock', 1)];
    await transactions.run({ branches });
    before.calls.length = 0;
    Object.defineProperty(branches, 1, {
      get: () => {
        participants.unregister('stock');
        participants.register(after, { name: 'stock' });
        return branch('stock', 1);
      },
    });
    expect(await transactions.run({ branches })).toMatchObject({ status: 'committed' });
    expect([called(before), called(after)]).toEqual([['first'], ['stock']]);
  });

  it('gives its branches the ids that they would have alone, whatever the earlier one has named', async () => {
    const stock = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({
      participants: { stock, other: new ScriptedParticipant() },
    });
    const idsOf = async (...branches: ReturnType<typeof branch>[]): Promise<string[]> => {
      stock.calls.length = 0;
      expect(await transactions.run({ branches })).toMatchObject({ status: 'committed' });
      return called(stock);
    };
    for (let round = 0; round < 3; round++) {
      expect(await idsOf(branch('stock', 1))).toEqual(['stock']);
      expect(await idsOf(branch('stock', 1, { branchId: 'own' }))).toEqual(['own']);
      expect(await idsOf(branch('stock', 1), branch('stock', 2))).toEqual(['stock', 'stock.2']);
      expect(await idsOf(branch('other', 1), branch('stock', 1))).toEqual(['stock']);
      expect(await idsOf(branch('stock', 1), branch('other', 1), branch('stock', 2))).toEqual([
        'stock',
        'stock.2',
      ]);
      expect(await idsOf(branch('stock', 1, { branchId: 'other' }), branch('stock', 1))).toEqual([
        'other',
        'stock',
      ]);
      await expect(
        idsOf(branch('other', 1, { branchId: 'stock' }), branch('stock', 1, { branchId: 'stock' })),
      ).rejects.toMatchObject({ code: 'DTC_BRANCH_CONFLICT' });
    }
  });

  it('has each of its payloads looked at', async () => {
    const checkPayload = vi.fn<(payload: unknown) => void>((payload) => {
      if (payload === 3) throw new InvalidRequestError('payload', 'must not be 3');
    });
    const picky = Object.assign(new ScriptedParticipant(), { checkPayload });
    const { transactions } = createTestCoordinator({ participants: { picky } });
    for (const payload of [1, 2]) await transactions.run({ branches: [branch('picky', payload)] });
    await expect(transactions.run({ branches: [branch('picky', 3)] })).rejects.toThrow('must not be 3');
    expect(checkPayload.mock.calls).toEqual([[1], [2], [3]]);
  });

  it('is refused where the earlier one would be now', async () => {
    const { transactions, participants } = createTestCoordinator({
      participants: { stock: new ScriptedParticipant() },
    });
    const request = { branches: [branch('stock', 1)] };
    await transactions.run(request);
    participants.pause('stock', { since: 0, by: 'ops', reason: 'repair' });
    await expect(transactions.run(request)).rejects.toMatchObject({ code: 'DTC_PARTICIPANT_PAUSED' });
  });

  it('may be one of very many', async () => {
    const names = Array.from({ length: 40 }, (_, number) => `p${number}`);
    const participants = Object.fromEntries(names.map((name) => [name, new ScriptedParticipant()]));
    const { transactions } = createTestCoordinator({ participants });
    for (let round = 0; round < 3; round++) {
      for (const [index, name] of names.entries()) {
        const next = names[(index + round + 1) % names.length]!;
        await transactions.run({ branches: [branch(name, 1), branch(next, 1)] });
      }
    }
    expect(names.map((name) => called(participants[name]!).length)).toEqual(names.map(() => 6));
  });

  it('leaves little behind, in whatever orders participants are named', async () => {
    const names = Array.from({ length: 9 }, (_, number) => `p${number}`);
    const { transactions, runtime } = createTestCoordinator({
      participants: Object.fromEntries(names.map((name) => [name, new ScriptedParticipant()])),
    });
    const plannedAt = (planned: object): number => {
      let count = 1;
      let next = Reflect.get(planned, 'first') as object | undefined;
      for (; next !== undefined; next = Reflect.get(next, 'sibling') as object | undefined)
        count += plannedAt(next);
      return count;
    };
    for (let request = 0; request < 400; request++) {
      // Each number names an order: the digits say whose turn it is among those that are left.
      const left = [...names];
      let number = request * 907;
      const branches = names.map(() => {
        const turn = number % left.length;
        number = Math.floor(number / left.length);
        return branch(left.splice(turn, 1)[0]!, 1);
      });
      const refused = transactions.run({ branches: [...branches, branch('unknown', 1)] });
      await expect(refused).rejects.toMatchObject({ code: 'DTC_UNKNOWN_PARTICIPANT' });
    }
    const planned = plannedAt(Reflect.get(runtime.admission, 'plans') as object);
    expect(planned).toBeGreaterThan(names.length);
    expect(planned).toBeLessThan(1_100);
  });
});
