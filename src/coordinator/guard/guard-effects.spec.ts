import { beforeEach, describe, expect, it, vi } from 'vitest';
import { branch } from '../participant/branch-request.js';
import { type Branch, type Vote, isForCommit, refuse } from '../participant/participant.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../testing/index.js';
import { FailingStore } from './failing-store.fixture.js';
import { KEY, someBranch, someEffects } from './guarded-branch.fixture.js';
import { MemoryGuardStore } from './memory-guard-store.js';
import { ParticipantGuard } from './participant-guard.js';

const ONE = someBranch();
const MOMENTS = ['before', 'after'] as const;

let store: FailingStore;
let guard: ParticipantGuard;
let { work, finish, undo } = someEffects();

/** A guard in a new process, with the records in the store. */
function restarted(interrupted?: 'report' | 'repeat'): ParticipantGuard {
  return new ParticipantGuard(new FailingStore(store.records), interrupted && { interrupted });
}

beforeEach(() => {
  store = new FailingStore();
  guard = new ParticipantGuard(store);
  ({ work, finish, undo } = someEffects());
});

describe('an effect that is done but not recorded', () => {
  it.each(MOMENTS)('a commit is not done again (the store fails %s it writes)', async (when) => {
    await guard.prepare(ONE, work);
    store.failOnce('committed', when);
    await expect(guard.commit(ONE, finish)).rejects.toThrow('store');
    await guard.commit(ONE, finish);
    await guard.commit(ONE, finish);

    expect(finish).toHaveBeenCalledTimes(1);
    expect(store.records.get(KEY)).toEqual({ state: 'committed' });
  });

  it('a commit is not done again while the store stays down, and is not acknowledged either', async () => {
    await guard.prepare(ONE, work);
    store.fails = (call, record) => (call === 'put' && record?.state === 'committed' ? 'before' : undefined);
    for (let attempt = 0; attempt < 5; attempt++)
      await expect(guard.commit(ONE, finish)).rejects.toThrow('down');
    await expect(guard.rollback(ONE, undo)).rejects.toMatchObject({ kind: 'commit' });

    expect(finish).toHaveBeenCalledTimes(1);
    expect(undo).not.toHaveBeenCalled();
  });

  it.each(MOMENTS)('an undo is not done again (the store fails %s it writes)', async (when) => {
    await guard.prepare(ONE, work);
    // The first write of this state is the tombstone, which must not replace the vote.
    store.fails = (call, record) => (call === 'put' && record?.state === 'rolled-back' ? when : undefined);
    await expect(guard.rollback(ONE, undo)).rejects.toThrow('store');
    store.fails = () => undefined;
    await guard.rollback(ONE, undo);

    expect(undo).toHaveBeenCalledTimes(1);
    expect(store.records.get(KEY)).toEqual({ state: 'rolled-back' });
    expect(await guard.prepare(ONE, work)).toMatchObject({ code: 'ROLLED_BACK' });
  });

  it.each(MOMENTS)('a prepare is not done again, and repeats its first answer (%s)', async (when) => {
    store.failOnce('voted', when);
    await expect(guard.prepare(ONE, work)).rejects.toThrow('store');
    expect(await guard.prepare(ONE, work)).toBe('commit');
    expect(work).toHaveBeenCalledTimes(1);
    await guard.rollback(ONE, undo);
    expect(undo).toHaveBeenCalledTimes(1);
  });

  it.each<Vote>(['read-only', 'abort', refuse('NO', 'no')])(
    'a prepare that holds nothing is not undone, though its vote %j could not be written',
    async (vote) => {
      work.mockResolvedValue(vote);
      store.failOnce('voted');
      await expect(guard.prepare(ONE, work)).rejects.toThrow('down');
      await guard.rollback(ONE, undo);
      expect(undo).not.toHaveBeenCalled();
    },
  );

  it.each(MOMENTS)(
    'a prepare that could not be recorded does not start, and leaves nothing to undo (%s)',
    async (when) => {
      store.failOnce('preparing', when);
      await expect(guard.prepare(ONE, work)).rejects.toThrow('store');
      await guard.rollback(ONE, undo);

      expect(work).not.toHaveBeenCalled();
      expect(undo).not.toHaveBeenCalled();
      expect(store.records.get(KEY)).toEqual({ state: 'rolled-back' });
    },
  );

  it.each(MOMENTS)('a prepare that could not be recorded is done by its repeat (%s)', async (when) => {
    store.failOnce('preparing', when);
    await expect(guard.prepare(ONE, work)).rejects.toThrow('store');
    expect(await guard.prepare(ONE, work)).toBe('commit');
    await guard.rollback(ONE, undo);

    expect(work).toHaveBeenCalledTimes(1);
    expect(undo).toHaveBeenCalledTimes(1);
  });

  it('a repeat that cannot read the store leaves the prepared work as it is', async () => {
    await guard.prepare(ONE, work);
    store.failOnce('preparing');
    await expect(guard.prepare(ONE, work)).rejects.toThrow('down');
    await guard.rollback(ONE, undo);

    expect(undo).toHaveBeenCalledTimes(1);
  });

  it('a commit that could not be recorded does not start, and is done by its repeat', async () => {
    await guard.prepare(ONE, work);
    store.failOnce('committing', 'after');
    await expect(guard.commit(ONE, finish)).rejects.toThrow('store');
    expect(finish).not.toHaveBeenCalled();
    await expect(guard.rollback(ONE, undo)).rejects.toMatchObject({ kind: 'hazard' });
    await guard.commit(ONE, finish);
    expect(finish).toHaveBeenCalledTimes(1);
  });

  it('a commit by two participants pays out once', async () => {
    const other = new ScriptedParticipant();
    const payout = {
      prepare: (one: Branch) => guard.prepare(one, work),
      commit: (one: Branch) => guard.commit(one, finish),
      rollback: (one: Branch) => guard.rollback(one, undo),
    };
    const { transactions, clock } = createTestCoordinator({ participants: { payout, other } });
    store.failOnce('committed');
    const told = transactions.run({ branches: [branch('payout', {}), branch('other', {})] });
    await settled();
    await clock.advance(60_000);

    expect(await told).toMatchObject({ status: 'committed' });
    expect(finish).toHaveBeenCalledTimes(1);
  });
});

