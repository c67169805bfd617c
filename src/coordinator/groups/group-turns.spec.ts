import { describe, expect, it } from 'vitest';
import type { GroupBranch, GroupMember, MemberVote } from '../participant/group.js';
import { Shop, turns } from './shop.fixture.js';
import { Stock, type Take } from './stock.fixture.js';

const MORE_TEA = { take: { tea: -1 } };

/** At which a group of another coordinator is at work, as often as is said. */
class BusyStock extends Stock {
  /** Whether each call waits. */
  readonly asked: boolean[] = [];

  constructor(
    private readonly name: string,
    private readonly order: string[],
    private times: number,
  ) {
    super();
  }

  override async runGroup(group: GroupBranch, members: readonly GroupMember<Take>[]): Promise<MemberVote[]> {
    this.asked.push(group.waits === true);
    if (this.times-- > 0) return 'busy' as never;
    const votes = await super.runGroup(group, members);
    this.order.push(this.name);
    return votes;
  }
}

function shopOf(busy: { readonly b?: number; readonly a?: number }) {
  const order: string[] = [];
  // They are registered in this order.
  const stocks = { b: new BusyStock('b', order, busy.b ?? 0), a: new BusyStock('a', order, busy.a ?? 0) };
  return { shop: new Shop(stocks), order, ...stocks };
}

describe('a group that finds one of another coordinator at work', () => {
  it('begins again as one group, and waits at each participant in the order of their names', async () => {
    const { shop, a, b, order } = shopOf({ b: 1 });
    const outcomes = await shop.behind(() => [1, 2, 3].map(() => shop.run(MORE_TEA)));
    expect(outcomes.map(({ status }) => status)).toEqual(['committed', 'committed', 'committed']);
    expect([a.asked, b.asked]).toEqual([
      [false, true],
      [false, true],
    ]);
    expect(order.slice(-2)).toEqual(['a', 'b']);
    expect([a.contents, b.contents]).toEqual([
      { blocker: 1, tea: 3 },
      { blocker: 1, tea: 3 },
    ]);
    expect(shop.log.appended.map(({ members }) => members?.length)).toEqual([undefined, 3]);
  });

  it('asks no other participant while one is busy, and runs on its own if that takes too long', async () => {
    const { shop, a, b } = shopOf({ a: 2 });
    const outcomes = await shop.behind(() => [1, 2].map(() => shop.run(MORE_TEA)));
    expect(outcomes.map(({ status }) => status)).toEqual(['committed', 'committed']);
    expect([a.asked, b.asked]).toEqual([[false, true], [false]]);
    expect(a.contents).toEqual({ blocker: 1, tea: 2 });
    expect(shop.log.appended.every(({ members }) => members === undefined)).toBe(true);
    expect(shop.coordinator.runtime.registry.inFlight).toBe(0);
  });

  it('asks no other participant once it is rolled back', async () => {
    const { shop, a, b } = shopOf({ b: 1 });
    const { registry, executor } = shop.coordinator.runtime;
    let rolledBack = 0;
    a.after = async ({ step, id }) => {
      if (step !== 'work' || a.asked.length !== 2) return;
      executor.rollbackRequested(registry.find(id)!, 'operator');
      // The rollback is acknowledged before this is answered.
      await turns(20);
      rolledBack = b.calls.filter((call) => call.step === 'rollback' && call.id === id).length;
    };
    const outcomes = await shop.behind(() => [1, 2, 3].map(() => shop.run(MORE_TEA)));
    expect(outcomes.map(({ status }) => status)).toEqual(['committed', 'committed', 'committed']);
    await turns(40);
    expect(rolledBack).toBe(1);
    expect([a.asked, b.asked]).toEqual([[false, true], [false]]);
    expect([a.isIdle, b.isIdle]).toEqual([true, true]);
  });

  it('lets a member go that its caller cancels while it waits', async () => {
    const { shop, a } = shopOf({ a: 1 });
    const controller = new AbortController();
    const started = shop.behind(() => [
      shop.run(MORE_TEA, { signal: controller.signal }),
      shop.run(MORE_TEA),
      shop.run(MORE_TEA),
    ]);
    a.before = ({ step }) => (step === 'rollback' ? controller.abort() : undefined);
    const outcomes = await started;
    expect(outcomes.map(({ status }) => status)).toEqual(['aborted', 'committed', 'committed']);
    expect(a.contents).toEqual({ blocker: 1, tea: 2 });
  });
});
