import { describe, expect, it, vi } from 'vitest';
import { epochMsOf } from '../execution/clock.js';
import { branch } from '../participant/branch-request.js';
import type { TestCoordinatorOptions } from '../testing/index.js';
import { Shop, turns } from './shop.fixture.js';
import { Stock, type StockCall, type Take } from './stock.fixture.js';

const TEA = { take: { tea: 1 } };
const MORE_TEA = { take: { tea: -1 } };

function shopOf(items: Readonly<Record<string, number>> = {}, options: TestCoordinatorOptions = {}) {
  const one = new Stock(new Map(Object.entries(items)));
  const two = new Stock(new Map(Object.entries(items)));
  const shop = new Shop({ one, two }, undefined, options);
  const { transactions, runtime, clock } = shop.coordinator;
  return { one, two, shop, log: shop.log, transactions, runtime, clock };
}

/** Calls back at the so manyth call of a step. */
function at(stock: Stock, step: StockCall['step'], number: number, act: () => unknown): void {
  let count = 0;
  stock.before = (call) => (call.step === step && ++count === number ? act() : undefined);
}

const statusesOf = (outcomes: readonly { readonly status: string }[]): string[] =>
  outcomes.map(({ status }) => status);

describe('transactions at participants that take part in groups', () => {
  it('run as any other where nothing is under way', async () => {
    const { shop, one, log } = shopOf();
    const outcome = await shop.run(MORE_TEA);
    expect(outcome.status).toBe('committed');
    expect(one.count('work')).toBe(0);
    expect(log.appended).toMatchObject([{ id: outcome.transactionId }]);
    expect(log.appended[0]).not.toHaveProperty('members');
  });

  it('tell the participants of a group of which request each member is, also when they may join it', async () => {
    const { shop, one } = shopOf();
    const asked: unknown[] = [];
    const given: unknown[] = [];
    const runGroup = one.runGroup.bind(one);
    Object.assign(one, {
      mayJoinGroup: (_: Take, { requestId }: { readonly requestId?: string }) => {
        asked.push(requestId);
        return true;
      },
      runGroup: (...args: Parameters<Stock['runGroup']>) => {
        given.push(...args[1]);
        return runGroup(...args);
      },
    });
    await shop.behind(() => [shop.run(MORE_TEA, { requestId: 'r-1' }), shop.run(MORE_TEA)]);
    expect(asked.slice(-2)).toEqual(['r-1', undefined]);
    expect(given).toMatchObject([{ branchId: 'one', requestId: 'r-1' }, { branchId: 'one' }]);
    expect(given[1]).not.toHaveProperty('requestId');
  });

  it('become one group of what arrives while the participants work', async () => {
    const { shop, one, two, log } = shopOf();
    const outcomes = await shop.behind(() => [1, 2, 3].map(() => shop.run(MORE_TEA)));
    expect(statusesOf(outcomes)).toEqual(['committed', 'committed', 'committed']);
    const ids = outcomes.map(({ transactionId }) => transactionId);
    expect(one.works).toEqual([ids]);
    expect(two.works).toEqual([ids]);
    expect(one.contents).toEqual({ blocker: 1, tea: 3 });
    expect([one.count('prepare'), one.count('commit'), one.count('rollback')]).toEqual([2, 2, 0]);
    expect(log.appended[1]?.members?.map(({ id }) => id)).toEqual(ids);
    // One record for the group, and none of a member.
    expect([log.appended.length, log.ended.length, log.records.size]).toEqual([2, 2, 0]);
  });

  it('are listed with their group, and apart from it', async () => {
    const { shop, transactions } = shopOf();
    const outcomes = await shop.behind(() => [1, 2].map(() => shop.run(MORE_TEA)));
    const members = outcomes.map(({ transactionId }) => transactionId);
    const listed = (filter: object): string[] =>
      transactions.list({ order: 'oldest', ...filter }).map(({ transactionId }) => transactionId);
    const [group = '', ...more] = listed({ groups: true });
    expect(more).toEqual([]);
    expect(members).not.toContain(group);
    expect(listed({ groups: false })).toEqual(expect.arrayContaining(members));
    expect(listed({ groups: false })).not.toContain(group);
    expect(new Set(listed({ group }))).toEqual(new Set([...members, group]));
    expect(listed({ group: `${group}0` })).toEqual([]);
    expect(transactions.find(group)!.group).toEqual({ id: group, size: 2, runs: 1 });
  });

  it('wait for none that may not join a group', async () => {
    const { shop, one } = shopOf();
    const answer = Promise.withResolvers<void>();
    at(one, 'prepare', 1, () => answer.promise);
    const outside = shop.run({ take: {}, outside: true });
    await turns();
    const next = shop.run(MORE_TEA);
    await turns();
    expect(one.count('prepare')).toBe(2);
    answer.resolve();
    expect(statusesOf(await Promise.all([outside, next]))).toEqual(['committed', 'committed']);
    expect(one.count('work')).toBe(0);
  });

  it.each([
    [30_000, 1_000],
    [2_000, 500],
    [100, 50],
  ])('of which one has %i ms left work for %i ms at most', async (timeoutMs, workMs) => {
    const { shop, one, clock } = shopOf();
    const runGroup = vi.spyOn(one, 'runGroup');
    await shop.behind(() => [shop.run(MORE_TEA, { timeoutMs }), shop.run(MORE_TEA)]);
    const [group] = runGroup.mock.calls[0]!;
    expect(group.workDeadline! - epochMsOf(clock, clock.now())).toBeCloseTo(workMs, -1);
  });

  it('run as any other where one alone has waited', async () => {
    const { shop, one, log } = shopOf();
    const [outcome] = await shop.behind(() => [shop.run(MORE_TEA)]);
    expect(outcome?.status).toBe('committed');
    expect([one.count('work'), log.appended[1]?.members]).toEqual([0, undefined]);
  });

  it('who come back as soon as they are answered are in the next group together', async () => {
    const { shop, one } = shopOf();
    const twice = async () => {
      await shop.run(MORE_TEA);
      return shop.run(MORE_TEA);
    };
    await shop.behind(() => [1, 2, 3, 4].map(twice));
    expect(one.works.map(({ length }) => length)).toEqual([4, 4]);
  });

  it('run outside groups with a payload that may not join, or in turn, or with two branches at one participant', async () => {
    const { shop, one, transactions } = shopOf();
    const twiceAtOne = { branches: [MORE_TEA, MORE_TEA].map((payload) => branch('one', payload)) };
    const blocked = shop.behind(() => [
      shop.run({ take: {}, outside: true }),
      shop.run({ take: {} }, { prepareInTurn: true }),
    ]);
    expect(statusesOf(await blocked)).toEqual(['committed', 'committed']);
    expect(one.count('work')).toBe(0);
    one.before = () => {};
    const both = transactions.run(twiceAtOne);
    await turns();
    expect(one.count('work')).toBe(0);
    await shop.coordinator.clock.advance(5_000);
    await both;
  });

  it('have at most so many members and so many bytes in a group', async () => {
    const few = shopOf({}, { maxGroupMembers: 2 });
    await few.shop.behind(() => [1, 2, 3, 4, 5].map(() => few.shop.run(MORE_TEA)));
    expect(few.one.works.map(({ length }) => length)).toEqual([2, 2]);
    const bytes = 2 * JSON.stringify(MORE_TEA).length;
    const small = shopOf({}, { maxGroupBytes: 3 * bytes });
    await small.shop.behind(() => [1, 2, 3, 4].map(() => small.shop.run(MORE_TEA)));
    expect(small.one.works.map(({ length }) => length)).toEqual([3]);
    const smaller = shopOf({}, { maxGroupBytes: bytes - 1 });
    const outcomes = await smaller.shop.behind(() => [1, 2].map(() => smaller.shop.run(MORE_TEA)));
    expect([smaller.one.count('work'), ...statusesOf(outcomes)]).toEqual([0, 'committed', 'committed']);
    const none = shopOf({}, { maxGroupMembers: 1 });
    await none.shop.behind(() => [1, 2].map(() => none.shop.run(MORE_TEA)));
    expect(none.one.count('work')).toBe(0);
  });

  it.each([
    ['too large for a group', { maxGroupBytes: JSON.stringify(MORE_TEA).length * 2 }, 'x'.repeat(100)],
    ['whose size is unknown', {}, 1n],
  ])('wait for none %s', async (_case, options, extra) => {
    const { shop, one } = shopOf({}, options);
    const answer = Promise.withResolvers<void>();
    at(one, 'prepare', 1, () => answer.promise);
    const outside = shop.run({ ...MORE_TEA, extra } as Take);
    await turns();
    const next = shop.run(MORE_TEA);
    await turns();
    expect(one.count('prepare')).toBe(2);
    answer.resolve();
    expect(statusesOf(await Promise.all([outside, next]))).toEqual(['committed', 'committed']);
  });

  it('wait as long as a participant works for another group, whatever sweeps there are', async () => {
    const { shop, one, clock } = shopOf();
    const gate = Promise.withResolvers<void>();
    at(one, 'prepare', 1, () => gate.promise);
    const first = shop.run(MORE_TEA);
    await turns();
    const others = [shop.run(MORE_TEA), shop.run(MORE_TEA)];
    await clock.advance(200);
    expect(one.count('work')).toBe(0);
    gate.resolve();
    expect(statusesOf(await Promise.all([first, ...others]))).toEqual(Array(3).fill('committed'));
  });

  it('wait only for their own participants, and none waits without end', async () => {
    const [one, two, three] = [new Stock(), new Stock(), new Stock()];
    const { coordinator } = new Shop({ one, two, three });
    const run = (...names: string[]) =>
      coordinator.transactions.run({
        branches: names.map((name) => branch(name, MORE_TEA)),
      });
    const gate = Promise.withResolvers<void>();
    at(one, 'commit', 1, () => gate.promise);
    const first = run('one', 'two');
    await turns();
    // Participant two has acknowledged, and participant three was never taken.
    expect((await run('two', 'three')).status).toBe('committed');
    const waiting = run('one', 'two');
    const behind = [run('two', 'three'), run('two', 'three')];
    await turns();
    expect(two.count('prepare')).toBe(2);
    gate.resolve();
    expect(statusesOf(await Promise.all([first, waiting, ...behind]))).toEqual(Array(4).fill('committed'));
    expect(two.works).toHaveLength(1);
  });
});

