import { describe, expect, it } from 'vitest';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import {
  type LastResourceScript,
  type ParticipantScript,
  ScriptedLastResource,
  ScriptedParticipant,
  settled,
} from '../../src/coordinator/testing/index.js';
import { Cluster, LEASE_MS, type Member } from '../support/cluster.js';
import { listenTo } from './told.js';

/** Within so long the transactions of a dead member are settled. */
const SETTLED_WITHIN_MS = LEASE_MS + 2_000;

async function shop(script: LastResourceScript, stockScript: ParticipantScript = {}) {
  const stock = new ScriptedParticipant(stockScript);
  const api = new ScriptedLastResource(script);
  const cluster = new Cluster({ stock }, false, { api });
  const [first, second] = (await cluster.startSteady(2)) as [Member, Member];
  return { stock, api, cluster, first, second };
}

function order({ coordinator }: Member): Promise<Outcome> {
  return coordinator.transactions.run({ branches: [branch('stock', 1), branch('api', 2)] });
}

function idOf({ api }: { readonly api: ScriptedLastResource }): string {
  return api.calls[0]!.transactionId;
}

function methodsOf({ calls }: ScriptedParticipant): string[] {
  return calls.map(({ method }) => method);
}

describe('a last resource of a member that is gone', () => {
  it.each([
    ['has committed', 'hang-after', 'committed', ['prepare', 'commit']],
    ['has not', 'hang', 'aborted', ['prepare', 'rollback']],
  ] as const)('is asked by the member that adopts, if it %s', async (_, commit, status, methods) => {
    const all = await shop({ commit });
    const { stock, api, cluster, first, second } = all;
    listenTo(order(first));
    await settled();
    const id = idOf(all);
    first.kill();
    expect(await second.coordinator.transactions.decisionFor(id)).toBe('wait');
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(await second.coordinator.transactions.outcomeOf(id)).toMatchObject({ status });
    expect(methodsOf(stock)).toEqual(methods);
    expect(api.count('commit')).toBe(1);
  });

  it('is waited for by everyone while it cannot say how it has ended', async () => {
    const all = await shop({ commit: 'hang-after', inquire: 'unknown' });
    const { stock, api, cluster, first, second } = all;
    listenTo(order(first));
    await settled();
    first.kill();
    await cluster.advance(4 * SETTLED_WITHIN_MS);
    const { transactions } = second.coordinator;

    expect(await transactions.decisionFor(idOf(all))).toBe('wait');
    expect(await transactions.outcomeOf(idOf(all))).toMatchObject({ status: 'pending' });
    expect(methodsOf(stock)).toEqual(['prepare']);
    api.script = {};
    await cluster.advance(SETTLED_WITHIN_MS);
    expect(await transactions.decisionFor(idOf(all))).toBe('commit');
    expect(methodsOf(stock)).toEqual(['prepare', 'commit']);
  });

  it('refuses the late commit of a member that stood still, after another one was told never', async () => {
    const late = Promise.withResolvers<void>();
    const all = await shop({ commit: { until: late.promise } });
    const { stock, api, cluster, first, second } = all;
    const told = listenTo(order(first));
    await settled();
    first.pause();
    await cluster.advance(SETTLED_WITHIN_MS);
    expect(await second.coordinator.transactions.outcomeOf(idOf(all))).toMatchObject({ status: 'aborted' });
    late.resolve();
    await settled();
    first.resume();
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(told.outcome?.status).not.toBe('committed');
    expect([...api.ends.values()]).toEqual(['never']);
    expect(methodsOf(stock)).not.toContain('commit');
  });

  it('fault 57: leaves the others to the member that has adopted, if the fenced one learns of the commit', async () => {
    const all = await shop({ commit: 'yes' });
    const { stock, cluster, first, second } = all;
    const gate = Promise.withResolvers<void>();
    const progress = first.log.progress.bind(first.log);
    first.log.progress = async (...given: Parameters<typeof progress>) => {
      await gate.promise;
      return progress(...given);
    };
    const told = listenTo(order(first));
    await settled();
    await second.log.members.adopt(first.epoch);
    gate.resolve();
    await settled();
    expect(methodsOf(stock)).toEqual(['prepare']);
    await cluster.advance(3 * LEASE_MS);

    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'commit' });
    for (const { coordinator } of [first, second])
      expect(await coordinator.transactions.outcomeOf(idOf(all))).toMatchObject({ status: 'committed' });
    expect(new Set(methodsOf(stock))).toEqual(new Set(['prepare', 'commit']));
  });

  it('fault 57: keeps the others waiting after its restart, until the member that has adopted has confirmed', async () => {
    const all = await shop({ commit: 'yes', inquire: 'unknown' });
    const { stock, cluster, first, second } = all;
    const { runtime } = first.coordinator;
    const { epoch } = first;
    const progress = first.log.progress.bind(first.log);
    let isDown = true;
    first.log.progress = async (...given: Parameters<typeof progress>) => {
      if (isDown) throw new Error('no answer');
      return progress(...given);
    };
    listenTo(order(first));
    await settled();
    const id = idOf(all);
    // By then it pauses for longer between its attempts than it takes to restart.
    for (let turn = 0; turn < 100 && runtime.registry.find(id)!.extras!.inquiries < 6; turn++)
      await cluster.advance(100);
    await second.log.members.adopt(epoch);
    isDown = false;
    await cluster.advance(5 * LEASE_MS);

    expect(first.epoch).toBeGreaterThan(epoch);
    expect(await second.log.outcomeOf(id)).toMatchObject({ outcome: 'live', owner: second.epoch });
    expect(await first.coordinator.transactions.decisionFor(id)).toBe('wait');
    expect(methodsOf(stock)).toEqual(['prepare']);

    all.api.script = {};
    await cluster.advance(5 * LEASE_MS);
    for (const { coordinator } of [first, second])
      expect(await coordinator.transactions.outcomeOf(id)).toMatchObject({ status: 'committed' });
    expect(new Set(methodsOf(stock))).toEqual(new Set(['prepare', 'commit']));
  });

  it('fault 57: is not believed by a member that stood still, when it has forgotten how it has ended', async () => {
    const all = await shop({ commit: 'hang-after' });
    const { stock, api, cluster, first, second } = all;
    const told = listenTo(order(first));
    await settled();
    const id = idOf(all);
    first.pause();
    await cluster.advance(SETTLED_WITHIN_MS);
    expect(await second.coordinator.transactions.outcomeOf(id)).toMatchObject({ status: 'committed' });
    api.ends.clear();
    first.resume();
    await cluster.advance(4 * LEASE_MS);

    expect(told.outcome?.status).not.toBe('aborted');
    for (const { coordinator } of [first, second])
      expect(await coordinator.transactions.outcomeOf(id)).toMatchObject({ status: 'committed' });
    expect(new Set(methodsOf(stock))).toEqual(new Set(['prepare', 'commit']));
  });

  it('fault 57: is not believed when it refuses after its member was adopted and the transaction was ended', async () => {
    const all = await shop({ commit: 'hang-after' });
    const { stock, api, cluster, first, second } = all;
    const held = Promise.withResolvers<void>();
    const inquire = api.inquire.bind(api);
    const seen = { inquiries: 0 };
    api.inquire = async (asked) => {
      if (++seen.inquiries === 1) await held.promise;
      return inquire(asked);
    };
    const told = listenTo(order(first));
    for (let turn = 0; turn < 1_000 && seen.inquiries === 0; turn++) await cluster.advance(50);
    const id = idOf(all);
    first.pause();
    await cluster.advance(SETTLED_WITHIN_MS);
    expect(await second.coordinator.transactions.outcomeOf(id)).toMatchObject({ status: 'committed' });
    api.ends.clear();
    held.resolve();
    await settled();
    expect([...api.ends.values()]).toEqual(['never']);
    first.resume();
    await cluster.advance(4 * LEASE_MS);

    expect(told.outcome?.status).not.toBe('aborted');
    expect(await first.coordinator.transactions.outcomeOf(id)).toMatchObject({ status: 'committed' });
    expect(new Set(methodsOf(stock))).toEqual(new Set(['prepare', 'commit']));
  });

  it.each([
    ['committed', 'reached', false],
    ['aborted', 'reached', false],
    ['committed', 'paused', true],
    ['aborted', 'paused', true],
  ] as const)(
    'is not asked by a fenced member, which takes from the log that its adopter has %s it, while it is %s',
    async (status, _, isPaused) => {
      const all = await shop({ commit: 'hang', inquire: 'unknown' });
      const { stock, api, cluster, first, second } = all;
      const { epoch } = first;
      listenTo(order(first));
      await settled();
      const id = idOf(all);
      second.pause();
      await second.log.members.adopt(epoch);
      if (isPaused) first.coordinator.participants.pause('api', { since: 0, by: 'ann', reason: 'upgrade' });
      for (let turn = 0; turn < 100 && first.epoch === epoch; turn++) await cluster.advance(50);
      expect(first.epoch).toBeGreaterThan(epoch);

      const inquiries = api.count('inquire');
      await cluster.advance(LEASE_MS / 3);
      expect([methodsOf(stock), api.count('inquire')]).toEqual([['prepare'], inquiries]);
      await second.log.end(id, status);
      await cluster.advance(LEASE_MS / 3);

      expect(await first.coordinator.transactions.outcomeOf(id)).toMatchObject({ status });
      expect(methodsOf(stock)).toEqual(['prepare', status === 'committed' ? 'commit' : 'rollback']);
      expect([api.count('commit'), api.count('inquire')]).toEqual([1, inquiries]);
      expect(first.coordinator.transactions.find(id)).toMatchObject({ stalled: false });
    },
  );
});
