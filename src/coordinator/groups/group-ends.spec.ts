import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import { branch } from '../participant/branch-request.js';
import { HeuristicError } from '../participant/participant.js';
import type { Outcome } from '../outcome.js';
import type { TestCoordinatorOptions } from '../testing/index.js';
import { Shop, turns } from './shop.fixture.js';
import { Stock, type StockCall } from './stock.fixture.js';

const MORE_TEA = { take: { tea: -1 } };
const NOTHING = { take: {} };

function shopOf(options: TestCoordinatorOptions = {}) {
  const [one, two] = [new Stock(), new Stock()];
  const shop = new Shop({ one, two }, undefined, options);
  const { transactions, runtime, clock, recover } = shop.coordinator;
  return { one, two, shop, log: shop.log, transactions, runtime, clock, recover };
}

/** Makes the calls of a step for a group, and not for a transaction that runs on its own, do something. */
function ofGroup(stock: Stock, step: StockCall['step'], act: () => unknown): void {
  const groups = new Set<string>();
  stock.before = (call) => {
    if (call.step === 'work') groups.add(call.id);
    return call.step === step && groups.has(call.id) ? act() : undefined;
  };
}

/** Answers the prepare of a group with a yes that comes late, although its rollback has come before. */
function lateYes(stock: Stock, comes: Promise<void>): void {
  const prepare = stock.prepare.bind(stock);
  stock.prepare = async (branch) => {
    const isGroup = stock.calls.some(({ step, id }) => step === 'work' && id === branch.transactionId);
    if (!isGroup) return prepare(branch);
    await comes;
    return 'commit';
  };
}

const fail = (): never => {
  throw new Error('the connection is lost');
};

