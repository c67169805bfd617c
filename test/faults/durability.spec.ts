import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type CommitRecord,
  type DecisionLog,
  LogUnavailableError,
  branch,
} from '../../src/coordinator/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import {
  type ParticipantScript,
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { ScriptedLog } from './scripted-log.js';

describe('A coordinator with a durable log', () => {
  let path: string;
  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'durability-'));
  });
  afterEach(() => rmSync(path, { recursive: true }));

  /**
   * A run of the coordinator over the same log; stopping it is all that is left of a crash in one process.
   */
  async function run(participants: TestCoordinatorOptions['participants']) {
    const log = new SqliteDecisionLog({ path });
    const claim = await log.open('shop');
    const coordinator = createTestCoordinator({
      name: 'shop',
      participants: participants!,
      log,
      claim,
      maxAttempts: 1,
    });
    return { ...coordinator, stop: () => log.close() };
  }

  it('continues in its next run with uncompleted branches', async () => {
    const stock = new ScriptedParticipant();
    const payment = ScriptedParticipant.flaky(2);
    const first = await run({ stock, payment });
    const outcome = await first.transactions.run({
      branches: [branch('stock', 'a'), branch('payment', 'b')],
    });
    expect(outcome).toMatchObject({ status: 'pending', decision: 'commit' });
    await first.stop();

    const second = await run({ stock, payment });
    await second.recover();
    await second.recover();
    expect(second.transactions.find(outcome.transactionId)).toMatchObject({
      state: 'COMMITTED',
      stalled: false,
    });
    expect(payment.effectOn(outcome.transactionId, 'payment')).toBe('committed');
    await second.stop();

    const third = await run({ stock, payment });
    expect(third.transactions.list()).toEqual([]);
    await third.stop();
  });

  it('fault 39: keeps a heuristic report over restarts, until it is forgotten', async () => {
    const stock = new ScriptedParticipant();
    const payment = new ScriptedParticipant({ commit: { heuristic: 'rollback' } });
    const first = await run({ stock, payment });
    const { transactionId } = await first.transactions.run({
      branches: [branch('stock', 1), branch('payment', 1)],
    });
    await settled();
    await first.stop();

    for (let restart = 0; restart < 2; restart++) {
      const again = await run({ stock, payment });
      await again.recover();
      expect(again.transactions.find(transactionId)).toMatchObject({
        state: 'COMMITTED',
        heuristic: 'mixed',
        branches: [{ branchId: 'stock' }, { branchId: 'payment', heuristic: { kind: 'rollback' } }],
      });
      expect(again.runtime.registry.unresolvedAt(again.participants.resolve('payment')).reports).toBe(1);
      await again.stop();
    }
    expect(payment.count('commit')).toBe(1);

    const last = await run({ stock, payment });
    await last.recover();
    expect(last.transactions.forget(transactionId)).toBe(true);
    expect(last.runtime.registry.unresolvedAt(last.participants.resolve('payment')).reports).toBe(0);
    await last.stop();
    const after = await run({ stock, payment });
    expect(after.transactions.list()).toEqual([]);
    await after.stop();
  });

  it('fault 39: keeps the report of an abort as well, although it keeps nothing else of an abort', async () => {
    const stock = new ScriptedParticipant({ prepare: 'no' });
    const payment = new ScriptedParticipant({ rollback: { heuristic: 'commit' } });
    const first = await run({ stock, payment });
    const { transactionId } = await first.transactions.run({
      branches: [branch('stock', 1), branch('payment', 1)],
    });
    await settled();
    await first.stop();

    const second = await run({ stock, payment });
    expect(second.transactions.find(transactionId)).toMatchObject({ state: 'ABORTED', heuristic: 'commit' });
    expect(second.transactions.forget(transactionId)).toBe(true);
    await second.stop();

    const third = await run({ stock, payment });
    expect(third.transactions.list()).toEqual([]);
    await third.stop();
  });

  it('aborts a transaction with a payload that the log could not return, and no other', async () => {
    const stock = new ScriptedParticipant();
    const { transactions, stop } = await run({ stock });

    const refused = await transactions.run({ branches: [branch('stock', () => 1)] });
    expect(refused).toMatchObject({ status: 'aborted', cause: 'not-recorded' });
    expect((await transactions.run({ branches: [branch('stock', 1)] })).status).toBe('committed');
    await stop();
  });
});

