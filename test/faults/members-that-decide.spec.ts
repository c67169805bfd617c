import { describe, expect, it } from 'vitest';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import { type ParticipantScript, ScriptedParticipant, settled } from '../../src/coordinator/testing/index.js';
import { Cluster, LEASE_MS, type Member } from '../support/cluster.js';

/** Within so long the transactions of a dead member are settled. */
const SETTLED_WITHIN_MS = LEASE_MS + 2_000;

interface Shop {
  readonly cluster: Cluster;
  readonly stock: ScriptedParticipant;
  readonly members: readonly [Member, Member, ...Member[]];
}

async function shop(script: ParticipantScript, count = 2, options: object = {}): Promise<Shop> {
  const stock = new ScriptedParticipant(script);
  const cluster = new Cluster({ stock });
  const members = (await cluster.startSteady(count, options)) as [Member, Member];
  return { cluster, stock, members };
}

/** A transaction whose only branch decides. */
function order({ coordinator }: Member): Promise<Outcome> {
  return coordinator.transactions.run({ branches: [branch('stock', 1)] });
}

/**
 * The record that names the branch is in the log, but the member does not know it. It is fenced, and another
 * one asks the branch. The first finds out what the log holds when it has gone on with a new epoch.
 *
 * @param before is called when the member is fenced and does not know it yet.
 */
async function decidedTwice(
  before: (fenced: Member, other: Member) => void = () => {},
): Promise<Shop & { id: string }> {
  const all = await shop({ commitOnePhase: 'yes' });
  const { cluster, members } = all;
  const [fenced, other] = members;
  fenced.log.lookUp = () => new Promise(() => {});
  fenced.log.failNext('unanswered');
  const outcome = order(fenced);
  await settled();
  await other.log.members.adopt(fenced.epoch);
  before(fenced, other);
  await cluster.advance(3 * LEASE_MS);
  expect(fenced.epoch).toBe(3);
  const { status, transactionId } = await outcome;
  expect(status).toBe('pending');
  return { ...all, id: transactionId };
}

describe('fault 57 §: a branch that decides, and that another member has asked', () => {
  it('is not asked again by the member that was fenced, which takes its decision from the log', async () => {
    const { stock, members, id } = await decidedTwice();

    expect(stock.calls.map(({ branch: { run, attempt } }) => [run.epoch, attempt])).toEqual([[2, 2]]);
    for (const { coordinator } of members)
      expect(await coordinator.transactions.outcomeOf(id)).toMatchObject({ status: 'committed' });
  });

  it('is not taken to have refused while it is paused: it has committed, as the log says', async () => {
    const { stock, members, id } = await decidedTwice(({ coordinator }) => {
      const [registered] = coordinator.runtime.parts.participants.registered();
      registered!.paused = { since: 0, by: 'ann', reason: 'upgrade' };
    });
    const [{ coordinator }] = members;
    expect(stock.calls.map(({ branch: { run } }) => run.epoch)).toEqual([2]);
    expect(coordinator.transactions.find(id)).toMatchObject({ state: 'COMMITTED' });
  });

  it('is waited for by participants in doubt: a record that names it is no commit', async () => {
    const { cluster, stock, members, id } = await decidedTwice(({ coordinator }, other) => {
      other.kill();
      const [registered] = coordinator.runtime.parts.participants.registered();
      registered!.paused = { since: 0, by: 'ann', reason: 'upgrade' };
    });
    const [fenced] = members;
    await cluster.advance(SETTLED_WITHIN_MS);
    expect(fenced.adopted).toEqual([1, 2]);
    expect(stock.calls).toEqual([]);
    await expect(fenced.coordinator.transactions.decisionFor(id)).resolves.toBe('wait');

    fenced.coordinator.runtime.executor.resume('stock');
    await cluster.advance(SETTLED_WITHIN_MS);
    await expect(fenced.coordinator.transactions.decisionFor(id)).resolves.toBe('commit');
  });
});

