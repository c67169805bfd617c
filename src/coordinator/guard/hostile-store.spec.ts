import { beforeEach, describe, expect, it, vi } from 'vitest';
import { KEY, someBranch, someEffects } from './guarded-branch.fixture.js';
import type { GuardRecord } from './guard-store.js';
import { MemoryGuardStore } from './memory-guard-store.js';
import { ParticipantGuard } from './participant-guard.js';
import { recordIn } from './record-in.js';

const ONE = someBranch();
let { work, undo } = someEffects();

beforeEach(() => {
  ({ work, undo } = someEffects());
});

describe('ParticipantGuard and a store whose answers are not records', () => {
  it.each(['prepare', 'commit', 'rollback'] as const)('does nothing in %s, and says why', async (method) => {
    const records = new MemoryGuardStore();
    records.put(KEY, { state: 'voted', vote: 'yes' } as unknown as GuardRecord);
    const answer = new ParticipantGuard(records)[method](ONE, work as never);

    await expect(answer).rejects.toMatchObject({ code: 'DTC_GUARD_INVALID_RECORD', name: 'GuardStoreError' });
    await expect(answer).rejects.toThrow(`of ${KEY} with an object, which is not a record of a guard`);
    expect(work).not.toHaveBeenCalled();
  });

  it('continues when the record can be read again', async () => {
    const records = new MemoryGuardStore();
    const guard = new ParticipantGuard(records);
    const insert = vi.spyOn(records, 'insert');
    await guard.rollback({ ...ONE, transactionId: 't0' }, undo);
    insert.mockReturnValueOnce('written' as never);
    await expect(guard.prepare(ONE, work)).rejects.toMatchObject({ code: 'DTC_GUARD_INVALID_RECORD' });

    expect(await guard.prepare(ONE, work)).toBe('commit');
    expect([work.mock.calls.length, guard.held]).toEqual([1, 0]);
  });

  it('takes null for no record, as many databases return it', async () => {
    const records = new MemoryGuardStore();
    vi.spyOn(records, 'insert').mockReturnValue(null as never);
    expect(await new ParticipantGuard(records).prepare(ONE, work)).toBe('commit');
  });
});

describe('the state of a branch that only the process knows', () => {
  it.each([
    ['commit', 'committing', 'rollback'],
    ['rollback', 'rolling-back', 'commit'],
  ] as const)(
    'is written for a %s before a report, after which no other call comes',
    async (told, state, other) => {
      const records = new MemoryGuardStore();
      const guard = new ParticipantGuard(records);
      await guard.prepare(ONE, work);
      vi.spyOn(records, 'put').mockImplementationOnce(() => {
        throw new Error('the store is down');
      });
      await expect(guard[told](ONE, undo)).rejects.toThrow('down');
      await expect(guard[other](ONE, undo)).rejects.toMatchObject({ code: 'DTC_HEURISTIC' });

      expect(guard.held).toBe(0);
      expect(records.get(KEY)).toMatchObject({ state, step: 'failed' });
      expect(undo).not.toHaveBeenCalled();
    },
  );
});

describe('the record of a guard', () => {
  const refusal = { vote: 'abort', code: 'NO', reason: 'none left' } as const;

  it.each<GuardRecord>([
    { state: 'preparing', by: 'one' },
    { state: 'voted', vote: 'commit' },
    { state: 'voted', vote: { ...refusal, conflict: true, overloaded: true } },
    { state: 'failed', message: 'disk full' },
    { state: 'committing', step: 'begun', by: 'one' },
    { state: 'committed' },
    { state: 'rolling-back', step: 'failed', by: 'one', answer: refusal },
    { state: 'rolled-back', answer: refusal },
    { state: 'run', token: 'one' },
  ])('is read as it was written, also from JSON: $state', (record) => {
    expect(recordIn(record)).toStrictEqual(record);
    expect(recordIn(JSON.parse(JSON.stringify(record)))).toStrictEqual(record);
  });

  it('reaches the store as a copy, so that the store cannot change it in the guard', async () => {
    const records = new MemoryGuardStore();
    const guard = new ParticipantGuard(records);
    work.mockResolvedValue(refusal);
    vi.spyOn(records, 'put').mockImplementationOnce((_key, record) => {
      Object.assign(record, { vote: 'commit' });
      throw new Error('the store is down');
    });
    await expect(guard.prepare(ONE, work)).rejects.toThrow('down');

    expect(await guard.prepare(ONE, work)).toEqual(refusal);
  });
});

describe('ParticipantGuard.commitOnePhase and the errors of its work', () => {
  it.each<[string, () => unknown]>([
    ['a promise that never ends', () => new Promise(() => {})],
    [
      'a revoked Proxy',
      () => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return proxy;
      },
    ],
  ])('rolls back after %s', async (_name, thrown) => {
    work.mockImplementation(() => {
      throw thrown();
    });
    const steps = { prepare: work, commit: async () => {}, rollback: undo };
    const answer = await new ParticipantGuard(new MemoryGuardStore()).commitOnePhase(ONE, steps);

    expect(answer).toMatchObject({ vote: 'abort', code: 'ROLLED_BACK' });
    expect(undo).toHaveBeenCalledTimes(1);
  });
});