describe('a group that is prepared', () => {
  it.each([
    ['throws', fail],
    ['has not answered in time', () => new Promise(() => {})],
  ])(
    'and whose participant %s is rolled back, and its members run again on their own',
    async (_case, act) => {
      const { shop, one, two, clock, runtime } = shopOf();
      ofGroup(two, 'prepare', act);
      const blocked = shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
      await turns();
      for (let step = 0; step < 20; step++) {
        await clock.advance(200);
        await turns(5);
      }
      // A participant that has not answered may still be at work, so nothing is run again for it: the callers
      // know at most.
      const outcomes = await blocked;
      const committed = outcomes.filter(({ status }) => status === 'committed').length;
      expect(outcomes.every(({ status }) => status === 'committed' || status === 'aborted')).toBe(true);
      expect(committed).toBe(act === fail ? 2 : 0);
      expect(one.contents).toEqual({ blocker: 1, ...(committed > 0 && { tea: committed }) });
      expect([one.isIdle, two.isIdle]).toEqual([true, true]);
      expect(runtime.reruns.count).toBe(committed);
      // A prepare that is never answered keeps no member in flight.
      expect(runtime.registry.inFlight).toBe(0);
    },
  );

  it('and whose participant answers after its time is up has its members run again after that answer', async () => {
    const { shop, one, two, clock, runtime } = shopOf();
    const gate = Promise.withResolvers<void>();
    ofGroup(two, 'prepare', () => gate.promise);
    const blocked = shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    await turns();
    await clock.advance(2_100);
    await turns();
    expect([one.count('prepare'), runtime.registry.inFlight]).toEqual([2, 2]);
    gate.resolve();
    await turns();
    await clock.advance(600);
    await turns();
    expect((await blocked).map(({ status }) => status)).toEqual(['committed', 'committed']);
    expect(one.contents).toEqual({ blocker: 1, tea: 2 });
    expect([one.isIdle, two.isIdle, runtime.registry.inFlight]).toEqual([true, true, 0]);
  });

  it('hands a report that comes after a late answer to the members that have ended before', async () => {
    const { shop, two, clock, runtime, transactions } = shopOf();
    const gate = Promise.withResolvers<void>();
    lateYes(two, gate.promise);
    const blocked = shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    await turns();
    await clock.advance(4_000);
    const outcomes = await blocked;
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'aborted' });
    expect(runtime.registry.unsettled.size).toBe(0);
    two.before = ({ step }) => {
      if (step === 'rollback') throw new HeuristicError('commit', 'an operator has committed it');
    };
    gate.resolve();
    await turns();
    for (const { transactionId } of outcomes) {
      expect(transactions.find(transactionId)).toMatchObject({
        state: 'ABORTED',
        branches: [{ heuristic: null }, { heuristic: { kind: 'commit' } }],
      });
      expect(transactions.forget(transactionId)).toBe(true);
    }
    // The group has its own report.
    expect([runtime.registry.unsettled.size, runtime.registry.inFlight]).toEqual([1, 0]);
  });

  it('waits for the rollback after a late answer before its members run again, whatever is swept meanwhile', async () => {
    const { shop, two, clock, runtime } = shopOf();
    const [vote, rollback] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    lateYes(two, vote.promise);
    const blocked = shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    await turns();
    await clock.advance(2_100);
    await turns();
    two.before = ({ step }) => (step === 'rollback' ? rollback.promise : undefined);
    vote.resolve();
    await turns();
    await clock.advance(600);
    await turns();
    expect(runtime.reruns.count).toBe(0);
    rollback.resolve();
    await turns();
    await clock.advance(600);
    await turns();
    expect((await blocked).map(({ status }) => status)).toEqual(['committed', 'committed']);
    expect([runtime.registry.inFlight, runtime.registry.unsettled.size]).toEqual([0, 0]);
  });

  it('frees the key of a request whose group a participant never answers', async () => {
    const { shop, two, clock } = shopOf();
    ofGroup(two, 'prepare', () => new Promise(() => {}));
    const keyed = { key: 'k', fingerprint: 'f' };
    const blocked = shop.behind(() => [shop.run(MORE_TEA, keyed), shop.run(MORE_TEA)]);
    await turns();
    await clock.advance(4_000);
    expect((await blocked)[0]).toMatchObject({ status: 'aborted' });
    two.before = () => {};
    expect(await shop.run(MORE_TEA, keyed)).toMatchObject({ status: 'committed' });
  });

  it('and whose participant does not answer in time lets others run outside groups at once', async () => {
    const { shop, one, two, clock } = shopOf();
    ofGroup(two, 'prepare', () => new Promise(() => {}));
    const blocked = shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    await turns();
    const answers = Promise.withResolvers<void>();
    const prepared = two.before;
    two.before = (call) => (call.step === 'rollback' ? answers.promise : prepared(call));
    const waiting = shop.run({ take: { cup: -1 } });
    await turns();
    const before = one.count('prepare');
    await clock.advance(2_100);
    await turns();
    // The rollback has no answer yet.
    expect(one.calls.filter(({ step }) => step === 'prepare').length).toBe(before + 1);
    answers.resolve();
    await turns();
    await clock.advance(2_000);
    expect((await waiting).status).toBe('committed');
    await blocked;
  });

  it('is not run again when its decision is proven not to be in the log', async () => {
    const { shop, one, log } = shopOf();
    log.before = ({ members }) => {
      if (members !== undefined) fail();
    };
    const outcomes = await shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ status: 'aborted', cause: 'not-recorded' });
    expect(one.contents).toEqual({ blocker: 1 });
    expect(one.isIdle).toBe(true);
  });

  it('commits its members when its record is found in the log after an error', async () => {
    const { shop, one, log } = shopOf();
    log.before = (record) => {
      if (record.members === undefined) return;
      log.records.set(record.id, record);
      fail();
    };
    const outcomes = await shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    for (const outcome of outcomes) expect(outcome.status).toBe('committed');
    expect(one.contents).toMatchObject({ tea: 2 });
  });

  it('answers no member before its decision is durable, also none that has changed nothing', async () => {
    const { shop, log, one } = shopOf();
    const gate = Promise.withResolvers<void>();
    log.before = ({ members }) => (members === undefined ? undefined : gate.promise);
    const told: Outcome[] = [];
    const blocked = shop.behind(() =>
      [MORE_TEA, NOTHING].map((take) => shop.run(take).then((outcome) => (told.push(outcome), outcome))),
    );
    await turns();
    expect([one.count('prepare'), told]).toEqual([2, []]);
    gate.resolve();
    const outcomes = await blocked;
    expect(outcomes.map(({ status }) => status)).toEqual(['committed', 'committed']);
  });

  it('needs no record when none of its members has changed anything', async () => {
    const { shop, one, two, log } = shopOf();
    for (const stock of [one, two]) {
      const prepare = stock.prepare.bind(stock);
      stock.prepare = async (branch) => {
        const vote = await prepare(branch);
        const isWork = stock.calls.some(({ step, id }) => step === 'work' && id === branch.transactionId);
        if (!isWork) return vote;
        await stock.rollback(branch);
        return 'read-only';
      };
    }
    const outcomes = await shop.behind(() => [shop.run(NOTHING), shop.run(NOTHING)]);
    expect(outcomes.map(({ status }) => status)).toEqual(['committed', 'committed']);
    expect(log.appended).toHaveLength(1);
  });

  it('is committed once by recovery after it has stalled, and its members hear pending until then', async () => {
    const { shop, one, two, transactions, clock, recover, runtime } = shopOf({ completionWaitMs: 300 });
    let isDown = true;
    ofGroup(two, 'commit', () => isDown && fail());
    const blocked = shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    await turns();
    await clock.advance(30_000, 100);
    const outcomes = await blocked;
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'pending', decision: 'commit' });
    // They give their places in flight to others, and so do the participants.
    expect([runtime.registry.inFlight, one.isIdle]).toEqual([0, true]);
    isDown = false;
    await recover();
    await turns();
    for (const { transactionId } of outcomes)
      expect(transactions.find(transactionId)?.state).toBe('COMMITTED');
    expect([one.contents, two.contents]).toEqual([
      { blocker: 1, tea: 2 },
      { blocker: 1, tea: 2 },
    ]);
    expect([one.isIdle, two.isIdle, runtime.registry.unsettled.size]).toEqual([true, true, 0]);
  });

  it('keeps no member in flight that its deadline ends after the rollback of the group has stalled', async () => {
    const { shop, one, two, transactions, clock, recover, runtime } = shopOf();
    let isDown = true;
    ofGroup(one, 'rollback', () => isDown && fail());
    two.runGroup = () => Promise.reject(new Error('the connection is lost'));
    const rest = { timeoutMs: 60_000 };
    const blocked = shop.behind(() => [shop.run(MORE_TEA, rest), shop.run(MORE_TEA, rest)]);
    await turns();
    await clock.advance(30_000, 100);
    const group = transactions.list().find(({ name }) => name === 'group')!;
    expect([group.state, group.stalled, runtime.registry.inFlight]).toEqual(['ABORTING', true, 2]);
    await clock.advance(31_000, 100);
    for (const outcome of await blocked)
      expect(outcome).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(runtime.registry.inFlight).toBe(0);
    isDown = false;
    await recover();
    await turns();
    expect([one.contents, one.isIdle, runtime.registry.unsettled.size]).toEqual([{ blocker: 1 }, true, 0]);
  });

  it('lets no caller wait for its completion longer than for that of any other transaction', async () => {
    const { shop, two, clock } = shopOf({ completionWaitMs: 300 });
    ofGroup(two, 'commit', () => new Promise(() => {}));
    const blocked = shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    let heard: readonly Outcome[] | undefined;
    void blocked.then((outcomes) => (heard = outcomes));
    await turns();
    await clock.advance(250);
    await turns();
    expect(heard).toBeUndefined();
    await clock.advance(100);
    await turns();
    expect(heard).toMatchObject([
      { status: 'pending', decision: 'commit' },
      { status: 'pending', decision: 'commit' },
    ]);
  });

  it('has its members run again in the context of their callers', async () => {
    const { shop, one, two } = shopOf();
    const caller = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    ofGroup(two, 'prepare', fail);
    const runAs = (name: string) => caller.run(name, () => shop.run(MORE_TEA));
    const blocked = shop.behind(() => {
      one.before = ({ step }) => void (step === 'prepare' && seen.push(caller.getStore()));
      return [runAs('first'), runAs('second')];
    });
    await turns();
    for (let step = 0; step < 20; step++) {
      await shop.coordinator.clock.advance(200);
      await turns(5);
    }
    expect((await blocked).map(({ status }) => status)).toEqual(['committed', 'committed']);
    expect(seen.filter((name) => name !== undefined).toSorted()).toEqual(['first', 'second']);
  });

  it('lets others be grouped at a participant that has acknowledged while another one hangs', async () => {
    const [one, two, three] = [new Stock(), new Stock(), new Stock()];
    const { coordinator } = new Shop({ one, two, three });
    const run = (...names: string[]) =>
      coordinator.transactions.run({
        branches: names.map((name) => branch(name, MORE_TEA)),
      });
    two.before = ({ step }) => (step === 'commit' ? new Promise(() => {}) : undefined);
    void run('one', 'two');
    await turns();
    const gate = Promise.withResolvers<void>();
    three.before = ({ step }) => (step === 'prepare' ? gate.promise : undefined);
    const first = run('one', 'three');
    await turns();
    const others = [run('one', 'three'), run('one', 'three')];
    gate.resolve();
    for (const { status } of await Promise.all([first, ...others])) expect(status).toBe('committed');
    expect(one.works).toHaveLength(1);
  });

  it('hands a heuristic end to every member, which keeps it until it is forgotten', async () => {
    const { shop, two, transactions, runtime } = shopOf();
    ofGroup(two, 'commit', () => {
      throw new HeuristicError('rollback', 'an operator has rolled it back');
    });
    const outcomes = await shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: 'heuristic',
        decision: 'commit',
        heuristic: 'mixed',
        reports: [{ participant: 'two', kind: 'rollback' }],
      });
    }
    expect(runtime.registry.unsettled.size).toBe(3);
    for (const { transactionId } of outcomes) expect(transactions.forget(transactionId)).toBe(true);
    expect(runtime.registry.unsettled.size).toBe(1);
  });

  it('does not run its members again when a rollback has reported a commit', async () => {
    const { shop, one, two, clock, runtime } = shopOf();
    ofGroup(two, 'prepare', fail);
    ofGroup(one, 'rollback', () => {
      throw new HeuristicError('commit', 'an operator has committed it');
    });
    const blocked = shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    await turns();
    await clock.advance(3_000);
    for (const outcome of await blocked)
      expect(outcome).toMatchObject({ status: 'heuristic', decision: 'abort' });
    expect(runtime.reruns.count).toBe(0);
  });

  it('ends with its members when the coordinator was fenced before the decision was sent', async () => {
    const { shop, one, two, runtime } = shopOf();
    const gate = Promise.withResolvers<void>();
    ofGroup(two, 'prepare', () => gate.promise);
    const blocked = shop.behind(() => {
      const started = [shop.run(MORE_TEA), shop.run(MORE_TEA)];
      return started;
    });
    await turns();
    const waiting = shop.run(MORE_TEA);
    await turns();
    runtime.reruns.close();
    await runtime.executor.abandon();
    gate.resolve();
    for (const outcome of [...(await blocked), await waiting]) {
      expect(outcome).toMatchObject({ status: 'aborted', cause: 'not-recorded' });
    }
    expect(one.contents).toEqual({ blocker: 1 });
    await turns();
    expect([one.isIdle, two.isIdle, runtime.registry.inFlight]).toEqual([true, true, 0]);
  });

  it('follows the log after a fence, and its members follow it', async () => {
    const { shop, one, log, runtime, transactions } = shopOf();
    log.before = ({ members }) => (members === undefined ? undefined : new Promise(() => {}));
    const asked: string[] = [];
    log.lookUp = (id) => {
      asked.push(id);
      return Promise.resolve('fenced' as never);
    };
    const blocked = shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    await turns();
    await runtime.executor.abandon();
    await turns();
    const group = transactions.list().find(({ name }) => name === 'group')!;
    expect(new Set(asked)).toEqual(new Set([group.transactionId]));
    await shop.coordinator.clock.advance(5_100);
    const outcomes = await blocked;
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    runtime.executor.foundOut(runtime.registry.find(group.transactionId)!, true);
    await turns();
    for (const { transactionId } of outcomes)
      expect(transactions.find(transactionId)?.state).toBe('COMMITTED');
    expect(one.contents).toMatchObject({ tea: 2 });
  });
});

