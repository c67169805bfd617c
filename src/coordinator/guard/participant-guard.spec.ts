import { describe, expect, it, vi } from 'vitest';
import { type Branch, HeuristicError, type Vote } from '../participant/participant.js';
import { branch } from '../participant/branch-request.js';
import { createTestCoordinator, settled } from '../testing/index.js';
import { GuardConflictError } from './guard-errors.js';
import { KEY, someBranch, someEffects } from './guarded-branch.fixture.js';
import type { GuardRecord, GuardStore } from './guard-store.js';
import { MemoryGuardStore } from './memory-guard-store.js';
import { ParticipantGuard } from './participant-guard.js';

/** A store that answers later, as a database does: each call waits for two turns of the event loop. */
class SlowStore implements GuardStore {
  constructor(private readonly records = new MemoryGuardStore()) {}

  get(key: string): Promise<GuardRecord | undefined> {
    return this.later(() => this.records.get(key));
  }

  insert(key: string, record: GuardRecord): Promise<GuardRecord | undefined> {
    return this.later(() => this.records.insert(key, record));
  }

  put(key: string, record: GuardRecord): Promise<void> {
    return this.later(() => this.records.put(key, record));
  }

  private async later<T>(work: () => T): Promise<T> {
    await settled();
    const result = work();
    await settled();
    return result;
  }
}

