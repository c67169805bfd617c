import { describe, expect, it } from 'vitest';
import { ParticipantStalledError } from '../errors.js';
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