describe('a refusal', () => {
  it('keeps its conflict and overload flags, and drops unknown fields', async () => {
    const refusal = refuse('LOCK_TIMEOUT', 'busy', { conflict: true, overloaded: true });
    work.mockResolvedValue({ ...refusal, more: 'x'.repeat(10_000) } as Vote);
    expect(await guard.prepare(ONE, work)).toEqual(refusal);
    expect(store.records.get(KEY)).toEqual({ state: 'voted', vote: refusal });
  });
});

describe('an effect that an ended process left unfinished', () => {
  it('is reported as a hazard, and not done again', async () => {
    await guard.prepare(ONE, work);
    store.failOnce('committed');
    await expect(guard.commit(ONE, finish)).rejects.toThrow('down');

    await expect(restarted().commit(ONE, finish)).rejects.toMatchObject({
      code: 'DTC_HEURISTIC',
      kind: 'hazard',
    });
    await expect(restarted().commit(ONE, finish)).rejects.toThrow('interrupted: "repeat"');
    expect(finish).toHaveBeenCalledTimes(1);
  });

  it('is done again if the work may be repeated', async () => {
    await guard.prepare(ONE, work);
    store.failOnce('committed');
    await expect(guard.commit(ONE, finish)).rejects.toThrow('down');
    await restarted('repeat').commit(ONE, finish);

    expect(finish).toHaveBeenCalledTimes(2);
    expect(store.records.get(KEY)).toEqual({ state: 'committed' });
  });

  it.each([
    ['report', 1],
    ['repeat', 2],
  ] as const)('an undo: %s', async (interrupted, undone) => {
    await guard.prepare(ONE, work);
    store.fails = (call, record) =>
      call === 'put' && record?.state === 'rolled-back' ? 'before' : undefined;
    await expect(guard.rollback(ONE, undo)).rejects.toThrow('down');
    const second = restarted(interrupted).rollback(ONE, undo);
    if (interrupted === 'report') await expect(second).rejects.toMatchObject({ kind: 'hazard' });
    else await second;

    expect(undo).toHaveBeenCalledTimes(undone);
  });

  it('work that reported its failure is done again by the next process', async () => {
    await guard.prepare(ONE, work);
    finish.mockRejectedValueOnce(new Error('busy'));
    await expect(guard.commit(ONE, finish)).rejects.toThrow('busy');
    await restarted().commit(ONE, finish);
    expect(finish).toHaveBeenCalledTimes(2);
  });

  it('work that another process has finished since is not done again by the first', async () => {
    await guard.prepare(ONE, work);
    store.failOnce('committing');
    await expect(guard.commit(ONE, finish)).rejects.toThrow('down');
    await restarted().commit(ONE, finish);
    await guard.commit(ONE, finish);

    expect(finish).toHaveBeenCalledTimes(1);
  });
});

