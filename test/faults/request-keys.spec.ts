import { describe, expect, it } from 'vitest';
import { type Outcome, RecordRefusedError, branch } from '../../src/coordinator/index.js';
import { type ParticipantScript, ScriptedParticipant, settled } from '../../src/coordinator/testing/index.js';
import { Cluster, LEASE_MS, type Member, epochOf } from '../support/cluster.js';

/** Within so long the transactions of a dead member are settled. */
const SETTLED_WITHIN_MS = LEASE_MS + 2_000;

interface Shop {
  readonly cluster: Cluster;
  readonly stock: ScriptedParticipant;
  readonly payment: ScriptedParticipant;
  readonly one: Member;
  readonly two: Member;
}

async function shop(scripts: { stock?: ParticipantScript; payment?: ParticipantScript } = {}): Promise<Shop> {
  const [stock, payment] = [new ScriptedParticipant(scripts.stock), new ScriptedParticipant(scripts.payment)];
  const cluster = new Cluster({ stock, payment });
  const [one, two] = (await cluster.startSteady(2)) as [Member, Member];
  return { cluster, stock, payment, one, two };
}

function order({ coordinator }: Member, more: object = {}): Promise<Outcome> {
  const branches = [branch('stock', 1), branch('payment', 1)];
  return coordinator.transactions.run({ branches, key: 'order-1', ...more });
}

const effects = ({ stock, payment }: Shop): unknown[] =>
  [stock, payment].map((one) => Array.from(one.effects.values()));

describe('fault 1: a request that is sent to two members with one key', () => {
  it('is one transaction: the second member answers with the outcome of the first', async () => {
    const { one, two, stock } = await shop();
    const first = await order(one);
    await settled();
    expect(await order(two)).toEqual({ ...first, repeated: true });
    expect(stock.count('prepare')).toBe(1);
    await expect(order(two, { fingerprint: 'another' })).rejects.toMatchObject({ code: 'DTC_KEY_REUSED' });
  });

  it('at the same moment is one transaction, and the other caller hears which', async () => {
    const shared = await shop();
    const { cluster, one, two, stock } = shared;
    const both = [order(one), order(two)];
    await cluster.advance(100);
    const outcomes = await Promise.all(both);
    const begun = outcomes.find(({ repeated }) => repeated !== true);
    const asked = outcomes.find(({ repeated }) => repeated === true);
    expect(begun!.status).toBe('committed');
    expect(asked).toMatchObject({ transactionId: begun!.transactionId });
    expect(['pending', 'committed']).toContain(asked!.status);
    expect(stock.count('prepare')).toBe(1);
    expect(effects(shared)).toEqual([['committed'], ['committed']]);
  });

  it('is done at the second member when the first has aborted', async () => {
    const { cluster, one, two, payment } = await shop({ payment: { prepare: ['no', 'yes'] } });
    expect((await order(one)).status).toBe('aborted');
    await cluster.advance(100);
    const again = await order(two, { fingerprint: 'another' });
    expect(again).toMatchObject({ status: 'committed' });
    expect(again.repeated).toBeUndefined();
    expect(payment.count('prepare')).toBe(2);
  });
});

describe('The key of a transaction that has aborted', () => {
  it('is refused at once to another request at another member until its release has reached the log', async () => {
    const { cluster, one, two, payment } = await shop({ payment: { prepare: ['no', 'yes', 'yes'] } });
    const { log } = one;
    const release = log.release.bind(log);
    const gate = Promise.withResolvers<void>();
    log.release = (id) => gate.promise.then(() => release(id));
    expect((await order(one)).status).toBe('aborted');
    await cluster.advance(100);

    const corrected = { fingerprint: 'another' };
    await expect(order(two, corrected)).rejects.toMatchObject({
      code: 'DTC_KEY_REUSED',
      message: expect.stringMatching(
        /so nothing was begun\..*If that transaction has aborted, .* send the request again/,
      ),
    });
    expect(payment.count('prepare')).toBe(1);
    expect(two.coordinator.runtime.log.problem).toBeUndefined();

    gate.resolve();
    await cluster.advance(100);
    expect(await order(two, corrected)).toMatchObject({ status: 'committed' });
    // This one has the key for good.
    await expect(order(one)).rejects.toMatchObject({ code: 'DTC_KEY_REUSED' });
  });

  it('is free at another member also if the log had no room for its release at first', async () => {
    const { cluster, one, two } = await shop({ payment: { prepare: ['no', 'yes'] } });
    const { log } = one;
    const release = log.release.bind(log);
    let refused = 0;
    log.release = (id) => {
      if (refused++ > 0) return release(id);
      throw new RecordRefusedError(id, 'too many wait already');
    };
    expect((await order(one)).status).toBe('aborted');
    await cluster.advance(5_000);
    expect(refused).toBe(2);
    expect(await order(two, { fingerprint: 'another' })).toMatchObject({ status: 'committed' });
  });
});

