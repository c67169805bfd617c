import { describe, expect, it } from 'vitest';
import {
  HeuristicError,
  type LastResource,
  type TransactionSummary,
  TwoLastResourcesError,
  branch,
} from '../../src/coordinator/index.js';
import {
  type LastResourceScript,
  type ParticipantScript,
  ScriptedLastResource,
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { RestartableLog } from './restartable-log.js';
import { ScriptedLog } from './scripted-log.js';
import { listenTo } from './told.js';

const BRANCHES = [branch('stock', 1), branch('shop', 'order'), branch('books', 2)];
const LIMITS = { prepareTimeoutMs: 100, timeoutMs: 1_000, retryBaseMs: 10, retryCapMs: 10, maxAttempts: 2 };

interface Scripts {
  readonly stock?: ParticipantScript;
  readonly shop?: LastResourceScript;
  readonly options?: TestCoordinatorOptions;
}

/** Stock and books vote, and the shop is an API that cannot prepare. */
function world({ stock: script, shop: lastScript, options }: Scripts = {}) {
  const stock = new ScriptedParticipant(script);
  const books = new ScriptedParticipant();
  const shop = new ScriptedLastResource(lastScript);
  const all = { participants: { stock, books }, lastResources: { shop } };
  return { stock, books, shop, ...createTestCoordinator({ ...LIMITS, ...all, ...options }), all };
}

function methodsOf({ calls }: ScriptedParticipant): string[] {
  return calls.map(({ method }) => method);
}

describe('a last resource', () => {
  it('is called once, after all others have voted and the record that names it is in the log', async () => {
    const seen: unknown[] = [];
    const log = new RestartableLog();
    const { stock, books, shop, transactions, participants } = world({ options: { log } });
    shop.commit = async () => {
      seen.push([methodsOf(stock), methodsOf(books)], structuredClone([...log.decisions.values()]));
      return 'committed';
    };
    const outcome = await transactions.run({ branches: BRANCHES });

    expect(outcome.status).toBe('committed');
    expect(seen).toMatchObject([
      [['prepare'], ['prepare']],
      [
        {
          decider: { kind: 'branch', branchId: 'shop' },
          branches: [
            { branchId: 'stock', completed: false },
            { branchId: 'shop', payload: 'order', completed: false },
            { branchId: 'books', completed: false },
          ],
        },
      ],
    ]);
    expect([methodsOf(stock), methodsOf(books)]).toEqual([
      ['prepare', 'commit'],
      ['prepare', 'commit'],
    ]);
    expect(log.decisions.size).toBe(0);
    expect(participants.get('shop').counts).toMatchObject({ committed: 1, failures: 0 });
  });

  it('leaves a commit record as any other, before the others learn of its commit', async () => {
    const log = new RestartableLog();
    const { transactions } = world({ options: { log }, stock: { commit: 'hang' } });
    listenTo(transactions.run({ branches: BRANCHES }));
    await settled();

    expect([...log.decisions.values()]).toMatchObject([
      {
        decider: { kind: 'log' },
        branches: [
          { branchId: 'stock', completed: false },
          { branchId: 'shop', completed: true },
          { branchId: 'books', completed: false },
        ],
      },
    ]);
  });

  it('lets no other branch commit before its commit is durable, and tells the caller pending meanwhile', async () => {
    class FailingLog extends RestartableLog {
      isFailing = true;
      override progress(...given: Parameters<RestartableLog['progress']>): void {
        if (this.isFailing) throw new Error('no room');
        super.progress(...given);
      }
    }
    const log = new FailingLog();
    const { stock, transactions, clock } = world({ options: { log, completionWaitMs: 200 } });
    const told = listenTo(transactions.run({ branches: BRANCHES }));
    await clock.advance(500);
    const [{ transactionId }] = transactions.list() as readonly [TransactionSummary];

    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'commit' });
    expect(methodsOf(stock)).toEqual(['prepare']);
    expect(await transactions.decisionFor(transactionId)).toBe('wait');

    log.isFailing = false;
    await clock.advance(11_000);
    expect(methodsOf(stock)).toEqual(['prepare', 'commit']);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'COMMITTED' });
  });

  it('decides abort when it refuses: the others are rolled back, and the caller hears why', async () => {
    const log = new RestartableLog();
    const { stock, shop, transactions } = world({ shop: { commit: 'no' }, options: { log } });
    const outcome = await transactions.run({ branches: BRANCHES });

    expect(outcome).toMatchObject({
      status: 'aborted',
      cause: 'refused',
      participant: 'shop',
      code: 'REFUSED',
    });
    await settled();
    expect([methodsOf(stock), shop.calls.length]).toEqual([['prepare', 'rollback'], 1]);
    expect(log.decisions.size).toBe(0);
  });

  it('is not called when another branch refuses, or the caller rolls back before the votes are in', async () => {
    const { shop, transactions } = world({ stock: { prepare: ['no', 'hang'] } });
    expect(await transactions.run({ branches: BRANCHES })).toMatchObject({ status: 'aborted' });
    const transaction = transactions.begin();
    for (const one of BRANCHES) transaction.enlist(one);
    await transaction.rollback();
    const signal = new AbortController();
    const told = listenTo(transactions.run({ branches: BRANCHES, signal: signal.signal }));
    await settled();
    signal.abort();
    await settled();
    expect(told.outcome).toMatchObject({ status: 'aborted', cause: 'cancelled' });
    expect(shop.calls).toEqual([]);
  });

  it('is not called when the deadline passes in phase one', async () => {
    const { shop, transactions, clock } = world({ stock: { prepare: 'hang' } });
    const told = listenTo(transactions.run({ branches: BRANCHES }));
    await clock.advance(150);
    expect(told.outcome).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(shop.calls).toEqual([]);
  });

  it.each([
    'throw',
    'throw-after',
    'hang',
    'hang-after',
    'unknown',
    { answer: 'commit' },
    { answer: undefined },
  ])(
    'is asked how it has ended when its commit answers %j, and is not called to commit again',
    async (commit) => {
      const { stock, shop, transactions, clock } = world({ shop: { commit } as LastResourceScript });
      const told = listenTo(transactions.run({ branches: BRANCHES }));
      await clock.advance(300);

      expect(shop.calls.map(({ method, attempt }) => [method, attempt])).toEqual([
        ['commit', 1],
        ['inquire', 2],
      ]);
      const hasCommitted = [...shop.ends.values()].includes('committed');
      expect(told.outcome?.status).toBe(hasCommitted ? 'committed' : 'aborted');
      expect(methodsOf(stock).at(-1)).toBe(hasCommitted ? 'commit' : 'rollback');
    },
  );

  it('is not called when a vote has expired while the record was written', async () => {
    const gate = Promise.withResolvers<void>();
    const log = new ScriptedLog({ append: (write) => gate.promise.then(write) });
    const { stock, shop, transactions, clock } = world({
      stock: { prepare: { answer: { vote: 'commit', validForMs: 3_000 } } },
      options: { log, timeoutMs: 20_000 },
    });
    const told = listenTo(transactions.run({ branches: BRANCHES }));
    await clock.advance(3_500);
    gate.resolve();
    await settled();
    expect(told.outcome).toMatchObject({ status: 'aborted', code: 'VOTE_EXPIRED', temporary: true });
    expect([shop.calls, methodsOf(stock)]).toEqual([[], ['prepare', 'rollback']]);
  });

  it('is given its own time limit, however long the votes and the log have taken', async () => {
    const log = Promise.withResolvers<void>();
    const slow = world({
      shop: { commit: 'hang' },
      options: { log: new ScriptedLog({ append: (write) => log.promise.then(write) }) },
    });
    listenTo(slow.transactions.run({ branches: BRANCHES }));
    await slow.clock.advance(90);
    log.resolve();
    await slow.clock.advance(90);
    expect(slow.shop.calls.map(({ method }) => method)).toEqual(['commit']);
    await slow.clock.advance(50);
    expect(slow.shop.calls.map(({ method }) => method)).toEqual(['commit', 'inquire']);
  });

  it('leaves the others in doubt while it cannot say how it has ended, and is asked by the recovery job', async () => {
    const { stock, shop, transactions, clock, recover } = world({
      shop: { commit: 'hang', inquire: ['unknown', 'throw', 'unknown', 'yes'] },
    });
    const told = listenTo(transactions.run({ branches: BRANCHES }));
    await clock.advance(400);
    const [{ transactionId }] = transactions.list() as readonly [TransactionSummary];

    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    expect(transactions.find(transactionId)).toMatchObject({ state: 'READY', stalled: true, inDoubt: true });
    expect(await transactions.decisionFor(transactionId)).toBe('wait');
    expect(methodsOf(stock)).toEqual(['prepare']);

    for (let pass = 0; pass < 4; pass++) await recover();
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED' });
    expect(methodsOf(stock)).toEqual(['prepare', 'rollback']);
    expect(shop.count('commit')).toBe(1);
  });

  it('is not believed when it reports that it cannot say how it has ended: the others wait', async () => {
    const { stock, shop, transactions, clock } = world();
    const hazard = new HeuristicError('hazard', 'the provider has lost its books');
    shop.commit = shop.inquire = () => Promise.reject(hazard);
    listenTo(transactions.run({ branches: BRANCHES }));
    await clock.advance(400);
    const [{ transactionId }] = transactions.list() as readonly [TransactionSummary];
    expect(transactions.find(transactionId)).toMatchObject({ state: 'READY', stalled: true });
    expect(methodsOf(stock)).toEqual(['prepare']);
  });

  it('counts a late answer of its commit, and refuses a late commit after it said never', async () => {
    const late = Promise.withResolvers<void>();
    const patient = { options: { maxAttempts: 5 } };
    const early = world({ shop: { commit: { until: late.promise }, inquire: 'unknown' }, ...patient });
    const told = listenTo(early.transactions.run({ branches: BRANCHES }));
    await early.clock.advance(105);
    expect(told.outcome).toBeUndefined();
    late.resolve();
    await settled();
    expect(told.outcome).toMatchObject({ status: 'committed' });

    const later = Promise.withResolvers<void>();
    const fenced = world({ shop: { commit: { until: later.promise } } });
    const other = listenTo(fenced.transactions.run({ branches: BRANCHES }));
    await fenced.clock.advance(150);
    expect(other.outcome).toMatchObject({ status: 'aborted', code: 'NEVER_COMMITTED' });
    later.resolve();
    await settled();
    expect([...fenced.shop.ends.values()]).toEqual(['never']);
    expect(methodsOf(fenced.stock)).toEqual(['prepare', 'rollback']);
  });

  it('cannot be the second of its transaction', async () => {
    const { shop, transactions, participants } = world();
    participants.register(new ScriptedLastResource(), { name: 'mail', lastResource: true });
    const request = { branches: [...BRANCHES, branch('mail', 1)] };
    await expect(transactions.run(request)).rejects.toThrow(TwoLastResourcesError);

    const transaction = transactions.begin();
    transaction.enlist(branch('shop', 1));
    expect(() => transaction.enlist(branch('mail', 1))).toThrow(
      /"mail" cannot prepare, and neither can "shop"/,
    );
    expect(() => transaction.enlist(branch('shop', 2))).toThrow(
      expect.objectContaining({ code: 'DTC_TWO_LAST_RESOURCES' }),
    );
    transaction.enlist(branch('stock', 1));
    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
    expect(shop.count('commit')).toBe(1);
  });

  it('is asked last where the others are asked one after the other, and where they only read', async () => {
    const { stock, books, shop, transactions } = world({ stock: { prepare: 'read-only' } });
    const outcome = await transactions.run({ branches: BRANCHES, prepareInTurn: true });
    expect(outcome.status).toBe('committed');
    expect([methodsOf(stock), methodsOf(books), shop.count('commit')]).toEqual([
      ['prepare'],
      ['prepare', 'commit'],
      1,
    ]);
  });

  it('may be the only branch, and is recorded all the same', async () => {
    const log = new RestartableLog();
    const { shop, transactions } = world({ options: { log }, shop: { commit: 'hang', inquire: 'unknown' } });
    listenTo(transactions.run({ branches: [branch('shop', 'order')] }));
    await settled();
    expect([...log.decisions.values()]).toMatchObject([{ decider: { kind: 'branch', branchId: 'shop' } }]);
    expect(shop.count('commit')).toBe(1);
  });

  it('refuses while it is paused, without being called', async () => {
    const { shop, stock, participants, transactions, clock } = world({
      stock: { prepare: { until: Promise.resolve() } },
    });
    const outcome = transactions.run({ branches: BRANCHES });
    participants.pause('shop', { since: 0, by: 'ann', reason: 'upgrade' });
    await clock.advance(10);
    expect(await outcome).toMatchObject({ status: 'aborted', code: 'PARTICIPANT_PAUSED' });
    expect([shop.calls, methodsOf(stock)]).toEqual([[], ['prepare', 'rollback']]);
  });
});

