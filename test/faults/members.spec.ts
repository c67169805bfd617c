import { describe, expect, it } from 'vitest';
import { type HeuristicRecord, OperatorActions, type Outcome, branch } from '../../src/coordinator/index.js';
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
  participants.map((one) => Array.from(one.effects.values()));

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

  it.each([
    ['before its decision', { prepare: { until: new Promise(() => {}) } }, 'rolled-back'],
    ['after its decision', { commit: ['hang', 'yes'] }, 'committed'],
  ] as const)('%s, with a vote that expires meanwhile: another ends it', async (_, stock, end) => {
    const vote = { answer: { vote: 'commit', validForMs: 3_000 } };
    const { cluster, stock: slow, payment } = shop({ stock, payment: { prepare: vote } });
    const [dead, living] = (await cluster.startSteady(2, { expiryMarginMs: 100 })) as [Member, Member];
    order(dead);
    await settled();
    await cluster.advance(50);
    dead.kill();
    const { transactionId } = payment.calls[0]!.branch;
    await cluster.advance(SETTLED_WITHIN_MS);

    // A decision that was made stands after the expiry, and without one there is none.
    expect(effects(payment)).toEqual([[end]]);
    expect(effects(slow)).toEqual([end === 'committed' ? ['committed'] : []]);
    const status = end === 'committed' ? 'committed' : 'aborted';
    expect(await living.coordinator.transactions.outcomeOf(transactionId)).toMatchObject({ status });
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
      // The work is not done a second time: the branch says what became of the first.
      expect(stock.calls.map(({ branch: { attempt } }) => attempt)).toEqual([1, 2]);
      const outcome = answer === 'yes' ? 'committed' : 'aborted';
      expect(await living.log.outcomeOf(transactionId)).toMatchObject({ outcome });
      expect(living.coordinator.runtime.members.of(dead.epoch)).toBeUndefined();
    }
  });
});