describe('A log that takes no records', () => {
  it('fault 59: new transactions are refused, old ones go on, and all is well when the log is', async () => {
    let isFull = false;
    const full = (): Promise<void> =>
      isFull ? Promise.reject(new Error('no space left')) : Promise.resolve();
    const log = new ScriptedLog({
      append: (write) => full().then(write),
      check: full,
    });
    const stock = new ScriptedParticipant();
    const { transactions, clock, recover, runtime } = createTestCoordinator({ participants: { stock }, log });
    const begun = transactions.begin({ timeoutMs: 60_000 });
    begun.enlist(branch('stock', 1));

    isFull = true;
    expect(await begun.commit()).toMatchObject({ status: 'aborted', cause: 'not-recorded' });
    const refused = transactions.run({ branches: [branch('stock', 1)] });
    await expect(refused).rejects.toThrow(LogUnavailableError);
    await expect(refused).rejects.toMatchObject({ code: 'DTC_LOG_UNAVAILABLE' });
    // The error of the log may name files and hosts, and the message reaches clients.
    await expect(refused).rejects.toMatchObject({ problem: 'no space left' });
    await expect(refused).rejects.not.toThrow('no space left');
    expect(runtime.admission.isOpen).toBe(false);
    await recover();
    expect(() => transactions.begin()).toThrow(LogUnavailableError);

    isFull = false;
    await recover();
    await clock.advance(1);
    expect((await transactions.run({ branches: [branch('stock', 1)] })).status).toBe('committed');
    expect(runtime.admission.isOpen).toBe(true);
  });

  it('fault 27: a log that does not answer stops the admission, and its answer opens it again', async () => {
    const appended = Promise.withResolvers<void>();
    const log = new ScriptedLog({ append: () => appended.promise, lookUp: () => new Promise(() => {}) });
    const stock = new ScriptedParticipant();
    const { transactions, clock } = createTestCoordinator({ participants: { stock }, log });
    const running = transactions.run({ branches: [branch('stock', 1)] });

    await clock.advance(20_000, 1_000);
    expect((await running).status).toBe('pending');
    expect(() => transactions.begin()).toThrow(LogUnavailableError);

    appended.resolve();
    await settled();
    expect(transactions.find((await running).transactionId)?.state).toBe('COMMITTED');
    expect(() => transactions.begin()).not.toThrow();
  });
});

describe('The records of a completion in the log', () => {
  /**
   * A transaction over two participants that stall at their first failure, and each progress that the log was
   * told.
   */
  function noting(one: ParticipantScript, other: ParticipantScript) {
    const log: DecisionLog = new ScriptedLog();
    const noted: CommitRecord[] = [];
    vi.spyOn(log, 'progress').mockImplementation((decision) => void noted.push(decision.toRecord()));
    const ended = vi.spyOn(log, 'end');
    const coordinator = createTestCoordinator({
      participants: { one: new ScriptedParticipant(one), other: new ScriptedParticipant(other) },
      log,
      maxAttempts: 1,
    });
    const run = () => coordinator.transactions.run({ branches: [branch('one', 1), branch('other', 1)] });
    /** Which branches were completed, in each progress. */
    const completed = () => noted.map(({ branches }) => branches.map((each) => each.completed));
    return { ...coordinator, run, completed, ended };
  }

  it('says who has acknowledged when another branch stalls: a restart tells them no more', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, completed } = noting({}, { commit: { until: gate.promise, then: 'throw' } });
    const running = run();
    await settled();
    expect(completed()).toEqual([]);

    gate.resolve();
    await running;
    expect(completed()).toEqual([[true, false]]);
  });

  it('says who acknowledges while another branch is stalled', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, completed } = noting({ commit: 'throw' }, { commit: { until: gate.promise } });
    await run();
    expect(completed()).toEqual([]);

    gate.resolve();
    await settled();
    expect(completed()).toEqual([[false, true]]);
  });

  it('is only the end when all goes well, and nothing at all when every branch has stalled', async () => {
    const sound = noting({}, {});
    await sound.run();
    expect(sound.completed()).toEqual([]);
    expect(sound.ended).toHaveBeenCalledTimes(1);

    const stuck = noting({ commit: 'throw' }, { commit: 'throw' });
    await stuck.run();
    await settled();
    expect(stuck.completed()).toEqual([]);
    expect(stuck.ended).not.toHaveBeenCalled();
  });

  it('is nothing of an abort, however its rollbacks go: a record would be a commit at the next start', async () => {
    const { run, completed, transactions } = noting(
      { prepare: 'yes', rollback: 'throw' },
      { prepare: 'throw', rollback: 'throw' },
    );
    const { transactionId } = await run();
    await settled();

    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTING', stalled: true });
    expect(completed()).toEqual([]);
  });

  it('fault 39: is with a heuristic report that every branch is over, and not the end', async () => {
    const { run, completed, ended } = noting({}, { commit: { heuristic: 'rollback' } });
    await run();

    expect(completed()).toEqual([[true, true]]);
    expect(ended).not.toHaveBeenCalled();
  });

  it('fault 39: does not end an abort when its report is forgotten, since there was no record', async () => {
    const { run, transactions, ended } = noting({ prepare: 'no' }, { rollback: { heuristic: 'commit' } });
    const { transactionId } = await run();
    await settled();

    expect(transactions.forget(transactionId)).toBe(true);
    expect(ended).not.toHaveBeenCalled();
  });
});
