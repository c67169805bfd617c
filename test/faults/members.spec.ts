import { describe, expect, it } from 'vitest';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant, settled } from '../../src/coordinator/testing/index.js';
import { Cluster, LEASE_MS, type Member, epochOf, preparedAt } from '../support/cluster.js';

/** Within so long the transactions of a dead member are settled. */
const SETTLED_WITHIN_MS = LEASE_MS + 2_000;

function shop(scripts: { stock?: object; payment?: object } = {}): {
  cluster: Cluster;
  stock: ScriptedParticipant;
  payment: ScriptedParticipant;
} {
  const stock = new ScriptedParticipant(scripts.stock);
  const payment = new ScriptedParticipant(scripts.payment);
  return { cluster: new Cluster({ stock, payment }), stock, payment };
}

function order({ coordinator }: Member): { outcome: Promise<Outcome>; told: () => Outcome | undefined } {
  let told: Outcome | undefined;
  const outcome = coordinator.transactions.run({ branches: [branch('stock', 1), branch('payment', 1)] });
  outcome.then(
    (answer) => (told = answer),
    () => {},
  );
  return { outcome, told: () => told };
}

const effects = (...participants: ScriptedParticipant[]): unknown[] =>
  participants.map((one) => [...one.effects.values()]);

describe('A member that is killed', () => {
  it('before its decision: another rolls its branches back, and those of living members go on', async () => {
    const { cluster, stock, payment } = shop({ payment: { prepare: ['hang-after', { delayMs: 0 }] } });
    const [dead, living, third] = (await cluster.startSteady(3)) as [Member, Member, Member];
    order(dead);
    await settled();
    await cluster.advance(50);
    expect(effects(stock, payment)).toEqual([['prepared'], ['prepared']]);

    dead.kill();
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(effects(stock, payment)).toEqual([['rolled-back'], ['rolled-back']]);
    expect(living.epoch).toBe(2);
    expect(third.epoch).toBe(3);
    // Nothing is left of it: the log lists it no more.
    expect(living.coordinator.runtime.members.of(1)).toBeUndefined();
  });

  it('after its decision: another delivers it', async () => {
    const { cluster, stock, payment } = shop({ payment: { commit: ['hang', 'yes'] } });
    const [dead] = (await cluster.startSteady(2)) as [Member, Member];
    order(dead);
    await settled();
    await cluster.advance(50);
    expect(effects(stock, payment)).toEqual([['committed'], ['prepared']]);

    dead.kill();
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(effects(stock, payment)).toEqual([['committed'], ['committed']]);
  });

  it('is adopted together with everything that it had adopted', async () => {
    const { cluster, stock, payment } = shop({ payment: { commit: ['hang', 'throw', 'throw', 'yes'] } });
    const [first, second, third] = (await cluster.startSteady(3)) as [Member, Member, Member];
    order(first);
    await settled();
    await cluster.advance(50);
    first.kill();
    while (second.adopted.length + third.adopted.length === 0) await cluster.advance(50);
    const [adopter, last] = second.adopted.length > 0 ? [second, third] : [third, second];
    expect(adopter.adopted).toEqual([1]);
    expect(payment.effectOn(stock.calls[0]!.branch.transactionId, 'payment')).toBe('prepared');

    adopter.kill();
    payment.script = {};
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(effects(stock, payment)).toEqual([['committed'], ['committed']]);
    // The branch that was noted as completed is confirmed by the list of its participant.
    await cluster.advance(2 * LEASE_MS);
    expect(last.coordinator.runtime.members.list.map(({ epoch }) => epoch)).toEqual([last.epoch]);
  });

  it('while a prepare of it is under way: it is rolled back within lease + 2 s of its landing, however late', async () => {
    const landing = Promise.withResolvers<void>();
    const { cluster, stock, payment } = shop({ payment: { prepare: { until: landing.promise } } });
    const [dead] = (await cluster.startSteady(2)) as [Member, Member];
    order(dead);
    await settled();
    dead.kill();
    await cluster.advance(10 * LEASE_MS);
    expect(effects(stock, payment)).toEqual([['rolled-back'], []]);

    landing.resolve();
    await settled();
    expect(preparedAt(payment)).toHaveLength(1);
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(effects(stock, payment)).toEqual([['rolled-back'], ['rolled-back']]);
  });

  it('whose only branch decides: that branch is asked again, and its answer is the outcome', async () => {
    for (const answer of ['yes', 'no'] as const) {
      const { cluster, stock } = shop({ stock: { commitOnePhase: ['hang', answer] } });
      const [dead, living] = (await cluster.startSteady(2)) as [Member, Member];
      void dead.coordinator.transactions.run({ branches: [branch('stock', 1)] });
      await settled();
      await cluster.advance(50);
      const { transactionId } = stock.calls[0]!.branch;

      dead.kill();
      await cluster.advance(SETTLED_WITHIN_MS);

      expect(stock.calls.map(({ method }) => method)).toEqual(['commitOnePhase', 'commitOnePhase']);
      const outcome = answer === 'yes' ? 'committed' : 'aborted';
      expect(await living.log.outcomeOf(transactionId)).toMatchObject({ outcome });
      expect(living.coordinator.runtime.members.of(dead.epoch)).toBeUndefined();
    }
  });
});

