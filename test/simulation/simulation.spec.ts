import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { CommitDecision, DecisionLog, LastResource } from '../../src/coordinator/index.js';
import type { SharedDecisionLog } from '../../src/coordinator/log/shared-log.js';
import { LONE, kindOf, shortcomings } from './evidence.js';
import { LoneWorld } from './lone-world.js';
import { Random } from './random.js';
import { type RunOptions, makeWorld, replay, runSchedules, runWorlds } from './runner.js';
import { Witnesses } from './witnesses.js';
import type { World } from './world.js';

const TWENTY_THOUSAND = 20_000;

function fingerprint(world: World): string {
  return createHash('sha256').update(world.transcript.toString()).digest('hex');
}

/** A log that takes its own failure for the absence of a record. */
function takesAnErrorForAbsence(log: DecisionLog): DecisionLog {
  return {
    open: (name) => log.open(name),
    isOwnRun: (epoch, token) => log.isOwnRun(epoch, token),
    append: (decision) => log.append(decision),
    lookUp: (id) => log.lookUp(id).catch(() => 'absent'),
    progress: (decision) => log.progress(decision),
    end: (id) => log.end(id),
    report: (report) => log.report(report),
    forget: (id, branchId) => log.forget(id, branchId),
    audit: (entry) => log.audit(entry),
    check: () => log.check(),
    close: () => log.close(),
  };
}

/** The same of one member. */
function memberTakesAnErrorForAbsence(log: SharedDecisionLog): SharedDecisionLog {
  return Object.assign(Object.create(log) as SharedDecisionLog, {
    lookUp: (id: string) => log.lookUp(id).catch(() => 'absent' as const),
  });
}

/** A log that acknowledges the record of a decision before it is durable. */
function acknowledgesTooEarly(log: DecisionLog): DecisionLog {
  return Object.assign(Object.create(log) as DecisionLog, {
    append: (decision: CommitDecision) => {
      // Whether it gets there is not waited for.
      void Promise.resolve()
        .then(() => log.append(decision))
        .catch(() => {});
    },
  });
}

/** A client of a last resource that takes for `never` whatever says neither that nor `committed`. */
function takesUnknownForNever(resource: LastResource): LastResource {
  return {
    commit: (given) => resource.commit(given),
    inquire: async (given) => {
      const answer = await Promise.resolve(resource.inquire(given)).catch(() => 'unknown' as const);
      return answer === 'committed' ? 'committed' : 'never';
    },
  };
}

/** The properties of a world. */
type Kind = Omit<RunOptions, 'firstSeed' | 'schedules' | 'stopsAtFirst'>;

/** Looks in 20,000 seeds for the planted defect. @returns the seed that shows it, and not in sound code. */
async function seedThatShows(planted: Kind, sound: Kind): Promise<number> {
  const { violations } = await runSchedules({
    ...planted,
    firstSeed: 1,
    schedules: TWENTY_THOUSAND,
    stopsAtFirst: true,
  });
  const [found] = violations;
  expect(found).toBeDefined();
  const { seed, what } = found!;
  expect((await replay(seed, planted)).judge.violations).toContain(what);
  expect((await replay(seed, sound)).judge.violations).toEqual([]);
  return seed;
}

describe('a seed', () => {
  it.each<[world: string, kind: Kind, firstSeed: number, count: number]>([
    ['one process', {}, 7_000, 51],
    ['members', { members: true }, 8_000, 9],
    ['groups', { groups: true }, 9_000, 8],
    ['a last resource', { lastResources: true }, 9_500, 8],
  ])(
    'of a world with %s determines all that happens, whatever runs beside it',
    async (_, kind, firstSeed, count) => {
      const seeds = Array.from({ length: count }, (_each, index) => firstSeed + index);
      const together = new Map<number, string>();
      const waiting = seeds.map((seed) => makeWorld({ ...kind, seed, transcript: true }));
      await runWorlds(
        () => waiting.pop(),
        (world) => together.set(world.seed, fingerprint(world)),
      );
      for (const seed of seeds)
        expect([seed, fingerprint(await replay(seed, kind))]).toEqual([seed, together.get(seed)]);
      expect(new Set(together.values()).size).toBe(seeds.length);
    },
  );

  it('brings about the same whether or not it is written down', async () => {
    const silent = new LoneWorld({ seed: 4_711 });
    const worlds = [silent];
    await runWorlds(() => worlds.pop());
    const written = await replay(4_711);
    expect(written.witnesses.entries()).toEqual(silent.witnesses.entries());
    expect(written.queue.now).toBe(silent.queue.now);
    expect(silent.transcript.toString()).toBe('');
  });
});

describe('a planted defect', () => {
  it('is found within 20,000 seeds, and its transcript is the same each time', async () => {
    const planted = { plant: takesAnErrorForAbsence };
    const seed = await seedThatShows(planted, {});
    const [once, again] = [await replay(seed, planted), await replay(seed, planted)];
    expect(again.transcript.toString()).toBe(once.transcript.toString());
    expect(once.transcript.toString()).toMatch(/VIOLATION {2,}.*record/);
  });

  it.each<[name: string, kind: Kind, defect: Kind]>([
    [
      'a member takes the failure of a look-up for the absence of a record',
      { members: true },
      { plantInMember: memberTakesAnErrorForAbsence },
    ],
    [
      'a last resource says never and does not rule out a late commit',
      { lastResources: true },
      { fences: false },
    ],
    [
      'the unknown of a last resource is taken for never',
      { lastResources: true },
      { plantInResource: takesUnknownForNever },
    ],
    [
      'a last resource is called before the record that names it is durable',
      { lastResources: true },
      { plant: acknowledgesTooEarly },
    ],
    [
      'the unknown of a last resource is taken for never by members',
      { lastResources: true, members: true },
      { plantInResource: takesUnknownForNever },
    ],
  ])('is found: %s', async (_, kind, defect) => {
    expect(await seedThatShows({ ...kind, ...defect }, kind)).toBeGreaterThan(0);
  });
});

describe('the evidence', () => {
  it('is too thin when a class of faults was hardly injected, or hardly anything has committed', () => {
    const witnesses = new Witnesses();
    witnesses.count('transaction', 100_000);
    const complaints = shortcomings({ schedules: TWENTY_THOUSAND, violations: [], witnesses }, LONE);
    expect(complaints).toContain('"request lost" was injected 0 times, which is too seldom');
    expect(complaints).toContain('of 100000 transactions only 0 have committed');
    expect(shortcomings({ schedules: 1_000, violations: [], witnesses }, LONE)).toEqual([]);
    const withGroups = kindOf({ members: false, groups: true });
    expect(shortcomings({ schedules: TWENTY_THOUSAND, violations: [], witnesses }, withGroups)).toContain(
      '"group committed" was seen 0 times, which is too seldom',
    );
  });
});

describe('the random numbers', () => {
  it('are the same for a seed, differ between its streams, and fill their range', () => {
    const draw = (seed: number, stream: number): number[] => {
      const random = new Random(seed, stream);
      return Array.from({ length: 1_000 }, () => random.next());
    };
    expect(draw(1, 1)).toEqual(draw(1, 1));
    expect(draw(1, 1)).not.toEqual(draw(1, 2));
    expect(draw(1, 1)).not.toEqual(draw(2 ** 32 + 1, 1));
    const numbers = draw(5, 1);
    expect(Math.min(...numbers)).toBeLessThan(0.01);
    expect(Math.max(...numbers)).toBeGreaterThan(0.99);
    expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true);
  });
});