describe.each([
  ['in memory', (records: MemoryGuardStore): GuardStore => records],
  ['with an asynchronous store', (records: MemoryGuardStore): GuardStore => new SlowStore(records)],
])('ParticipantGuard %s', (_, storeOver) => {
  function setUp() {
    const records = new MemoryGuardStore();
    const guard = new ParticipantGuard(storeOver(records));
    const one = someBranch();
    /** A guard with the same records, as after a restart of the process. */
    const restarted = () => new ParticipantGuard(storeOver(records));
    return { records, guard, one, restarted, ...someEffects() };
  }

  it.each<[string, Vote]>([
    ['commit', 'commit'],
    ['read-only', 'read-only'],
    ['abort', 'abort'],
    ['a refusal', { vote: 'abort', code: 'NO', reason: 'none left' }],
  ])('repeats the first answer to a repeated prepare, without work: %s', async (_name, vote) => {
    const { guard, one, work } = setUp();
    work.mockResolvedValue(vote);

    expect(await guard.prepare(one, work)).toEqual(vote);
    expect(await guard.prepare(one, work)).toEqual(vote);
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('joins a repeat to the running prepare', async () => {
    const { guard, one, work } = setUp();
    const gate = Promise.withResolvers<Vote>();
    work.mockReturnValue(gate.promise);
    const answers = [guard.prepare(one, work), guard.prepare(one, work), guard.prepare(one, work)];
    await settled();
    gate.resolve('read-only');

    expect(await Promise.all(answers)).toEqual(['read-only', 'read-only', 'read-only']);
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('keeps two branches of one transaction apart', async () => {
    const { guard, one, work } = setUp();
    await guard.prepare(one, work);
    await guard.prepare({ ...one, branchId: 'stock.2' }, work);

    expect(work).toHaveBeenCalledTimes(2);
  });

  it('commits once, and answers repeats', async () => {
    const { guard, one, work, finish } = setUp();
    await guard.prepare(one, work);
    await guard.commit(one, finish);
    await guard.commit(one, finish);

    expect(finish).toHaveBeenCalledTimes(1);
    expect(await guard.prepare(one, work)).toBe('commit');
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('joins repeats to the running completion', async () => {
    const { guard, one, work, finish } = setUp();
    await guard.prepare(one, work);
    const gate = Promise.withResolvers<void>();
    finish.mockReturnValue(gate.promise);
    const answers = [guard.commit(one, finish), guard.commit(one, finish)];
    await settled();
    gate.resolve();
    await Promise.all(answers);

    expect(finish).toHaveBeenCalledTimes(1);
  });

  it('tries a commit again that failed', async () => {
    const { guard, one, work, finish } = setUp();
    await guard.prepare(one, work);
    finish.mockRejectedValueOnce(new Error('busy'));

    await expect(guard.commit(one, finish)).rejects.toThrow('busy');
    await guard.commit(one, finish);
    expect(finish).toHaveBeenCalledTimes(2);
  });

  it('undoes once, and answers repeats', async () => {
    const { guard, one, work, undo } = setUp();
    await guard.prepare(one, work);
    await guard.rollback(one, undo);
    await guard.rollback(one, undo);

    expect(undo).toHaveBeenCalledTimes(1);
    expect(await guard.prepare(one, work)).toMatchObject({ vote: 'abort', code: 'ROLLED_BACK' });
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('tries an undo again that failed', async () => {
    const { guard, one, work, undo } = setUp();
    await guard.prepare(one, work);
    undo.mockRejectedValueOnce(new Error('busy'));

    await expect(guard.rollback(one, undo)).rejects.toThrow('busy');
    await guard.rollback(one, undo);
    expect(undo).toHaveBeenCalledTimes(2);
  });

  it('remembers a rollback without a prepare, and refuses the prepare that comes later', async () => {
    const { guard, one, work, undo } = setUp();
    await guard.rollback(one, undo);

    expect(await guard.prepare(one, work)).toMatchObject({ vote: 'abort', code: 'ROLLED_BACK' });
    expect(undo).not.toHaveBeenCalled();
    expect(work).not.toHaveBeenCalled();
  });

  it.each<Vote>(['abort', 'read-only'])('has nothing to undo after the vote %s', async (vote) => {
    const { guard, one, work, undo } = setUp();
    work.mockResolvedValue(vote);
    await guard.prepare(one, work);
    await guard.rollback(one, undo);

    expect(undo).not.toHaveBeenCalled();
  });

  it('undoes work whose answer is not a vote', async () => {
    const { guard, one, work, undo } = setUp();
    work.mockResolvedValue(undefined as unknown as Vote);
    await guard.prepare(one, work);
    await guard.rollback(one, undo);

    expect(undo).toHaveBeenCalledTimes(1);
  });

  it('undoes work that threw, and does not do it again', async () => {
    const { guard, one, work, undo } = setUp();
    work.mockRejectedValue(new Error('died half-way'));

    await expect(guard.prepare(one, work)).rejects.toThrow('died half-way');
    await expect(guard.prepare(one, work)).rejects.toThrow(GuardConflictError);
    await guard.rollback(one, undo);
    expect(work).toHaveBeenCalledTimes(1);
    expect(undo).toHaveBeenCalledTimes(1);
  });

  it('treats a prepare that the end of the process interrupted as one that may have had an effect', async () => {
    const { guard, one, work, undo, restarted } = setUp();
    work.mockReturnValue(new Promise(() => {}));
    void guard.prepare(one, work);
    await vi.waitFor(() => expect(work).toHaveBeenCalled());
    const second = restarted();

    await expect(second.prepare(one, work)).rejects.toThrow(GuardConflictError);
    await second.rollback(one, undo);
    expect(undo).toHaveBeenCalledTimes(1);
    expect(await second.prepare(one, work)).toMatchObject({ vote: 'abort', code: 'ROLLED_BACK' });
  });

  it('a rollback that overtakes the prepare answers only when the work is done and undone', async () => {
    const { guard, one, work, undo, records } = setUp();
    const gate = Promise.withResolvers<Vote>();
    work.mockReturnValue(gate.promise);
    const answer = guard.prepare(one, work);
    await vi.waitFor(() => expect(work).toHaveBeenCalled());
    let acknowledged = false;
    const rollbacks = [guard.rollback(one, undo), guard.rollback(one, undo)].map(async (rollback) => {
      await rollback;
      acknowledged = true;
      expect(records.get(KEY)).toEqual({ state: 'rolled-back' });
    });
    await settled();
    expect(undo).not.toHaveBeenCalled();
    // If the process ends now, no caller has been told that all work is undone.
    expect(acknowledged).toBe(false);

    gate.resolve('commit');
    await Promise.all(rollbacks);
    expect(await answer).toMatchObject({ vote: 'abort', code: 'ROLLED_BACK' });
    expect(undo).toHaveBeenCalledTimes(1);
    await guard.rollback(one, undo);
    expect(undo).toHaveBeenCalledTimes(1);
    expect(await guard.prepare(one, work)).toMatchObject({ vote: 'abort', code: 'ROLLED_BACK' });
  });

  it.each<[string, () => Promise<Vote>, number]>([
    ['refuses', async () => 'abort', 0],
    ['only read', async () => 'read-only', 0],
    ['throws', () => Promise.reject(new Error('died')), 1],
  ])('an overtaken prepare that %s is undone as its answer demands', async (_name, answer, undone) => {
    const { guard, one, work, undo } = setUp();
    const gate = Promise.withResolvers<void>();
    work.mockImplementation(() => gate.promise.then(answer));
    const prepared = guard.prepare(one, work);
    const caught = prepared.catch((error: unknown) => error);
    await vi.waitFor(() => expect(work).toHaveBeenCalled());
    const rollback = guard.rollback(one, undo);
    gate.resolve();
    await caught;
    await rollback;

    expect(undo).toHaveBeenCalledTimes(undone);
    expect(await guard.prepare(one, work)).toMatchObject({ vote: 'abort', code: 'ROLLED_BACK' });
  });

  it('an undo of an overtaken prepare that fails is tried once by the prepare, and then by the next rollback', async () => {
    const { guard, one, work, undo } = setUp();
    const gate = Promise.withResolvers<Vote>();
    work.mockReturnValue(gate.promise);
    const answer = guard.prepare(one, work);
    await vi.waitFor(() => expect(work).toHaveBeenCalled());
    const rollback = guard.rollback(one, undo);
    await settled();
    undo.mockRejectedValueOnce(new Error('busy'));
    gate.resolve('commit');

    await expect(answer).rejects.toThrow('busy');
    await expect(rollback).rejects.toThrow('busy');
    expect(undo).toHaveBeenCalledTimes(1);
    await guard.rollback(one, undo);
    expect(undo).toHaveBeenCalledTimes(2);
    await guard.rollback(one, undo);
    expect(undo).toHaveBeenCalledTimes(2);
  });

  it('an overtaken prepare that the end of the process cut short is undone by the next rollback', async () => {
    const { guard, one, work, undo, restarted } = setUp();
    work.mockReturnValue(new Promise(() => {}));
    void guard.prepare(one, work);
    await vi.waitFor(() => expect(work).toHaveBeenCalled());
    void guard.rollback(one, undo);
    await settled();

    await restarted().rollback(one, undo);
    expect(undo).toHaveBeenCalledTimes(1);
  });

  it('a rollback during the last steps of a prepare undoes its work, whichever step it meets', async () => {
    for (let pause = 0; pause < 30; pause++) {
      const { guard, one, records } = setUp();
      let held = 0;
      const answer = guard.prepare(one, async (): Promise<Vote> => {
        held++;
        return 'commit';
      });
      for (let turn = 0; turn < pause; turn++) await Promise.resolve();
      await guard.rollback(one, async () => void held--);
      await answer;
      await settled();

      expect([pause, held]).toEqual([pause, 0]);
      expect(records.get(KEY)).toEqual({ state: 'rolled-back' });
    }
  });

  it('reports a commit of an unknown branch as a hazard', async () => {
    const { guard, one, finish } = setUp();

    await expect(guard.commit(one, finish)).rejects.toMatchObject({ kind: 'hazard' });
    expect(finish).not.toHaveBeenCalled();
  });

  it.each<Vote>(['read-only', 'abort'])(
    'reports a commit of a branch that voted %s as a hazard, since nothing is prepared',
    async (vote) => {
      const { guard, one, work, finish } = setUp();
      work.mockResolvedValue(vote);
      await guard.prepare(one, work);

      await expect(guard.commit(one, finish)).rejects.toMatchObject({ kind: 'hazard' });
      expect(finish).not.toHaveBeenCalled();
    },
  );

  it('reports a commit of a branch that is rolled back, and a rollback of one that is committed', async () => {
    const { guard, one, work, finish, undo } = setUp();
    await guard.prepare(one, work);
    await guard.commit(one, finish);
    await expect(guard.rollback(one, undo)).rejects.toMatchObject({ kind: 'commit' });

    const other = { ...one, transactionId: 't2' };
    await guard.prepare(other, work);
    await guard.rollback(other, undo);
    const report = guard.commit(other, finish);
    await expect(report).rejects.toThrow(HeuristicError);
    await expect(report).rejects.toMatchObject({ kind: 'rollback' });
    expect(finish).toHaveBeenCalledTimes(1);
    expect(undo).toHaveBeenCalledTimes(1);
  });

  it('a rollback during a commit waits, and then reports the commit', async () => {
    const { guard, one, work, finish, undo } = setUp();
    await guard.prepare(one, work);
    const gate = Promise.withResolvers<void>();
    finish.mockReturnValue(gate.promise);
    const committing = guard.commit(one, finish);
    const rollingBack = guard.rollback(one, undo).catch((error: unknown) => error);
    await settled();
    gate.resolve();
    await committing;

    expect(await rollingBack).toMatchObject({ code: 'DTC_HEURISTIC', kind: 'commit' });
    expect(undo).not.toHaveBeenCalled();
  });

  it('a commit during a rollback waits, and then reports the rollback', async () => {
    const { guard, one, work, finish, undo } = setUp();
    await guard.prepare(one, work);
    const gate = Promise.withResolvers<void>();
    undo.mockReturnValue(gate.promise);
    const rollingBack = guard.rollback(one, undo);
    const committing = guard.commit(one, finish).catch((error: unknown) => error);
    await settled();
    gate.resolve();
    await rollingBack;

    expect(await committing).toMatchObject({ code: 'DTC_HEURISTIC', kind: 'rollback' });
    expect(finish).not.toHaveBeenCalled();
  });

  it('a rollback after a commit whose work has failed is refused, and the commit goes on', async () => {
    const { guard, one, work, finish, undo, restarted } = setUp();
    await guard.prepare(one, work);
    finish.mockRejectedValueOnce(new Error('busy'));
    await expect(guard.commit(one, finish)).rejects.toThrow('busy');

    for (const any of [guard, restarted()]) {
      await expect(any.rollback(one, undo)).rejects.toMatchObject({ code: 'DTC_HEURISTIC', kind: 'hazard' });
      expect(await any.prepare(one, work)).toBe('commit');
    }
    await restarted().commit(one, finish);
    expect(finish).toHaveBeenCalledTimes(2);
    expect(undo).not.toHaveBeenCalled();
  });

  it('a commit after a rollback whose undo has failed is refused, and the rollback goes on', async () => {
    const { guard, one, work, finish, undo, restarted } = setUp();
    await guard.prepare(one, work);
    undo.mockRejectedValueOnce(new Error('busy'));
    await expect(guard.rollback(one, undo)).rejects.toThrow('busy');

    for (const any of [guard, restarted()]) {
      await expect(any.commit(one, finish)).rejects.toMatchObject({ code: 'DTC_HEURISTIC', kind: 'hazard' });
      await expect(any.prepare(one, work)).rejects.toThrow('its rollback has not finished');
    }
    await restarted().rollback(one, undo);
    expect(undo).toHaveBeenCalledTimes(2);
    expect(finish).not.toHaveBeenCalled();
  });

  it.each(['commit', 'rollback'] as const)(
    'a %s that hangs keeps no other branch waiting',
    async (method) => {
      const { guard, one, work, finish } = setUp();
      const other = { ...one, branchId: 'stock.2' };
      await guard.prepare(one, work);
      await guard.prepare(other, work);
      const hanging = vi.fn<() => Promise<void>>(() => new Promise(() => {}));
      void guard[method](one, hanging);
      await guard[method](other, finish);

      expect(hanging).toHaveBeenCalledTimes(1);
      expect(finish).toHaveBeenCalledTimes(1);
    },
  );

  it('keeps nothing in memory for branches without a running call', async () => {
    const { guard, one, work, finish, undo } = setUp();
    const other = { ...one, transactionId: 't2' };
    await Promise.all([guard.prepare(one, work), guard.prepare(other, work)]);
    await Promise.all([guard.commit(one, finish), guard.rollback(other, undo), guard.rollback(other, undo)]);
    await settled();

    const held = Object.values(guard).filter((part): part is Map<string, unknown> => part instanceof Map);
    expect(held.length).toBeGreaterThan(0);
    expect(held.flatMap((part) => Array.from(part.keys()))).toEqual([]);
  });

  it('works with synchronous methods, and passes on their errors', async () => {
    const { guard, one } = setUp();
    const other = { ...one, transactionId: 't2' };

    expect(await guard.prepare(one, () => 'commit')).toBe('commit');
    await guard.commit(one, () => {});
    await expect(
      guard.prepare(other, () => {
        throw new Error('at once');
      }),
    ).rejects.toThrow('at once');
    await guard.rollback(other, () => {});
  });
});

describe('GuardConflictError', () => {
  it('says whether the first call failed, and with which error, or did not finish', async () => {
    const records = new MemoryGuardStore();
    records.put(KEY, { state: 'preparing' });
    const cutShort = new ParticipantGuard(records).prepare(someBranch(), () => 'commit');
    await expect(cutShort).rejects.toMatchObject({ name: 'GuardConflictError', code: 'DTC_GUARD_CONFLICT' });
    await expect(cutShort).rejects.toThrow(`${KEY} cannot be prepared again: an earlier call did not`);

    records.put(KEY, { state: 'failed', message: 'disk full' });
    const failed = new ParticipantGuard(records).prepare(someBranch(), () => 'commit');
    await expect(failed).rejects.toThrow('an earlier call failed (disk full)');
  });
});

describe('ParticipantGuard and work that hangs', () => {
  it('joins repeats to the hanging completion, so that no queue forms behind it', async () => {
    const guard = new ParticipantGuard(new MemoryGuardStore());
    await guard.prepare(someBranch(), () => 'commit');
    const work = vi.fn<() => Promise<void>>(() => new Promise(() => {}));
    const first = guard.commit(someBranch(), work);
    for (let attempt = 0; attempt < 3; attempt++) expect(guard.commit(someBranch(), work)).toBe(first);
    await settled();
    expect(work).toHaveBeenCalledTimes(1);
  });
});

describe('ParticipantGuard and records that expire', () => {
  it.each([
    ['commit', 'committed'],
    ['rollback', 'rolled-back'],
  ] as const)(
    'a repeated %s renews the record, so that it does not expire during the call',
    async (method, state) => {
      let now = 0;
      const records = new MemoryGuardStore({ retainMs: 1_000, now: () => now });
      const guard = new ParticipantGuard(records);
      const work = vi.fn<() => void>();
      await guard.prepare(someBranch(), () => 'commit');
      await guard[method](someBranch(), work);
      for (let number = 0; number < 5; number++) {
        now += 600;
        await guard[method](someBranch(), work);
        // The store drops expired records when it is written to.
        await guard.rollback({ ...someBranch(), transactionId: `other-${number}` }, () => {});
        expect(records.get(KEY)).toEqual({ state });
      }

      expect(work).toHaveBeenCalledTimes(1);
    },
  );
});

describe('ParticipantGuard and a copy of a branch', () => {
  it('takes one made by spreading', async () => {
    const guard = new ParticipantGuard(new MemoryGuardStore());
    const finish = vi.fn<() => void>();
    const { transactions, participants } = createTestCoordinator();
    participants.register(
      {
        prepare: (one: Branch<number>) => guard.prepare({ ...one, payload: 1 }, () => 'commit'),
        commit: (one) => guard.commit({ ...one }, finish),
        rollback: (one) => guard.rollback(one, () => {}),
      },
      { name: 'stock' },
    );
    for (let number = 0; number < 2; number++) {
      expect(await transactions.run({ branches: [branch('stock', number)] })).toMatchObject({
        status: 'committed',
      });
    }
    expect(finish).toHaveBeenCalledTimes(2);
  });

  it('refuses what has no ids with an error that says so; the transaction aborts', async () => {
    const guard = new ParticipantGuard(new MemoryGuardStore());
    const work = vi.fn<() => Vote>(() => 'commit');
    const { transactions, participants } = createTestCoordinator();
    participants.register(
      {
        prepare: ({ payload }: Branch<number>) => guard.prepare({ payload } as Branch<number>, work),
        commit: (one) => guard.commit(one, () => {}),
        rollback: (one) => guard.rollback(one, () => {}),
      },
      { name: 'stock' },
    );
    for (let number = 0; number < 2; number++) {
      const outcome = await transactions.run({ branches: [branch('stock', number)] });
      expect(outcome).toMatchObject({ status: 'aborted', cause: 'failed', participant: 'stock' });
      expect(outcome).toHaveProperty('reason', expect.stringContaining('A branch without ids'));
    }
    expect(work).not.toHaveBeenCalled();
    await settled();
    expect(transactions.list({ state: 'ABORTED' })).toHaveLength(2);
  });
});

describe('ParticipantGuard and a store that fails', () => {
  it('passes the error on, and starts no work that it could not record', async () => {
    const store: GuardStore = {
      get: () => Promise.reject(new Error('store away')),
      insert: () => Promise.reject(new Error('store away')),
      put: () => Promise.reject(new Error('store away')),
    };
    const guard = new ParticipantGuard(store);
    const work = vi.fn<() => Vote>(() => 'commit');

    await expect(guard.prepare(someBranch(), work)).rejects.toThrow('store away');
    await expect(guard.commit(someBranch(), () => {})).rejects.toThrow('store away');
    await expect(guard.rollback(someBranch(), () => {})).rejects.toThrow('store away');
    expect(work).not.toHaveBeenCalled();
  });

  it('undoes work whose vote it could not record', async () => {
    const records = new MemoryGuardStore();
    let isAway = false;
    const store: GuardStore = {
      get: (key) => records.get(key),
      insert: (key, record) => records.insert(key, record),
      put: (key, record) => (isAway ? Promise.reject(new Error('store away')) : records.put(key, record)),
    };
    const guard = new ParticipantGuard(store);
    const undo = vi.fn<() => void>();
    isAway = true;
    await expect(guard.prepare(someBranch(), () => 'commit')).rejects.toThrow('store away');
    isAway = false;
    await guard.rollback(someBranch(), undo);

    expect(undo).toHaveBeenCalledTimes(1);
  });
});
