import { describe, expect, it } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import { DECIDER, OTHER_LOG_ID, claimOf, idOf, runOf } from '../../../test/support/identity.js';
import type { FoundRecords } from '../execution/restored-runs.js';
import type { CommitRecord, HeuristicRecord } from '../log/decision-log.js';
import { branch } from '../participant/branch-request.js';
import type { PreparedBranch } from '../participant/participant.js';
import {
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../testing/index.js';
import { Recovery } from './recovery.js';
import { LOOKED_AT_IN_A_SLICE } from './slices.js';

/** A run of another log, which can write no more. */
const DEAD = runOf({ name: 'shop', logId: OTHER_LOG_ID, epoch: 3 });
const SAFETY_MS = 1_000;

const deadId = (sequence: number): string => idOf('shop', DEAD.epoch, sequence, OTHER_LOG_ID);

function decision(id: string, ...participants: string[]): CommitRecord {
  const branches = participants.map((name) => ({
    branchId: name,
    participant: name,
    payload: 1,
    completed: false,
  }));
  return { id, name: 'sale', decider: DECIDER, branches };
}

function report(id: string, decided: HeuristicRecord['decision']): HeuristicRecord {
  const kind = decided === 'abort' ? 'commit' : 'rollback';
  return {
    id,
    name: 'sale',
    decision: decided,
    branchId: 'stock',
    participant: 'stock',
    kind,
    reason: 'by its own report',
  };
}

function found(given: Partial<FoundRecords> = {}): FoundRecords {
  return { run: DEAD, decisions: [], reports: [], ...given };
}

/** A participant that lists the given branches as prepared. */
class Listing extends ScriptedParticipant {
  prepared: PreparedBranch[] = [];

  recover(): readonly PreparedBranch[] {
    return this.prepared;
  }
}

function setUp(options: TestCoordinatorOptions = {}) {
  const [stock, payment] = [new Listing(), new Listing()];
  const coordinator = createTestCoordinator({
    name: 'shop',
    participants: { stock, payment },
    orphanSafetyMs: SAFETY_MS,
    ...options,
  });
  const recovery = new Recovery(coordinator.runtime);
  const stalledAt = (name: string) =>
    coordinator.runtime.registry.unresolvedAt(coordinator.participants.resolve(name)).stalled;
  const twoScans = async (): Promise<void> => {
    await coordinator.recover();
    await coordinator.clock.advance(SAFETY_MS);
    await coordinator.recover();
    await coordinator.recover();
  };
  return { ...coordinator, recovery, stock, payment, stalledAt, twoScans };
}

const committed = ({ calls }: ScriptedParticipant): string[] =>
  calls.filter(({ method }) => method === 'commit').map(({ branch: { transactionId } }) => transactionId);

const rolledBack = ({ calls }: ScriptedParticipant): string[] =>
  calls.filter(({ method }) => method === 'rollback').map(({ branch: { transactionId } }) => transactionId);

describe('Records of a second run, restored while the coordinator works on its own', () => {
  it('reach their outcomes beside running transactions, with correct counts and listings', async () => {
    const gate = Promise.withResolvers<void>();
    const slow = new ScriptedParticipant({ prepare: { until: gate.promise } });
    const { transactions, recovery, recover, stock, payment, participants, stalledAt, runtime } = setUp();
    participants.register(slow, { name: 'slow' });
    const size = LOOKED_AT_IN_A_SLICE + 100;
    const ids = Array.from({ length: size }, (_, index) => deadId(index + 1));
    const voting = transactions.run({ branches: [branch('stock', 1), branch('slow', 1)] });
    await settled();

    const restoring = recovery.restoreInSlices(
      found({
        decisions: ids.map((id) => decision(id, 'stock', 'payment')),
        reports: [report(ids[0]!, 'commit'), report(deadId(5_000), 'abort')],
      }),
    );
    let during = 0;
    while (runtime.restoredRuns.isRestoring) {
      const outcome = await transactions.run({ branches: [branch('stock', 1), branch('payment', 1)] });
      expect(outcome.status).toBe('committed');
      during++;
      await settled();
    }
    expect(await restoring).toEqual({ decisions: size, missing: new Set() });
    expect(during).toBeGreaterThan(0);
    expect(runtime.registry.inFlight).toBe(1);
    expect([stalledAt('stock'), stalledAt('payment')]).toEqual([size - 1, size]);
    expect(transactions.find(ids[1]!)).toMatchObject({
      transactionId: ids[1],
      name: 'sale',
      state: 'COMMITTING',
      stalled: true,
    });

    await recover();
    gate.resolve();
    expect(await voting).toMatchObject({ status: 'committed' });
    expect(committed(stock).filter((id) => id.includes(OTHER_LOG_ID))).toEqual(ids.slice(1));
    expect(committed(payment).filter((id) => id.includes(OTHER_LOG_ID))).toEqual(ids);
    expect([stalledAt('stock'), stalledAt('payment'), runtime.registry.inFlight]).toEqual([0, 0, 0]);
    expect(runtime.registry.unsettled.size).toBe(2);
    expect(participants.get('stock').counts).toMatchObject({ committed: size - 1 + during + 1 });
    const listed = new Map(transactions.list({ limit: 1_000 }).map((one) => [one.transactionId, one.state]));
    expect(ids.map((id) => listed.get(id))).toEqual(ids.map(() => 'COMMITTED'));
    expect(listed.get(deadId(5_000))).toBe('ABORTED');
    expect(listed.size).toBe(size + 1 + during + 1);
  });

  it('are restored once, however often and concurrently they are passed in', async () => {
    const stock = new ScriptedParticipant();
    const { transactions, recovery, recover, runtime } = setUp({
      retainFinished: 0,
      participants: { stock },
    });
    const records = found({
      decisions: [decision(deadId(1), 'stock'), decision(deadId(2), 'stock', 'elsewhere')],
      reports: [report(deadId(3), 'abort')],
    });
    const answers = await Promise.all([1, 2, 3].map(() => recovery.restoreInSlices(records)));
    expect(answers.map(({ decisions }) => decisions)).toEqual([2, 0, 0]);
    expect(answers[0]!.missing).toEqual(new Set(['elsewhere']));
    expect(runtime.registry.unsettled.size).toBe(3);

    await recover();
    expect(transactions.find(deadId(1))).toBeUndefined();
    runtime.executor.forget(runtime.registry.find(deadId(3))!);
    expect(transactions.find(deadId(3))).toBeUndefined();
    expect(recovery.restore(records)).toEqual({ decisions: 0, missing: new Set() });
    await recover();

    expect(committed(stock)).toEqual([deadId(1), deadId(2)]);
    expect([...runtime.registry.unsettled].map(({ id }) => id)).toEqual([deadId(2)]);
  });

  it('never touch a transaction of this run', async () => {
    const stock = new ScriptedParticipant({ prepare: 'hang' });
    const { transactions, recovery, runtime } = setUp({ participants: { stock } });
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));
    void transaction.commit();
    const over = runtime.ids.make(900);
    const { decisions } = recovery.restore(
      found({ decisions: [decision(transaction.id, 'stock'), decision(over, 'stock')] }),
    );

    expect(decisions).toBe(0);
    expect(transactions.find(transaction.id)).toMatchObject({ state: 'PREPARING' });
    expect(transactions.find(over)).toBeUndefined();
  });

  it('get their ends, reports and forgotten reports written to the log that holds them', async () => {
    const [own, other] = [new ScriptedLog(), new ScriptedLog()];
    const told: string[] = [];
    for (const [name, log] of [
      ['own', own],
      ['other', other],
    ] as const) {
      log.report = (({ id }: HeuristicRecord) => void told.push(`${name} report ${id}`)) as () => void;
      log.progress = (({ id }: CommitRecord) => void told.push(`${name} progress ${id}`)) as () => void;
      log.forget = ((id: string) => void told.push(`${name} forget ${id}`)) as () => void;
    }
    const { recovery, recover, transactions, stock, runtime } = setUp({ log: own });
    stock.script = { commit: [{ heuristic: 'rollback' }, 'yes'] };
    recovery.restore(
      found({ decisions: [decision(deadId(1), 'stock'), decision(deadId(2), 'payment')], log: other }),
    );
    await recover();
    const { transactionId } = await transactions.run({
      branches: [branch('stock', 1), branch('payment', 1)],
    });
    runtime.executor.forget(runtime.registry.find(deadId(1))!);

    expect(own.ended).toEqual([transactionId]);
    expect(other.ended).toContain(deadId(2));
    expect(told).toContain(`other report ${deadId(1)}`);
    expect(told.filter((line) => line.startsWith('own'))).toEqual([]);
  });

  it('keep every transaction unsettled for the guards until all of them are loaded', async () => {
    const { recovery, runtime } = setUp();
    const last = LOOKED_AT_IN_A_SLICE + 1;
    const decisions = Array.from({ length: last }, (_, index) => decision(deadId(index + 1), 'stock'));
    const { isUnsettled } = runtime.log.run;
    expect(isUnsettled!(deadId(last))).toBe(false);
    const restoring = recovery.restoreInSlices(found({ decisions }));
    expect(runtime.registry.find(deadId(last))).toBeUndefined();
    expect(isUnsettled!(deadId(last))).toBe(true);
    await restoring;

    expect([isUnsettled!(deadId(last)), isUnsettled!(deadId(last + 1))]).toEqual([true, false]);
  });

  it('report a decision that contradicts a presumed abort, and change nothing', async () => {
    const defects: string[] = [];
    const observer = new Proxy(
      {},
      { get: (_, name) => (name === 'defect' ? (_error: Error, id: string) => defects.push(id) : () => {}) },
    ) as NonNullable<TestCoordinatorOptions['observer']>;
    const log = new ScriptedLog({ claim: claimOf({ epoch: 5 }) });
    const { recovery, recover, stock, twoScans } = setUp({ log, observer });
    const id = idOf('shop', 4, 1);
    stock.prepared = [{ transactionId: id, branchId: 'stock' }];
    await twoScans();
    expect(rolledBack(stock)).toEqual([id]);
    recovery.restore(found({ run: runOf({ epoch: 4 }), decisions: [decision(id, 'stock')] }));
    await recover();

    expect(defects).toEqual([id]);
    expect(committed(stock)).toEqual([]);
  });
});

