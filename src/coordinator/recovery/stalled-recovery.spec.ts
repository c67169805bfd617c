import { describe, expect, it } from 'vitest';
import { branch } from '../participant/branch-request.js';
import type { Branch, TransactionParticipant } from '../participant/participant.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../testing/index.js';
import { StalledRecovery } from './stalled-recovery.js';

/** Fails to commit until it is repaired, and counts how many attempts run at the same time. */
class Mendable implements TransactionParticipant {
  isMended = false;
  readonly attempts = new Map<string, number>();
  gate: Promise<void> = Promise.resolve();
  running = 0;
  mostRunning = 0;
  readonly order: string[] = [];

  prepare(): 'commit' {
    return 'commit';
  }

  async commit({ transactionId }: Branch): Promise<void> {
    this.order.push(transactionId);
    this.attempts.set(transactionId, (this.attempts.get(transactionId) ?? 0) + 1);
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    await this.gate;
    this.running--;
    if (!this.isMended) throw new Error('broken');
  }

  rollback(): void {}
}

async function stall(count: number, recoveryConcurrency = 50) {
  const mendable = new Mendable();
  const coordinator = createTestCoordinator({
    participants: { mendable },
    maxAttempts: 1,
    recoveryConcurrency,
    completionTimeoutMs: 500,
  });
  const ids: string[] = [];
  for (let number = 0; number < count; number++) {
    const { transactionId } = await coordinator.transactions.run({ branches: [branch('mendable', number)] });
    ids.push(transactionId);
  }
  mendable.order.length = 0;
  mendable.mostRunning = 0;
  return { ...coordinator, mendable, ids };
}

