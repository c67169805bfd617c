import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, vi } from 'vitest';
import type { Branch, CoordinatorRun } from '../participant/participant.js';
import { FailingStore } from './failing-store.fixture.js';
import { someBranch } from './guarded-branch.fixture.js';
import { GuardRuns } from './guard-runs.js';
import { GuardedStore } from './guarded-store.js';
import { MemoryGuardStore } from './memory-guard-store.js';
import { ParticipantGuard } from './participant-guard.js';

const FIRST: CoordinatorRun = { name: 'shop', logId: 'log1', epoch: 2, token: 'one', durable: true };
const COPY: CoordinatorRun = { ...FIRST, token: 'two' };

function branchOf(run: CoordinatorRun | undefined, transactionId = 'shop.log1.2.1'): Branch {
  return someBranch({ transactionId, run } as Partial<Branch>);
}

describe('ParticipantGuard and the runs of coordinators', () => {
  it('refuses new work of a run with the log and the epoch of another run, and gives the remedy', async () => {
    const store = new MemoryGuardStore();
    const work = vi.fn<() => 'commit'>(() => 'commit');
    expect(await new ParticipantGuard(store).prepare(branchOf(FIRST), work)).toBe('commit');

    const guard = new ParticipantGuard(store);
    expect(await guard.prepare(branchOf(COPY), work)).toMatchObject({
      vote: 'abort',
      code: 'DTC_GUARD_RUN_CONFLICT',
      reason: expect.stringContaining('start it with the original log'),
    });
    expect(work).toHaveBeenCalledTimes(1);
  });

  it.each(['commit', 'rollback', 'commitOnePhase'] as const)('does not %s for it either', async (method) => {
    const store = new MemoryGuardStore();
    const guard = new ParticipantGuard(store);
    await guard.prepare(branchOf(FIRST), () => 'commit');
    const effect = vi.fn<() => never>();
    const steps = { prepare: effect, commit: effect, rollback: effect };
    const call =
      method === 'commitOnePhase'
        ? guard.commitOnePhase(branchOf(COPY), steps)
        : guard[method](branchOf(COPY), effect);
    await expect(call).rejects.toMatchObject({ name: 'GuardRunError', code: 'DTC_GUARD_RUN_CONFLICT' });
    expect(effect).not.toHaveBeenCalled();
    expect(store.get('shop.log1.2.1/stock')).toEqual({ state: 'voted', vote: 'commit' });
    expect(guard.held).toBe(0);
  });

  it('does not let it join a call of the other run', async () => {
    const guard = new ParticipantGuard(new MemoryGuardStore());
    const gate = Promise.withResolvers<'commit'>();
    const first = guard.prepare(branchOf(FIRST), () => gate.promise);
    const second = guard.prepare(branchOf(COPY), () => 'commit');
    gate.resolve('commit');
    expect(await first).toBe('commit');
    expect(await second).toMatchObject({ code: 'DTC_GUARD_RUN_CONFLICT' });
  });

  it('serves later runs of the log, and branches without a run', async () => {
    const store = new MemoryGuardStore();
    await new ParticipantGuard(store).prepare(branchOf(FIRST), () => 'commit');
    const finish = vi.fn<() => void>();
    await new ParticipantGuard(store).commit(branchOf({ ...FIRST, epoch: 3, token: 'three' }), finish);
    expect(finish).toHaveBeenCalledTimes(1);
    const guard = new ParticipantGuard(store);
    expect(await guard.prepare(branchOf(undefined, 't2'), () => 'commit')).toBe('commit');
  });

  it('asks the store once for each run, and again after a failed attempt', async () => {
    const store = new FailingStore();
    const inserts = vi.spyOn(store, 'insert');
    const guard = new ParticipantGuard(store);
    store.failOnce('run');
    await expect(guard.prepare(branchOf(FIRST), () => 'commit')).rejects.toThrow('down');
    expect(await guard.prepare(branchOf(FIRST), () => 'commit')).toBe('commit');
    await guard.prepare(branchOf(FIRST, 't2'), () => 'commit');
    expect(inserts.mock.calls.filter(([, { state }]) => state === 'run')).toHaveLength(2);
  });

  it('does not ask the store for a repeat of a running prepare, so a failure of the store does no harm', async () => {
    const store = new FailingStore();
    const guard = new ParticipantGuard(store);
    const gate = Promise.withResolvers<'commit'>();
    const work = vi.fn<() => Promise<'commit'>>(() => gate.promise);
    const first = guard.prepare(branchOf(FIRST), work);
    await vi.waitFor(() => expect(work).toHaveBeenCalledTimes(1));
    store.fails = () => 'before';
    const second = guard.prepare(branchOf(FIRST), work);
    await Promise.resolve();
    store.fails = () => undefined;
    gate.resolve('commit');
    expect(await Promise.all([first, second])).toEqual(['commit', 'commit']);

    const undo = vi.fn<() => void>();
    expect(await guard.prepare(branchOf(FIRST), work)).toBe('commit');
    await guard.rollback(branchOf(FIRST), undo);
    expect(work).toHaveBeenCalledTimes(1);
    expect(undo).toHaveBeenCalledTimes(1);
    expect(guard.held).toBe(0);
  });

  it('never drops the record of a run', async () => {
    let now = 0;
    const store = new MemoryGuardStore({ retainMs: 10, retainRecords: 1, now: () => now });
    const guard = new ParticipantGuard(store);
    for (let number = 0; number < 50; number++) {
      now += 100;
      await guard.rollback(branchOf(FIRST, `t${number}`), () => {});
    }
    expect(store.get('run/log1/2')).toEqual({ state: 'run', token: 'one' });
  });
});

