import { Logger } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import type { AuditEntry } from '../log/decision-log.js';
import { needingAttention } from '../observation/attention.js';
import { branch } from '../participant/branch-request.js';
import {
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../testing/index.js';
import { OperatorActions } from './operator-actions.js';
import { claimOf } from '../../../test/support/identity.js';

const ALICE = { by: 'alice', reason: 'the ledger is repaired' };

beforeAll(() => Logger.overrideLogger(false));
afterAll(() => Logger.overrideLogger(['log', 'warn', 'error', 'debug']));

/** A log that keeps audit entries, and can be made to refuse them. */
class AuditingLog extends ScriptedLog {
  readonly entries: AuditEntry[] = [];
  refuses = false;
  gate: Promise<void> = Promise.resolve();

  override async audit(entry?: AuditEntry): Promise<void> {
    await this.gate;
    if (this.refuses) throw new Error('no space left on device');
    this.entries.push(entry!);
  }
}

function setUp(options: TestCoordinatorOptions = {}) {
  const log = new AuditingLog({});
  const coordinator = createTestCoordinator({ log, maxAttempts: 1, ...options });
  const actions = new OperatorActions(coordinator.runtime, coordinator.transactions);
  return { ...coordinator, actions, log };
}

/** A transaction whose branch at `failing` has stalled. */
async function stalled(script: ConstructorParameters<typeof ScriptedParticipant>[0] = { commit: 'throw' }) {
  const failing = new ScriptedParticipant(script);
  const sound = new ScriptedParticipant();
  const set = setUp({ participants: { failing, sound } });
  const outcome = await set.transactions.run({ branches: [branch('failing', 1), branch('sound', 1)] });
  const id = outcome.transactionId;
  return { ...set, failing, id, view: () => set.transactions.find(id)! };
}

describe('An operator', () => {
  it('aborts a transaction that is not decided, and its caller is told who aborted it and why', async () => {
    const hanging = new ScriptedParticipant({ prepare: 'hang' });
    const { transactions, actions, log } = setUp({ participants: { hanging } });
    const running = transactions.run({ branches: [branch('hanging', 1)] });
    const { transactionId } = transactions.list()[0]!;

    await actions.abort(transactionId, ALICE);

    expect(await running).toMatchObject({
      status: 'aborted',
      cause: 'rolled-back',
      reason: expect.stringContaining('operator alice: the ledger is repaired') as unknown,
    });
    expect(hanging.count('rollback')).toBe(1);
    expect(log.entries).toMatchObject([{ number: 1, action: 'abort', target: transactionId, ...ALICE }]);
  });

  it('cannot abort a transaction that is or may be decided, and leaves no audit entry then', async () => {
    const gate = Promise.withResolvers<void>();
    const log = new AuditingLog({ append: () => gate.promise });
    const { transactions, actions } = setUp({ participants: { sound: new ScriptedParticipant() }, log });
    const running = transactions.run({ branches: [branch('sound', 1)] });
    await settled();
    const { transactionId, inDoubt } = transactions.list()[0]!;
    expect(inDoubt).toBe(true);
    const refused = {
      code: 'DTC_ACTION_REFUSED',
      message: expect.stringContaining('may already be recorded') as unknown,
    };
    await expect(actions.abort(transactionId, ALICE)).rejects.toMatchObject(refused);

    gate.resolve();
    expect(await running).toMatchObject({ status: 'committed' });
    await expect(actions.abort(transactionId, ALICE)).rejects.toMatchObject({
      message: expect.stringContaining('is final') as unknown,
    });
    expect(log.entries).toEqual([]);
  });

  it('cannot abort a transaction that is decided while the audit entry is being written', async () => {
    const vote = Promise.withResolvers<void>();
    const { transactions, actions, log } = setUp({
      participants: { slow: new ScriptedParticipant({ prepare: { until: vote.promise } }) },
    });
    const gate = Promise.withResolvers<void>();
    log.gate = gate.promise;
    const running = transactions.run({ branches: [branch('slow', 1)] });
    const { transactionId } = transactions.list()[0]!;
    const aborting = actions.abort(transactionId, ALICE);
    vote.resolve();
    expect(await running).toMatchObject({ status: 'committed' });
    gate.resolve();

    await expect(aborting).rejects.toMatchObject({ code: 'DTC_ACTION_REFUSED' });
    expect(transactions.find(transactionId)).toMatchObject({ state: 'COMMITTED' });
  });

  it('retries a stalled branch at once, and only when there is something to deliver', async () => {
    const { actions, id, view, failing } = await stalled({ commit: ['throw', 'yes'] });
    await expect(actions.retry(id, 'sound', ALICE)).rejects.toMatchObject({ code: 'DTC_ACTION_REFUSED' });
    await expect(actions.retry(id, 'nobody', ALICE)).rejects.toMatchObject({ code: 'DTC_BRANCH_NOT_FOUND' });
    await expect(actions.retry('nobody.1', 'failing', ALICE)).rejects.toMatchObject({
      code: 'DTC_TRANSACTION_NOT_FOUND',
    });

    await actions.retry(id, 'failing', ALICE);
    await settled();
    expect(view()).toMatchObject({ state: 'COMMITTED', stalled: false });
    expect(failing.count('commit')).toBe(2);
  });

  it('refuses to retry or resolve a branch during an attempt', async () => {
    const { actions, id } = await stalled({ commit: ['throw', 'hang'] });
    await actions.retry(id, 'failing', ALICE);

    await expect(actions.retry(id, 'failing', ALICE)).rejects.toThrow(/is running/);
    await expect(actions.resolve(id, 'failing', 'commit', ALICE)).rejects.toThrow(/is running/);
  });

  it('resolves a stalled branch as it was decided, and the transaction ends without a report', async () => {
    const { actions, id, view, participants, runtime } = await stalled();
    await actions.resolve(id, 'failing', 'commit', ALICE);

    expect(view()).toMatchObject({ state: 'COMMITTED', stalled: false, heuristic: null });
    expect(view().branches[0]!.heuristic).toMatchObject({
      kind: 'commit',
      reason: expect.stringMatching(
        /^resolved by operator alice at 2030-.*Z: the ledger is repaired$/,
      ) as unknown,
    });
    expect(runtime.registry.unresolvedAt(participants.resolve('failing')).stalled).toBe(0);
  });

  it('resolves it against the decision, which stands: that is a heuristic report until it is forgotten', async () => {
    const { actions, id, view, log } = await stalled();
    await actions.resolve(id, 'failing', 'rollback', ALICE);
    expect(view()).toMatchObject({ state: 'COMMITTED', decision: 'commit', heuristic: 'mixed' });

    await actions.forget(id, { by: 'bob', reason: 'refunded' });
    expect(view()).toMatchObject({ state: 'COMMITTED', heuristic: null });
    await expect(actions.forget(id, ALICE)).rejects.toThrow(/no heuristic report/);
    expect(log.entries).toMatchObject([
      { number: 1, action: 'resolve', target: `${id}/failing`, detail: 'as rollback', ...ALICE },
      { number: 2, action: 'forget', target: id, detail: null, by: 'bob', reason: 'refunded' },
    ]);
  });

  it('gives an order that is carried out only if it still fits once it is recorded', async () => {
    const { actions, log, id, view } = await stalled();
    let why: string | undefined;
    const gate = Promise.withResolvers<void>();
    log.gate = gate.promise;
    const resolving = actions.resolve(id, 'failing', 'commit', { ...ALICE, refusal: () => why });
    why = 'The branch has stalled for another reason by now.';
    gate.resolve();

    await expect(resolving).rejects.toThrow(why);
    expect(view().branches[0]).toMatchObject({ stalled: true });
    expect(log.entries).toMatchObject([
      { action: 'resolve', detail: 'as commit' },
      { action: 'resolve', detail: `refused: ${why}` },
    ]);
  });

  it('forgets the report of one branch, and leaves those of the others, also in the log', async () => {
    const lying = new ScriptedParticipant({ commit: { heuristic: 'rollback' } });
    const other = new ScriptedParticipant({ commit: { heuristic: 'mixed' } });
    const { transactions, actions, log } = setUp({ participants: { lying, other } });
    const forgotten: unknown[] = [];
    Object.assign(log, { forget: (...of: unknown[]) => forgotten.push(of) });
    const { transactionId: id } = await transactions.run({
      branches: [branch('lying', 1), branch('other', 1)],
    });
    await settled();
    await expect(actions.forgetReport(id, 'missing', ALICE)).rejects.toMatchObject({
      code: 'DTC_BRANCH_NOT_FOUND',
    });

    await actions.forgetReport(id, 'other', ALICE);
    expect(transactions.find(id)).toMatchObject({ heuristic: 'mixed' });
    expect(forgotten).toEqual([[id, 'other']]);
    await expect(actions.forgetReport(id, 'other', ALICE)).rejects.toThrow(/holds no heuristic report/);

    await actions.forgetReport(id, 'lying', ALICE);
    expect(transactions.find(id)).toMatchObject({ heuristic: null });
    // With the last one all are forgotten, as with the order for the transaction.
    expect(forgotten).toEqual([[id, 'other'], [id]]);
    expect(log.entries).toMatchObject([
      { action: 'forget', target: `${id}/other`, ...ALICE },
      { action: 'forget', target: `${id}/lying`, ...ALICE },
    ]);
  });

  it('resolves only stalled branches', async () => {
    const { actions, id } = await stalled();
    await expect(actions.resolve(id, 'sound', 'rollback', ALICE)).rejects.toThrow(/has not stalled/);

    const pausing = new ScriptedParticipant({ commit: 'throw' });
    const other = setUp({ participants: { pausing }, maxAttempts: 3 });
    const running = other.transactions.run({ branches: [branch('pausing', 1)] });
    await settled();
    const { transactionId } = other.transactions.list()[0]!;
    const resolving = other.actions.resolve(transactionId, 'pausing', 'commit', ALICE);
    await expect(resolving).rejects.toThrow(/has not stalled/);
    await other.clock.advance(10_000);
    expect(await running).toMatchObject({ status: 'pending' });
  });

  it('pauses a participant: new transactions and enlisted branches are refused, and others continue', async () => {
    const [ledger, other] = [new ScriptedParticipant(), new ScriptedParticipant()];
    const { transactions, actions } = setUp({ participants: { ledger, other } });
    const begun = transactions.begin();
    begun.enlist(branch('ledger', 1));
    await actions.pause('ledger', ALICE);

    await expect(transactions.run({ branches: [branch('ledger', 1)] })).rejects.toMatchObject({
      code: 'DTC_PARTICIPANT_PAUSED',
      participant: 'ledger',
    });
    expect(await begun.commit()).toMatchObject({
      status: 'aborted',
      participant: 'ledger',
      code: 'PARTICIPANT_PAUSED',
    });
    expect(ledger.calls).toEqual([]);
    expect(await transactions.run({ branches: [branch('other', 1)] })).toMatchObject({ status: 'committed' });
  });

  it('holds completions while a participant is paused, and continues them when it is resumed', async () => {
    const votes = Promise.withResolvers<void>();
    const prepare = { until: votes.promise };
    const ledger = new ScriptedParticipant({ prepare });
    const other = new ScriptedParticipant({ prepare });
    const { transactions, actions, clock, recover } = setUp({ participants: { ledger, other } });
    const running = transactions.run({ branches: [branch('ledger', 1), branch('other', 1)] });
    await actions.pause('ledger', ALICE);
    votes.resolve();
    await settled();
    await recover();
    await clock.advance(60_000);

    const { transactionId } = await running;
    await expect(running).resolves.toMatchObject({ status: 'pending', decision: 'commit' });
    expect([ledger.count('commit'), other.count('commit')]).toEqual([0, 1]);
    const held = transactions.find(transactionId)!;
    expect(held).toMatchObject({ state: 'COMMITTING', stalled: false });
    expect(held.branches[0]).toMatchObject({
      state: 'committing',
      held: true,
      attempts: 0,
      nextAttemptAt: null,
    });
    expect(held.timeline).toContainEqual(expect.objectContaining({ event: 'held', branchId: 'ledger' }));
    await expect(actions.retry(transactionId, 'ledger', ALICE)).rejects.toThrow(/is paused/);

    await actions.resume('ledger', ALICE);
    await clock.advance(50);
    expect(ledger.count('commit')).toBe(1);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'COMMITTED' });
  });

  it('holds rollbacks, retries and stalled branches of a paused participant as well', async () => {
    const set = await stalled({ commit: ['throw', 'yes'] });
    await set.actions.pause('failing', ALICE);
    await set.recover();
    expect(set.failing.count('commit')).toBe(1);
    await set.actions.resume('failing', ALICE);
    await set.recover();
    expect(set.view()).toMatchObject({ state: 'COMMITTED' });

    const ledger = new ScriptedParticipant({ rollback: ['throw', 'yes'] });
    const { transactions, actions, clock, participants } = setUp({
      participants: { ledger },
      maxAttempts: 3,
    });
    participants.register(new ScriptedParticipant({ prepare: { delayMs: 10, then: 'no' } }, clock), {
      name: 'no',
    });
    const running = transactions.run({ branches: [branch('ledger', 1), branch('no', 1)] });
    await clock.advance(10);
    const { transactionId } = await running;
    await settled();
    expect(ledger.count('rollback')).toBe(1);
    await actions.pause('ledger', ALICE);
    await clock.advance(10_000);
    expect(ledger.count('rollback')).toBe(1);
    await actions.resume('ledger', ALICE);
    await clock.advance(50);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED' });
  });

  it('a transaction held by a pause gives its place to another, is shown as unsettled, and its caller is told at once', async () => {
    const votes = Promise.withResolvers<void>();
    const ledger = new ScriptedParticipant({ prepare: { until: votes.promise } });
    const other = new ScriptedParticipant();
    const { transactions, actions, runtime } = setUp({ participants: { ledger, other }, maxInFlight: 1 });
    const running = transactions.run({ branches: [branch('ledger', 1)] });
    await actions.pause('ledger', ALICE);
    votes.resolve();

    expect(await running).toMatchObject({ status: 'pending', decision: 'commit' });
    expect(needingAttention(runtime.registry, runtime.parts.clock.now())).toHaveLength(1);
    expect(await transactions.run({ branches: [branch('other', 1)] })).toMatchObject({ status: 'committed' });
  });

  it('a branch held by a pause can be resolved by hand, without another attempt', async () => {
    const { actions, id, view, failing } = await stalled();
    const pausing = new ScriptedParticipant({ commit: 'throw' });
    const set = setUp({ participants: { pausing }, maxAttempts: 5 });
    const running = set.transactions.run({ branches: [branch('pausing', 1)] });
    await settled();
    await set.actions.pause('pausing', ALICE);
    await set.clock.advance(10_000);
    const { transactionId } = await running;
    await set.actions.resolve(transactionId, 'pausing', 'commit', ALICE);
    expect(set.transactions.find(transactionId)).toMatchObject({ state: 'COMMITTED', heuristic: null });
    expect(pausing.count('commit')).toBe(1);

    await actions.pause('failing', ALICE);
    await actions.resolve(id, 'failing', 'commit', ALICE);
    expect([view().state, failing.count('commit')]).toEqual(['COMMITTED', 1]);
  });

  it('a pause belongs to the name: it outlives the participant, and its end releases all branches of that name', async () => {
    const votes = Promise.withResolvers<void>();
    const ledger = new ScriptedParticipant({ prepare: { until: votes.promise } });
    const { transactions, actions, participants, clock } = setUp({ participants: { ledger } });
    const running = transactions.run({ branches: [branch('ledger', 1)] });
    await actions.pause('ledger', ALICE);
    votes.resolve();
    const { transactionId } = await running;
    participants.unregister('ledger');
    const again = new ScriptedParticipant();
    participants.register(again, { name: 'ledger' });
    await expect(transactions.run({ branches: [branch('ledger', 1)] })).rejects.toThrow(/paused/);

    participants.unregister('ledger');
    await actions.resume('ledger', ALICE);
    await clock.advance(50);
    expect(ledger.count('commit')).toBe(1);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'COMMITTED' });
    participants.register(again, { name: 'ledger' });
    expect(await transactions.run({ branches: [branch('ledger', 1)] })).toMatchObject({
      status: 'committed',
    });
  });

  it('of two orders for one branch only the first is carried out, and the trail shows why the second was not', async () => {
    const { actions, id, view, log } = await stalled();
    const orders = await Promise.allSettled([
      actions.resolve(id, 'failing', 'commit', ALICE),
      actions.resolve(id, 'failing', 'rollback', { by: 'bob', reason: 'I saw it rolled back' }),
    ]);
    expect(orders.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(view()).toMatchObject({ state: 'COMMITTED', heuristic: null });
    expect(log.entries).toMatchObject([
      { by: 'alice', detail: 'as commit' },
      { by: 'bob', detail: 'as rollback' },
      { by: 'bob', detail: expect.stringMatching(/^refused: /) as unknown },
    ]);
  });

  it('a log that does not answer makes an operator wait only for a limited time, and nothing is done', async () => {
    const { actions, log, runtime, clock } = setUp();
    log.gate = new Promise(() => {});
    const draining = actions.drain(ALICE).catch((error: unknown) => error);
    await clock.advance(10_000, 1_000);
    expect(await draining).toMatchObject({ code: 'DTC_LOG_UNAVAILABLE' });
    expect(runtime.admission.isDraining).toBe(false);
  });

  it('a paused participant makes no decision in one phase, and reports that', async () => {
    const ledger = new ScriptedParticipant({ commitOnePhase: 'yes' });
    const { transactions, actions } = setUp({ participants: { ledger } });
    const begun = transactions.begin();
    begun.enlist(branch('ledger', 1));
    await actions.pause('ledger', ALICE);

    expect(await begun.commit()).toMatchObject({ status: 'aborted', code: 'PARTICIPANT_PAUSED' });
    expect(ledger.calls).toEqual([]);
  });

  it('resumes only paused participants, and finds only registered ones', async () => {
    const { actions } = setUp({ participants: { ledger: new ScriptedParticipant() } });
    await expect(actions.resume('ledger', ALICE)).rejects.toThrow(/is not paused/);
    await expect(actions.pause('nobody', ALICE)).rejects.toMatchObject({ code: 'DTC_PARTICIPANT_NOT_FOUND' });
  });

  it('drains the coordinator, and undrains it', async () => {
    const ledger = new ScriptedParticipant();
    const { transactions, actions, runtime } = setUp({ participants: { ledger } });
    const begun = transactions.begin();
    begun.enlist(branch('ledger', 1));
    await actions.drain(ALICE);
    expect(runtime.admission.isOpen).toBe(false);
    await expect(transactions.run({ branches: [] })).rejects.toMatchObject({ code: 'DTC_DRAINING' });
    expect(await begun.commit()).toMatchObject({ status: 'committed' });

    await actions.undrain(ALICE);
    expect(await transactions.run({ branches: [] })).toMatchObject({ status: 'committed' });
    await expect(actions.undrain(ALICE)).rejects.toMatchObject({ code: 'DTC_ACTION_REFUSED' });
  });

  it('carries out no order that cannot be recorded', async () => {
    const { actions, id, view, log, failing, transactions, participants } = await stalled();
    log.refuses = true;
    const refused = { code: 'DTC_LOG_UNAVAILABLE' };
    const before = view();

    await expect(actions.retry(id, 'failing', ALICE)).rejects.toMatchObject(refused);
    await expect(actions.resolve(id, 'failing', 'commit', ALICE)).rejects.toMatchObject(refused);
    await expect(actions.pause('failing', ALICE)).rejects.toMatchObject(refused);
    await expect(actions.drain(ALICE)).rejects.toMatchObject(refused);

    expect(view()).toEqual(before);
    expect(failing.count('commit')).toBe(1);
    expect(participants.get('failing').paused).toBeUndefined();
    log.refuses = false;
    await actions.undrain(ALICE).catch(() => {});
    await expect(transactions.run({ branches: [] })).rejects.toMatchObject(refused);
  });

  it('lists the orders of earlier runs, the latest first, page by page', async () => {
    const entry = (number: number): AuditEntry => ({
      number,
      at: number,
      action: 'drain',
      target: 'shop',
      detail: null,
      ...ALICE,
    });
    const log = new AuditingLog({
      claim: claimOf({ epoch: 2, audits: [entry(6), entry(7)] }),
    });
    const { actions } = setUp({ log });
    await actions.drain(ALICE);

    expect(actions.audit(2).map(({ number }) => number)).toEqual([8, 7]);
    expect(actions.audit(2, 7).map(({ number }) => number)).toEqual([6]);
    expect(log.entries).toMatchObject([{ number: 8 }]);
  });
});
