import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LOG_ID, idOf, runOf } from '../../../test/support/identity.js';
import { type Branch, HeuristicError, type Vote, refuse } from '../participant/participant.js';
import { GuardConflictError, TryAgainError } from './guard-errors.js';
import { MemoryReplicaGuardStore } from './memory-replica-guard-store.js';
import { type LateWork, ReplicaGuard } from './replica-guard.js';
import type { ReplicaGuardStore } from './replica-guard-store.js';

const ID = idOf('shop', 1, 7);

function branchOf(given: Partial<Branch> = {}): Branch {
  return {
    transactionId: ID,
    branchId: 'stock',
    payload: 1,
    deadline: Date.now() + 10_000,
    signal: new AbortController().signal,
    attempt: 0,
    run: runOf(),
    ...given,
  };
}

/** A participant whose work has a count: 1 while it is done and not undone. */
class Work {
  done = 0;
  commits = 0;
  undos = 0;
  readonly gate = Promise.withResolvers<void>();

  constructor(public vote: Vote = 'commit') {
    this.gate.resolve();
  }

  readonly prepare = async (): Promise<Vote> => {
    await this.gate.promise;
    this.done = 1;
    return this.vote;
  };
  readonly undo = (): void => {
    this.undos++;
    this.done = 0;
  };
  readonly commit = (): void => {
    this.commits++;
  };
}

/** The calls of this turn have reached their work. */
const started = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Two replicas over one store, with a clock that the test moves. */
function replicas(store?: ReplicaGuardStore) {
  let now = 0;
  const shared = store ?? new MemoryReplicaGuardStore(() => now);
  const late: [branch: string, work: LateWork][] = [];
  const guard = (): ReplicaGuard =>
    new ReplicaGuard('stock', shared, {
      late: ({ transactionId }, work) => late.push([transactionId, work]),
    });
  return { late, shared, a: guard(), b: guard(), pass: (ms: number) => (now += ms) };
}