describe('MemoryGuardStore and branches that a coordinator may still call', () => {
  it('keeps their records beyond their time and number, until the transaction is settled', async () => {
    let now = 0;
    const unsettled = new Set(['shop.log1.2.1']);
    const run = { ...FIRST, isUnsettled: (id: string) => unsettled.has(id) };
    const store = new MemoryGuardStore({ retainMs: 1_000, retainRecords: 2, now: () => now });
    const guard = new ParticipantGuard(store);
    const finish = vi.fn<() => void>();
    await guard.prepare(branchOf(run), () => 'commit');
    await guard.commit(branchOf(run), finish);
    const others = async (from: number): Promise<void> => {
      for (let number = from; number < from + 5; number++) {
        now += 600;
        await guard.rollback(branchOf(run, `t${number}`), () => {});
      }
    };
    await others(0);
    // It was paused for a long time, and now receives the decision again.
    await guard.commit(branchOf(run), finish);
    expect(finish).toHaveBeenCalledTimes(1);

    await others(10);
    expect(store.get('shop.log1.2.1/stock')).toEqual({ state: 'committed' });
    unsettled.clear();
    await others(20);
    expect(store.get('shop.log1.2.1/stock')).toBeUndefined();
    expect(store.size).toBeLessThan(5);
  });

  /** A store of a guard, and the question that it asks before it drops a branch. */
  function asked(): { guard: ParticipantGuard; isNeeded: (key: string) => boolean } {
    const store = new MemoryGuardStore();
    const keepWhile = vi.spyOn(store, 'keepWhile');
    const guard = new ParticipantGuard(store);
    return { guard, isNeeded: (key) => keepWhile.mock.calls[0]![0](key) };
  }

  it('asks a run from its first call on', async () => {
    const { guard, isNeeded } = asked();
    await guard.prepare(branchOf({ ...FIRST, isUnsettled: () => true }), () => 'commit');

    expect(isNeeded('shop.log1.2.1/stock')).toBe(true);
  });

  it('asks the latest run of a log, also after a late call of an earlier run', async () => {
    const { guard, isNeeded } = asked();
    const earlier = { ...FIRST, isUnsettled: () => false };
    const later = { ...FIRST, epoch: 3, token: 'three', isUnsettled: () => true };
    for (const run of [earlier, later, earlier]) await guard.rollback(branchOf(run, 't1'), () => {});

    expect(isNeeded('shop.log1.2.1/stock')).toBe(true);
  });

  it('asks every coordinator of this process, and keeps only the branches that one of them may call', async () => {
    const { guard, isNeeded } = asked();
    const runs = Array.from({ length: 300 }, (_, log) => ({
      ...FIRST,
      logId: `log${log}`,
      isUnsettled: (id: string) => id === `shop.log${log}.2.1` && log % 100 === 0,
    }));
    for (const [log, run] of runs.entries()) {
      await guard.rollback(branchOf(run, `shop.log${log}.2.1`), () => {});
    }
    const needed = runs.map((_, log) => log).filter((log) => isNeeded(`shop.log${log}.2.1/stock`));

    expect(needed).toEqual([0, 100, 200]);
    expect(runs).toHaveLength(300);
  });

  it('keeps at most 64 coordinators in memory, and drops the entries of those that have ended', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const runs = new GuardRuns(new GuardedStore(new MemoryGuardStore()));
    for (let log = 0; log < 1_000; log++) {
      const source = { isUnsettled: () => false };
      await runs.serve({ ...FIRST, logId: `log${log}`, source }, async () => undefined);
      if (log % 50 === 0) await new Promise(setImmediate);
      if (log % 50 === 0) collect();
    }

    expect(runs.askable).toBeLessThan(64 + 2 * 64 + 50);
  });

  it.each<[string, () => unknown, boolean]>([
    [
      'throws',
      () => {
        throw new Error('not now');
      },
      true,
    ],
    ['answers with a rejection', () => Promise.reject(new Error('not now')), true],
    ['answers undefined', () => undefined, false],
  ])('a run that %s when it is asked', async (_name, isUnsettled, kept) => {
    const { guard, isNeeded } = asked();
    await guard.rollback(branchOf({ ...FIRST, isUnsettled: isUnsettled as () => boolean }), () => {});

    expect(isNeeded('shop.log1.2.1/stock')).toBe(kept);
    await new Promise(setImmediate);
  });

  it('keeps the record that an unreadable run may need, and throws no error at once', async () => {
    const { guard, isNeeded } = asked();
    const unreadable = (): CoordinatorRun => ({
      ...FIRST,
      get isUnsettled(): never {
        throw new Error('not readable');
      },
    });
    // The second call comes from an accepted run, as a different object.
    for (const id of ['shop.log1.2.1', 'shop.log1.2.2']) {
      const call = guard.rollback(branchOf(unreadable(), id), () => {});
      await expect(call).resolves.toBeUndefined();
      expect(isNeeded(`${id}/stock`)).toBe(true);
    }
  });

  it('does not let runs of other processes displace runs that it can ask', async () => {
    const { guard, isNeeded } = asked();
    await guard.rollback(branchOf({ ...FIRST, isUnsettled: (id) => id === 'shop.log1.2.1' }, 't'), () => {});
    for (let log = 2; log < 70; log++) {
      await guard.rollback(branchOf({ ...FIRST, logId: `log${log}` }, `t${log}`), () => {});
    }

    expect(isNeeded('shop.log1.2.1/stock')).toBe(true);
    expect(isNeeded('shop.log1.2.2/stock')).toBe(false);
  });

  it('works when no run is kept at all', () => {
    const store = new MemoryGuardStore({ retainMs: 0, retainRecords: 0, now: () => 1 });
    store.keepWhile(() => true);
    for (const key of ['a', 'b', 'c']) store.put(key, { state: 'committed' });
    expect(store.size).toBe(3);
  });
});