describe('Branches that a second run has left prepared', () => {
  const orphan = { transactionId: deadId(7), branchId: 'stock' };

  it('are rolled back if they have no record, once its records are loaded, and not before', async () => {
    const { recovery, stock, twoScans, transactions } = setUp();
    stock.prepared = [orphan, { transactionId: deadId(1), branchId: 'stock' }];
    await twoScans();
    expect(rolledBack(stock)).toEqual([]);

    recovery.restore(found({ decisions: [decision(deadId(1), 'stock')] }));
    await twoScans();
    expect(rolledBack(stock)).toEqual([deadId(7)]);
    expect(committed(stock)).toContain(deadId(1));
    expect(transactions.find(deadId(7))).toMatchObject({ state: 'ABORTED' });
  });

  it('are left unchanged while its records are being loaded', async () => {
    const { recovery, stock, twoScans, runtime } = setUp();
    const ids = Array.from({ length: LOOKED_AT_IN_A_SLICE }, (_, index) => deadId(100 + index));
    const restoring = recovery.restoreInSlices(
      found({ decisions: [...ids.map((id) => decision(id, 'elsewhere')), decision(deadId(7), 'stock')] }),
    );
    expect(recovery.restore(found({ run: runOf({ epoch: 9 }) })).decisions).toBe(0);
    // The loading of another run proves nothing about this one.
    expect(runtime.restoredRuns.of(orphan.transactionId)).toBeUndefined();
    stock.prepared = [orphan];
    await twoScans();
    await restoring;
    expect(runtime.restoredRuns.of(orphan.transactionId)).toMatchObject({ durable: true });
    await twoScans();

    expect(rolledBack(stock)).toEqual([]);
    expect(new Set(committed(stock))).toEqual(new Set([deadId(7)]));
  });

  it('are left unchanged if its log forgets decisions, or if they belong to another epoch or to a running coordinator', async () => {
    const { recovery, stock, twoScans, runtime, transactions } = setUp();
    recovery.restore(found({ run: { ...DEAD, durable: false } }));
    recovery.restore(found({ run: { ...DEAD, epoch: 8 } }));
    recovery.restore(found({ run: { ...runtime.log.run, durable: true } }));
    const { transactionId } = await transactions.run({ branches: [branch('payment', 1)] });
    stock.prepared = [
      orphan,
      { transactionId: idOf('shop', 2, 1, OTHER_LOG_ID), branchId: 'stock' },
      { transactionId, branchId: 'stock' },
    ];
    await twoScans();

    expect(rolledBack(stock)).toEqual([]);
  });
});
