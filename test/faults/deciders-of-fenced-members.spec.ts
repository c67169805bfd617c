import { describe, expect, it } from 'vitest';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import type { TransactionObserver } from '../../src/coordinator/execution/observer.js';
import { OperatorActions } from '../../src/coordinator/operator/operator-actions.js';
import {
  type LastResourceScript,
  type ParticipantScript,
  ScriptedLastResource,
  ScriptedParticipant,
  settled,
} from '../../src/coordinator/testing/index.js';
import { Cluster, LEASE_MS, type Member } from '../support/cluster.js';
import { listenTo } from './told.js';

/** Longer than anyone can be sure of a lease that is not renewed, and shorter than the lease. */
const STANDSTILL_MS = 2_000;
const ORDER = { by: 'ann', reason: 'looked it up' };

async function shop(script: LastResourceScript, count = 2, options: object = {}) {
  const stock = new ScriptedParticipant();
  const api = new ScriptedLastResource(script);
  const cluster = new Cluster({ stock }, false, { api });
  const [first, second] = (await cluster.startSteady(count, options)) as [Member, Member];
  return { stock, api, cluster, first, second };
}

function order({ coordinator }: Member): Promise<Outcome> {
  return coordinator.transactions.run({ branches: [branch('stock', 1), branch('api', 2)] });
}

/** The id of its only transaction. */
function idOf({ coordinator }: Member): string {
  return coordinator.transactions.list()[0]!.transactionId;
}

function methodsOf({ calls }: ScriptedParticipant): string[] {
  return calls.map(({ method }) => method);
}

/**
 * The record that names the branch that decides is in the log, and its member hears of that only when it is
 * let go.
 */
function holdRecord({ log }: Member): () => void {
  const held = Promise.withResolvers<void>();
  const append = log.append.bind(log);
  log.append = async (record) => {
    const answer = await append(record);
    await held.promise;
    return answer;
  };
  return () => held.resolve();
}

describe('A last resource whose member stands still between the record and the call', () => {
  async function standsStill(script: LastResourceScript = {}) {
    const all = await shop(script);
    const { cluster, first } = all;
    const letGo = holdRecord(first);
    const told = listenTo(order(first));
    await settled();
    const id = idOf(first);
    first.pause();
    await cluster.advance(STANDSTILL_MS);
    letGo();
    return { ...all, told, id };
  }

  it('fault 57: is never called when another member has adopted the transaction meanwhile', async () => {
    const { stock, api, cluster, first, second, told, id } = await standsStill();
    second.pause();
    await second.log.members.adopt(first.epoch);
    first.resume();
    await settled();
    expect(api.calls).toEqual([]);
    second.resume();
    await cluster.advance(4 * LEASE_MS);

    expect(api.count('commit')).toBe(0);
    expect(methodsOf(stock)).not.toContain('commit');
    expect(told.outcome?.status).not.toBe('committed');
    for (const { coordinator } of [first, second])
      expect(await coordinator.transactions.outcomeOf(id)).toMatchObject({ status: 'aborted' });
  });

  it('fault 57: is no defect when its member hears of the record only after its adopter has aborted', async () => {
    const defects: unknown[] = [];
    const observer = new Proxy({} as TransactionObserver, {
      get: (_, method) => (method === 'defect' ? (error: unknown) => defects.push(error) : () => {}),
    });
    const { cluster, first } = await shop({}, 2, { observer });
    const letGo = holdRecord(first);
    listenTo(order(first));
    await settled();
    const id = idOf(first);
    first.pause();
    await cluster.advance(LEASE_MS + 2_000);
    first.resume();
    await cluster.advance(3 * LEASE_MS);
    expect(first.coordinator.transactions.find(id)).toMatchObject({ state: 'ABORTED' });
    letGo();
    await settled();
    expect(defects).toEqual([]);
  });

  it('is never called when its member has left the log meanwhile', async () => {
    const { api, first } = await shop({});
    const letGo = holdRecord(first);
    listenTo(order(first));
    await settled();
    await first.coordinator.membership!.leave();
    letGo();
    await settled();
    expect(api.calls).toEqual([]);
  });

  it('is called as soon as the lease is renewed, when no other member has adopted the transaction', async () => {
    const { stock, api, cluster, first, told } = await standsStill();
    first.resume();
    await settled();
    expect(api.calls).toEqual([]);
    await cluster.advance(500);

    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect(api.calls).toMatchObject([{ method: 'commit', attempt: 1 }]);
    expect(methodsOf(stock)).toEqual(['prepare', 'commit']);
  });

  it('is given its whole time from the call on, and is asked when it does not answer', async () => {
    const { stock, api, cluster, first, told } = await standsStill({ commit: 'hang-after' });
    first.resume();
    await cluster.advance(500);
    expect([api.count('commit'), api.count('inquire')]).toEqual([1, 0]);
    await cluster.advance(2 * LEASE_MS);

    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect([api.count('commit'), api.count('inquire')]).toEqual([1, 1]);
    expect(methodsOf(stock)).toEqual(['prepare', 'commit']);
  });

  it('is never called when the lease is not renewed before the deadline: it is asked, and rules its commit out', async () => {
    const { stock, api, cluster, first } = await shop({}, 1, { timeoutMs: 2_500 });
    const letGo = holdRecord(first);
    const told = listenTo(order(first));
    await settled();
    const id = idOf(first);
    const { members } = first.log;
    const renew = members.renew.bind(members);
    Object.assign(members, { renew: () => Promise.reject(new Error('no answer')) });
    await cluster.advance(STANDSTILL_MS);
    letGo();
    await cluster.advance(200);
    expect(api.calls).toEqual([]);
    await cluster.advance(2_000);
    Object.assign(members, { renew });

    expect(api.calls.map(({ method }) => method)).toEqual(['inquire']);
    expect(told.outcome).toMatchObject({ status: 'pending' });
    expect(first.coordinator.transactions.find(id)).toMatchObject({ state: 'ABORTED' });
    expect(methodsOf(stock)).toEqual(['prepare', 'rollback']);
  });
});

