import { describe, expect, it } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import type { TransactionObserver, UndecidedBranches } from '../execution/observer.js';
import type { CommitRecord, LogClaim } from '../log/decision-log.js';
import { branch } from '../participant/branch-request.js';
import type { PreparedBranch } from '../participant/participant.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../testing/index.js';
import { OrphanRecovery } from './orphan-recovery.js';
import { DECIDER, OTHER_LOG_ID, claimOf, idOf } from '../../../test/support/identity.js';

/** A participant that lists the given branches as prepared. */
class Listing extends ScriptedParticipant {
  prepared: unknown = [];
  scans = 0;
  gate: Promise<void> = Promise.resolve();

  async recover(): Promise<readonly PreparedBranch[]> {
    this.scans++;
    const { prepared } = this;
    await this.gate;
    if (prepared instanceof Error) throw prepared;
    return prepared as readonly PreparedBranch[];
  }
}

const SAFETY_MS = 1_000;

function orphanage(claim: Partial<LogClaim> = {}) {
  const stock = new Listing();
  const payment = new Listing();
  const log = new ScriptedLog({
    claim: claimOf({ epoch: 5, ...claim }),
  });
  /** The calls of the observer, by the name of the participant. */
  const failedScans: [string, string][] = [];
  const undecidable: [string, number][] = [];
  const orphans: string[] = [];
  let latest: UndecidedBranches | undefined;
  const told: Partial<TransactionObserver> = {
    scanFailed: ({ name }, message) => failedScans.push([name, message]),
    undecidable: ({ name }, branches) => undecidable.push([name, branches]),
    undecided: ({ name }, branches) => void (name === 'stock' && (latest = branches)),
    orphan: ({ transaction, branchId }) => orphans.push(`${transaction.id} ${branchId}`),
  };
  const coordinator = createTestCoordinator({
    name: 'shop',
    participants: { stock, payment },
    log,
    orphanSafetyMs: SAFETY_MS,
    observer: new Proxy(told, {
      get: (methods, method) => methods[method as keyof TransactionObserver] ?? (() => {}),
    }) as TransactionObserver,
  });
  /** Two complete lists, as far apart as required, and the rollbacks that follow from them. */
  const twoScans = async (): Promise<void> => {
    await coordinator.recover();
    await coordinator.clock.advance(SAFETY_MS);
    await coordinator.recover();
    await coordinator.recover();
  };
  return {
    ...coordinator,
    stock,
    payment,
    log,
    twoScans,
    failedScans,
    undecidable,
    orphans,
    shown: () => latest,
  };
}

function prepared(transactionId: string, branchId = 'stock'): PreparedBranch {
  return { transactionId, branchId };
}

function rolledBack({ calls }: ScriptedParticipant): string[] {
  return calls
    .filter(({ method }) => method === 'rollback')
    .map(({ branch: { transactionId, branchId } }) => `${transactionId} ${branchId}`);
}

