import { describe, expect, it } from 'vitest';
import { Shop, turns } from './shop.fixture.js';
import { Stock, type StockCall } from './stock.fixture.js';

const TEA = { take: { tea: 1 } };
const MILK = { take: { milk: 1 } };
const MORE_TEA = { take: { tea: -1 } };

function shopOf(items: Readonly<Record<string, number>> = {}) {
  const one = new Stock(new Map(Object.entries(items)), true);
  const two = new Stock(new Map(Object.entries(items)), true);
  const shop = new Shop({ one, two });
  return { one, two, shop, clock: shop.coordinator.clock };
}

/** Calls back at the so manyth call of a step. */
function at(stock: Stock, step: StockCall['step'], number: number, act: () => unknown): void {
  let count = 0;
  stock.before = (call) => (call.step === step && ++count === number ? act() : undefined);
}

const statusesOf = (outcomes: readonly { readonly status: string }[]): string[] =>
  outcomes.map(({ status }) => status);

const trialsOf = (stock: Stock): (readonly string[])[] =>
  stock.calls.flatMap(({ trials = [] }) => (trials.length > 0 ? [trials] : []));

/** Takes what is not there at one stock: the other has done its work then. */
const NOT_THERE = { one: MILK, two: MORE_TEA };

describe('a member that is refused behind another, whose work is undone and has another effect then', () => {
  it.each([true, false])(
    'is not refused for it (participants can change what is open: %s)',
    async (reruns) => {
      const stock = new Stock(new Map([['tea', 1]]), reruns);
      stock.whenUndone = (items) => {
        // It has waited for the first member, which gets the item behind it now.
        if (items.get('tea') === 1) items.set('tea', 100);
      };
      const shop = new Shop({ stock });
      const outcomes = await shop.behind(() => [shop.run(TEA), shop.run(TEA)]);
      expect(statusesOf(outcomes)).toEqual(['committed', 'committed']);
      expect(stock.contents).toEqual({ blocker: 1, tea: 98 });
    },
  );
});