describe('ParticipantGuard.commitOnePhase', () => {
  const steps = { prepare: () => work(), commit: () => finish(), rollback: () => undo() };
  const decide = (by = guard) => by.commitOnePhase(ONE, steps);

  it('prepares, commits, and answers repeats without work', async () => {
    expect(await decide()).toBe('commit');
    expect(await decide()).toBe('commit');
    expect(await decide(restarted())).toBe('commit');
    expect([work, finish, undo].map((effect) => effect.mock.calls.length)).toEqual([1, 1, 0]);
  });

  it('joins a repeat to the running call', async () => {
    const gate = Promise.withResolvers<Vote>();
    work.mockReturnValue(gate.promise);
    const answers = [decide(), decide()];
    await settled();
    gate.resolve('commit');
    expect(await Promise.all(answers)).toEqual(['commit', 'commit']);
    expect([work, finish].map((effect) => effect.mock.calls.length)).toEqual([1, 1]);
  });

  it.each<[Vote, unknown]>([
    ['read-only', 'commit'],
    ['abort', 'abort'],
    [refuse('NO', 'none left'), refuse('NO', 'none left')],
  ])('answers the vote %j correctly, each time', async (vote, answer) => {
    work.mockResolvedValue(vote);
    for (const by of [guard, guard, restarted()]) expect(await decide(by)).toEqual(answer);
    expect([work, finish, undo].map((effect) => effect.mock.calls.length)).toEqual([1, 0, 0]);
  });

  it.each<[string, () => Promise<Vote>, string]>([
    ['throws', () => Promise.reject(new Error('customs cannot be reached')), 'customs cannot be reached'],
    [
      'answers something that is not a vote',
      async () => undefined as unknown as Vote,
      'undefined, which is not a vote',
    ],
  ])('undoes work that %s, and gives the same refusal from then on', async (_name, behaviour, reason) => {
    work.mockImplementation(behaviour);
    const first = await decide();
    expect(first).toMatchObject({
      vote: 'abort',
      code: 'ROLLED_BACK',
      reason: expect.stringContaining(reason),
    });
    for (const by of [guard, restarted()]) expect(await decide(by)).toEqual(first);
    expect([work, finish, undo].map((effect) => effect.mock.calls.length)).toEqual([1, 0, 1]);
  });

  it('answers only when all work is undone', async () => {
    work.mockRejectedValue(new Error('customs cannot be reached'));
    undo.mockRejectedValueOnce(new Error('busy'));
    await expect(decide()).rejects.toThrow('busy');
    expect(await decide()).toMatchObject({ reason: expect.stringContaining('customs') });
    expect([work, undo].map((effect) => effect.mock.calls.length)).toEqual([1, 2]);
  });

  it('continues a commit that failed', async () => {
    finish.mockRejectedValueOnce(new Error('busy'));
    await expect(decide()).rejects.toThrow('busy');
    expect(await decide(restarted())).toBe('commit');
    expect([work, finish, undo].map((effect) => effect.mock.calls.length)).toEqual([1, 2, 0]);
  });

  it('undoes work that the end of the process interrupted, and refuses', async () => {
    work.mockReturnValue(new Promise(() => {}));
    void decide();
    await vi.waitFor(() => expect(work).toHaveBeenCalled());
    expect(await decide(restarted())).toMatchObject({ code: 'ROLLED_BACK' });
    expect([work, finish, undo].map((effect) => effect.mock.calls.length)).toEqual([1, 0, 1]);
  });

  it('reports a commit that an ended process left unfinished as a hazard', async () => {
    store.failOnce('committed');
    await expect(decide()).rejects.toThrow('down');
    await expect(decide(restarted())).rejects.toMatchObject({ kind: 'hazard' });
    expect(await decide()).toBe('commit');
    expect(finish).toHaveBeenCalledTimes(1);
  });

  it.each(['preparing', 'voted', 'committing', 'committed', 'failed', 'rolling-back'] as const)(
    'gives an answer although one write of the record %s fails',
    async (state) => {
      if (state === 'failed' || state === 'rolling-back') work.mockRejectedValue(new Error('died'));
      store.failOnce(state);
      const first = await decide().catch(() => undefined);
      const second = await decide();
      expect(second).toEqual(first ?? second);
      expect(second === 'commit').toBe(finish.mock.calls.length === 1);
      expect(work.mock.calls.length).toBe(1);
      expect(undo.mock.calls.length).toBe(second === 'commit' ? 0 : 1);
    },
  );

  it('reports that the store cannot be read, and starts nothing', async () => {
    store.fails = () => 'before';
    await expect(decide()).rejects.toThrow('down');
    expect(work).not.toHaveBeenCalled();
  });

  it('ends a transaction of one branch although the work threw once', async () => {
    work.mockRejectedValueOnce(new Error('customs cannot be reached'));
    const shipping = {
      prepare: (one: Branch) => guard.prepare(one, work),
      commit: (one: Branch) => guard.commit(one, finish),
      rollback: (one: Branch) => guard.rollback(one, undo),
      commitOnePhase: (one: Branch) => guard.commitOnePhase(one, steps),
    };
    const { transactions } = createTestCoordinator({ participants: { shipping } });
    const outcome = await transactions.run({ branches: [branch('shipping', {})] });
    expect(outcome).toMatchObject({ status: 'aborted', code: 'ROLLED_BACK', participant: 'shipping' });
  });

  it('reports a hazard if it is built from prepare and commit, since no rollback will come', async () => {
    work.mockRejectedValueOnce(new Error('customs cannot be reached'));
    const shipping = {
      prepare: (one: Branch) => guard.prepare(one, work),
      commit: (one: Branch) => guard.commit(one, finish),
      rollback: (one: Branch) => guard.rollback(one, undo),
      async commitOnePhase(one: Branch) {
        const vote = await this.prepare(one);
        if (vote === 'read-only') return 'commit';
        if (!isForCommit(vote)) return vote;
        await this.commit(one);
        return 'commit';
      },
    };
    const { transactions, clock, recover } = createTestCoordinator({ participants: { shipping } });
    const told = transactions.run({ branches: [branch('shipping', {})] });
    await settled();
    await clock.advance(60_000);
    await recover();
    const outcome = await told;
    expect(outcome).toMatchObject({ status: 'heuristic', heuristic: 'hazard' });
    expect(transactions.find(outcome.transactionId)!.branches[0]).toMatchObject({
      heuristic: { kind: 'hazard', reason: expect.stringContaining('customs cannot be reached') },
    });
  });
});

describe('the memory of a guard', () => {
  it('is empty once a branch has ended, whatever the store did', async () => {
    await guard.prepare(ONE, work);
    store.failOnce('committed');
    await guard.commit(ONE, finish).catch(() => {});
    await guard.commit(ONE, finish);
    const other = { ...ONE, transactionId: 't2' };
    store.failOnce('preparing');
    await guard.prepare(other, work).catch(() => {});
    await guard.rollback(other, undo);

    expect(guard.held).toBe(0);
    expect(new ParticipantGuard(new MemoryGuardStore()).held).toBe(0);
  });
});