describe('OrphanRecovery', () => {
  it('rolls back a branch of an earlier epoch that has no decision', async () => {
    const { stock, twoScans, transactions } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9))];

    await twoScans();

    expect(rolledBack(stock)).toEqual([`${idOf('shop', 4, 9)} stock`]);
    expect(transactions.find(idOf('shop', 4, 9))).toMatchObject({
      state: 'ABORTED',
      cause: 'presumed',
      stalled: false,
    });
  });

  it('reads each listed branch once, so that it cannot change its ids', async () => {
    const { stock, twoScans, transactions } = orphanage();
    const orphan = idOf('shop', 4, 9);
    let reads = 0;
    const fickle = (): PreparedBranch => {
      const ids = [orphan, idOf('shop', 4, 10)];
      const branch = { branchId: 'stock' };
      return Object.defineProperty(branch, 'transactionId', {
        get: () => (reads++, ids.shift()),
      }) as PreparedBranch;
    };
    const lists = [[fickle()], [fickle()], [], []];
    stock.recover = () => Promise.resolve(lists.shift() ?? []);

    await twoScans();

    expect(reads).toBe(2);
    expect(rolledBack(stock)).toEqual([`${orphan} stock`]);
    expect(transactions.list()).toHaveLength(1);
  });

  it('examines no list that is too long, or whose length or iterator is wrong', async () => {
    const { stock, twoScans, failedScans, orphans } = orphanage();
    const orphan = prepared(idOf('shop', 4, 9));
    stock.prepared = Object.assign([orphan], { length: 1_000_001 });
    await twoScans();
    stock.prepared = new Proxy([orphan], {
      get: (list, field): unknown => (field === 'length' ? Infinity : Reflect.get(list, field)),
    });
    await twoScans();
    expect(failedScans).toEqual(
      Array.from({ length: 6 }, () => ['stock', expect.stringContaining('more than 1000000 branches')]),
    );
    expect(orphans).toEqual([]);

    stock.prepared = Object.assign([orphan], {
      *[Symbol.iterator]() {
        for (;;) yield prepared(idOf('shop', 4, 10));
      },
    });
    await twoScans();
    expect(orphans).toEqual([`${idOf('shop', 4, 9)} stock`]);
  });

  it('does not accept or keep ids that are longer than a coordinator makes them', async () => {
    const { stock, twoScans, shown, orphans } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9), 'b'.repeat(100_000))];
    await twoScans();

    expect(orphans).toEqual([]);
    expect(shown()?.oldest).toMatchObject([{ reason: 'malformed', branchId: 'b'.repeat(200) }]);
  });

  it('rolls back no more branches of one transaction than it can have', async () => {
    const { stock, twoScans, orphans, transactions } = orphanage();
    stock.prepared = Array.from({ length: 33 }, (_, index) => prepared(idOf('shop', 4, 9), `stock${index}`));
    await twoScans();

    expect(orphans).toHaveLength(30);
    expect(transactions.find(idOf('shop', 4, 9))?.branches).toHaveLength(30);
  });

  it('does not ask a participant that an operator has paused', async () => {
    const { stock, twoScans, participants, transactions } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9))];
    participants.pause('stock', { since: 0, by: 'alice', reason: 'it fails over' });
    await twoScans();
    expect(transactions.list()).toEqual([]);

    participants.resume('stock');
    await twoScans();
    expect(rolledBack(stock)).toEqual([`${idOf('shop', 4, 9)} stock`]);
  });

  it('concludes nothing from one list, or from two that are too close', async () => {
    const { stock, recover, clock, transactions } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9))];

    await recover();
    await clock.advance(SAFETY_MS - 1);
    await recover();
    await recover();
    expect(transactions.find(idOf('shop', 4, 9))).toBeUndefined();

    await clock.advance(1);
    await recover();
    await recover();
    expect(rolledBack(stock)).toEqual([`${idOf('shop', 4, 9)} stock`]);
  });

  it('dates a list by the time of the question, however long the answer took', async () => {
    const { stock, recover, clock, participants, runtime } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9))];
    await recover();
    const gate = Promise.withResolvers<void>();
    stock.gate = gate.promise;
    const late = recover();
    await settled();
    await clock.advance(SAFETY_MS);
    gate.resolve();
    await late;
    expect(runtime.registry.unresolvedAt(participants.resolve('stock')).stalled).toBe(0);

    await recover();
    expect(runtime.registry.unresolvedAt(participants.resolve('stock')).stalled).toBe(1);
  });

  it('concludes nothing about a branch that was missing in between', async () => {
    const { stock, recover, clock } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9))];
    await recover();
    stock.prepared = [];
    await clock.advance(SAFETY_MS);
    await recover();
    stock.prepared = [prepared(idOf('shop', 4, 9))];
    await recover();
    await recover();

    expect(rolledBack(stock)).toEqual([]);
  });

  it('fault 53: a failed list proves nothing, and removes nothing', async () => {
    const { stock, recover, clock } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9))];
    await recover();
    for (const failure of [new Error('away'), undefined, idOf('shop', 4, 9)]) {
      stock.prepared = failure;
      await clock.advance(SAFETY_MS);
      await recover();
      await recover();
      expect(rolledBack(stock)).toEqual([]);
    }

    stock.prepared = [prepared(idOf('shop', 4, 9))];
    await recover();
    await recover();
    expect(rolledBack(stock)).toEqual([`${idOf('shop', 4, 9)} stock`]);
  });

  it.each([
    ['of another coordinator', prepared(idOf('bank', 4, 9))],
    ['of one whose name begins with ours', prepared('shop-2.4.9')],
    ['of one whose name ours begins with', prepared('sho.4.9')],
    ['of the live epoch', prepared(idOf('shop', 5, 9))],
    ['of an epoch that is younger than ours', prepared(idOf('shop', 6, 9))],
    ['with an id that is malformed', prepared('shop.4')],
    ['with an id that has one part too many', prepared('shop.4.9.1')],
    ['without an id', {}],
    ['without an id of its own', { transactionId: idOf('shop', 4, 9) }],
    ['whose own id is no text', { transactionId: idOf('shop', 4, 9), branchId: 9 }],
    ['of a transaction without an id', { branchId: 'stock' }],
    ['of a transaction whose id is no text', { transactionId: 4.9, branchId: 'stock' }],
    ['that is not a branch', null],
  ])('fault 54: never touches a branch %s', async (_, foreign) => {
    const { stock, twoScans, transactions } = orphanage();
    stock.prepared = [foreign, prepared(idOf('shop', 4, 1))];

    await twoScans();

    expect(rolledBack(stock)).toEqual([`${idOf('shop', 4, 1)} stock`]);
    expect(transactions.list()).toHaveLength(1);
  });

  it('fault 52 §: never touches a running transaction', async () => {
    const { stock, twoScans, transactions } = orphanage();
    const transaction = transactions.begin({ timeoutMs: 60_000 });
    transaction.enlist(branch('stock', 1));
    transaction.enlist(branch('payment', 1));
    stock.prepared = [prepared(transaction.id)];

    await twoScans();
    expect(rolledBack(stock)).toEqual([]);

    expect((await transaction.commit()).status).toBe('committed');
  });

  it('leaves a branch with a commit decision, even if the list is older than the end of its commit', async () => {
    const decision: CommitRecord = {
      id: idOf('shop', 4, 9),
      name: 'sale',
      decider: DECIDER,
      branches: [{ branchId: 'stock', participant: 'stock', payload: 1, completed: false }],
    };
    const { stock, recover, clock, transactions } = orphanage({ decisions: [decision] });
    stock.prepared = [prepared(idOf('shop', 4, 9))];
    const gate = Promise.withResolvers<void>();
    stock.gate = gate.promise;

    const first = recover();
    await settled();
    expect(transactions.find(idOf('shop', 4, 9))?.state).toBe('COMMITTED');
    gate.resolve();
    await first;
    await clock.advance(SAFETY_MS);
    await recover();
    await recover();

    expect(rolledBack(stock)).toEqual([]);
    expect(stock.count('commit')).toBe(1);
  });

  it('finds every branch of a transaction, even if they are listed one by one', async () => {
    const { stock, payment, twoScans, transactions } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9)), prepared(idOf('shop', 4, 9), 'stock.2')];
    await twoScans();
    expect(rolledBack(stock)).toEqual([`${idOf('shop', 4, 9)} stock`, `${idOf('shop', 4, 9)} stock.2`]);

    stock.prepared = [];
    payment.prepared = [prepared(idOf('shop', 4, 9), 'payment')];
    await twoScans();

    expect(rolledBack(payment)).toEqual([`${idOf('shop', 4, 9)} payment`]);
    expect(transactions.find(idOf('shop', 4, 9))).toMatchObject({ state: 'ABORTED', stalled: false });
  });

  it('shows a transaction once, however many of its branches are orphans', async () => {
    const { stock, twoScans, transactions } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9)), prepared(idOf('shop', 4, 9), 'stock.2')];
    await twoScans();

    expect(transactions.list().map(({ transactionId }) => transactionId)).toEqual([idOf('shop', 4, 9)]);
  });

  it('retries the failed rollback of an orphan, without counting it twice', async () => {
    const { stock, twoScans, recover, participants, runtime } = orphanage();
    stock.script = { rollback: ['throw', 'throw', 'yes'] };
    stock.prepared = [prepared(idOf('shop', 4, 9))];

    await twoScans();
    await recover();
    expect(participants.get('stock').counts).toMatchObject({ rolledBack: 0 });
    expect(runtime.registry.unresolvedAt(participants.resolve('stock')).stalled).toBe(1);
    await recover();

    expect(participants.get('stock').counts).toMatchObject({ rolledBack: 1 });
    expect(runtime.registry.unresolvedAt(participants.resolve('stock')).stalled).toBe(0);
  });

  it('rolls a branch that is still prepared back again, as the same branch, and not at once', async () => {
    const { stock, recover, clock, transactions } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9))];
    for (let pass = 0; pass < 40; pass++) {
      await recover();
      await clock.advance(SAFETY_MS / 2);
    }

    expect(transactions.find(idOf('shop', 4, 9))?.branches).toHaveLength(1);
    expect(stock.count('rollback')).toBeGreaterThan(1);
    expect(stock.count('rollback')).toBeLessThan(20);

    stock.prepared = [];
    await recover();
    await recover();
    expect(transactions.find(idOf('shop', 4, 9))).toMatchObject({ state: 'ABORTED', stalled: false });
  });

  it('does not ask a hanging participant again, and delays nothing else for it', async () => {
    const { stock, payment, recover, clock } = orphanage();
    const gate = Promise.withResolvers<void>();
    stock.gate = gate.promise;
    payment.prepared = [prepared(idOf('shop', 4, 9), 'payment')];

    void recover();
    await settled();
    await clock.advance(SAFETY_MS);
    void recover();
    await settled();
    void recover();
    await settled();
    expect(stock.scans).toBe(1);

    gate.resolve();
    await settled();
    await recover();
    expect(stock.scans).toBe(2);
  });

  it('fault 31 §: rolls nothing back when the log does not outlive an epoch', async () => {
    const { stock, twoScans } = orphanage({ durable: false });
    stock.prepared = [prepared(idOf('shop', 4, 9))];

    await twoScans();

    expect(rolledBack(stock)).toEqual([]);
  });

  it('a participant without a list is not asked, and is not a failure', async () => {
    const { participants, twoScans, failedScans, stock } = orphanage();
    participants.register(new ScriptedParticipant(), { name: 'forgetful' });
    stock.prepared = [prepared(idOf('shop', 4, 9))];

    await twoScans();

    expect(rolledBack(stock)).toEqual([`${idOf('shop', 4, 9)} stock`]);
    expect(failedScans).toEqual([]);
  });

  it('fault 53: reports which participant could not list its branches, and why', async () => {
    const { stock, payment, recover, failedScans } = orphanage();
    stock.prepared = new Error('the connection was cut');
    await recover();
    expect(failedScans).toEqual([['stock', 'the connection was cut']]);

    payment.prepared = idOf('shop', 4, 9);
    stock.prepared = [];
    await recover();
    expect(failedScans.slice(1)).toEqual([['payment', expect.stringContaining('a list of branches')]]);
  });

  it('fault 31 §: reports the number of undecidable branches, once for each change of it', async () => {
    const { stock, recover, undecidable, failedScans } = orphanage({ durable: false });
    const numberTold = async (...ids: string[]): Promise<[string, number][]> => {
      stock.prepared = ids.map((id) => prepared(id));
      await recover();
      return undecidable.splice(0);
    };

    expect(await numberTold(idOf('shop', 4, 1))).toEqual([['stock', 1]]);
    expect(await numberTold(idOf('shop', 4, 1))).toEqual([]);
    expect(await numberTold(idOf('shop', 4, 1), idOf('shop', 4, 2), idOf('bank', 4, 3))).toEqual([
      ['stock', 2],
    ]);
    expect(await numberTold(idOf('shop', 4, 1))).toEqual([['stock', 1]]);
    expect(await numberTold()).toEqual([]);
    expect(await numberTold(idOf('shop', 4, 1))).toEqual([['stock', 1]]);
    expect(failedScans).toEqual([]);
  });

  it('shows undecidable branches of every kind, with the time when each was first seen', async () => {
    const { stock, recover, clock, shown } = orphanage();
    const names = ['other-log', 'later-run', 'other-coordinator', 'malformed'];
    const kinds = [
      prepared(idOf('shop', 4, 1, OTHER_LOG_ID)),
      prepared(idOf('shop', 6, 1)),
      prepared(idOf('bank', 4, 1)),
      prepared('whatever'),
    ];
    stock.prepared = kinds;
    await recover();
    const firstSeenAt = clock.now();
    expect(shown()).toMatchObject({ undecidable: 2, foreign: 0 });
    expect(shown()!.oldest.map(({ reason }) => reason)).toEqual(names.slice(0, 2));

    await clock.advance(SAFETY_MS);
    stock.prepared = [prepared(idOf('bank', 4, 2)), ...kinds, { transactionId: 7 }];
    await recover();
    expect(shown()).toMatchObject({ undecidable: 2, foreign: 2 });
    expect(shown()!.oldest.map(({ reason }) => reason)).toEqual(names);
    expect(shown()!.oldest.map(({ since }) => since)).toEqual(names.map(() => firstSeenAt));

    stock.prepared = [];
    await recover();
    expect(shown()).toEqual({ undecidable: 0, foreign: 0, oldest: [] });
  });

  it('shows the oldest of very many undecidable branches, and counts all', async () => {
    const { stock, recover, clock, shown } = orphanage();
    const list = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => prepared(idOf('shop', 4, from + index, OTHER_LOG_ID)));
    stock.prepared = list(1, 15);
    await recover();
    await clock.advance(1);
    stock.prepared = [...list(100, 5_000), ...list(1, 15)];
    await recover();

    expect(shown()).toMatchObject({ undecidable: 5_015 });
    expect(shown()!.oldest).toHaveLength(20);
    expect(
      shown()!
        .oldest.slice(0, 15)
        .map(({ transactionId }) => transactionId),
    ).toEqual(list(1, 15).map(({ transactionId }) => transactionId));
  });

  it('reports each orphan once, however often it is listed and fails to roll back', async () => {
    const { stock, twoScans, orphans, failedScans } = orphanage();
    stock.script = { rollback: 'throw' };
    stock.prepared = [prepared(idOf('shop', 4, 9)), prepared(idOf('shop', 4, 9), 'stock.2')];

    await twoScans();
    await twoScans();

    expect(orphans).toEqual([`${idOf('shop', 4, 9)} stock`, `${idOf('shop', 4, 9)} stock.2`]);
    expect(failedScans).toEqual([]);
  });

  it('counts no branch of this epoch, or of an epoch that the log outlives, as undecidable', async () => {
    const { stock, twoScans, undecidable } = orphanage();
    stock.prepared = [prepared(idOf('shop', 4, 9)), prepared(idOf('shop', 5, 9))];

    await twoScans();

    expect(undecidable).toEqual([]);
  });

  it('distinguishes branches of one transaction with the same id at two participants', async () => {
    const { stock, payment, twoScans, participants, runtime } = orphanage();
    stock.script = { rollback: 'throw' };
    stock.prepared = [prepared(idOf('shop', 4, 9), 'line-1')];
    payment.prepared = [prepared(idOf('shop', 4, 9), 'line-1')];

    await twoScans();

    expect(participants.get('stock').counts).toMatchObject({ rolledBack: 0 });
    expect(runtime.registry.unresolvedAt(participants.resolve('stock')).stalled).toBe(1);
    expect(rolledBack(payment)).toEqual([`${idOf('shop', 4, 9)} line-1`]);
  });

  it.each<[string, (orphans: OrphanRecovery, coordinator: ReturnType<typeof orphanage>) => void]>([
    ['it was stopped', (orphans) => orphans.stop()],
    ['another coordinator has claimed the log', (_, { runtime }) => runtime.log.lose()],
  ])('asks no participant once %s, and ignores a list that arrives later', async (_, end) => {
    const coordinator = orphanage();
    const { stock, runtime, clock, participants } = coordinator;
    const orphans = new OrphanRecovery(runtime);
    stock.prepared = [prepared(idOf('shop', 4, 9))];
    await orphans.pass();
    await clock.advance(SAFETY_MS);
    const gate = Promise.withResolvers<void>();
    stock.gate = gate.promise;
    const underWay = orphans.pass();
    await settled();

    end(orphans, coordinator);
    gate.resolve();
    await underWay;
    await orphans.pass();

    expect(runtime.registry.unresolvedAt(participants.resolve('stock')).stalled).toBe(0);
    expect(stock.scans).toBe(2);
  });
});
