import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { CommitDecision, DecisionLog, LastResource } from '../../src/coordinator/index.js';
import type { SharedDecisionLog } from '../../src/coordinator/log/shared-log.js';
import { LONE, kindOf, shortcomings } from './evidence.js';
import { LoneWorld } from './lone-world.js';
import { MembersWorld } from './members-world.js';
import { Random } from './random.js';
import { replay, runSchedules, runWorlds } from './runner.js';
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
    forget: (id) => log.forget(id),
    audit: (entry) => log.audit(entry),
    check: () => log.check(),
    close: () => log.close(),
  };
}

describe('a seed', () => {
  it('determines all that happens, whatever runs beside it', async () => {
    const seeds = Array.from({ length: 51 }, (_, index) => 7_000 + index);
    const together = new Map<number, string>();
    const waiting = seeds.map((seed) => new LoneWorld({ seed, transcript: true }));
    await runWorlds(
      () => waiting.pop(),
      (world) => together.set(world.seed, fingerprint(world)),
    );
    for (const seed of seeds)
      expect([seed, fingerprint(await replay(seed))]).toEqual([seed, together.get(seed)]);
    expect(new Set(together.values()).size).toBe(seeds.length);
  });

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

describe('a seed of a world with members', () => {
  it('determines all that happens, whatever runs beside it', async () => {
    const seeds = Array.from({ length: 9 }, (_, index) => 8_000 + index);
    const together = new Map<number, string>();
    const waiting = seeds.map((seed) => new MembersWorld({ seed, transcript: true }));
    await runWorlds(
      () => waiting.pop(),
      (world) => together.set(world.seed, fingerprint(world)),
    );
    for (const seed of seeds)
      expect([seed, fingerprint(await replay(seed, { members: true }))]).toEqual([seed, together.get(seed)]);
    expect(new Set(together.values()).size).toBe(seeds.length);
  });

  it('leads to a planted defect: a member that takes the failure of a look-up for the absence of a record', async () => {
    const plantInMember = (log: SharedDecisionLog): SharedDecisionLog =>
      Object.assign(Object.create(log) as SharedDecisionLog, {
        lookUp: (id: string) => log.lookUp(id).catch(() => 'absent' as const),
      });
    const planted = { members: true, plantInMember };
    const { violations } = await runSchedules({
      ...planted,
      firstSeed: 1,
      schedules: TWENTY_THOUSAND,
      stopsAtFirst: true,
    });
    const [found] = violations;
    expect(found).toBeDefined();
    expect((await replay(found!.seed, planted)).judge.violations).toContain(found!.what);
    expect((await replay(found!.seed, { members: true })).judge.violations).toEqual([]);
  });
});

describe('a seed of a world with groups', () => {
  it('determines all that happens, whatever runs beside it', async () => {
    const seeds = Array.from({ length: 8 }, (_, index) => 9_000 + index);
    const together = new Map<number, string>();
    const waiting = seeds.map((seed) => new LoneWorld({ seed, transcript: true, groups: true }));
    await runWorlds(
      () => waiting.pop(),
      (world) => together.set(world.seed, fingerprint(world)),
    );
    for (const seed of seeds)
      expect([seed, fingerprint(await replay(seed, { groups: true }))]).toEqual([seed, together.get(seed)]);
    expect(new Set(together.values()).size).toBe(seeds.length);
  });
});

describe('a planted defect', () => {
  it('is found within 20,000 seeds, and its transcript is the same each time', async () => {
    const { violations } = await runSchedules({
      firstSeed: 1,
      schedules: TWENTY_THOUSAND,
      plant: takesAnErrorForAbsence,
      stopsAtFirst: true,
    });
    const [found] = violations;
    expect(found).toBeDefined();
    const [once, again] = [
      await replay(found!.seed, { plant: takesAnErrorForAbsence }),
      await replay(found!.seed, { plant: takesAnErrorForAbsence }),
    ];
    expect(once.judge.violations).toContain(found!.what);
    expect(again.transcript.toString()).toBe(once.transcript.toString());
    expect(once.transcript.toString()).toMatch(/VIOLATION {2,}.*record/);
    expect((await replay(found!.seed)).judge.violations).toEqual([]);
  });
});

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

describe('a seed of a world with a last resource', () => {
  it('determines all that happens, whatever runs beside it', async () => {
    const seeds = Array.from({ length: 8 }, (_, index) => 9_500 + index);
    const together = new Map<number, string>();
    const waiting = seeds.map((seed) => new LoneWorld({ seed, transcript: true, lastResources: true }));
    await runWorlds(
      () => waiting.pop(),
      (world) => together.set(world.seed, fingerprint(world)),
    );
    for (const seed of seeds)
      expect([seed, fingerprint(await replay(seed, { lastResources: true }))]).toEqual([
        seed,
        together.get(seed),
      ]);
    expect(new Set(together.values()).size).toBe(seeds.length);
  });

  it.each<[defect: string, planted: object]>([
    ['it says never and does not rule out a late commit', { fences: false }],
    ['unknown is taken for never', { plantInResource: takesUnknownForNever }],
    ['it is called before the record that names it is durable', { plant: acknowledgesTooEarly }],
    ['unknown is taken for never by members', { members: true, plantInResource: takesUnknownForNever }],
  ])('leads to a planted defect: %s', async (_, defect) => {
    const planted = { lastResources: true, ...defect };
    const { violations } = await runSchedules({
      ...planted,
      firstSeed: 1,
      schedules: TWENTY_THOUSAND,
      stopsAtFirst: true,
    });
    const [found] = violations;
    expect(found).toBeDefined();
    expect((await replay(found!.seed, planted)).judge.violations).toContain(found!.what);
    const sound = { lastResources: true, members: 'members' in defect };
    expect((await replay(found!.seed, sound)).judge.violations).toEqual([]);
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