describe('the members of a group', () => {
  it('commit without one that is refused or fails', async () => {
    const { shop, one, two, log } = shopOf();
    const outcomes = await shop.behind(() => [
      shop.run(MORE_TEA),
      shop.run({ one: MORE_TEA, two: { take: { milk: 1 } } }),
      shop.run({ one: { fails: true }, two: MORE_TEA }),
      shop.run(MORE_TEA),
    ]);
    expect(statusesOf(outcomes)).toEqual(['committed', 'aborted', 'aborted', 'committed']);
    expect(outcomes[1]).toMatchObject({ cause: 'refused', code: 'OUT', participant: 'two', branchId: 'two' });
    expect(outcomes[2]).toMatchObject({
      cause: 'failed',
      participant: 'one',
      error: { message: 'the work has failed' },
    });
    expect(one.contents).toMatchObject({ tea: 2 });
    expect(two.contents).toMatchObject({ tea: 2 });
    expect(log.appended[1]?.members).toHaveLength(2);
    expect([one.isIdle, two.isIdle]).toEqual([true, true]);
  });

  it('are refused for good only if no other member was refused before them', async () => {
    // The first takes the last tea and is refused by two: the second was refused only because of it.
    const { shop, one } = shopOf({ tea: 1 });
    const outcomes = await shop.behind(() => [
      shop.run({ one: TEA, two: { take: { milk: 1 } } }),
      shop.run({ one: TEA, two: {} }),
    ]);
    expect(statusesOf(outcomes)).toEqual(['aborted', 'committed']);
    expect(one.contents).toMatchObject({ tea: 0 });
  });

  it('are refused for good only when all members before them have committed', async () => {
    const { shop, one } = shopOf({ tea: 1 });
    const controller = new AbortController();
    at(one, 'work', 2, () => controller.abort());
    const outcomes = await shop.behind(() => [
      shop.run(TEA, { signal: controller.signal }),
      shop.run(TEA),
      shop.run({ take: { cup: -1 } }),
    ]);
    expect(statusesOf(outcomes)).toEqual(['aborted', 'committed', 'committed']);
    expect(outcomes[0]).toMatchObject({ cause: 'cancelled' });
    expect(one.contents).toMatchObject({ tea: 0 });
  });

  it('wait for one more group when refused behind another, and then run on their own', async () => {
    const { shop, one } = shopOf();
    const outcomes = await shop.behind(() => [1, 2, 3, 4].map(() => shop.run(TEA)));
    expect(statusesOf(outcomes)).toEqual(Array(4).fill('aborted'));
    const [first, second, ...others] = outcomes.map(({ transactionId }) => transactionId);
    expect(one.works).toEqual([
      [first, second, ...others],
      [second, ...others],
    ]);
    const prepared = one.calls.filter(({ step }) => step === 'prepare').map(({ id }) => id);
    expect(prepared).toEqual(expect.arrayContaining(others));
  });

  it('run on their own where their work cannot be part of a group', async () => {
    const { shop, one } = shopOf();
    const outcomes = await shop.behind(() => [
      shop.run(MORE_TEA),
      shop.run({ ...MORE_TEA, alone: true }),
      shop.run(MORE_TEA),
    ]);
    expect(statusesOf(outcomes)).toEqual(['committed', 'committed', 'committed']);
    expect(one.works.map(({ length }) => length)).toEqual([3, 2]);
    expect(one.contents).toMatchObject({ tea: 3 });
  });

  it.each([
    ['an error', () => Promise.reject(new Error('the connection is lost'))],
    ['too few votes', () => ['commit']],
    ['no list', () => 'commit'],
    ['something that is no vote', () => ['commit', 'yes']],
    ['work left out without a refusal', () => ['not-run', 'commit']],
  ])('run on their own after an answer that says nothing about one of them: %s', async (_case, answer) => {
    const { shop, one, two } = shopOf();
    one.runGroup = async () => answer() as never;
    const outcomes = await shop.behind(() => [shop.run(MORE_TEA), shop.run({ take: { milk: 1 } })]);
    expect(statusesOf(outcomes)).toEqual(['committed', 'aborted']);
    expect(one.contents).toMatchObject({ tea: 1 });
    expect([one.isIdle, two.isIdle]).toEqual([true, true]);
  });

  it('are not prepared as a group when the work of one was left out and none was refused', async () => {
    const { shop, one, transactions } = shopOf();
    one.runGroup = async () => ['not-run', 'commit'];
    const outcomes = await shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    expect(statusesOf(outcomes)).toEqual(['committed', 'committed']);
    const group = transactions.list().find(({ name }) => name === 'group')!;
    expect(group).toMatchObject({ state: 'ABORTED', cause: 'rolled-back' });
    expect(one.calls.some(({ step, id }) => step === 'prepare' && id === group.transactionId)).toBe(false);
  });

  it('run on their own when the work of the group was not discarded for certain', async () => {
    const { shop, one, two } = shopOf();
    at(one, 'discard', 1, () => Promise.reject(new Error('the connection is lost')));
    const outcomes = await shop.behind(() => [shop.run(MORE_TEA), shop.run({ take: { milk: 1 } })]);
    expect(statusesOf(outcomes)).toEqual(['committed', 'aborted']);
    expect([one.count('work'), one.count('rollback')]).toEqual([1, 1]);
    expect([one.isIdle, two.isIdle]).toEqual([true, true]);
  });

  it('run at most four times as a group', async () => {
    const { shop, one } = shopOf();
    let run = 0;
    const runGroup = one.runGroup.bind(one);
    one.runGroup = async (group, members) => {
      run++;
      const votes = await runGroup(group, members);
      return run <= 5 ? votes.map((vote, index) => (index === votes.length - 1 ? 'alone' : vote)) : votes;
    };
    const outcomes = await shop.behind(() => [1, 2, 3, 4, 5, 6].map(() => shop.run(MORE_TEA)));
    expect(statusesOf(outcomes)).toEqual(Array(6).fill('committed'));
    expect(one.works.map(({ length }) => length)).toEqual([6, 5, 4, 3]);
    expect(one.contents).toMatchObject({ tea: 6 });
  });

  it('are voted for anew in each run', async () => {
    const { shop, one } = shopOf();
    const runGroup = one.runGroup.bind(one);
    let run = 0;
    one.runGroup = async (group, members) => {
      const votes = await runGroup(group, members);
      // In the first run the last one is refused, and in the second the first one.
      run++;
      if (run > 2) return votes;
      return votes.map((vote, index) => (index === (run === 1 ? votes.length - 1 : 0) ? 'abort' : vote));
    };
    const outcomes = await shop.behind(() => [1, 2, 3].map(() => shop.run(MORE_TEA)));
    expect(outcomes.map(({ status }) => status)).toEqual(['aborted', 'committed', 'committed']);
    expect(one.contents).toMatchObject({ tea: 2 });
  });

  it('run on their own when the group works too long, and others run outside groups until it answers', async () => {
    const { shop, one, two, clock } = shopOf();
    const runGroup = one.runGroup.bind(one);
    one.runGroup = () => new Promise(() => {});
    const blocked = shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    await turns();
    // Its first answer is that of the rollback of the group.
    const gate = Promise.withResolvers<void>();
    at(one, 'rollback', 1, () => gate.promise);
    await clock.advance(2_100);
    await turns();
    one.runGroup = runGroup;
    const others = [shop.run(MORE_TEA), shop.run(MORE_TEA)];
    await turns();
    expect(one.count('work')).toBe(0);
    gate.resolve();
    await turns();
    expect(statusesOf([...(await blocked), ...(await Promise.all(others))])).toEqual(
      Array(4).fill('committed'),
    );
    expect(one.contents).toMatchObject({ tea: 4 });
    expect(await shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)])).toHaveLength(2);
    expect(one.works).toHaveLength(1);
    expect([one.isIdle, two.isIdle]).toEqual([true, true]);
  });

  it('are refused by a participant that is paused, and no group is made for it', async () => {
    const { shop, one, transactions, runtime } = shopOf();
    const outcomes = await shop.behind(() => {
      const started = [shop.run(MORE_TEA), shop.run(MORE_TEA)];
      runtime.parts.participants.pause('one', { since: 0, by: 'anna', reason: 'test' });
      return started;
    });
    for (const outcome of outcomes) expect(outcome).toMatchObject({ code: 'PARTICIPANT_PAUSED' });
    expect(one.count('work')).toBe(0);
    expect(transactions.list()).toHaveLength(3);
  });
});

