import { describe, expect, it } from 'vitest';
import { branch } from '../participant/branch-request.js';
import { Cluster } from '../../../test/support/cluster.js';
import { settled } from '../testing/index.js';
import { OpenLog, Shop, turns } from './shop.fixture.js';
import { Stock } from './stock.fixture.js';

const MORE_TEA = { take: { tea: -1 } };

/** A coordinator that is gone, in the middle of the commit of a group of two: one stock has committed it. */
async function crashed(log = new OpenLog()) {
  const [one, two] = [new Stock(), new Stock()];
  const first = new Shop({ one, two }, log);
  const ids: string[] = [];
  const runs = one.runGroup.bind(one);
  one.runGroup = (group, members) => {
    ids.push(...members.map(({ transactionId }) => transactionId));
    two.before = ({ step }) => (step === 'commit' ? new Promise(() => {}) : undefined);
    return runs(group, members);
  };
  void first.behind(() => [first.run(MORE_TEA), first.run(MORE_TEA)]);
  await turns(60);
  one.runGroup = runs;
  two.before = () => {};
  const [group] = log.records.keys();
  return { one, two, log, ids, group: group!, first };
}

describe('a group whose coordinator has crashed', () => {
  it('is committed by the next start, and so is each of its members', async () => {
    const { one, two, log, ids, group } = await crashed();
    expect(ids).toHaveLength(2);
    const next = new Shop({ one, two }, log);
    const { transactions, recover } = next.coordinator;
    for (const id of ids) {
      expect(await transactions.outcomeOf(id)).toEqual({ transactionId: id, status: 'committed' });
      expect(await transactions.decisionFor(id)).toBe('commit');
    }
    await recover();
    await turns();
    expect(transactions.find(group)).toMatchObject({ name: 'group', state: 'COMMITTED' });
    expect([one.contents, two.contents]).toEqual([
      { blocker: 1, tea: 2 },
      { blocker: 1, tea: 2 },
    ]);
    expect(log.records.size).toBe(0);
    for (const id of ids) expect(await transactions.decisionFor(id)).toBe('commit');
  });

  it('is known by its members after a second crash, when a part of it was completed', async () => {
    const { one, two, log, ids, group } = await crashed();
    const second = new Shop({ one, two }, log);
    two.before = ({ step }) => {
      if (step === 'commit') throw new Error('the connection is lost');
    };
    await second.coordinator.recover();
    await turns();
    expect(log.records.get(group)?.branches.map(({ completed }) => completed)).toEqual([true, false]);
    two.before = () => {};
    const third = new Shop({ one, two }, log).coordinator;
    for (const id of ids) expect(await third.transactions.decisionFor(id)).toBe('commit');
    await third.recover();
    await turns();
    expect(two.contents).toEqual({ blocker: 1, tea: 2 });
  });

  it('is rolled back if it has no record, and its members are aborted', async () => {
    const log = new OpenLog();
    log.before = ({ members }) => (members === undefined ? undefined : new Promise(() => {}));
    const { one, two, ids } = await crashed(log);
    expect([one.isIdle, two.isIdle]).toEqual([false, false]);
    const { coordinator } = new Shop({ one, two }, log, { orphanSafetyMs: 100 });
    for (let pass = 0; pass < 4; pass++) {
      await coordinator.recover();
      await coordinator.clock.advance(200);
    }
    await turns();
    expect([one.isIdle, two.isIdle, one.contents]).toEqual([true, true, { blocker: 1 }]);
    for (const id of ids) expect(await coordinator.transactions.decisionFor(id)).toBe('abort');
  });
});

describe('a group of one of several members of a coordinator', () => {
  it('writes the outcome of each member into the shared log in one step', async () => {
    const stocks = { one: new Stock(), two: new Stock() };
    const cluster = new Cluster(stocks as never);
    const [a, b] = await cluster.startSteady(2);
    const run = () =>
      a!.coordinator.transactions.run({
        branches: Object.keys(stocks).map((name) => branch(name, MORE_TEA)),
      });
    const gate = Promise.withResolvers<void>();
    stocks.one.before = ({ step }) => (step === 'prepare' ? gate.promise : undefined);
    const first = run();
    for (let turn = 0; turn < 10; turn++) await settled();
    const key = { key: 'order-1', fingerprint: 'tea' };
    const keyed = a!.coordinator.transactions.run({
      ...key,
      branches: Object.keys(stocks).map((name) => branch(name, MORE_TEA)),
    });
    const others = [run(), run()];
    for (let turn = 0; turn < 10; turn++) await settled();
    gate.resolve();
    const outcomes = await Promise.all([first, keyed, ...others]);
    await cluster.advance(200);
    expect(stocks.one.works).toHaveLength(1);
    expect(stocks.one.works[0]).toHaveLength(3);
    for (const { transactionId, status } of outcomes) {
      expect(status).toBe('committed');
      expect(await b!.coordinator.transactions.outcomeOf(transactionId)).toMatchObject({
        status: 'committed',
      });
    }
    const again = await b!.coordinator.transactions.run({
      ...key,
      branches: [branch('one', MORE_TEA)],
    });
    expect(again).toMatchObject({
      status: 'committed',
      transactionId: outcomes[1].transactionId,
      repeated: true,
    });
    expect(stocks.one.contents).toEqual({ tea: 4 });
  });
});
