import { describe, expect, it, vi } from 'vitest';
import { RestartableLog } from '../../../test/faults/restartable-log.js';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import { branch } from '../participant/branch-request.js';
import {
  type ParticipantScript,
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../testing/index.js';

const [FORMER, LATTER] = ['http://former/', 'http://latter/'];

function setUp(script: ParticipantScript = {}, options: TestCoordinatorOptions = {}) {
  const coordinator = createTestCoordinator({ retryBaseMs: 1_000, maxAttempts: 3, ...options });
  const stock = new ScriptedParticipant(script, coordinator.clock);
  coordinator.participants.register(stock, { name: 'stock' });
  coordinator.participants.register(new ScriptedParticipant(), { name: 'other' });
  const transaction = coordinator.transactions.begin();
  transaction.enlist(branch('stock', FORMER));
  transaction.enlist(branch('other', 1));
  const { id } = transaction;
  const replace = () => coordinator.transactions.replacePayload(id, 'stock', LATTER);
  const payloads = () => stock.calls.map(({ method, branch: { payload } }) => [method, payload]);
  return { ...coordinator, stock, transaction, id, replace, payloads };
}

describe('A payload that is replaced', () => {
  it('before the voting is that of every call, and of the record', async () => {
    const log = new RestartableLog();
    const { transaction, replace, payloads, transactions, id } = setUp({ commit: 'throw' }, { log });
    expect(await replace()).toBe('replaced');
    void transaction.commit();
    await settled();

    expect(payloads()).toEqual([
      ['prepare', LATTER],
      ['commit', LATTER],
    ]);
    expect(log.decisions.get(id)!.branches[0]).toMatchObject({ payload: LATTER });
    expect(transactions.branchesOf(id)).toEqual([
      { branchId: 'stock', participant: 'stock', payload: LATTER, state: 'COMMITTING', isOver: false },
      { branchId: 'other', participant: 'other', payload: 1, state: 'COMMITTING', isOver: true },
    ]);
  });

  it('after the decision is in the log, and the decision is delivered with it at once', async () => {
    const log = new RestartableLog();
    const { stock, transaction, replace, payloads, id } = setUp({ commit: 'throw' }, { log });
    void transaction.commit();
    await settled();
    expect(payloads()).toHaveLength(2);
    stock.script = { commit: 'hang' };

    expect(await replace()).toBe('replaced');
    await settled();
    expect(payloads().at(-1)).toEqual(['commit', LATTER]);
    expect(log.decisions.get(id)!.branches[0]).toMatchObject({ payload: LATTER, completed: false });
  });

  it('is promised by the log, which notices its loss', async () => {
    const log = new RestartableLog();
    const progress = vi.spyOn(log, 'progress');
    const { transaction, replace, clock } = setUp({ commit: 'throw' }, { log });
    void transaction.commit();
    await settled();
    await clock.advance(10_000);
    // That a branch has acknowledged is not.
    expect(progress.mock.calls.map(([, isPromised]) => isPromised)).toEqual([undefined]);

    expect(await replace()).toBe('replaced');
    expect(progress.mock.lastCall?.[1]).toBe(true);
  });

  it('comes back with the next start', async () => {
    const log = new RestartableLog();
    const { transaction, replace } = setUp({ commit: 'throw' }, { log });
    void transaction.commit();
    await settled();
    await replace();

    const next = new ScriptedParticipant();
    const { recover } = createTestCoordinator({ log, participants: { stock: next } });
    await recover();
    expect(next.calls.map(({ branch: { payload } }) => payload)).toEqual([LATTER]);
  });

  it('while the record is on its way is not taken: the log would keep the former one', async () => {
    const gate = Promise.withResolvers<void>();
    const log = new ScriptedLog({ append: () => gate.promise });
    const { transaction, replace, payloads } = setUp({}, { log });
    const outcome = transaction.commit();
    await settled();

    expect(await replace()).toBe('later');
    gate.resolve();
    expect(await outcome).toMatchObject({ status: 'committed' });
    expect(payloads()).toEqual([
      ['prepare', FORMER],
      ['commit', FORMER],
    ]);
  });

  it('after the end changes nothing, and brings no record back', async () => {
    const log = new RestartableLog();
    const { transaction, replace, transactions } = setUp({}, { log });
    await transaction.commit();

    expect(await replace()).toBe('over');
    expect(log.decisions.size).toBe(0);
    expect(await transactions.replacePayload('shop.of.no.1', 'stock', LATTER)).toBe('over');
    expect(transactions.branchesOf('shop.of.no.1')).toEqual([]);
  });

  it('of a branch that only read, or that has refused, changes nothing', async () => {
    for (const prepare of ['read-only', { refuse: 'NO' }] as const) {
      const { transaction, replace } = setUp({ prepare });
      await transaction.commit();
      expect(await replace()).toBe('over');
    }
  });

  it('counts although the log does not take it: only the next start does not know it', async () => {
    const log = new RestartableLog();
    const { stock, transaction, replace, payloads } = setUp({ commit: 'throw' }, { log });
    void transaction.commit();
    await settled();
    stock.script = {};
    log.progress = () => {
      throw new Error('disk full');
    };

    await expect(replace()).rejects.toThrow('disk full');
    await settled();
    expect(payloads().at(-1)).toEqual(['commit', LATTER]);
  });

  it('while its participant is paused is delivered when that is resumed', async () => {
    const { stock, transaction, replace, payloads, participants, runtime, clock } = setUp({
      commit: 'throw',
    });
    void transaction.commit();
    await settled();
    participants.pause('stock', { since: 0, by: 'alice', reason: 'moving' });
    stock.script = {};

    expect(await replace()).toBe('replaced');
    await settled();
    expect(payloads().at(-1)).toEqual(['commit', FORMER]);
    runtime.executor.resume('stock');
    await clock.advance(3_000);
    expect(payloads().at(-1)).toEqual(['commit', LATTER]);
  });
});
