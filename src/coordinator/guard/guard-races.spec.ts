import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Vote } from '../participant/participant.js';
import { KEY, someBranch } from './guarded-branch.fixture.js';
import type { GuardRecord, GuardStore } from './guard-store.js';
import { MemoryGuardStore } from './memory-guard-store.js';
import { ParticipantGuard } from './participant-guard.js';

const SEED = 20_260_801;
const RUNS = 10_000;

const BRANCH = someBranch();

/** A store in which the scheduler orders every message, the answers included. */
class ScheduledStore implements GuardStore {
  readonly records = new MemoryGuardStore();

  constructor(private readonly scheduler: fc.Scheduler) {}

  get(key: string): Promise<GuardRecord | undefined> {
    return this.travel('get', () => this.records.get(key));
  }

  insert(key: string, record: GuardRecord): Promise<GuardRecord | undefined> {
    return this.travel('insert', () => this.records.insert(key, record));
  }

  put(key: string, record: GuardRecord): Promise<void> {
    return this.travel('put', () => this.records.put(key, record));
  }

  private async travel<T>(label: string, work: () => T): Promise<T> {
    await this.scheduler.schedule(Promise.resolve(), `${label} arrives`);
    return this.scheduler.schedule(Promise.resolve(work()), `${label} answers`);
  }
}

describe('ParticipantGuard under every interleaving', () => {
  it(`holds nothing after a rollback, works once and undoes once (seed ${SEED}, ${RUNS} runs)`, async () => {
    const seen = { undone: 0, blocked: 0, kept: 0 };
    const property = fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.constantFrom('prepare' as const, 'rollback' as const), { minLength: 1, maxLength: 5 }),
      fc.constantFrom('yes' as const, 'no' as const, 'throws after its effect' as const),
      fc.nat({ max: 2 }),
      async (scheduler, messages, behaviour, failingUndos) => {
        const store = new ScheduledStore(scheduler);
        const guard = new ParticipantGuard(store);
        let works = 0;
        let held = 0;
        let undos = 0;
        let failuresLeft = failingUndos;
        const prepare = () =>
          guard.prepare(BRANCH, async (): Promise<Vote> => {
            works++;
            await scheduler.schedule(Promise.resolve(), 'the work');
            if (behaviour === 'no') return 'abort';
            held++;
            if (behaviour === 'yes') return 'commit';
            throw new Error('after the effect');
          });
        const rollback = () =>
          guard.rollback(BRANCH, async () => {
            await scheduler.schedule(Promise.resolve(), 'the undo');
            if (failuresLeft-- > 0) throw new Error('the undo failed');
            undos++;
            held--;
          });
        const answers = messages.map(async (message) => {
          await scheduler.schedule(Promise.resolve(), `${message} arrives`);
          return message === 'prepare' ? prepare() : rollback();
        });
        const ends = Promise.allSettled(answers);
        await scheduler.waitFor(ends);

        const isRolledBack = messages.includes('rollback');
        // Like the coordinator, send rollback until it is acknowledged, and once more after a late answer.
        const more = isRolledBack ? 5 : 0;
        for (let repeat = 0; repeat < more; repeat++) {
          await scheduler.waitFor(Promise.allSettled([rollback()]));
        }

        expect(works).toBeLessThanOrEqual(1);
        expect(undos).toBeLessThanOrEqual(works);
        if (isRolledBack) {
          expect(held).toBe(0);
          expect(store.records.get(KEY)).toEqual({ state: 'rolled-back' });
          expect(await scheduler.waitFor(prepare())).toMatchObject({ code: 'ROLLED_BACK' });
          expect(works).toBeLessThanOrEqual(1);
        } else {
          expect(held).toBe(behaviour === 'no' ? 0 : 1);
        }
        if (undos > 0) seen.undone++;
        else if (works === 0) seen.blocked++;
        else seen.kept++;
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: RUNS });

    // The search is useful only if it has met all of these.
    expect(Math.min(seen.undone, seen.blocked, seen.kept)).toBeGreaterThan(RUNS / 50);
  }, 60_000);
});