describe('fault 30 §: an inquiry about a transaction whose only branch has decided', () => {
  it('is pending while the log has its record, though its member has forgotten it: it may have committed', async () => {
    const { cluster, members } = await shop({ commitOnePhase: 'yes' }, 2, { retainFinished: 0 });
    const [owner, other] = members;
    const { log } = owner;
    const end = log.end.bind(log);
    const notes: string[] = [];
    log.end = (id) => {
      notes.push(id);
      return Promise.resolve();
    };
    const { status, transactionId } = await order(owner);
    expect(status).toBe('committed');
    await cluster.advance(100);
    expect(owner.coordinator.transactions.find(transactionId)).toBeUndefined();
    expect(notes).toEqual([transactionId]);
    const { transactions } = owner.coordinator;
    expect(await transactions.outcomeOf(transactionId)).toEqual({ transactionId, status: 'pending' });

    await end(transactionId);
    for (const { coordinator } of [owner, other])
      expect(await coordinator.transactions.outcomeOf(transactionId)).toMatchObject({ status: 'committed' });
  });
});

describe('A member that is gone', () => {
  it('has its sessions ended at the participants once it is fenced, and one that is down delays nothing', async () => {
    const [stock, payment] = [new ScriptedParticipant({ prepare: 'hang-after' }), new ScriptedParticipant()];
    const cluster = new Cluster({ stock, payment });
    const [dead, living] = (await cluster.startSteady(2)) as [Member, Member];
    void order(dead);
    await settled();
    expect(cluster.sessionsEnded).toEqual([]);
    dead.kill();
    cluster.outOfReach.add(payment);
    while (living.adopted.length === 0) await cluster.advance(50);
    await settled();
    expect(cluster.sessionsEnded).toEqual([dead.epoch]);
    await cluster.advance(1_100);
    expect(Array.from(stock.effects.values())).toEqual(['rolled-back']);
  });
});

describe('Several members that are gone', () => {
  it('are adopted one by one: one that cannot be adopted keeps no other from it', async () => {
    const { cluster, stock, members } = await shop({ prepare: 'hang-after' }, 3);
    const [first, second, living] = members;
    const { members: ofLog } = living!.log;
    const adopt = ofLog.adopt.bind(ofLog);
    let failures = 0;
    Object.assign(ofLog, {
      adopt: (epoch: number) =>
        epoch === first.epoch ? Promise.reject(new Error(`no answer ${++failures}`)) : adopt(epoch),
    });
    for (const member of [first, second]) {
      void order(member);
      await settled();
      member.kill();
    }
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(failures).toBeGreaterThan(1);
    expect(Array.from(stock.effects.values())).toEqual(['prepared', 'rolled-back']);
    Object.assign(ofLog, { adopt });
    await cluster.advance(SETTLED_WITHIN_MS);
    expect(Array.from(stock.effects.values())).toEqual(['rolled-back', 'rolled-back']);
  });
});

describe('A branch that decides, and whose record is late in the log', () => {
  it.each<[what: string, ms: number, paused: boolean]>([
    ['after the deadline of its transaction', 5_500, false],
    ['while its participant is paused, once that is over', 0, true],
  ])('is asked all the same %s: another member may have asked it', async (_what, ms, isPaused) => {
    const { cluster, stock, members } = await shop({ commitOnePhase: 'yes' }, 2, { timeoutMs: 5_000 });
    const [{ log, coordinator }] = members;
    const gate = Promise.withResolvers<void>();
    const append = log.append.bind(log);
    log.append = (record) => append(record).then((mark) => gate.promise.then(() => mark));
    const outcome = order(members[0]);
    const [registered] = coordinator.runtime.parts.participants.registered();
    if (isPaused) registered!.paused = { since: 0, by: 'ann', reason: 'upgrade' };
    await cluster.advance(ms);
    gate.resolve();
    await settled();
    if (isPaused) coordinator.runtime.executor.resume('stock');
    await cluster.advance(1_000);
    const { transactionId } = await outcome;
    expect(stock.count('commitOnePhase')).toBe(1);
    expect(await coordinator.transactions.outcomeOf(transactionId)).toMatchObject({ status: 'committed' });
  });
});
