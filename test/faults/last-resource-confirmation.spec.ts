import { describe, expect, it, vi } from 'vitest';
import {
  type CommitDecision,
  HeuristicError,
  type TransactionSummary,
  branch,
} from '../../src/coordinator/index.js';
import {
  ScriptedLastResource,
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { RestartableLog } from './restartable-log.js';
import { ScriptedLog } from './scripted-log.js';
import { listenTo } from './told.js';

const LIMITS = { prepareTimeoutMs: 100, timeoutMs: 1_000, retryBaseMs: 10, retryCapMs: 10, maxAttempts: 2 };
const SHOP = branch('shop', 'order');
const BRANCHES = [branch('stock', 1), SHOP, branch('books', 2)];

/** A log that takes no commit record for a while, and goes on taking reports. */
class FailingLog extends RestartableLog {
  isFailing = true;
  override progress(decision?: CommitDecision): void {
    if (this.isFailing) throw new Error('no room');
    super.progress(decision);
  }
}

function world(options: TestCoordinatorOptions) {
  const stock = new ScriptedParticipant();
  const books = new ScriptedParticipant();
  const shop = new ScriptedLastResource();
  const all = { participants: { stock, books }, lastResources: { shop } };
  return { stock, books, shop, all, ...createTestCoordinator({ ...LIMITS, ...all, ...options }) };
}

function methodsOf({ calls }: ScriptedParticipant): string[] {
  return calls.map(({ method }) => method);
}

describe('the report of a last resource that ended in part, before a restart', () => {
  async function restartedAfterReport(branches: typeof BRANCHES) {
    const log = new FailingLog();
    const before = world({ log });
    before.shop.commit = () => Promise.reject(new HeuristicError('mixed', 'half of it'));
    before.shop.inquire = () => Promise.resolve('unknown');
    listenTo(before.transactions.run({ branches }));
    await settled();
    log.isFailing = false;
    const [id] = [...log.decisions.keys()] as [string];
    return { ...before, ...createTestCoordinator({ ...LIMITS, ...before.all, log }), id, log };
  }

  it('is its answer: the others commit, and the outcome is mixed until an operator has dealt with it', async () => {
    const { stock, books, transactions, recover, clock, id, log } = await restartedAfterReport(BRANCHES);
    expect([...log.decisions.values()]).toMatchObject([{ decider: { kind: 'branch', branchId: 'shop' } }]);
    expect(transactions.find(id)).toMatchObject({ state: 'READY', stalled: true });
    await recover();
    await clock.advance(50);

    for (const each of [stock, books]) expect(methodsOf(each)).toEqual(['prepare', 'commit']);
    expect(transactions.find(id)).toMatchObject({ state: 'COMMITTED', heuristic: 'mixed' });
    expect([...log.decisions.values()]).toMatchObject([{ decider: { kind: 'log' } }]);
  });

  it.each(['is paused', 'is not registered'])(
    'is its answer also while it %s: it is not called',
    async (what) => {
      const log = new FailingLog();
      const before = world({ log });
      before.shop.commit = () => Promise.reject(new HeuristicError('mixed', 'half of it'));
      before.shop.inquire = () => Promise.resolve('unknown');
      listenTo(before.transactions.run({ branches: BRANCHES }));
      await settled();
      log.isFailing = false;
      const [id] = [...log.decisions.keys()] as [string];
      const lastResources = what === 'is paused' ? before.all.lastResources : {};
      const { transactions, participants, recover, clock } = createTestCoordinator({
        ...LIMITS,
        ...before.all,
        lastResources,
        log,
      });
      if (what === 'is paused') participants.pause('shop', { since: 0, by: 'ann', reason: 'upgrade' });
      await recover();
      await clock.advance(50);

      for (const each of [before.stock, before.books]) expect(methodsOf(each)).toEqual(['prepare', 'commit']);
      expect(transactions.find(id)).toMatchObject({ state: 'COMMITTED', heuristic: 'mixed' });
    },
  );

  it('is its answer also where it is the only branch', async () => {
    const { transactions, recover, clock, id, log } = await restartedAfterReport([SHOP]);
    expect(transactions.find(id)).toMatchObject({ state: 'READY', stalled: true });
    await recover();
    await clock.advance(50);

    expect(transactions.find(id)).toMatchObject({ state: 'COMMITTED', heuristic: 'mixed' });
    expect([...log.decisions.values()]).toMatchObject([{ branches: [{ completed: true }] }]);
  });
});

describe('the confirmation of a last resource that has committed', () => {
  it('gives the first commit of the others their whole time, however long it has taken', async () => {
    const log = new FailingLog();
    const { stock, transactions, clock } = world({ log, completionTimeoutMs: 300 });
    const calledAt: number[] = [];
    const deadlines: number[] = [];
    stock.commit = async ({ deadline }) => {
      calledAt.push(clock.epochMs + clock.now());
      deadlines.push(deadline);
      return new Promise(() => {});
    };
    listenTo(transactions.run({ branches: BRANCHES }));
    await clock.advance(1_000);
    log.isFailing = false;
    for (let waited = 0; calledAt.length === 0 && waited < 10_000; waited += 10) await clock.advance(10);
    const [{ transactionId: id }] = transactions.list() as readonly [TransactionSummary];
    expect(deadlines).toEqual([calledAt[0]! + 300]);
    await clock.advance(280);
    expect(calledAt).toHaveLength(1);
    expect(transactions.find(id)).toMatchObject({ branches: [{ attempts: 1, lastError: null }, {}, {}] });
    await clock.advance(40);
    expect(calledAt).toHaveLength(2);
  });

  it('is the only record of the commit while no other branch has acknowledged it', async () => {
    const log = new FailingLog();
    log.isFailing = false;
    const { stock, books, transactions, clock } = world({ log });
    stock.script = books.script = { commit: 'throw' };
    const written = vi.spyOn(log, 'progress');
    listenTo(transactions.run({ branches: BRANCHES }));
    await clock.advance(200);
    const [{ transactionId: id }] = transactions.list() as readonly [TransactionSummary];

    expect(transactions.find(id)).toMatchObject({ branches: [{ stalled: true }, {}, { stalled: true }] });
    expect(written).toHaveBeenCalledTimes(1);
  });
});

describe('a last resource that is named only after a while', () => {
  /** The log takes the record after so many milliseconds. */
  async function namedAfter(ms: number, options: TestCoordinatorOptions) {
    const gate = Promise.withResolvers<void>();
    const log = new ScriptedLog({ append: (write) => gate.promise.then(write) });
    const all = world({ log, ...options });
    all.stock.script = { prepare: { answer: { vote: 'commit', validForMs: 3_000 } } };
    const told = listenTo(all.transactions.run({ branches: BRANCHES }));
    await all.clock.advance(ms);
    gate.resolve();
    await settled();
    const [{ transactionId: id }] = all.transactions.list() as readonly [TransactionSummary];
    return { ...all, told, id };
  }

  it('is not called after the deadline: the others are rolled back', async () => {
    const { shop, stock, told, transactions, id } = await namedAfter(1_000, {});
    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    const refused = { state: 'refused', lastError: expect.stringContaining('the deadline') as string };
    expect(transactions.find(id)).toMatchObject({ state: 'ABORTED', branches: [{}, refused, {}] });
    expect([shop.calls, methodsOf(stock)]).toEqual([[], ['prepare', 'rollback']]);
  });

  it('is called up to the margin before a vote expires, and not within it', async () => {
    const options = { timeoutMs: 20_000, expiryMarginMs: 500 };
    const early = await namedAfter(2_400, options);
    expect(early.told.outcome).toMatchObject({ status: 'committed' });
    const late = await namedAfter(2_500, options);
    expect(late.told.outcome).toMatchObject({ status: 'aborted', code: 'VOTE_EXPIRED' });
    expect([late.shop.calls, methodsOf(late.stock)]).toEqual([[], ['prepare', 'rollback']]);
  });
});