describe('fault 29 §: a new owner', () => {
  it('reads after it has fenced: a record that the old member still writes in between is delivered or refused', async () => {
    const { cluster, stock, payment } = shop();
    const [old, next] = (await cluster.startSteady(2)) as [Member, Member];
    const calls: string[] = [];
    const { members } = next.log;
    const adopt = members.adopt.bind(members);
    Object.assign(members, {
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

describe('fault 29 §: a list of prepared branches', () => {
  it('that was asked for before the fence proves nothing: the branches in it may have committed since', async () => {
    const { cluster, stock, payment } = shop({ payment: { prepare: 'hang-after' } });
    const [owner, other] = (await cluster.startSteady(2)) as [Member, Member];
    const committing = Promise.withResolvers<void>();
    payment.script = { commit: { until: committing.promise } };
    const { outcome } = order(owner);
    await settled();
    // The other member asks now, and is answered when all is over.
    const answered = Promise.withResolvers<void>();
    cluster.listsHeldUntil = answered.promise;
    await cluster.advance(1_500);
    cluster.listsHeldUntil = undefined;
    committing.resolve();
    expect(await outcome).toMatchObject({ status: 'committed' });
    await settled();
    owner.kill();
    while (other.adopted.length === 0) await cluster.advance(50);

    answered.resolve();
    await cluster.advance(1_000);

    expect([stock.count('rollback'), payment.count('rollback')]).toEqual([0, 0]);
    expect(other.coordinator.transactions.list()).toEqual([]);
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
  it('is fenced, aborts the transactions that it has not sent to the log, and goes on with a new epoch in the same process', async () => {
    const { cluster, stock, payment } = shop();
    const [paused, other] = (await cluster.startSteady(2, {
      timeoutMs: 120_000,
      prepareTimeoutMs: 100_000,
    })) as [Member, Member];
    payment.script = { prepare: { until: cluster.clock.delay(5 * LEASE_MS) } };
    const { outcome, told } = order(paused);
    await settled();
    paused.pause();
    await cluster.advance(2 * LEASE_MS + 1_000);
    expect(other.coordinator.runtime.members.of(1)?.isFenced ?? true).toBe(true);

    paused.resume();
    await settled();
    await cluster.advance(1_100);

    expect(told()).toMatchObject({ status: 'aborted', cause: 'not-recorded' });
    expect(payment.calls[0]!.branch.signal.aborted).toBe(true);
    await cluster.advance(3 * LEASE_MS);
    expect(await outcome).toBe(told());
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

describe('fault 28 §: a decision that is sent while the epoch is fenced', () => {
  it('is refused by the log: its caller hears that it is aborted, and no branch is told to commit', async () => {
    const { cluster, stock, payment } = shop();
    const [fenced] = (await cluster.startSteady(2)) as [Member, Member];
    fenced.log.failNext('fenced');
    const { outcome } = order(fenced);
    await cluster.advance(3_000);

    expect(await outcome).toMatchObject({ status: 'aborted', cause: 'not-recorded' });
    expect(effects(stock, payment)).toEqual([['rolled-back'], ['rolled-back']]);
    expect(payment.count('commit')).toBe(0);
    expect(fenced.epoch).toBe(3);
  });

  it.each([
    ['was recorded', 'unanswered', 'committed'],
    ['was never recorded', 'late', 'rolled-back'],
  ] as const)(
    'and is not answered stays pending until the log is asked after the fence: it %s',
    async (_, fault, effect) => {
      const { cluster, stock, payment } = shop();
      const [fenced] = (await cluster.startSteady(2)) as [Member, Member];
      const append = fenced.log.append.bind(fenced.log);
      Object.assign(fenced.log, {
        append: async (decision: never) => {
          try {
            await append(decision);
          } finally {
            // Another fences it before this one can ask what became of the append.
            fenced.log.failNext('fenced');
            await fenced.log.check().catch(() => {});
          }
        },
      });
      fenced.log.failNext(fault);
      const { outcome } = order(fenced);
      await cluster.advance(100);
      const { status, transactionId } = await outcome;
      expect(status).toBe('pending');

      Object.assign(fenced.log, { append });
      fenced.log.land();
      await cluster.advance(SETTLED_WITHIN_MS);

      expect(effects(stock, payment)).toEqual([[effect], [effect]]);
      const known = effect === 'committed' ? 'committed' : 'aborted';
      for (const { coordinator } of cluster.members)
        expect(await coordinator.transactions.outcomeOf(transactionId)).toEqual({
          transactionId,
          status: known,
        });
      expect(stock.count(effect === 'committed' ? 'rollback' : 'commit')).toBe(0);
    },
  );
});

describe('fault 57 §: a question about an earlier run of the process', () => {
  it('that is answered after the process has gone on says nothing of its present run', async () => {
    const { cluster, payment } = shop();
    const [fenced] = (await cluster.startSteady(2)) as [Member, Member];
    const { log } = fenced;
    const [append, lookUp] = [log.append.bind(log), log.lookUp.bind(log)];
    const goneOn = Promise.withResolvers<void>();
    const answers: unknown[] = [];
    Object.assign(log, {
      append: async (decision: never) => {
        log.failNext('unanswered');
        await append(decision).catch(() => {});
        log.failNext('fenced');
        await log.check();
      },
      lookUp: async (id: string) => {
        const answer = await lookUp(id);
        await goneOn.promise;
        answers.push(answer);
        return answer;
      },
    });
    const { outcome } = order(fenced);
    await cluster.advance(LEASE_MS + 100);
    expect([fenced.epoch, answers]).toEqual([3, []]);

    goneOn.resolve();
    await cluster.advance(2 * LEASE_MS);

    expect(answers).toContain('fenced');
    expect(fenced.epoch).toBe(3);
    expect((await outcome).status).toMatch(/committed|pending/);
    expect(Array.from(payment.effects.values())).toEqual(['committed']);
  });
});

describe('fault 30 §: an inquiry', () => {
  it('is never answered with abort by a member that does not own the transaction, while its owner may commit', async () => {
    const { cluster, payment } = shop();
    const [owner, other, third] = (await cluster.startSteady(3, { memberAddress: 'http://one' })) as [
      Member,
      Member,
      Member,
    ];
    payment.script = { prepare: { until: cluster.clock.delay(1_000) } };
    order(owner);
    await settled();
    const { transactionId } = payment.calls[0]!.branch;
    const ask = ({ coordinator }: Member): Promise<unknown> =>
      coordinator.transactions.outcomeOf(transactionId);

    expect(await ask(owner)).toEqual({ transactionId, status: 'pending' });
    const elsewhere = { transactionId, status: 'elsewhere', owner: 1, address: 'http://one' };
    expect(await ask(other)).toEqual(elsewhere);
    cluster.store.isDown = true;
    expect(await ask(other)).toEqual({ transactionId, status: 'unknown', because: 'log-unavailable' });
    cluster.store.isDown = false;

    owner.kill();
    expect(await ask(other)).toEqual(elsewhere);
    await cluster.advance(SETTLED_WITHIN_MS);
    for (const member of [other, third])
      expect(await ask(member)).toEqual({ transactionId, status: 'aborted' });
  });

  it('is answered from the log by any member once its owner has forgotten it, also for a transaction without writes', async () => {
    const { cluster, stock, payment } = shop();
    const [owner, other] = (await cluster.startSteady(2, { retainFinished: 0 })) as [Member, Member];
    stock.script = { prepare: ['yes', 'read-only', 'no'] };
    payment.script = { prepare: ['yes', 'read-only', 'yes'] };
    const ids: string[] = [];
    for (const status of ['committed', 'committed', 'aborted'] as const) {
      const { outcome } = order(owner);
      await cluster.advance(100);
      expect((await outcome).status).toBe(status);
      ids.push((await outcome).transactionId);
      expect(owner.coordinator.transactions.find(ids.at(-1)!)).toBeUndefined();
      expect(await owner.coordinator.transactions.outcomeOf(ids.at(-1)!)).toMatchObject({ status });
    }
    const answers = await Promise.all(ids.map((id) => other.coordinator.transactions.outcomeOf(id)));
    expect(answers.map(({ status }) => status)).toEqual(['committed', 'committed', 'elsewhere']);
    const next = ids[2]!.replace(/3$/, '4');
    expect(await owner.coordinator.transactions.outcomeOf(next)).toMatchObject({ status: 'pending' });
    expect(await other.coordinator.transactions.outcomeOf('shop.another0log0.1.1')).toMatchObject({
      status: 'unknown',
      because: 'foreign',
    });
  });
});

describe('fault 58 §: two members that deliver one decision at the same time', () => {
  it('do no harm: a member that was fenced goes on to deliver its decisions', async () => {
    const { cluster, stock, payment } = shop({ payment: { commit: ['throw', 'throw', 'yes'] } });
    const [fenced, other] = (await cluster.startSteady(2, { retryBaseMs: 5_000, retryCapMs: 5_000 })) as [
      Member,
      Member,
    ];
    const { outcome } = order(fenced);
    await settled();
    await other.log.members.adopt(fenced.epoch);
    await cluster.advance(3 * LEASE_MS);

    expect(await outcome).toMatchObject({ status: expect.stringMatching(/committed|pending/) as unknown });
    expect(effects(stock, payment)).toEqual([['committed'], ['committed']]);
    const callers = new Set(payment.calls.map(({ branch: { run } }) => run.epoch));
    expect(callers.size).toBeGreaterThan(1);
    expect([...cluster.members].map(({ adopted }) => adopted)).toEqual([[], []]);
  });
});

describe('fault 59: the server of the log', () => {
  it('cannot be reached for longer than the lease: nothing begins, and no living member is adopted', async () => {
    const { cluster, stock } = shop();
    const members = await cluster.startSteady(3);
    cluster.store.isDown = true;
    await cluster.advance(3 * LEASE_MS);
    await expect(order(members[0]!).outcome).rejects.toMatchObject({ code: 'DTC_LOG_UNAVAILABLE' });
    expect(stock.calls).toEqual([]);

    cluster.store.isDown = false;
    await cluster.advance(3 * LEASE_MS);

    expect(members.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
    expect(members.map(({ adopted }) => adopted)).toEqual([[], [], []]);
    const { outcome } = order(members[0]!);
    expect(await outcome).toMatchObject({ status: 'committed' });
  });

  it('is restarted while a member stands still for a moment: its lock is free, and it is not adopted', async () => {
    const { cluster } = shop();
    const [one, two] = (await cluster.startSteady(2)) as [Member, Member];
    two.pause();
    await cluster.advance(50);
    cluster.store.restart();
    await cluster.advance(3_000);
    two.resume();
    await cluster.advance(3_000);

    expect([one.epoch, two.epoch, one.adopted]).toEqual([1, 2, []]);
  });

  it('is restarted, which drops all locks: no living member is adopted, and one that died meanwhile is', async () => {
    const { cluster } = shop();
    const [one, two, dead] = (await cluster.startSteady(3)) as [Member, Member, Member];
    dead.kill();
    cluster.store.restart();
    cluster.store.isDown = true;
    await cluster.advance(1_500);
    cluster.store.isDown = false;
    await cluster.advance(3 * LEASE_MS);

    expect([one.epoch, two.epoch]).toEqual([1, 2]);
    expect(one.coordinator.runtime.members.list.map(({ epoch }) => epoch)).toEqual([1, 2]);
  });

  it('has lost records at a failover: members take new epochs, and the rest of a dead one is left alone', async () => {
    const { cluster, stock, payment } = shop();
    const [one, two, dead] = (await cluster.startSteady(3)) as [Member, Member, Member];
    payment.script = { prepare: 'hang-after' };
    order(dead);
    await settled();
    dead.kill();
    cluster.store.failOver();
    await cluster.advance(4 * LEASE_MS);

    expect(effects(stock, payment)).toEqual([['prepared'], ['prepared']]);
    expect([one.epoch, two.epoch].every((epoch) => epoch > 3)).toBe(true);
    const { transactionId } = stock.calls[0]!.branch;
    expect(await one.coordinator.transactions.outcomeOf(transactionId)).toMatchObject({
      status: 'unknown',
      because: 'undecidable',
    });
  });

  it('has lost nothing at a failover: the rest of a dead member that has found that out is rolled back', async () => {
    const { cluster, stock, payment } = shop();
    const [one, two, cutOff] = (await cluster.startSteady(3)) as [Member, Member, Member];
    payment.script = { prepare: 'hang-after' };
    order(cutOff);
    await settled();
    cutOff.pause();
    cluster.store.failOver();
    await cluster.advance(4 * LEASE_MS);
    expect(effects(stock, payment)).toEqual([['prepared'], ['prepared']]);
    expect([...one.adopted, ...two.adopted]).toContain(3);

    // It compares its mark when it has a connection again.
    await cutOff.log.members.restart().catch(() => {});
    cutOff.kill();
    await cluster.advance(2 * LEASE_MS);

    expect(effects(stock, payment)).toEqual([['rolled-back'], ['rolled-back']]);
    expect([...one.adopted, ...two.adopted]).toEqual([]);
  });
});

describe('fault 59: a server of the log that takes over and lacks the outcome of a commit', () => {
  it('makes no member say that it is aborted, not even its own before that has noticed the loss', async () => {
    const { cluster } = shop();
    const [owner, other] = (await cluster.startSteady(2, { retainFinished: 0 })) as [Member, Member];
    const { transactionId, status } = await order(owner).outcome;
    expect(status).toBe('committed');
    await cluster.advance(100);
    cluster.store.failOver([transactionId]);

    const unknown = { transactionId, status: 'unknown', because: 'log-unavailable' };
    expect(await owner.coordinator.transactions.outcomeOf(transactionId)).toEqual(unknown);
    await cluster.advance(2 * LEASE_MS);
    for (const { coordinator } of [owner, other])
      expect(await coordinator.transactions.outcomeOf(transactionId)).toMatchObject({ status: 'unknown' });
    expect(owner.coordinator.runtime.log.isBehind).toBe(true);
  });
});

describe('A member that has stood still', () => {
  it('adopts no living member when it goes on, however old its view of them is', async () => {
    const { cluster } = shop();
    const members = await cluster.startSteady(3);
    // All stand still together, and one goes on first.
    for (const member of members) member.pause();
    await cluster.advance(3 * LEASE_MS);
    members[0]!.resume();
    await cluster.advance(2_000);
    expect(members[0]!.adopted).toEqual([]);
    for (const member of members) member.resume();
    await cluster.advance(3 * LEASE_MS);

    expect(members.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
  });
});

describe('An adoption that fails', () => {
  it('stops none of the own transactions, and is tried again', async () => {
    const { cluster, stock, payment } = shop({ payment: { prepare: ['hang-after', 'yes'] } });
    const [dead, other] = (await cluster.startSteady(2)) as [Member, Member];
    const { members } = other.log;
    const adopt = members.adopt.bind(members);
    let failures = 0;
    const failing = (epoch: number): ReturnType<typeof adopt> =>
      ++failures < 3 ? Promise.reject(new Error('connection lost')) : adopt(epoch);
    Object.assign(members, { adopt: failing });
    order(dead);
    await settled();
    dead.kill();
    await cluster.advance(2_600);
    expect(failures).toBeGreaterThan(0);

    expect(await order(other).outcome).toMatchObject({ status: 'committed' });
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(effects(stock, payment)).toEqual([
      ['rolled-back', 'committed'],
      ['rolled-back', 'committed'],
    ]);
    expect(failures).toBe(3);
  });
});

describe('A member that stops', () => {
  it('hands over its stalled transactions at once', async () => {
    const { cluster, stock, payment } = shop({ payment: { commit: 'throw' } });
    const [leaving, other] = (await cluster.startSteady(2)) as [Member, Member];
    order(leaving);
    await cluster.advance(3_000);
    expect(effects(stock, payment)).toEqual([['committed'], ['prepared']]);

    payment.script = {};
    await leaving.coordinator.membership!.leave();
    leaving.kill();
    await cluster.advance(1_100);

    expect(effects(stock, payment)).toEqual([['committed'], ['committed']]);
    expect(other.epoch).toBe(2);
  });
});

describe('The slots of a database server', () => {
  const capacity = {
    preparedTransactionsInUse: 0,
    connections: 100,
    connectionsInUse: 0,
    workConnections: 4,
    ownConnections: 6,
  };

  it('are divided among the living members, without those that an epoch that is gone still holds', async () => {
    const { cluster, payment } = shop();
    const [one, dead] = (await cluster.startSteady(2)) as [Member, Member];
    const { limits, parts } = one.coordinator.runtime;
    const [stockThere, paymentThere] = parts.participants.registered();
    const limit = limits.limit(paymentThere!, { ...capacity, server: 'one', preparedTransactions: 12 });
    const other = limits.limit(stockThere!, { ...capacity, server: 'two', preparedTransactions: 12 });
    expect([limit.most, other.most]).toEqual([6, 6]);
    await cluster.start();
    await cluster.advance(1_100);
    expect([limit.most, other.most]).toEqual([4, 4]);

    payment.script = { prepare: 'hang-after', rollback: ['throw', 'throw', 'throw', 'throw', 'yes'] };
    order(dead);
    await settled();
    dead.kill();
    await cluster.advance(4_000);
    // One branch of it is prepared at one server, and none at the other.
    expect([limit.most, other.most]).toEqual([5, 6]);
    await cluster.advance(3 * LEASE_MS);
    expect([limit.most, other.most]).toEqual([6, 6]);
  });

  it('are not kept for epochs that stay open, since a participant elsewhere is out of reach', async () => {
    const { cluster, stock, payment } = shop();
    const [one] = (await cluster.startSteady(2)) as [Member, Member];
    const { limits, members, parts } = one.coordinator.runtime;
    const [stockThere, paymentThere] = parts.participants.registered();
    const here = limits.limit(stockThere!, { ...capacity, server: 'one', preparedTransactions: 12 });
    const there = limits.limit(paymentThere!, { ...capacity, server: 'two', preparedTransactions: 12 });
    cluster.outOfReach.add(payment);
    for (let number = 0; number < 4; number++) {
      cluster.members.at(-1)!.kill();
      await cluster.start();
      await cluster.advance(LEASE_MS + 2_000);
    }
    expect(members.list.filter(({ isFenced }) => isFenced)).toHaveLength(4);
    // Branches that may be prepared out of reach count for no more than the two that live.
    expect([here.most, there.most]).toEqual([6, 3]);

    cluster.outOfReach.clear();
    await cluster.advance(2 * LEASE_MS);
    expect(members.list.filter(({ isFenced }) => isFenced)).toEqual([]);
    expect([here.most, there.most, stock.calls.length]).toEqual([6, 6, 0]);
  });
});

describe('A member that goes on for long', () => {
  it('forgets the epochs of others once the log has settled them, and still settles a prepare that lands late', async () => {
    const landing = Promise.withResolvers<void>();
    const { cluster, stock, payment } = shop({
      payment: { prepare: [{ until: landing.promise }, 'yes'], commit: ['hang', 'yes'] },
    });
    const [dead, living] = (await cluster.startSteady(2)) as [Member, Member];
    order(dead);
    await settled();
    dead.kill();
    await cluster.start();
    await cluster.advance(2 * LEASE_MS);
    const decided = cluster.members.at(-1)!;
    order(decided);
    await cluster.advance(50);
    decided.kill();
    await cluster.advance(3 * LEASE_MS);
    const { members, registry, restoredRuns } = living.coordinator.runtime;
    expect(members.list.map(({ epoch }) => epoch)).toEqual([living.epoch]);
    expect(effects(stock, payment)).toEqual([['rolled-back', 'committed'], ['committed']]);
    const ids = stock.calls.map(({ branch: { transactionId } }) => transactionId);
    for (const id of ids) {
      expect(restoredRuns.of(id)).toBeUndefined();
      expect(registry.isRestoredDecision(id)).toBe(false);
    }

    landing.resolve();
    await settled();
    await cluster.advance(SETTLED_WITHIN_MS);
    expect(effects(stock, payment)).toEqual([
      ['rolled-back', 'committed'],
      ['committed', 'rolled-back'],
    ]);
  });

  it('forgets its own earlier runs once it keeps none of their transactions, and finds those until then', async () => {
    const { cluster } = shop();
    const [one, other] = (await cluster.startSteady(2, { retainFinishedMs: 60_000 })) as [Member, Member];
    const { transactionId } = await order(one).outcome;
    for (let number = 0; number < 3; number++) {
      await other.log.members.adopt(one.epoch);
      await cluster.advance(2 * LEASE_MS);
    }
    const { ids } = one.coordinator.runtime;
    expect(one.epoch).toBe(5);
    // Nothing was begun in the two in between.
    expect(ids.formerRuns).toBe(1);
    expect(one.coordinator.transactions.find(transactionId)).toMatchObject({ state: 'COMMITTED' });

    await cluster.advance(60_000);
    expect(ids.formerRuns).toBe(0);
    expect(one.coordinator.transactions.find(transactionId)).toBeUndefined();
    expect(await one.coordinator.transactions.outcomeOf(transactionId)).toMatchObject({
      status: 'committed',
    });
  });
});

describe('A member that was fenced while it lived', () => {
  it('learns the fate of its decision within lease + 2 s, also where the log does not answer its look-up', async () => {
    const { cluster, stock, payment } = shop();
    const [fenced, other] = (await cluster.startSteady(2)) as [Member, Member];
    const { log } = fenced;
    Object.assign(log, { lookUp: () => Promise.reject(new Error('no answer')) });
    log.failNext('late');
    const { told } = order(fenced);
    // It asks again and again, after ever longer pauses.
    await cluster.advance(30_000);
    expect(told()).toMatchObject({ status: 'pending' });

    await other.log.members.adopt(fenced.epoch);
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(effects(stock, payment)).toEqual([['rolled-back'], ['rolled-back']]);
  });

  it('finds that out also before its caller has heard anything', async () => {
    const { cluster, stock, payment } = shop();
    const [fenced, other] = (await cluster.startSteady(2)) as [Member, Member];
    const { log, coordinator } = fenced;
    Object.assign(log, { lookUp: () => Promise.reject(new Error('no answer')) });
    log.failNext('late');
    const branches = [branch('stock', 1), branch('payment', 1)];
    let told: Outcome | undefined;
    void coordinator.transactions
      .run({ branches, timeoutMs: 10 * SETTLED_WITHIN_MS })
      .then((outcome) => (told = outcome));
    await cluster.advance(100);

    await other.log.members.adopt(fenced.epoch);
    await cluster.advance(SETTLED_WITHIN_MS);

    expect(effects(stock, payment)).toEqual([['rolled-back'], ['rolled-back']]);
    expect(told).toMatchObject({ status: 'aborted' });
  });

  it('rolls a branch back that is prepared late, also if it has answered too late before, and then leaves it', async () => {
    const { cluster, stock, payment } = shop();
    const [fenced] = (await cluster.startSteady(2)) as [Member, Member];
    payment.script = { prepare: { until: cluster.clock.delay(700), then: 'throw' } };
    const { coordinator } = fenced;
    const branches = [branch('stock', 1), branch('payment', 1)];
    const outcome = coordinator.transactions.run({ branches, timeoutMs: 500 });
    await cluster.advance(1_000);
    const { transactionId, status } = await outcome;
    expect(status).toBe('aborted');
    expect(effects(stock, payment)).toEqual([['rolled-back'], ['rolled-back']]);

    coordinator.runtime.log.lose();
    await cluster.advance(2_000);
    expect(fenced.epoch).toBe(3);
    payment.effects.set(`${transactionId}/payment`, 'prepared');
    await cluster.advance(2 * LEASE_MS);

    expect(effects(payment)).toEqual([['rolled-back']]);
    expect(coordinator.runtime.registry.find(transactionId)?.isSettled).toBe(true);
    const rollbacks = payment.count('rollback');
    await cluster.advance(2 * LEASE_MS);
    expect(payment.count('rollback')).toBe(rollbacks);
  });
});

describe('The note that a decision is delivered everywhere', () => {
  /** The log loses each such note, until it is told to take them. */
  function losing(log: Member['log']): { take: () => void } {
    const end = log.end.bind(log);
    Object.assign(log, { end: () => Promise.reject(new Error('no answer')) });
    return { take: () => void Object.assign(log, { end }) };
  }

  it('is kept by an adopter until the log has it, so that the epoch is settled', async () => {
    const { cluster } = shop({ payment: { commit: ['hang', 'yes'] } });
    const [dead, living] = (await cluster.startSteady(2)) as [Member, Member];
    const notes = losing(living.log);
    order(dead);
    await settled();
    await cluster.advance(50);
    dead.kill();
    await cluster.advance(3 * LEASE_MS);
    expect(living.coordinator.runtime.members.of(dead.epoch)).toBeDefined();

    notes.take();
    await cluster.advance(LEASE_MS);

    expect(living.coordinator.runtime.members.of(dead.epoch)).toBeUndefined();
  });

  it('is kept by a member that was fenced and has forgotten the transaction', async () => {
    const { cluster } = shop();
    const [fenced] = (await cluster.startSteady(1, { retainFinished: 0 })) as [Member];
    const notes = losing(fenced.log);
    const { outcome } = order(fenced);
    await cluster.advance(50);
    expect((await outcome).status).toBe('committed');
    const { runtime } = fenced.coordinator;
    runtime.log.lose();
    await cluster.advance(2 * LEASE_MS);
    expect([...runtime.members.list].map(({ epoch }) => epoch)).toEqual([1, fenced.epoch]);

    notes.take();
    await cluster.advance(2 * LEASE_MS);

    expect([...runtime.members.list].map(({ epoch }) => epoch)).toEqual([fenced.epoch]);
  });
});

describe('A decision that a member has delivered for another one', () => {
  it('is ended in the log also if the member was fenced before it could note that', async () => {
    const { cluster } = shop({ payment: { commit: ['hang', 'yes'] } });
    const [dead, living] = (await cluster.startSteady(2)) as [Member, Member];
    const { log } = living;
    const end = log.end.bind(log);
    const { outcome } = order(dead);
    outcome.catch(() => {});
    await settled();
    await cluster.advance(50);
    dead.kill();
    // The note comes too late: the epoch in which it is written is fenced, and the next one does not own the
    // record yet.
    Object.assign(log, {
      end: async () => {
        living.coordinator.runtime.log.lose();
        Object.assign(log, { end });
      },
    });
    await cluster.advance(LEASE_MS + 2_000);
    expect(living.epoch).toBe(3);

    await cluster.advance(3 * LEASE_MS);

    expect([...living.coordinator.runtime.members.list].map(({ epoch }) => epoch)).toEqual([3]);
  });
});

describe('fault 39: a heuristic report that only the log has', () => {
  it('is forgotten by its id at any member once its epoch is settled, and not while another member owns it', async () => {
    const { cluster } = shop();
    const [one, two, dead] = (await cluster.startSteady(3)) as [Member, Member, Member];
    const order = { by: 'alice', reason: 'the stock was counted' };
    const [late, owned] = [dead, two].map(({ coordinator }) => coordinator.runtime.ids.make(1)) as [
      string,
      string,
    ];
    const reportOf = (id: string): HeuristicRecord => ({
      id,
      name: 'orphaned',
      decision: 'abort',
      branchId: 'stock',
      participant: 'stock',
      kind: 'commit',
      reason: 'it was ended by hand',
    });
    dead.kill();
    await cluster.advance(SETTLED_WITHIN_MS);
    expect(one.coordinator.runtime.members.of(dead.epoch)).toBeUndefined();
    for (const id of [late, owned]) await two.log.report(reportOf(id));

    const actions = new OperatorActions(one.coordinator.runtime, one.coordinator.transactions);
    await actions.forget(late, order);
    await expect(actions.forget(owned, order)).rejects.toMatchObject({ code: 'DTC_TRANSACTION_NOT_FOUND' });
    await cluster.advance(100);

    expect(await one.log.reports()).toEqual([reportOf(owned)]);
    expect(one.coordinator.runtime.registry.find(late)!.hasHeuristics).toBe(false);
    expect(actions.audit(10)).toMatchObject([{ action: 'forget', target: late, by: 'alice' }]);
  });
});

describe('A member that is kept waiting by one adoption', () => {
  it('takes no other member for dead that has renewed its lease meanwhile', async () => {
    const { cluster } = shop();
    const [dead, paused, living] = (await cluster.startSteady(3)) as [Member, Member, Member];
    const { members } = living.log;
    const adopt = members.adopt.bind(members);
    const answered = Promise.withResolvers<void>();
    const adopting: number[] = [];
    Object.assign(members, {
      adopt: async (epoch: number) => {
        adopting.push(epoch);
        if (epoch === dead.epoch) await answered.promise;
        return adopt(epoch);
      },
    });
    paused.pause();
    await cluster.advance(LEASE_MS - 1_100);
    dead.kill();
    while (adopting.length === 0) await cluster.advance(50);
    expect(living.coordinator.runtime.members.of(paused.epoch)!.ageMs).toBeGreaterThan(LEASE_MS);
    paused.resume();
    await settled();
    await cluster.advance(LEASE_MS / 2);

    answered.resolve();
    await settled();
    await cluster.advance(2 * LEASE_MS);

    expect(paused.epoch).toBe(2);
    expect(living.coordinator.runtime.members.list.map(({ epoch }) => epoch)).toEqual([2, 3]);
  });
});

describe('A member that stands still while its renewal is answered', () => {
  it('does not take that answer for new when it goes on', async () => {
    const { cluster } = shop();
    const [late, living] = (await cluster.startSteady(2)) as [Member, Member];
    const { members } = living.log;
    const renew = members.renew.bind(members);
    const stoodStill: number[] = [];
    Object.assign(members, {
      renew: async (lease: never) => {
        const renewal = await renew(lease);
        const ageMs = renewal.epochs.find(({ epoch }) => epoch === late.epoch)!.ageMs;
        if (ageMs > LEASE_MS && stoodStill.push(ageMs) === 1) living.pause();
        return renewal;
      },
    });
    late.pause();
    while (stoodStill.length === 0) await cluster.advance(50);
    late.resume();
    await settled();
    await cluster.advance(LEASE_MS / 2);

    living.resume();
    await settled();
    await cluster.advance(2 * LEASE_MS);

    expect([late.epoch, living.epoch]).toEqual([1, 2]);
  });
});