describe('the declaration of a last resource', () => {
  class Api {
    commit = () => 'committed' as const;
    inquire = () => 'unknown' as const;
  }
  const declare = (service: object, lastResource = true) => {
    const { participants } = createTestCoordinator();
    return () => participants.register(service as LastResource, { name: 'api', lastResource });
  };

  it('is refused without its methods, with those of another kind, and where it was forgotten', () => {
    class Blind extends Api {
      override inquire = undefined as never;
    }
    class Preparing extends Api {
      prepare = () => 'commit';
    }
    class Listening extends Api {
      branchEnded = 'later';
    }
    expect(declare(new Blind())).toThrow(/Blind .*has no method inquire\(\)\. Implement LastResource/);
    expect(declare(new Preparing())).toThrow(/has a method prepare\(\), which is never called/);
    expect(declare(new Listening())).toThrow(/its branchEnded is a string, not a method/);
    expect(declare(new Api(), false)).toThrow(
      /no method prepare\(\)\. It has a method inquire\(\): set `lastResource: true`/,
    );
  });

  it('is shown in the registry, which names its class, and needs a log that outlives the process', () => {
    const api = new Api();
    const entry = declare(api)();
    expect(entry).toMatchObject({ preparesDurably: true, options: { lastResource: true } });
    expect(entry.lastResource).toBe(api);
    expect(entry.classes).toEqual([Api]);
  });

  it('hears of its branches and looks at payloads, as any participant does', async () => {
    const heard: unknown[] = [];
    const shop = Object.assign(new ScriptedLastResource(), {
      registered: ({ name }: { name: string }) => void heard.push(name),
      checkPayload: (payload: unknown) => void heard.push(payload),
      branchStarted: ({ branchId }: { branchId: string }) => void heard.push(branchId),
      branchEnded: ({ state }: { state: string }) => void heard.push(state),
    });
    const { transactions, participants } = createTestCoordinator();
    participants.register(shop, { name: 'shop', lastResource: true });
    await transactions.run({ branches: [branch('shop', 7)] });
    await settled();
    expect(heard).toEqual(['shop', 7, 'shop', 'committed']);
  });
});