describe('fault 2: a member that is killed', () => {
  it('after it has reserved a key and before it has begun: the key is free once it is adopted', async () => {
    const { cluster, stock, one, two } = await shop();
    const { log } = one;
    const reserve = log.reserve.bind(log);
    log.reserve = async (request) => {
      const answer = await reserve(request);
      one.kill();
      return answer;
    };
    void order(one);
    await settled();
    expect(await order(two)).toMatchObject({ status: 'pending', decision: 'unknown', repeated: true });
    expect(stock.calls).toEqual([]);

    await cluster.advance(SETTLED_WITHIN_MS);

    const again = await order(two);
    expect(again).toMatchObject({ status: 'committed' });
    expect(epochOf(again.transactionId)).toBe(two.epoch);
    expect(stock.count('prepare')).toBe(1);
  });

  it('while its participants prepare: the key is free once its branches are rolled back', async () => {
    const { cluster, stock, one, two, payment } = await shop({ payment: { prepare: ['hang-after', 'yes'] } });
    void order(one);
    await settled();
    one.kill();
    expect((await order(two)).status).toBe('pending');
    expect(stock.count('prepare')).toBe(1);
    await cluster.advance(SETTLED_WITHIN_MS);

    const again = await order(two);
    expect(again).toMatchObject({ status: 'committed' });
    expect([...payment.effects.values()].toSorted()).toEqual(['committed', 'rolled-back']);
  });
});

describe('fault 49: a member that is killed after its decision is in the log, and before it has answered', () => {
  it('has its outcome told by any member that gets the request again, and it never runs twice', async () => {
    const shared = await shop();
    const { cluster, stock, one, two } = shared;
    const { log } = one;
    const append = log.append.bind(log);
    log.append = async (decision) => {
      await append(decision);
      one.kill();
    };
    void order(one);
    await cluster.advance(100);
    const { transactionId } = stock.calls[0]!.branch;
    const asked = await order(two);
    expect(asked).toMatchObject({ status: 'pending', decision: 'commit', transactionId, repeated: true });

    await cluster.advance(2 * SETTLED_WITHIN_MS);

    expect(await order(two)).toEqual({ status: 'committed', transactionId, repeated: true });
    expect(stock.count('prepare')).toBe(1);
    expect(effects(shared)).toEqual([['committed'], ['committed']]);
  });
});

describe('fault 59: a log that cannot be reached when a key is to be reserved', () => {
  it('begins nothing', async () => {
    const { cluster, stock, one } = await shop();
    cluster.store.isDown = true;
    await expect(order(one)).rejects.toMatchObject({ code: 'DTC_LOG_UNAVAILABLE' });
    expect(one.coordinator.transactions.list()).toEqual([]);
    cluster.store.isDown = false;
    await cluster.advance(LEASE_MS);

    expect(await order(one)).toMatchObject({ status: 'committed' });
    expect(stock.count('prepare')).toBe(1);
  });

  it.each(['lost', 'unanswered', 'late'] as const)(
    'begins nothing when its answer is %s, and the key is free for any member when the log works again',
    async (fault) => {
      const { cluster, stock, one, two } = await shop();
      one.log.failNext(fault);
      const refused = order(one);
      cluster.store.isDown = fault !== 'late';
      await expect(refused).rejects.toMatchObject({ code: 'DTC_LOG_UNAVAILABLE' });
      await settled();
      cluster.store.isDown = false;
      one.log.land();
      await cluster.advance(LEASE_MS);
      one.log.land();
      expect(stock.calls).toEqual([]);

      const again = await order(two, { fingerprint: 'another' });
      expect(again).toMatchObject({ status: 'committed' });
      expect(stock.count('prepare')).toBe(1);
    },
  );
});

describe('fault 28: a member that is fenced while it reserves a key', () => {
  it('begins nothing, and goes on with a new epoch', async () => {
    const { cluster, stock, one } = await shop();
    one.log.failNext('fenced');
    await expect(order(one)).rejects.toMatchObject({ code: 'DTC_FENCED' });
    expect(stock.calls).toEqual([]);
    await cluster.advance(2_000);

    expect(one.epoch).toBe(3);
    expect(await order(one)).toMatchObject({ status: 'committed' });
  });

  it('begins nothing either when the fence comes between the reservation and its answer', async () => {
    const { cluster, stock, one, two } = await shop();
    const { log } = one;
    const reserve = log.reserve.bind(log);
    const gate = Promise.withResolvers<void>();
    log.reserve = async (request) => {
      const answer = await reserve(request);
      await gate.promise;
      return answer;
    };
    const waiting = order(one);
    await settled();
    await two.log.members.adopt(one.epoch);
    await cluster.advance(2_000);
    expect(one.epoch).toBe(3);
    gate.resolve();

    await expect(waiting).rejects.toMatchObject({ code: 'DTC_FENCED' });
    expect(stock.calls).toEqual([]);
    expect(await order(two)).toMatchObject({ status: 'committed' });
  });
});