describe('A guard of several replicas', () => {
  it('gives a repeated prepare its first vote at every replica, and does the work once (fault 9)', async () => {
    const { a, b } = replicas();
    const work = new Work();
    const [one, two] = await Promise.all([
      a.prepare(branchOf(), work.prepare, work.undo),
      a.prepare(branchOf(), work.prepare, work.undo),
    ]);
    expect([one, two]).toEqual(['commit', 'commit']);
    expect(await b.prepare(branchOf(), () => refuse('NO', 'never'), work.undo)).toBe('commit');
  });

  it('refuses a prepare at one replica after the rollback at another (faults 10 and 11)', async () => {
    const { a, b } = replicas();
    const work = new Work();
    await a.rollback(branchOf({ attempt: 1 }), work.undo);
    expect(await b.prepare(branchOf(), work.prepare, work.undo)).toMatchObject({ code: 'ROLLED_BACK' });
    expect(work).toMatchObject({ done: 0, undos: 0 });
  });

  it('tells a call to try again while another replica is at work', async () => {
    const { a, b } = replicas();
    const work = new Work();
    const gate = Promise.withResolvers<void>();
    const slow = a.prepare(branchOf(), () => gate.promise.then(() => 'commit' as const), work.undo);
    await started();
    await expect(b.prepare(branchOf(), work.prepare, work.undo)).rejects.toThrow(TryAgainError);
    await expect(b.rollback(branchOf(), work.undo)).rejects.toThrow(TryAgainError);
    gate.resolve();
    expect(await slow).toBe('commit');
    await b.rollback(branchOf(), work.undo);
    expect(work.undos).toBe(1);
  });

  it('takes over when the time of the other is up, which then undoes its work (fault 14)', async () => {
    const { a, b, pass, late: told } = replicas();
    const gate = Promise.withResolvers<void>();
    const work = new Work();
    const late = a.prepare(branchOf(), () => gate.promise.then(() => work.prepare()), work.undo);
    await started();
    pass(11_000);
    await expect(b.prepare(branchOf(), work.prepare, work.undo)).rejects.toThrow(GuardConflictError);
    await b.rollback(branchOf(), work.undo);
    expect(work.undos).toBe(1);
    gate.resolve();
    expect(await late).toMatchObject({ code: 'ROLLED_BACK' });
    expect(work).toMatchObject({ done: 0, undos: 2 });
    expect(told).toEqual([
      [ID, { step: 'found' }],
      [ID, { step: 'undone' }],
    ]);
  });

  it('tells of work that took effect late before it is undone, and of work that cannot be undone', async () => {
    const { a, b, pass, late } = replicas();
    const gate = Promise.withResolvers<void>();
    const error = new Error('the disk is full');
    const undo = (): void => {
      expect(late).toEqual([[ID, { step: 'found' }]]);
      throw error;
    };
    const prepared = a.prepare(branchOf(), () => gate.promise.then(() => 'commit' as const), undo);
    await started();
    pass(11_000);
    await b.rollback(branchOf(), () => {});
    gate.resolve();
    await expect(prepared).rejects.toThrow(error);
    expect(late).toEqual([
      [ID, { step: 'found' }],
      [ID, { step: 'left', error }],
    ]);
  });

  it('stops the work of its own process when the rollback comes, and acknowledges only what is undone', async () => {
    const { a } = replicas();
    const work = new Work();
    const stopped = Promise.withResolvers<Vote>();
    const prepare = ({ signal }: Branch): Promise<Vote> => {
      signal.addEventListener('abort', () => {
        work.done = 1;
        stopped.resolve('commit');
      });
      return stopped.promise;
    };
    const slow = a.prepare(branchOf(), prepare, work.undo);
    await started();
    await a.rollback(branchOf(), work.undo);
    expect(work).toMatchObject({ done: 0, undos: 1 });
    expect(await slow).toBe('commit');
    expect(await a.prepare(branchOf(), prepare, work.undo)).toMatchObject({ code: 'ROLLED_BACK' });
  });

  it('stops the work of a branch that was copied without its signal', async () => {
    const { a } = replicas();
    const { promise: stopped, resolve } = Promise.withResolvers<Vote>();
    const prepare = (given: Branch): Promise<Vote> => {
      expect({ ...given, deadline: 0 }).toMatchObject({ transactionId: ID, branchId: 'stock', payload: 1 });
      given.signal.addEventListener('abort', () => resolve('abort'));
      return stopped;
    };
    const { signal: _, ...copy } = branchOf();
    const vote = a.prepare(copy as Branch, prepare, () => {});
    await started();
    await a.rollback(branchOf({ attempt: 1 }), () => {});
    expect(await vote).toBe('abort');
  });

  it('gives up on a prepare that ignores its signal when the time of its rollback is over', async () => {
    const { a } = replicas();
    const work = new Work();
    const gate = Promise.withResolvers<Vote>();
    const prepared = a.prepare(branchOf(), () => gate.promise, work.undo);
    await started();
    await expect(a.rollback(branchOf({ deadline: Date.now() + 10 }), work.undo)).rejects.toThrow(
      'its prepare has not ended, although it was told to stop',
    );
    gate.resolve('commit');
    await prepared;
    await a.rollback(branchOf({ attempt: 2 }), work.undo);
    expect(work.undos).toBe(1);
  });

  it('commits a prepared branch once, and refuses the opposite of a decision (fault 45)', async () => {
    const { a, b } = replicas();
    const work = new Work();
    await expect(a.commit(branchOf({ attempt: 1 }), work.commit)).rejects.toMatchObject({ kind: 'hazard' });
    await a.prepare(branchOf(), work.prepare, work.undo);
    await b.commit(branchOf({ attempt: 1 }), work.commit);
    await a.commit(branchOf({ attempt: 2 }), work.commit);
    expect(work.commits).toBe(1);
    await expect(a.rollback(branchOf({ attempt: 1 }), work.undo)).rejects.toThrow(HeuristicError);
    expect(work.undos).toBe(0);
  });

  it('runs a commit again that has failed, or whose process is gone', async () => {
    const { a, b, pass } = replicas();
    const work = new Work();
    await a.prepare(branchOf(), work.prepare, work.undo);
    const fails = (): never => {
      throw new Error('full');
    };
    await expect(a.commit(branchOf({ attempt: 1 }), fails)).rejects.toThrow('full');
    void a.commit(branchOf({ attempt: 2 }), () => new Promise<void>(() => {}));
    await started();
    await expect(b.commit(branchOf({ attempt: 3 }), work.commit)).rejects.toThrow(TryAgainError);
    pass(11_000);
    await b.commit(branchOf({ attempt: 4 }), work.commit);
    expect(work.commits).toBe(1);
  });

  it('answers a one-phase commit the same at every replica, whatever becomes of its work (fault 7)', async () => {
    for (const [vote, answer] of [
      ['commit', 'commit'],
      ['read-only', 'commit'],
      [refuse('NO', 'no'), expect.objectContaining({ code: 'NO' })],
    ] as const) {
      const { a, b } = replicas();
      const work = new Work(vote);
      const steps = { prepare: work.prepare, commit: work.commit, rollback: work.undo };
      expect(await a.commitOnePhase(branchOf({ attempt: 1 }), steps)).toEqual(answer);
      expect(await b.commitOnePhase(branchOf({ attempt: 2 }), steps)).toEqual(answer);
      expect(work.commits).toBe(vote === 'commit' ? 1 : 0);
    }
    const { a, b } = replicas();
    const work = new Work();
    const prepare = (): never => {
      work.done = 1;
      throw new Error('broken');
    };
    const steps = { prepare, commit: work.commit, rollback: work.undo };
    const refused = expect.objectContaining({ code: 'ROLLED_BACK' }) as Vote;
    expect(await a.commitOnePhase(branchOf({ attempt: 1 }), steps)).toEqual(refused);
    expect(await b.commitOnePhase(branchOf({ attempt: 2 }), steps)).toEqual(refused);
    expect(work).toMatchObject({ done: 0, commits: 0, undos: 1 });
  });

  it('refuses a prepare at or below the low-water mark, and drops final records below it one interval later', async () => {
    const { a, shared } = replicas();
    const work = new Work();
    await a.prepare(branchOf(), work.prepare, work.undo);
    await a.rollback(branchOf(), work.undo);
    const open = branchOf({ transactionId: idOf('shop', 1, 8) });
    await a.prepare(open, work.prepare, work.undo);
    await shared.raise(runOf().logId, [{ epoch: 1, sequence: 8 }]);
    expect([await shared.purge(), await shared.purge()]).toEqual([0, 1]);
    for (const sequence of [7, 9]) {
      const late = branchOf({ transactionId: idOf('shop', 1, sequence) });
      const answer = await a.prepare(late, work.prepare, work.undo);
      expect(answer).toEqual(
        sequence === 9 ? 'commit' : expect.objectContaining({ code: 'TRANSACTION_OVER' }),
      );
    }
    // The record of a prepared branch is never dropped, and is listed.
    const listed = await shared.listOpen('stock', undefined, 10);
    expect(listed.map(({ transactionId }) => transactionId)).toEqual([
      idOf('shop', 1, 8),
      idOf('shop', 1, 9),
    ]);
    await shared.raise(runOf().logId, [{ epoch: 0, sequence: 1 }]);
    expect(await shared.isOver(idOf('shop', 1, 9_999))).toBe(true);
    expect(await shared.isOver(idOf('shop', 2, 1))).toBe(false);
  });

  it('admits no run of an epoch that is over, and drops what it kept of such epochs', async () => {
    const { a, b, shared } = replicas();
    const work = new Work();
    const [old, present] = [runOf(), runOf({ epoch: 2 })];
    await a.admit({ run: old });
    await a.admit({ run: present });
    await shared.raise(LOG_ID, [
      { epoch: 1, sequence: 9 },
      { epoch: 2, sequence: 3 },
      { epoch: 0, sequence: 1 },
    ]);
    await shared.purge();
    await shared.purge();
    const copy = branchOf({ run: { ...old, token: 'of a copy' } });
    expect(await b.prepare(copy, work.prepare, work.undo)).toMatchObject({ code: 'DTC_GUARD_RUN_CONFLICT' });
    await expect(b.admit({ run: old })).rejects.toMatchObject({ code: 'DTC_GUARD_RUN_CONFLICT' });
    await b.admit({ run: present });
    const late = branchOf({ run: present });
    expect(await b.prepare(late, work.prepare, work.undo)).toMatchObject({ code: 'TRANSACTION_OVER' });
    expect(work.done).toBe(0);
  });

  it('does nothing for a copy of a log', async () => {
    const { a, b } = replicas();
    const work = new Work();
    await a.prepare(branchOf(), work.prepare, work.undo);
    const copy = branchOf({ run: runOf({ token: 'of a copy' }) });
    expect(await b.prepare(copy, work.prepare, work.undo)).toMatchObject({ code: 'DTC_GUARD_RUN_CONFLICT' });
    await expect(b.rollback(copy, work.undo)).rejects.toMatchObject({ code: 'DTC_GUARD_RUN_CONFLICT' });
    expect(work.undos).toBe(0);
  });

  it('leaves nothing done after an acknowledged rollback, in every order of the messages', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.constantFrom('prepare', 'rollback')), {
          minLength: 2,
          maxLength: 6,
        }),
        async (scheduler, messages) => {
          const memory = new MemoryReplicaGuardStore();
          const shared = scheduledStore(memory, scheduler);
          const { a, b } = replicas(shared);
          const work = new Work();
          const prepare = (): Promise<Vote> =>
            scheduler.schedule(Promise.resolve(), 'work').then(work.prepare);
          let acknowledged = false;
          const calls = messages.map(async ([at, method]) => {
            const guard = at === 'a' ? a : b;
            if (method === 'prepare') await guard.prepare(branchOf(), prepare, work.undo);
            else {
              await guard.rollback(branchOf({ attempt: 1 }), work.undo);
              acknowledged = true;
              // The time of no call was up, so no other replica was at work.
              expect(work.done).toBe(0);
            }
          });
          const settled = Promise.allSettled(calls);
          await scheduler.waitFor(settled);
          for (const result of await settled) {
            if (result.status === 'fulfilled') continue;
            const { code } = result.reason as { readonly code?: string };
            expect(['DTC_TRY_AGAIN', 'DTC_GUARD_CONFLICT']).toContain(code);
          }
          expect(acknowledged && work.done === 1).toBe(false);
        },
      ),
      { seed: 20_261_129, numRuns: 300 },
    );
  });
});

/** Each statement takes effect and is answered in an order that the scheduler chooses. */
function scheduledStore(store: ReplicaGuardStore, scheduler: fc.Scheduler): ReplicaGuardStore {
  return new Proxy(store, {
    get(target, name: keyof ReplicaGuardStore) {
      const value: unknown = target[name];
      if (typeof value !== 'function') return value;
      return async (...values: unknown[]) => {
        await scheduler.schedule(Promise.resolve(), `${name} sent`);
        const answer: unknown = await (Reflect.apply(value, target, values) as Promise<unknown>);
        await scheduler.schedule(Promise.resolve(), `${name} answered`);
        return answer;
      };
    },
  });
}