describe('An operator who says at a fenced member how the last resource has ended', () => {
  async function stalled() {
    const all = await shop({ commit: 'hang', inquire: 'unknown' });
    const { cluster, first, second } = all;
    const told = listenTo(order(first));
    const { transactions, runtime } = first.coordinator;
    const id = idOf(first);
    for (let turn = 0; turn < 4_000 && transactions.find(id)?.stalled !== true; turn++)
      await cluster.advance(50);
    second.pause();
    const { epoch } = first;
    await second.log.members.adopt(epoch);
    // Before it has its next epoch, the log takes no order of its operators.
    for (let turn = 0; turn < 100 && first.epoch === epoch; turn++) await cluster.advance(50);
    expect(first.epoch).toBeGreaterThan(epoch);
    const { branchId } = transactions.find(id)!.branches.find(({ participant }) => participant === 'api')!;
    const actions = new OperatorActions(runtime, transactions);
    const resolve = (as: 'commit' | 'rollback') => actions.resolve(id, branchId, as, ORDER);
    return { ...all, told, id, resolve, actions };
  }

  it.each([
    ['committed', 'rollback'],
    ['aborted', 'commit'],
  ] as const)(
    'fault 57: is refused when the member that has adopted it has %s it, and that counts',
    async (status, as) => {
      const { stock, second, first, id, resolve, actions } = await stalled();
      await second.log.end(id, status);
      await expect(resolve(as)).rejects.toMatchObject({
        code: 'DTC_ACTION_REFUSED',
        message: expect.stringContaining(`has ${status}`) as unknown,
      });
      await settled();

      expect(await first.coordinator.transactions.outcomeOf(id)).toMatchObject({ status });
      expect(methodsOf(stock)).toEqual(['prepare', status === 'committed' ? 'commit' : 'rollback']);
      expect(actions.audit(2).map(({ detail }) => detail)).toEqual([
        expect.stringContaining('refused'),
        `as ${as}`,
      ]);
    },
  );

  it('fault 57: is sent to the member that has adopted the transaction while it is open there', async () => {
    const { stock, first, id, resolve } = await stalled();
    await expect(resolve('rollback')).rejects.toMatchObject({
      code: 'DTC_ACTION_REFUSED',
      message: expect.stringContaining('there') as unknown,
    });
    expect(first.coordinator.transactions.find(id)).toMatchObject({ state: 'READY' });
    expect(methodsOf(stock)).toEqual(['prepare']);
  });

  it('is believed when the log may have lost the decision of its adopter: only a person can know it', async () => {
    const { stock, api, cluster, first, id, resolve } = await stalled();
    const inquiries = api.count('inquire');
    api.script = { inquire: 'no' };
    first.log.outcomeOf = () => Promise.resolve({ outcome: 'unknown', because: 'undecidable' });
    await cluster.advance(LEASE_MS);
    expect(api.count('inquire')).toBe(inquiries);
    expect(first.coordinator.transactions.find(id)).toMatchObject({ state: 'READY' });
    await resolve('rollback');
    await settled();

    expect(first.coordinator.transactions.find(id)).toMatchObject({ state: 'ABORTED' });
    expect(methodsOf(stock)).toEqual(['prepare', 'rollback']);
  });

  it('changes nothing when the log does not answer', async () => {
    const { first, id, resolve } = await stalled();
    first.log.outcomeOf = () => Promise.reject(new Error('no answer'));
    await expect(resolve('rollback')).rejects.toMatchObject({ code: 'DTC_LOG_UNAVAILABLE' });
    expect(first.coordinator.transactions.find(id)).toMatchObject({ state: 'READY' });
  });
});

describe('The only participant of a transaction, which answers a repeat in another way', () => {
  async function asked(commitOnePhase: NonNullable<ParticipantScript['commitOnePhase']>) {
    const stock = new ScriptedParticipant({ commitOnePhase });
    const cluster = new Cluster({ stock });
    const [first, second] = (await cluster.startSteady(2)) as [Member, Member];
    const told = listenTo(first.coordinator.transactions.run({ branches: [branch('stock', 1)] }));
    await settled();
    const id = idOf(first);
    const { epoch } = first;
    first.pause();
    for (let turn = 0; turn < 400; turn++) {
      await cluster.advance(50);
      if ((await second.log.outcomeOf(id)).outcome === 'committed') break;
    }
    expect(stock.calls.map(({ branch: { run } }) => run.epoch)).toEqual([epoch, second.epoch]);
    first.resume();
    const follow = async (): Promise<void> => {
      await cluster.advance(4 * LEASE_MS);
      for (const { coordinator } of [first, second])
        expect(await coordinator.transactions.outcomeOf(id)).toMatchObject({ status: 'committed' });
    };
    return { stock, told, follow };
  }

  it('fault 57: is neither believed by its fenced member nor asked again by it: the answer of the log counts', async () => {
    const { stock, told, follow } = await asked(['hang-after', 'yes', 'no']);
    await follow();
    expect(told.outcome?.status).not.toBe('aborted');
    expect(stock.calls).toHaveLength(2);
  });

  it('fault 57: is not believed by its fenced member when it refuses the first call that late', async () => {
    const late = Promise.withResolvers<void>();
    const { told, follow } = await asked([{ until: late.promise, then: 'no' }, 'yes']);
    late.resolve();
    await follow();
    expect(told.outcome?.status).not.toBe('aborted');
  });
});