describe('what is shown of a group', () => {
  it('is its id, its size and its runs, at each member and at the group', async () => {
    const { shop, transactions } = shopOf();
    const outcomes = await shop.behind(() => [
      shop.run(MORE_TEA),
      shop.run({ take: { milk: 1 } }),
      shop.run(MORE_TEA),
    ]);
    const group = transactions.list().find(({ name }) => name === 'group')!;
    const shown = { id: group.transactionId, size: 2, runs: 2 };
    expect(group.group).toEqual(shown);
    const view = transactions.find(outcomes[0]!.transactionId);
    expect(view?.group).toEqual(shown);
    expect(view?.timeline).toContainEqual(
      expect.objectContaining({
        event: 'grouped',
        detail: `member of the group ${shown.id}: 2 members, run 2`,
      }),
    );
    expect(
      transactions.list().find(({ transactionId }) => transactionId === outcomes[1]!.transactionId),
    ).not.toHaveProperty('group');
  });

  it('keeps nothing of its callers after its end', async () => {
    const { shop, runtime } = shopOf();
    const outcomes = await shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
    await turns();
    for (const { transactionId } of outcomes) {
      const record = runtime.registry.find(transactionId)!;
      expect(record.executor).toBe(runtime.executor);
      expect(record.branches.map(({ payload }) => payload)).toEqual([undefined, undefined]);
    }
  });
});

describe('the capacity of a database server', () => {
  it('is used by a group as by one transaction', async () => {
    const [one, two] = [new Stock(), new Stock()];
    for (const stock of [one, two]) {
      Object.assign(stock, {
        capacity: () => ({
          server: 'db',
          preparedTransactions: 2,
          preparedTransactionsInUse: 0,
          connections: 20,
          connectionsInUse: 0,
          workConnections: 5,
          ownConnections: 5,
        }),
      });
    }
    const shop = new Shop({ one, two });
    await turns();
    expect(shop.coordinator.runtime.limits.isActive).toBe(true);
    const outcomes = await shop.behind(() => Array.from({ length: 20 }, () => shop.run(MORE_TEA)));
    expect(outcomes.filter(({ status }) => status === 'committed')).toHaveLength(20);
    expect(one.works).toHaveLength(1);
    await turns();
    for (const { used } of shop.coordinator.runtime.limits.all) expect(used).toBe(0);
  });
});