describe('StalledRecovery', () => {
  it('tries every stalled branch once in a pass, the oldest transaction first', async () => {
    const { recover, mendable, ids, transactions } = await stall(10, 1);
    await recover();
    expect(mendable.order).toEqual(ids);
    expect([...mendable.attempts.values()]).toEqual(ids.map(() => 2));
    expect(transactions.list({ stalled: true })).toHaveLength(10);

    mendable.isMended = true;
    await recover();
    expect([...mendable.attempts.values()]).toEqual(ids.map(() => 3));
    expect(transactions.list({ stalled: true })).toHaveLength(0);
    expect(transactions.list({ state: 'COMMITTED' })).toHaveLength(10);

    await recover();
    expect([...mendable.attempts.values()]).toEqual(ids.map(() => 3));
  });

  it('tries a limited number at the same time', async () => {
    const { recover, mendable } = await stall(20, 4);
    mendable.isMended = true;
    const gate = Promise.withResolvers<void>();
    mendable.gate = gate.promise;
    const pass = recover();
    await settled();
    // A pass that starts meanwhile adds no attempt.
    void recover();
    await settled();
    expect(mendable.running).toBe(4);
    gate.resolve();
    await pass;

    expect(mendable.mostRunning).toBe(4);
    expect(mendable.order).toHaveLength(20);
  });

  it('a hanging participant delays no other, however few branches are tried at the same time', async () => {
    const hanging = new ScriptedParticipant({ commit: ['throw', 'hang'] });
    const sound = ScriptedParticipant.flaky(1);
    const { transactions, recover, participants, runtime } = createTestCoordinator({
      participants: { hanging, sound },
      maxAttempts: 1,
      recoveryConcurrency: 1,
    });
    await transactions.run({ branches: [branch('hanging', 1), branch('sound', 1)] });

    void recover();
    await settled();

    expect(hanging.count('commit')).toBe(2);
    expect(participants.get('sound').counts).toMatchObject({ committed: 1 });
    expect(runtime.registry.unresolvedAt(participants.resolve('sound')).stalled).toBe(0);
  });

  it('a branch that stalls elsewhere meanwhile is tried in the next pass, although one participant still hangs', async () => {
    const hanging = new ScriptedParticipant({ commit: ['throw', 'hang'] });
    const sound = ScriptedParticipant.flaky(1);
    const { transactions, recover, participants, runtime } = createTestCoordinator({
      participants: { hanging, sound },
      maxAttempts: 1,
    });
    await transactions.run({ branches: [branch('hanging', 1)] });
    void recover();
    await settled();
    await transactions.run({ branches: [branch('sound', 1)] });

    void recover();
    await settled();

    expect(participants.get('sound').counts).toMatchObject({ committed: 1 });
    expect(runtime.registry.unresolvedAt(participants.resolve('sound')).stalled).toBe(0);
    expect(hanging.count('commit')).toBe(2);
  });

  it('tries nothing further once it is stopped, and the stop waits for running attempts', async () => {
    const { runtime, mendable } = await stall(3, 1);
    const gate = Promise.withResolvers<void>();
    mendable.gate = gate.promise;
    const stalled = new StalledRecovery(runtime, 1);
    void stalled.pass();
    await settled();
    let isStopped = false;
    const stopping = stalled.stop().then(() => (isStopped = true));
    await settled();
    expect(isStopped).toBe(false);

    gate.resolve();
    await stopping;
    await stalled.pass();
    expect(mendable.order).toHaveLength(1);
  });

  it('a hanging branch delays a pass for one attempt, and a pass meanwhile does not try it', async () => {
    const { recover, mendable, clock, transactions } = await stall(1);
    mendable.gate = new Promise(() => {});
    let isOver = false;
    const pass = recover().then(() => (isOver = true));
    await settled();
    void recover();
    await settled();
    expect(mendable.order).toHaveLength(1);

    await clock.advance(490);
    expect(isOver).toBe(false);
    await clock.advance(10);
    await pass;
    expect(transactions.list({ stalled: true })).toHaveLength(1);

    mendable.gate = Promise.resolve();
    mendable.isMended = true;
    await recover();
    expect(transactions.list({ stalled: true })).toHaveLength(0);
  });

  it('tries only the stalled branches of a transaction', async () => {
    const sound = new ScriptedParticipant();
    const stuck = new ScriptedParticipant({ commit: 'throw' });
    const { transactions, recover } = createTestCoordinator({
      participants: { sound, stuck },
      maxAttempts: 1,
    });
    const { transactionId } = await transactions.run({ branches: [branch('sound', 1), branch('stuck', 1)] });
    await recover();

    expect(sound.count('commit')).toBe(1);
    expect(stuck.count('commit')).toBe(2);
    expect(transactions.find(transactionId)!.branches).toMatchObject([
      { state: 'committed', stalled: false },
      { state: 'committing', stalled: true },
    ]);
  });

  it('a pass is not delayed by a rollback that a late answer has overtaken', async () => {
    const vote = Promise.withResolvers<'commit'>();
    const { transactions, participants, clock, recover } = createTestCoordinator({
      prepareTimeoutMs: 100,
      completionTimeoutMs: 86_400_000,
      maxAttempts: 1,
    });
    let rollbacks = 0;
    participants.register(
      {
        prepare: () => vote.promise,
        commit: () => {},
        // The first attempt fails, the second hangs.
        rollback: () => {
          rollbacks++;
          if (rollbacks === 1) throw new Error('broken');
          return rollbacks === 2 ? new Promise<void>(() => {}) : undefined;
        },
      },
      { name: 'late' },
    );
    const running = transactions.run({ branches: [branch('late', 1)] });
    await clock.advance(100);
    const { transactionId } = await running;
    await settled();
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTING', stalled: true });

    const pass = recover();
    await settled();
    vote.resolve('commit');
    await pass;
    expect(rollbacks).toBe(3);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED', stalled: false });
  });

  it('a pass is not delayed by a rollback that a late read-only vote has made needless', async () => {
    const vote = Promise.withResolvers<void>();
    const late = new ScriptedParticipant({
      prepare: { until: vote.promise, then: 'read-only' },
      rollback: ['throw', 'hang'],
    });
    const { transactions, clock, recover, participants, runtime } = createTestCoordinator({
      participants: { late },
      prepareTimeoutMs: 100,
      completionTimeoutMs: 86_400_000,
      maxAttempts: 1,
    });
    const running = transactions.run({ branches: [branch('late', 1)] });
    await clock.advance(100);
    const { transactionId } = await running;
    const pass = recover();
    await settled();
    expect(late.count('rollback')).toBe(2);

    vote.resolve();
    await pass;
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED', stalled: false });
    expect(runtime.registry.unresolvedAt(participants.resolve('late')).stalled).toBe(0);
  });

  it('a branch that was completed before its turn is not tried again, and delays no pass', async () => {
    const acknowledgement = Promise.withResolvers<void>();
    const turn = Promise.withResolvers<void>();
    // Each is given up once. The second is acknowledged while the recovery tries the first.
    const stock = new ScriptedParticipant({
      commit: ['hang', { until: acknowledgement.promise }, { until: turn.promise }, 'hang'],
    });
    const { transactions, clock, recover } = createTestCoordinator({
      participants: { stock },
      completionTimeoutMs: 100,
      maxAttempts: 1,
      recoveryConcurrency: 1,
    });
    const running = [1, 2].map((number) => transactions.run({ branches: [branch('stock', number)] }));
    await clock.advance(100);
    const ids = (await Promise.all(running)).map(({ transactionId }) => transactionId);
    const pass = recover();
    await settled();
    acknowledgement.resolve();
    await settled();
    expect(ids.map((id) => transactions.find(id)!.state)).toEqual(['COMMITTING', 'COMMITTED']);

    turn.resolve();
    await pass;
    expect(stock.count('commit')).toBe(3);
    expect(ids.map((id) => transactions.find(id)!.state)).toEqual(['COMMITTED', 'COMMITTED']);
  });

  it('a branch with a running attempt is not tried twice at once when its turn comes', async () => {
    const vote = Promise.withResolvers<void>();
    const turn = Promise.withResolvers<void>();
    // The late vote of the second starts its rollback again while the recovery tries the first.
    const stock = new ScriptedParticipant({
      prepare: ['hang', { until: vote.promise, then: { answer: 'commit' } }],
      rollback: ['throw', 'throw', { until: turn.promise }, 'hang'],
    });
    const { transactions, clock, recover } = createTestCoordinator({
      participants: { stock },
      prepareTimeoutMs: 100,
      completionTimeoutMs: 86_400_000,
      maxAttempts: 1,
      recoveryConcurrency: 1,
    });
    for (const number of [1, 2]) void transactions.run({ branches: [branch('stock', number)] });
    await clock.advance(100);
    const pass = recover();
    await settled();
    vote.resolve();
    await settled();
    expect(stock.count('rollback')).toBe(4);

    turn.resolve();
    await pass;
    expect(stock.count('rollback')).toBe(4);
  });

  it('does not try a branch that still has its own attempts', async () => {
    const stuck = new ScriptedParticipant({ commit: 'throw' });
    const pausing = new ScriptedParticipant({ commit: ['throw', 'yes'] });
    const { transactions, participants, clock, recover } = createTestCoordinator({ retryBaseMs: 1_000 });
    participants.register(stuck, { name: 'stuck', maxAttempts: 1 });
    participants.register(pausing, { name: 'pausing' });
    await transactions.run({ branches: [branch('stuck', 1), branch('pausing', 1)] });
    await recover();
    expect([stuck.count('commit'), pausing.count('commit')]).toEqual([2, 1]);

    await clock.advance(1_000);
    expect(pausing.count('commit')).toBe(2);
  });

  it('tries a one-phase commit in doubt, and its answer decides', async () => {
    for (const [answer, state] of [
      ['commit', 'COMMITTED'],
      ['abort', 'ABORTED'],
    ] as const) {
      let calls = 0;
      const { transactions, participants, runtime, recover } = createTestCoordinator({ maxAttempts: 1 });
      participants.register(
        {
          prepare: () => 'commit',
          commit: () => {},
          rollback: () => {},
          commitOnePhase: () => {
            if (calls++ === 0) throw new Error('connection cut');
            return answer;
          },
        },
        { name: 'ledger' },
      );
      const outcome = await transactions.run({ branches: [branch('ledger', 1)] });
      expect(outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
      expect(transactions.find(outcome.transactionId)).toMatchObject({ state: 'READY', stalled: true });

      await recover();
      expect(transactions.find(outcome.transactionId)).toMatchObject({ state, stalled: false });
      expect(runtime.registry.unresolvedAt(participants.resolve('ledger')).stalled).toBe(0);
    }
  });
});
