import { describe, expect, it } from 'vitest';
import { branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { Cluster, LEASE_MS, type Member } from '../support/cluster.js';

const effects = (...participants: ScriptedParticipant[]): unknown[] =>
  participants.map((one) => Array.from(one.effects.values()));

describe('fault 65: a rolling upgrade', () => {
  it('writes the newer format as soon as every member that can write reads it, and not before', async () => {
    const cluster = new Cluster({ stock: new ScriptedParticipant() });
    const old = await cluster.start();
    const upgraded = await cluster.start({}, { first: 1, last: 3 });
    await cluster.start({}, { first: 1, last: 2 });
    const { store } = cluster;
    await cluster.advance(LEASE_MS + 1_500);
    expect(store.of('shop').format).toBe(1);

    old.kill();
    await cluster.advance(LEASE_MS + 2_000);
    expect(store.of('shop').format).toBe(2);
    expect(upgraded.coordinator.runtime.log.problem).toBeUndefined();
    // A process of the old version takes no epoch from then on.
    await expect(cluster.start()).rejects.toThrow('format 2');
  });
});

describe('An adoption', () => {
  it('that takes longer than a lease, as there is much to read, is not begun again', async () => {
    const [stock, payment] = [
      new ScriptedParticipant(),
      new ScriptedParticipant({ commit: ['hang', 'yes'] }),
    ];
    const cluster = new Cluster({ stock, payment });
    const [dead, other] = (await cluster.startSteady(2)) as [Member, Member];
    const { members } = other.log;
    const adopt = members.adopt.bind(members);
    const reading = Promise.withResolvers<void>();
    let begun = 0;
    Object.assign(members, {
      adopt: async (epoch: number) => {
        begun++;
        await reading.promise;
        return adopt(epoch);
      },
    });
    void dead.coordinator.transactions.run({ branches: [branch('stock', 1), branch('payment', 1)] });
    await cluster.advance(100);
    dead.kill();
    await cluster.advance(3 * LEASE_MS);
    expect(effects(payment)).toEqual([['prepared']]);

    reading.resolve();
    await cluster.advance(2_000);
    expect(effects(stock, payment)).toEqual([['committed'], ['committed']]);
    expect(begun).toBe(1);
  });
});

describe.each([
  ['where only synchronous standbys take over', true],
  ['where other standbys may take over', false],
])('A log that has lost acknowledged decisions, %s', (_, declared) => {
  it('stops the member, and no member presumes anything of what it had prepared', async () => {
    const [stock, payment] = [new ScriptedParticipant(), new ScriptedParticipant()];
    const cluster = new Cluster({ stock, payment }, declared);
    const [member, other] = (await cluster.startSteady(2)) as [Member, Member];
    const told: unknown[] = [];
    const order = async (): Promise<string> => {
      const branches = [branch('stock', 1), branch('payment', 1)];
      member.coordinator.transactions.run({ branches }).then(
        ({ status }) => told.push(status),
        (error: { code?: string }) => told.push(error.code),
      );
      await cluster.advance(100);
      return stock.calls.at(-1)!.branch.transactionId;
    };
    await order();
    payment.script = { commit: 'throw' };
    const lost = await order();
    const before = [
      ['committed', 'committed'],
      ['committed', 'prepared'],
    ];
    expect(effects(stock, payment)).toEqual(before);

    cluster.store.failOver([lost]);
    await cluster.advance(2_500);
    expect(member.coordinator.runtime.log.problem).toContain('has lost decisions');
    expect(other.coordinator.runtime.log.problem).toBeUndefined();
    await order();
    member.kill();
    await cluster.advance(4 * LEASE_MS);

    expect(told[0]).toBe('committed');
    expect(told).not.toContain('aborted');
    expect(told.at(-1)).toMatch(/^DTC_(FENCED|LOG_UNAVAILABLE)$/);
    expect(effects(stock, payment)).toEqual(before);
    // The other member has adopted the epoch, and leaves alone what the log has no record of.
    expect(other.adopted).toEqual([1]);
    expect(await other.log.outcomeOf(lost)).toEqual({ outcome: 'unknown', because: 'undecidable' });
  });
});