describe('a group whose participants can change what is open', () => {
  it('is not discarded, and refuses all in the run that is prepared', async () => {
    const { shop, one, two } = shopOf();
    const outcomes = await shop.behind(() => [
      shop.run(MORE_TEA),
      shop.run(NOT_THERE),
      shop.run(MORE_TEA),
      shop.run({ one: MORE_TEA, two: MILK }),
      shop.run({ one: MILK, two: {} }),
    ]);
    expect(statusesOf(outcomes)).toEqual(['committed', 'aborted', 'committed', 'aborted', 'aborted']);
    const [first, second, third, fourth, fifth] = outcomes.map(({ transactionId }) => transactionId);
    expect(one.works.slice(1)).toEqual([[first, third]]);
    const trials = [[second, fourth, fifth]];
    expect([trialsOf(one), trialsOf(two)]).toEqual([trials, trials]);
    expect([one.count('discard'), one.count('prepare'), one.count('rollback')]).toEqual([0, 2, 0]);
    expect([one.contents, two.contents]).toEqual([
      { blocker: 1, tea: 2 },
      { blocker: 1, tea: 2 },
    ]);
  });

  it('tries one that was refused because of another behind those that stay, and takes it into the next group', async () => {
    const { shop, one } = shopOf({ milk: 1 });
    const outcomes = await shop.behind(() => [
      // It has taken the milk at one stock, and is refused at the other.
      shop.run({ one: MILK, two: { take: { milk: 2 } } }),
      shop.run({ one: MILK, two: {} }),
      shop.run(MORE_TEA),
    ]);
    expect(statusesOf(outcomes)).toEqual(['aborted', 'committed', 'committed']);
    expect(trialsOf(one)).toEqual([[outcomes[1]!.transactionId]]);
    expect(one.contents).toEqual({ blocker: 1, milk: 0, tea: 1 });
  });

  it('tries again where a member has left whose work the tried one has seen', async () => {
    const { shop, one, two } = shopOf({ tea: 1 });
    const controller = new AbortController();
    at(two, 'work', 2, () => controller.abort());
    const outcomes = await shop.behind(() => [
      shop.run(TEA, { signal: controller.signal }),
      shop.run({ take: { milk: 1 } }),
      shop.run(TEA),
      shop.run(MORE_TEA),
    ]);
    expect(statusesOf(outcomes)).toEqual(['aborted', 'aborted', 'committed', 'committed']);
    expect(outcomes[0]).toMatchObject({ cause: 'cancelled' });
    const tried = [outcomes[1]!.transactionId, outcomes[2]!.transactionId];
    expect(trialsOf(one)).toEqual([tried, tried]);
    expect(one.contents).toEqual({ blocker: 1, tea: 1 });
  });

  it('lets none run on its own before its work is undone at each participant', async () => {
    const { shop, one, two } = shopOf();
    const gate = Promise.withResolvers<void>();
    at(two, 'work', 2, () => gate.promise);
    const alone = { ...MORE_TEA, alone: true };
    const started = shop.behind(() => [
      shop.run({ one: alone, two: MORE_TEA }),
      shop.run(MORE_TEA),
      shop.run(MORE_TEA),
    ]);
    await turns();
    expect(one.works.length).toBe(2);
    // The blocker, and none of those that were in the group.
    expect(one.count('prepare')).toBe(1);
    gate.resolve();
    expect(statusesOf(await started)).toEqual(['committed', 'committed', 'committed']);
    expect(two.contents).toEqual({ blocker: 1, tea: 3 });
  });

  it('tells the first one at once, and ends it when its work is undone', async () => {
    const { shop, one, two } = shopOf();
    const gate = Promise.withResolvers<void>();
    at(two, 'work', 2, () => gate.promise);
    const told: string[] = [];
    const started = shop.behind(() => [
      shop.run(NOT_THERE).then((outcome) => {
        told.push(outcome.transactionId);
        return outcome;
      }),
      shop.run(MORE_TEA),
      shop.run(MORE_TEA),
    ]);
    await turns();
    expect(told.length).toBe(1);
    const { registry } = shop.coordinator.runtime;
    expect(registry.find(told[0]!)).toMatchObject({ endedAt: 0 });
    gate.resolve();
    expect(statusesOf(await started)).toEqual(['aborted', 'committed', 'committed']);
    expect(registry.find(told[0]!)?.endedAt).not.toBe(0);
    expect(one.contents).toEqual({ blocker: 1, tea: 2 });
  });

  it('runs all on their own when the work cannot be changed', async () => {
    const { shop, one, two } = shopOf();
    at(one, 'work', 2, () => {
      throw new Error('the connection is lost');
    });
    const outcomes = await shop.behind(() => [
      shop.run(MORE_TEA),
      shop.run(NOT_THERE),
      shop.run(MORE_TEA),
      shop.run({ one: MORE_TEA, two: MILK }),
    ]);
    expect(statusesOf(outcomes)).toEqual(['committed', 'aborted', 'committed', 'aborted']);
    expect([one.contents, two.contents]).toEqual([
      { blocker: 1, tea: 2 },
      { blocker: 1, tea: 2 },
    ]);
    expect([one.isIdle, two.isIdle, shop.coordinator.runtime.registry.inFlight]).toEqual([true, true, 0]);
  });

  it('does not keep a refusal that was found behind members that do not commit', async () => {
    const { shop, one, two, clock } = shopOf({ tea: 1 });
    const controller = new AbortController();
    at(two, 'prepare', 2, () => {
      controller.abort();
      throw new Error('the connection is lost');
    });
    const started = shop.behind(() => [
      shop.run(TEA, { signal: controller.signal }),
      shop.run(MILK),
      // Refused behind the first one, whose caller does not wait any longer when the group is aborted.
      shop.run(TEA),
    ]);
    await clock.advance(10_000);
    const outcomes = await started;
    expect(statusesOf(outcomes)).toEqual(['aborted', 'aborted', 'committed']);
    expect(trialsOf(one)).toEqual([[outcomes[1]!.transactionId, outcomes[2]!.transactionId]]);
    expect(one.contents).toEqual({ blocker: 1, tea: 0 });
  });

  it('forgets none that its deadline ends while it is tried', async () => {
    const { shop, two, clock } = shopOf();
    const gate = Promise.withResolvers<void>();
    at(two, 'work', 2, () => gate.promise);
    const started = shop.behind(() => [
      shop.run(MORE_TEA),
      shop.run(MILK),
      shop.run(MILK, { timeoutMs: 100 }),
    ]);
    await turns();
    await clock.advance(150);
    gate.resolve();
    const outcomes = await started;
    expect(outcomes[2]).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(shop.coordinator.runtime.registry.inFlight).toBe(0);
  });
});