describe('a member that its caller or its deadline ends', () => {
  it('is never worked for if it still waits', async () => {
    const { shop, one } = shopOf();
    const controller = new AbortController();
    const outcomes = await shop.behind(() => {
      const started = [
        shop.run(MORE_TEA, { signal: controller.signal }),
        shop.run(MORE_TEA),
        shop.run(MORE_TEA),
      ];
      controller.abort();
      return started;
    });
    expect(outcomes[0]).toMatchObject({ status: 'aborted', cause: 'cancelled' });
    expect(one.works).toEqual([outcomes.slice(1).map(({ transactionId }) => transactionId)]);
  });

  it('leaves its group if the group is not being prepared, and the others run without it', async () => {
    const { shop, one, two, log } = shopOf();
    const controller = new AbortController();
    at(two, 'work', 1, () => controller.abort());
    const outcomes = await shop.behind(() => [
      shop.run(MORE_TEA, { signal: controller.signal }),
      shop.run(MORE_TEA),
      shop.run(MORE_TEA),
    ]);
    expect(statusesOf(outcomes)).toEqual(['aborted', 'committed', 'committed']);
    expect(one.works.map(({ length }) => length)).toEqual([3, 2]);
    expect(log.appended[1]?.members).toHaveLength(2);
    expect(one.contents).toMatchObject({ tea: 2 });
    expect([one.isIdle, two.isIdle]).toEqual([true, true]);
  });

  it('has the outcome of its group once the group is being prepared', async () => {
    const { shop, one, transactions } = shopOf();
    const controller = new AbortController();
    at(one, 'work', 1, () => at(one, 'prepare', 1, () => controller.abort()));
    const outcomes = await shop.behind(() => [
      shop.run(MORE_TEA, { signal: controller.signal }),
      shop.run(MORE_TEA),
    ]);
    expect(statusesOf(outcomes)).toEqual(['committed', 'committed']);
    expect(transactions.find(outcomes[0]!.transactionId)?.state).toBe('COMMITTED');
  });

  it('is committed with its group when its caller cancels after the decision', async () => {
    const { shop, one, two } = shopOf();
    const controller = new AbortController();
    at(one, 'commit', 2, () => controller.abort());
    const outcomes = await shop.behind(() => [
      shop.run(MORE_TEA, { signal: controller.signal }),
      shop.run(MORE_TEA),
    ]);
    expect(statusesOf(outcomes)).toEqual(['committed', 'committed']);
    for (const stock of [one, two]) expect(stock.contents).toEqual({ blocker: 1, tea: 2 });
    expect([one.count('rollback'), two.count('rollback')]).toEqual([0, 0]);
  });

  it('is told pending at its deadline, if the group is being prepared', async () => {
    const { shop, one, transactions, clock } = shopOf();
    const gate = Promise.withResolvers<void>();
    at(one, 'work', 1, () => at(one, 'prepare', 1, () => gate.promise));
    const started: Promise<unknown>[] = [];
    const blocked = shop.behind(() => {
      const members = [shop.run(MORE_TEA, { timeoutMs: 500 }), shop.run(MORE_TEA)];
      started.push(...members);
      return members;
    });
    await turns();
    await clock.advance(600);
    const early = await started[0];
    expect(early).toMatchObject({ status: 'pending', decision: 'unknown' });
    gate.resolve();
    const [first, second] = await blocked;
    expect(second!.status).toBe('committed');
    expect(transactions.find(first!.transactionId)?.state).toBe('COMMITTED');
    expect(one.contents).toMatchObject({ tea: 2 });
  });

  it('is aborted at its deadline, if the group still works', async () => {
    const { shop, one, clock } = shopOf();
    const gate = Promise.withResolvers<void>();
    at(one, 'work', 1, () => gate.promise);
    const blocked = shop.behind(() => [shop.run(MORE_TEA, { timeoutMs: 500 }), shop.run(MORE_TEA)]);
    await turns();
    await clock.advance(600);
    gate.resolve();
    const [first, second] = await blocked;
    expect(first).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(second!.status).toBe('committed');
    expect(one.contents).toMatchObject({ tea: 1 });
  });

  it('is aborted when its group has worked beyond its deadline, though no sweep has noticed', async () => {
    const { shop, one, clock } = shopOf();
    at(one, 'work', 1, () => {
      // A sweep comes only with advance().
      const late = clock.now() + 600;
      clock.now = () => late;
    });
    const outcomes = await shop.behind(() => [shop.run(MORE_TEA, { timeoutMs: 500 }), shop.run(MORE_TEA)]);
    expect(outcomes[0]).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(outcomes[1]!.status).toBe('committed');
    expect(one.contents).toMatchObject({ tea: 1 });
  });

  it('can be attached to by no other code', async () => {
    const { shop, one, transactions } = shopOf();
    const seen: unknown[] = [];
    const runGroup = one.runGroup.bind(one);
    one.runGroup = (group, members) => {
      seen.push(...members.map(({ transactionId }) => transactions.attach(transactionId)));
      return runGroup(group, members);
    };
    await shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    expect(seen).toEqual([undefined, undefined]);
  });
});
