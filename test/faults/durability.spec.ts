import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LogUnavailableError, branch } from '../../src/coordinator/index.js';
import { LmdbDecisionLog } from '../../src/coordinator/log/lmdb/index.js';
import {
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

  /** A run of the coordinator over the same log; stopping it is all that is left of a crash in one process. */
  async function run(participants: TestCoordinatorOptions['participants']) {
    const log = new LmdbDecisionLog({ path });
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

  it('goes on in its next run with what it could not complete', async () => {
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
      expect(again.participants.get('payment').unforgottenReports).toBe(1);
      await again.stop();
    }
    expect(payment.count('commit')).toBe(1);

    const last = await run({ stock, payment });
    await last.recover();
    expect(last.transactions.forget(transactionId)).toBe(true);
    expect(last.participants.get('payment').unforgottenReports).toBe(0);
    await last.stop();
    const after = await run({ stock, payment });
    expect(after.transactions.list()).toEqual([]);
    await after.stop();
  });

  it('fault 39: keeps the report of an abort as well, of which nothing else is kept', async () => {
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

  it('aborts what carries a payload that the log could not give back, and nobody else', async () => {
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
    await expect(transactions.run({ branches: [branch('stock', 1)] })).rejects.toThrow(LogUnavailableError);
    expect(() => transactions.begin()).toThrow('no space left');
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