describe('fault 29 §: a new owner', () => {
  it('reads after it has fenced: what the old one still records in between is delivered or refused', async () => {
    const { cluster, stock, payment } = shop();
    const [old, next] = (await cluster.startSteady(2)) as [Member, Member];
    const calls: string[] = [];
    const { adopt } = next.log.members;
    Object.assign(next.log.members, {
      adopt: async (epoch: number) => {
        const adoption = await adopt(epoch);
        calls.push(`adopted ${epoch}`);
        // From now on the old one can record nothing.
        old.resume();
        return adoption;
      },
    });
    const { outcome } = order(old);
    old.pause();
    await cluster.advance(LEASE_MS + 1_500);

    await settled();
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(calls[0]).toBe('adopted 1');
    const told = await outcome;
    expect(told.status).toBe('aborted');
    expect(new Set(effects(stock, payment).flat())).not.toContain('committed');
    expect(cluster.hasPrepared).toBe(false);
  });
});

describe('fault 52 §: recovery', () => {
  it('never touches a branch of a living member, however long it is prepared', async () => {
    const { cluster, stock, payment } = shop({ payment: { prepare: { delayMs: 60_000 } } });
    const [working, scanning] = (await cluster.startSteady(2, {
      timeoutMs: 120_000,
      prepareTimeoutMs: 100_000,
      orphanSafetyMs: 100,
    })) as [Member, Member];
    const slow = new ScriptedParticipant({ prepare: { delayMs: 60_000 } }, cluster.clock);
    payment.script = { prepare: { until: cluster.clock.delay(60_000) } };
    const { outcome } = order(working);
    await settled();
    await cluster.advance(59_000);
    expect(effects(stock, payment)).toEqual([['prepared'], []]);
    expect(stock.count('rollback')).toBe(0);

    await cluster.advance(2_000);

    expect(await outcome).toMatchObject({ status: 'committed' });
    expect(effects(stock, payment)).toEqual([['committed'], ['committed']]);
    expect([scanning.adopted, slow.count('rollback')]).toEqual([[], 0]);
  });
});

describe('fault 57 §: a member that stands still for longer than its lease', () => {
  it('is fenced, aborts what it has not sent to the log, and goes on with a new epoch in the same process', async () => {
    const { cluster, stock, payment } = shop();
    const [paused, other] = (await cluster.startSteady(2)) as [Member, Member];
    payment.script = { prepare: { until: cluster.clock.delay(2 * LEASE_MS) } };
    const { outcome } = order(paused);
    await settled();
    paused.pause();
    await cluster.advance(2 * LEASE_MS + 1_000);
    expect(other.coordinator.runtime.members.of(1)?.isFenced ?? true).toBe(true);

    paused.resume();
    await settled();
    await cluster.advance(3_000);

    expect(await outcome).toMatchObject({ status: 'aborted' });
    expect(new Set(effects(stock, payment).flat())).toEqual(new Set(['rolled-back']));
    expect(paused.epoch).toBe(3);
    payment.script = {};
    const again = order(paused);
    await cluster.advance(100);
    expect(await again.outcome).toMatchObject({ status: 'committed' });
    expect(epochOf((await again.outcome).transactionId)).toBe(3);
  });

  it('says that it is fenced until then, and begins nothing', async () => {
    const { cluster } = shop();
    const [member] = (await cluster.startSteady(2)) as [Member, Member];
    member.coordinator.runtime.log.lose();

    await expect(order(member).outcome).rejects.toMatchObject({ code: 'DTC_FENCED' });
    await cluster.advance(2_000);

    expect(member.epoch).toBe(3);
    expect(await order(member).outcome).toMatchObject({ status: 'committed' });
  });
});