describe('a last resource after a restart of the coordinator', () => {
  /** A coordinator that ended at some moment, and the next one with its log. */
  async function restartedAfter(scripts: Scripts, next: LastResourceScript = {}) {
    const log = new RestartableLog();
    const before = world({ ...scripts, options: { log } });
    listenTo(before.transactions.run({ branches: BRANCHES }));
    await settled();
    const [{ transactionId: id }] = before.transactions.list() as readonly [TransactionSummary];
    before.shop.script = next;
    const after = createTestCoordinator({ ...LIMITS, ...before.all, log, orphanSafetyMs: 1_000 });
    return { ...before, ...after, id, log };
  }

  it('is asked how it has ended, and if it has committed, all branches commit', async () => {
    const { stock, shop, transactions, recover, id, log } = await restartedAfter({
      shop: { commit: 'hang-after' },
    });
    expect(transactions.find(id)).toMatchObject({ state: 'READY', inDoubt: true });
    expect(await transactions.decisionFor(id)).toBe('wait');
    await recover();
    await settled();

    expect(shop.calls.map(({ method, payload }) => [method, payload])).toEqual([
      ['commit', 'order'],
      ['inquire', 'order'],
    ]);
    expect(transactions.find(id)).toMatchObject({ state: 'COMMITTED' });
    expect(await transactions.decisionFor(id)).toBe('commit');
    expect(methodsOf(stock)).toEqual(['prepare', 'commit']);
    expect(log.decisions.size).toBe(0);
  });

  it('is asked how it has ended, and if it never will commit, all are rolled back', async () => {
    const { stock, shop, transactions, recover, id, log } = await restartedAfter({
      shop: { commit: 'hang' },
    });
    await recover();
    await settled();

    expect(shop.count('commit')).toBe(1);
    expect(transactions.find(id)).toMatchObject({ state: 'ABORTED' });
    expect(await transactions.decisionFor(id)).toBe('abort');
    expect(methodsOf(stock)).toEqual(['prepare', 'rollback']);
    expect(log.decisions.size).toBe(0);
  });

  it('keeps the others from being orphans while it does not know how it has ended', async () => {
    const { stock, shop, transactions, recover, clock, id } = await restartedAfter(
      { shop: { commit: 'hang-after' }, stock: { commit: ['throw', 'yes'] } },
      { inquire: 'unknown' },
    );
    const listed = Object.assign(stock, {
      preparesDurably: true,
      recover: () => [{ transactionId: id, branchId: 'stock' }],
    });
    for (let pass = 0; pass < 3; pass++) {
      await recover();
      await clock.advance(60_000, 10_000);
    }
    expect(methodsOf(listed)).toEqual(['prepare']);
    expect(transactions.find(id)).toMatchObject({
      state: 'READY',
      branches: [{ state: 'prepared', stalled: false }, { branchId: 'shop', stalled: true }, {}],
    });
    shop.script = {};
    for (let pass = 0; pass < 3; pass++) {
      await recover();
      await clock.advance(60_000, 10_000);
    }
    expect(methodsOf(listed)).toEqual(['prepare', 'commit', 'commit']);
  });

  it('is not asked again where its commit is in the log', async () => {
    const { stock, shop, transactions, recover, id } = await restartedAfter({
      stock: { commit: ['hang', 'yes'] },
    });
    await recover();
    expect(shop.calls).toHaveLength(1);
    expect(transactions.find(id)).toMatchObject({ state: 'COMMITTED' });
    expect(methodsOf(stock)).toEqual(['prepare', 'commit', 'commit']);
  });
});
