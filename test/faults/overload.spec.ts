import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import { type ParticipantCapacity, branch } from '../../src/coordinator/index.js';
import {
  type Behaviour,
  type ParticipantScript,
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';

const CAPACITY: ParticipantCapacity = {
  server: 'one',
  preparedTransactions: 4,
  preparedTransactionsInUse: 0,
  connections: 100,
  connectionsInUse: 0,
  workConnections: 100,
  ownConnections: 10,
};

const branches = [branch('first', 1), branch('second', 2)];

function onServer(
  script: ParticipantScript,
  capacity: Partial<ParticipantCapacity> = {},
): ScriptedParticipant {
  return Object.assign(new ScriptedParticipant(script), { capacity: () => ({ ...CAPACITY, ...capacity }) });
}

/** Two participants on one server that takes two transactions with both, and one in memory. */
async function setUp(
  first: ParticipantScript = {},
  options: TestCoordinatorOptions = {},
  capacity: Partial<ParticipantCapacity> = {},
) {
  const participants = {
    first: onServer(first, capacity),
    second: onServer({}, capacity),
    memory: new ScriptedParticipant(),
  };
  const coordinator = createTestCoordinator({
    participants,
    timeoutMs: 2_000,
    prepareTimeoutMs: 1_500,
    ...options,
  });
  await settled();
  const { transactions, runtime } = coordinator;
  const run = (more: object = {}) => transactions.run({ branches, ...more });
  const limit = (): number => [...runtime.limits.all][0]!.limit;
  const used = (): number => [...runtime.limits.all][0]!.used;
  const load = (): number => [...runtime.limits.all][0]!.load;
  return { ...coordinator, ...participants, run, limit, used, load };
}

/** A prepare that waits for a gate, and opens it. */
function gated(): { readonly until: Behaviour; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { until: { until: promise, then: 'yes' }, open: resolve };
}

const busy = expect.objectContaining({ code: 'DTC_SERVER_BUSY' });

describe('A database server with a limit', () => {
  it('fault 63: takes a limited number of transactions of all its participants together; the others wait, and begin in their order', async () => {
    const gate = gated();
    const { run, first, transactions, used } = await setUp({ prepare: [gate.until, gate.until, 'yes'] });
    const running = [1, 2, 3, 4].map((number) => run({ name: `number ${number}` }));
    await settled();
    expect(first.count('prepare')).toBe(2);
    expect(used()).toBe(4);
    expect(transactions.list({ state: 'PREPARING' })).toHaveLength(2);
    expect(transactions.list()).toHaveLength(2);
    gate.open();
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual(Array(4).fill('committed'));
    const prepared = first.calls.filter(({ method }) => method === 'prepare');
    expect(prepared.map(({ branch: { transactionId } }) => transactions.find(transactionId)?.name)).toEqual([
      'number 1',
      'number 2',
      'number 3',
      'number 4',
    ]);
    expect(used()).toBe(0);
  });

  it('fault 63: has as many wait as it takes, and the others are refused before anything has begun', async () => {
    const { run, first, second, transactions, runtime } = await setUp({ prepare: 'hang' });
    for (let number = 0; number < 4; number++) void run();
    await expect(run()).rejects.toMatchObject({ code: 'DTC_SERVER_BUSY', participants: ['first', 'second'] });
    await settled();
    expect([first, second].map((one) => one.count('prepare'))).toEqual([2, 2]);
    expect(transactions.list()).toHaveLength(2);
    expect(runtime.admission.refusals.get('DTC_SERVER_BUSY')).toBe(1);
    expect(runtime.limits.queued).toBe(2);
  });

  it.each([0, 1, 5])('has %i wait where that is the option', async (maxQueued) => {
    const { run, runtime } = await setUp({ prepare: 'hang' }, { maxQueued });
    for (let number = 0; number < 2 + maxQueued; number++) void run();
    await expect(run()).rejects.toEqual(busy);
    expect(runtime.limits.queued).toBe(maxQueued);
  });

  it('has them wait for a quarter of their time at most', async () => {
    const { run, clock, first } = await setUp(
      { prepare: 'hang' },
      { prepareTimeoutMs: 5_000, timeoutMs: 5_000 },
    );
    void run();
    void run();
    let refused: unknown;
    void run({ timeoutMs: 800 }).catch((error: unknown) => (refused = error));
    await clock.advance(190);
    expect(refused).toBeUndefined();
    await clock.advance(20);
    expect(refused).toEqual(busy);
    expect(first.count('prepare')).toBe(2);
  });

  it('refuses a transaction at once if it would probably wait for more than a quarter of that, once the queue is half full', async () => {
    const gates = Array.from({ length: 4 }, gated);
    const script = { prepare: [...gates.map(({ until }) => until), 'hang' as const] };
    const options = { prepareTimeoutMs: 5_000, timeoutMs: 5_000, maxQueued: 8 };
    const { run, clock, runtime } = await setUp(script, options);
    const runMany = (count: number, timeoutMs: number): void => {
      for (let number = 0; number < count; number++) void run({ timeoutMs }).catch(() => {});
    };
    runMany(8, 5_000);
    for (const { open } of gates) {
      await clock.advance(300);
      open();
      await settled();
    }
    // Two are at work and two wait. One is done every 300 ms, so that the next would wait for 900 ms.
    expect(runtime.limits.queued).toBe(2);
    runMany(2, 3_000);
    expect(runtime.limits.queued).toBe(4);
    await expect(run({ timeoutMs: 3_000 })).rejects.toMatchObject({ code: 'DTC_SERVER_BUSY' });
    runMany(1, 30_000);
    expect(runtime.limits.queued).toBe(5);
  });

  it('lets one transaction wait although nothing was done for a while, when the queue is short', async () => {
    const gates = Array.from({ length: 14 }, gated);
    const script = { prepare: [...gates.map(({ until }) => until), 'yes' as const] };
    const { run, clock, runtime } = await setUp(script, { maxQueued: 16 });
    const running = gates.map(() => run());
    for (const { open } of gates.slice(0, 4)) {
      await clock.advance(10);
      open();
      await settled();
    }
    await clock.advance(100);
    expect(runtime.limits.queued).toBe(8);
    // Nine times 10 ms; nine times the pause of 100 ms would be more than a quarter of a quarter of its time.
    running.push(run());
    expect(runtime.limits.queued).toBe(9);
    for (const { open } of gates) open();
    expect((await Promise.all(running)).every(({ status }) => status === 'committed')).toBe(true);
  });

  it('lets many transactions wait that arrive at one moment, however long it was idle before', async () => {
    const { run, clock, runtime, first } = await setUp({}, { maxQueued: 50 });
    await Promise.all([run(), run()]);
    await clock.advance(60_000, 1_000);
    first.script = { prepare: 'hang' };
    for (let number = 0; number < 50; number++) void run();
    expect(runtime.limits.queued).toBe(48);
  });

  it('begins no transaction that needs less before one that waits for more', async () => {
    const { run, runtime, first, used } = await setUp({ prepare: 'hang' });
    const small = { branches: [branch('first', 1), branch('memory', 1)] };
    void run();
    void run(small);
    void run();
    void run(small);
    expect([used(), runtime.limits.queued, first.count('prepare')]).toEqual([3, 2, 2]);
  });

  it('fault 16: that hangs delays no transaction without it, even while others wait for both', async () => {
    const { participants, transactions, used, runtime } = await setUp();
    participants.register(onServer({ prepare: 'hang' }, { server: 'two', preparedTransactions: 1 }), {
      name: 'third',
    });
    await settled();
    const both = { branches: [branch('first', 1), branch('third', 1)] };
    void transactions.run(both);
    void transactions.run(both);
    expect([used(), runtime.limits.queued]).toEqual([1, 1]);
    for (let number = 0; number < 10; number++) {
      const outcome = await transactions.run({ branches: [branch('first', 1)] });
      expect(outcome.status).toBe('committed');
    }
    const step = transactions.begin();
    step.enlist(branch('first', 1));
    expect(await step.commit()).toMatchObject({ status: 'committed' });
    expect([used(), runtime.limits.queued]).toEqual([1, 1]);
  });

  it('keeps room for the first transaction that waits for another server, and starts it as soon as that has room', async () => {
    const options = { maxQueued: 10 };
    const { participants, transactions, first, used, runtime } = await setUp({ prepare: 'hang' }, options);
    const gate = gated();
    const third = onServer({ prepare: [gate.until, 'hang'] }, { server: 'two', preparedTransactions: 1 });
    participants.register(third, { name: 'third' });
    await settled();
    const running = transactions.run({ branches: [branch('third', 1)] });
    for (let number = 0; number < 2; number++) {
      void transactions.run({ branches: [branch('first', 1), branch('third', 1)] });
    }
    for (let number = 0; number < 4; number++) void transactions.run({ branches: [branch('first', 1)] });
    // Of four places one is kept for the first that waits; the one behind it has to wait for that one anyway.
    expect([used(), first.count('prepare'), runtime.limits.queued]).toEqual([3, 3, 3]);
    gate.open();
    await running;
    await settled();
    expect([used(), third.count('prepare'), runtime.limits.queued]).toEqual([4, 2, 2]);
  });

  it.each(['read-only', 'no'] as const)('has the slots of branches that voted %s again', async (vote) => {
    const { run, second, used, load } = await setUp({ prepare: vote });
    second.script = { prepare: vote };
    await run();
    await settled();
    expect([used(), load()]).toEqual([0, 0]);
  });

  it('counts the branches of an interactive transaction, and refuses the branch that exceeds the room', async () => {
    const { transactions, run, first, used } = await setUp({ prepare: 'hang' });
    void run();
    const one = transactions.begin();
    one.enlist(branch('first', 1));
    const other = transactions.begin();
    expect(() => {
      other.enlist(branch('first', 1));
      other.enlist(branch('second', 1));
    }).toThrow(busy);
    other.enlist(branch('memory', 1));
    expect(used()).toBe(4);
    await other.rollback();
    await settled();
    expect(used()).toBe(3);
    one.enlist(branch('second', 2));
    await one.rollback();
    await settled();
    expect(used()).toBe(2);
    expect(first.count('prepare')).toBe(1);
  });

  describe('where another participant does not answer (fault 16)', () => {
    const both = { branches: [...branches, branch('memory', 1)] };
    const silent = { code: 'DTC_PARTICIPANT_SILENT', participant: 'memory' };

    /** The participant in memory is silent, and the server has no room. */
    async function silenced() {
      const made = await setUp({}, { maxQueued: 10, timeoutMs: 8_000 });
      const { run, transactions, clock, memory, first } = made;
      memory.script = { prepare: 'hang' };
      const alone = Array.from({ length: 3 }, () => transactions.run({ branches: [branch('memory', 1)] }));
      await clock.advance(1_490);
      first.script = { prepare: 'hang' };
      const holding = [run(), run()];
      await settled();
      return { ...made, ends: [...alone, ...holding] };
    }

    it('refuses at once what waits and names it, when it falls silent', async () => {
      const { run, clock, runtime, first, ends } = await silenced();
      const refused: unknown[] = [];
      const one = run(both).catch((error: unknown) => refused.push(error));
      const other = run();
      expect(runtime.limits.queued).toBe(2);
      await clock.advance(20);
      expect(refused).toEqual([expect.objectContaining({ ...silent, retryAfterMs: 188 })]);
      expect(runtime.admission.refusals.get('DTC_PARTICIPANT_SILENT')).toBe(1);
      expect(runtime.limits.queued).toBe(1);
      first.script = {};
      await clock.advance(1_500);
      expect(await other).toMatchObject({ status: 'committed' });
      await Promise.all([...ends, one]);
    });

    it('lets one wait that tries it, and refuses at once those that come meanwhile', async () => {
      const { run, clock, runtime, memory, first, ends, participants, transactions } = await silenced();
      await clock.advance(20);
      const trial = run(both);
      await expect(run(both)).rejects.toMatchObject(silent);
      expect(runtime.limits.queued).toBe(1);
      // Another one is due, and the first still waits, also when another participant falls silent.
      participants.register(new ScriptedParticipant({ prepare: 'hang' }), {
        name: 'deaf',
        prepareTimeoutMs: 50,
      });
      const deaf = { branches: [branch('deaf', 1)] };
      for (let number = 0; number < 3; number++) ends.push(transactions.run(deaf));
      await clock.advance(60);
      ends.push(transactions.run(deaf));
      await expect(transactions.run(deaf)).rejects.toMatchObject({ ...silent, participant: 'deaf' });
      await clock.advance(140);
      const next = run(both);
      expect(runtime.limits.queued).toBe(2);
      first.script = {};
      memory.script = {};
      await clock.advance(1_500);
      for (const one of [await trial, await next]) expect(one).toMatchObject({ status: 'committed' });
      await Promise.all(ends);
    });

    it('holds slots for transactions that ask it first, but these cause no load', async () => {
      const { run, used, load, clock, memory, first, transactions } = await setUp({}, { timeoutMs: 8_000 });
      memory.script = { prepare: 'hang' };
      const alone = transactions.run({ branches: [branch('memory', 1)] });
      await clock.advance(1_500 / 8 + 100);
      const gate = gated();
      memory.script = { prepare: gate.until };
      const outcome = run(both);
      await settled();
      expect([used(), load(), first.count('prepare')]).toEqual([2, 0, 0]);
      const held = gated();
      first.script = { prepare: held.until };
      gate.open();
      await settled();
      expect([used(), load(), first.count('prepare')]).toEqual([2, 2, 1]);
      held.open();
      expect(await outcome).toMatchObject({ status: 'committed' });
      expect([used(), load()]).toEqual([0, 0]);
      await clock.advance(1_500);
      await alone;
    });

    it('counts the load of those that are asked first alone', async () => {
      const { run, used, load, clock, memory, second, transactions } = await setUp({}, { timeoutMs: 8_000 });
      second.script = { prepare: 'hang' };
      const alone = transactions.run({ branches: [branch('second', 1), branch('memory', 1)] });
      await clock.advance(1_500 / 8 + 100);
      const outcome = run();
      await settled();
      expect([used(), load(), memory.count('prepare')]).toEqual([3, 2, 1]);
      await clock.advance(1_500);
      await Promise.all([alone, outcome]);
      expect([used(), load()]).toEqual([0, 0]);
    });
  });

  it('affects no transaction that does not need it', async () => {
    const { run, transactions } = await setUp({ prepare: 'hang' });
    for (let number = 0; number < 4; number++) void run();
    const outcome = await transactions.run({ branches: [branch('memory', 1)] });
    expect(outcome.status).toBe('committed');
    expect(transactions.find(outcome.transactionId)).toBeDefined();
  });

  it('never prevents the end of a started transaction', async () => {
    const { run, clock, first, used } = await setUp({ prepare: ['hang', 'yes'], commit: ['throw', 'yes'] });
    const running = [run(), run(), run(), run()];
    await expect(run()).rejects.toEqual(busy);
    await clock.advance(1_510);
    const outcomes = await Promise.allSettled(running);
    expect(outcomes.map((one) => (one.status === 'fulfilled' ? one.value.status : 'refused'))).toEqual([
      'aborted',
      'committed',
      'committed',
      'committed',
    ]);
    expect(first.count('commit')).toBe(4);
    expect(used()).toBe(0);
  });

  it('takes no notice of one that cancels while it waits, and contacts no participant for it', async () => {
    const { run, first, second, runtime } = await setUp({ prepare: 'hang' });
    void run();
    void run();
    const caller = new AbortController();
    const waiting = run({ signal: caller.signal });
    await settled();
    caller.abort();
    expect(await waiting).toMatchObject({ status: 'aborted', cause: 'cancelled' });
    await settled();
    expect(runtime.limits.queued).toBe(0);
    expect([first, second].map((one) => one.calls.length)).toEqual([2, 2]);
  });

  it('lets one that has waited be cancelled by its caller as any other', async () => {
    const { run, clock, first } = await setUp(
      { prepare: ['hang', 'hang', 'hang'] },
      { prepareTimeoutMs: 300 },
    );
    const before = [run(), run()];
    const caller = new AbortController();
    const waiting = run({ signal: caller.signal });
    await clock.advance(310);
    await Promise.all(before);
    expect(first.count('prepare')).toBe(3);
    caller.abort();
    expect(await waiting).toMatchObject({ status: 'aborted', cause: 'cancelled' });
  });

  it('refuses all that wait when the coordinator is drained or shuts down', async () => {
    const drained = await setUp({ prepare: 'hang' });
    for (let number = 0; number < 2; number++) void drained.run();
    const waiting = drained.run();
    drained.runtime.admission.isDraining = true;
    waiting.catch(() => {});
    await drained.clock.advance(10);
    await expect(waiting).rejects.toMatchObject({ code: 'DTC_DRAINING' });

    const closed = await setUp({ prepare: 'hang' });
    for (let number = 0; number < 2; number++) void closed.run();
    const queued = closed.run();
    closed.runtime.admission.close();
    closed.runtime.limits.close();
    await expect(queued).rejects.toMatchObject({ code: 'DTC_SHUTTING_DOWN' });
  });

  it('refuses a waiting transaction when one of its participants was paused, or lost its claim, meanwhile', async () => {
    for (const code of ['DTC_PARTICIPANT_PAUSED', 'DTC_PARTICIPANT_NOT_CLAIMED']) {
      const gate = gated();
      const { run, participants, first, used } = await setUp({ prepare: [gate.until, gate.until, 'yes'] });
      const running = [run(), run()];
      const waiting = run({ branches: [...branches, branch('memory', 3)] });
      waiting.catch(() => {});
      if (code === 'DTC_PARTICIPANT_PAUSED')
        participants.pause('memory', { since: 0, by: 'an operator', reason: 'a test' });
      else participants.resolve('memory').isClaimed = false;
      gate.open();
      await expect(waiting).rejects.toMatchObject({ code, participant: 'memory' });
      await Promise.all(running);
      expect(first.count('prepare')).toBe(2);
      expect(used()).toBe(0);
    }
  });

  it('answers a request that is to be run again and waits for a place, when the coordinator shuts down', async () => {
    const conflict: Behaviour = { refuse: 'BUSY', reason: 'another has it', conflict: true };
    const { run, runtime, clock, first } = await setUp({ prepare: [conflict, 'hang'] });
    const running = run({ name: 'again' });
    await settled();
    for (let number = 0; number < 2; number++) void run();
    await clock.advance(400);
    expect(runtime.limits.queued).toBe(1);
    runtime.admission.close();
    runtime.reruns.close();
    runtime.limits.close();
    expect(await running).toMatchObject({ status: 'aborted', code: 'BUSY' });
    expect(first.count('prepare')).toBe(3);
  });

  it('answers each that waits when it is closed, though the door is open still', async () => {
    const { run, runtime } = await setUp({ prepare: 'hang' });
    for (let number = 0; number < 2; number++) void run();
    const waiting = run();
    runtime.limits.close();
    await expect(waiting).rejects.toEqual(busy);
  });

  it('takes no place for a branch that is refused for its id', async () => {
    const { transactions, used } = await setUp();
    const transaction = transactions.begin();
    expect(() => transaction.enlist(branch('first', 1, { branchId: 'b'.repeat(62) }))).toThrow(
      expect.objectContaining({ code: 'DTC_INVALID_REQUEST' }),
    );
    expect(used()).toBe(0);
    await transaction.rollback();
  });

  it('frees no place for transactions that started before its limit was known', async () => {
    const { transactions, participants, runtime } = createTestCoordinator({ timeoutMs: 2_000 });
    const answered = Promise.withResolvers<ParticipantCapacity>();
    const capacity = { capacity: () => answered.promise };
    const gate = gated();
    participants.register(Object.assign(new ScriptedParticipant({ prepare: gate.until }), capacity), {
      name: 'first',
    });
    participants.register(Object.assign(new ScriptedParticipant(), capacity), { name: 'second' });
    const running = transactions.run({ branches });
    answered.resolve(CAPACITY);
    await settled();
    const used = (): number => [...runtime.limits.all][0]!.used;
    const later = transactions.run({ branches });
    gate.open();
    await Promise.all([running, later]);
    expect(used()).toBe(0);
  });

  it('keeps the slot of a branch that stalls, and of no other', async () => {
    const { run, used, clock } = await setUp({ commit: 'throw' }, { maxAttempts: 1 });
    await clock.advance(10);
    expect((await run()).status).toBe('pending');
    expect(used()).toBe(1);
  });

  it('begins each that has waited in the asynchronous context of its caller', async () => {
    const context = new AsyncLocalStorage<number>();
    const seen: (number | undefined)[] = [];
    const gate = gated();
    const { run, first } = await setUp({ prepare: [gate.until, gate.until, 'yes'] });
    const prepare = first.prepare.bind(first);
    first.prepare = (one) => {
      seen.push(context.getStore());
      return prepare(one);
    };
    const running = [1, 2, 3, 4].map((number) => context.run(number, () => run()));
    gate.open();
    await Promise.all(running);
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  it('does not limit another server', async () => {
    const { run, participants, transactions } = await setUp({ prepare: 'hang' });
    participants.register(onServer({}, { server: 'two' }), { name: 'third' });
    participants.register(onServer({}, { server: 'two' }), { name: 'fourth' });
    await settled();
    for (let number = 0; number < 3; number++) void run();
    const outcome = await transactions.run({ branches: [branch('third', 1), branch('fourth', 1)] });
    expect(outcome.status).toBe('committed');
  });
});

describe('A server whose connections are busy', () => {
  // Two participants with a connection each: four branches are at work for each of them, and so four
  // transactions.
  const few = { preparedTransactions: 100, workConnections: 1 };
  const hangs: Behaviour[] = ['hang', 'hang', 'hang', 'hang'];
  const withMemory = { branches: [...branches, branch('memory', 3)] };

  it('puts only as many transactions to work as keep it busy; the others are under way, hold nothing, and follow in their order', async () => {
    const gate = gated();
    const { run, first, second, transactions, used } = await setUp({ commit: gate.until }, {}, few);
    second.script = { commit: gate.until };
    const running = Array.from({ length: 7 }, (_, number) => run({ name: `number ${number + 1}` }));
    await settled();
    expect([first.count('prepare'), second.count('prepare')]).toEqual([4, 4]);
    expect(used()).toBe(14);
    expect(transactions.list({ state: 'PREPARING' })).toHaveLength(3);
    gate.open();
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual(Array(7).fill('committed'));
    const prepared = first.calls.filter(({ method }) => method === 'prepare');
    expect(prepared.map(({ branch: { transactionId } }) => transactions.find(transactionId)?.name)).toEqual(
      Array.from({ length: 7 }, (_, number) => `number ${number + 1}`),
    );
    expect(used()).toBe(0);
  });

  it('does not count a branch that has voted and waits for a participant elsewhere, but keeps its slots', async () => {
    const { run, memory, load, used } = await setUp({}, { prepareTimeoutMs: 1_500 }, few);
    memory.script = { prepare: 'hang' };
    for (let number = 0; number < 12; number++) void run(withMemory);
    await settled();
    expect(memory.count('prepare')).toBe(12);
    expect([used(), load()]).toEqual([24, 0]);
    expect(await run()).toMatchObject({ status: 'committed' });
  });

  it('begins one although others wait elsewhere, also when its limit is low', async () => {
    const short: Behaviour = { answer: { vote: 'abort', code: 'NO_SLOT', reason: 'full', overloaded: true } };
    const { run, memory, limit, used } = await setUp(
      { prepare: [...Array<'yes'>(6).fill('yes'), short, 'yes'] },
      {},
      few,
    );
    memory.script = { prepare: 'hang' };
    for (let number = 0; number < 6; number++) void run(withMemory);
    await settled();
    expect(await run()).toMatchObject({ status: 'aborted', code: 'NO_SLOT' });
    await settled();
    expect([limit() < 4, used()]).toEqual([true, 12]);
    expect(await run()).toMatchObject({ status: 'committed' });
  });

  it('takes up others when commits fail, are held, or stall, and keeps their slots', async () => {
    const failing = await setUp(
      { commit: [...hangs, 'yes'] },
      { completionTimeoutMs: 500, maxAttempts: 1 },
      few,
    );
    failing.second.script = { commit: [...hangs, 'yes'] };
    for (let number = 0; number < 4; number++) void failing.run();
    const next = failing.run();
    await settled();
    expect(failing.first.count('prepare')).toBe(4);
    await failing.clock.advance(510);
    expect(await next).toMatchObject({ status: 'committed' });
    expect([failing.used(), failing.load()]).toEqual([8, 0]);

    const gate = gated();
    const held = await setUp({ prepare: gate.until }, {}, few);
    for (let number = 0; number < 4; number++) void held.run();
    await settled();
    held.participants.pause('first', { since: 0, by: 'an operator', reason: 'a test' });
    gate.open();
    await settled();
    expect([held.used(), held.load()]).toEqual([1, 0]);
    const other = { branches: [branch('second', 1), branch('memory', 2)] };
    for (let number = 0; number < 4; number++) {
      expect(await held.run(other)).toMatchObject({ status: 'committed' });
    }
  });

  it('takes up others when a commit is tried again', async () => {
    const { run, second, clock, used, load } = await setUp(
      { commit: [...hangs, 'yes'] },
      { completionTimeoutMs: 500, retryBaseMs: 20_000, retryCapMs: 60_000 },
      few,
    );
    second.script = { commit: [...hangs, 'yes'] };
    for (let number = 0; number < 4; number++) void run();
    const next = run();
    await clock.advance(510);
    expect(await next).toMatchObject({ status: 'committed' });
    expect([used(), load()]).toEqual([8, 0]);
  });

  it('asks those first that hold something already', async () => {
    const gate = gated();
    const { run, second, transactions } = await setUp({ prepare: [gate.until, 'yes'] }, {}, few);
    const secondGate = gated();
    second.script = { prepare: [secondGate.until, 'yes'] };
    const running = [
      run({ name: 'number 1', branches: [branch('second', 1), branch('memory', 1)] }),
      run({ name: 'at work' }),
      run({ name: 'new', branches: [branch('second', 1), branch('memory', 1)] }),
    ];
    await settled();
    gate.open();
    await settled();
    secondGate.open();
    await Promise.all(running);
    const names = second.calls
      .filter(({ method }) => method === 'prepare')
      .map(({ branch: { transactionId } }) => transactions.find(transactionId)?.name);
    expect(names).toEqual(['number 1', 'at work', 'new']);
  });
});

describe('The limit of a server that runs short', () => {
  const SHORT: Behaviour = { answer: { vote: 'abort', code: 'NO_SLOT', reason: 'full', overloaded: true } };
  const many = { preparedTransactions: 100 };

  it('falls by a fifth of the branches in progress, at most ten times a second, and never below one', async () => {
    const { run, clock, limit } = await setUp({ prepare: SHORT }, {}, many);
    await Promise.all(Array.from({ length: 20 }, () => run()));
    // Forty were under way. Their progress since has let one or two more in.
    expect(limit()).toBeGreaterThanOrEqual(32);
    expect(limit()).toBeLessThan(35);
    for (let number = 0; number < 20; number++) {
      await clock.advance(100);
      await run();
    }
    expect(limit()).toBe(1);
    expect(await run()).toMatchObject({ status: 'aborted', code: 'NO_SLOT' });
  });

  it('stays for every other refusal, failure and time-out', async () => {
    for (const behaviour of ['no', 'throw', { refuse: 'X', conflict: true }, 'hang'] as const) {
      const { run, clock, limit } = await setUp({ prepare: behaviour }, { timeoutMs: 300 }, many);
      const running = run();
      await clock.advance(310);
      expect((await running).status).toBe('aborted');
      expect(limit()).toBe(100);
    }
  });

  it('grows again with completed branches', async () => {
    const { run, limit } = await setUp({ prepare: [SHORT, 'yes'] }, {}, many);
    await run();
    const lowered = limit();
    for (let number = 0; number < 20; number++) await run();
    const raised = limit();
    expect(lowered).toBe(1);
    expect(raised).toBeGreaterThan(5);
    for (let number = 0; number < 5_000; number++) await run();
    expect(limit()).toBe(100);
  });

  it('falls when a branch waits long for a place at its participant, until no branch is in progress', async () => {
    const gates = [gated(), gated()];
    const { run, clock, limit } = await setUp(
      { prepare: gates.map(({ until }) => until) },
      {},
      { ...many, workConnections: 1 },
    );
    const running = [run(), run()];
    expect(limit()).toBe(100);
    await clock.advance(510);
    gates[0]!.open();
    await settled();
    expect(limit()).toBeLessThan(10);
    gates[1]!.open();
    await Promise.all(running);
    await settled();
    expect(limit()).toBe(100);
  });

  it('never lowers its limit because of such waits so far that its connections are idle', async () => {
    const slow = Array.from({ length: 12 }, gated);
    const { run, clock, limit } = await setUp(
      { prepare: slow.map(({ until }) => until) },
      { timeoutMs: 4_000, prepareTimeoutMs: 2_000 },
      { ...many, workConnections: 1 },
    );
    const running = slow.map(() => run());
    for (const { open } of slow.slice(0, -1)) {
      await clock.advance(300);
      open();
      await settled();
    }
    // Four for each connection.
    expect(limit()).toBeGreaterThanOrEqual(8);
    expect(limit()).toBeLessThan(12);
    slow.at(-1)!.open();
    await Promise.all(running);
  });

  it('stays when a branch waits long for a place where transactions met, as its holder waits for a row', async () => {
    const gate = gated();
    const conflict: Behaviour = { refuse: 'BUSY', reason: 'another has it', conflict: true };
    const { run, transactions, clock, limit } = await setUp(
      { prepare: [conflict, gate.until, 'hang'] },
      {},
      { ...many, workConnections: 1 },
    );
    const met = transactions.begin();
    for (const request of branches) met.enlist(request);
    expect((await met.commit()).status).toBe('aborted');
    const running = run();
    void run();
    await clock.advance(510);
    gate.open();
    await running;
    expect(limit()).toBe(100);
  });
});

describe('A server with slots that are not ours', () => {
  /** @param inUse the answer of the server each time it is asked. */
  async function withOthers(...inUse: (number | Error)[]) {
    const answers = { asked: 0, says: inUse };
    const capacity = (): ParticipantCapacity => {
      const answer = answers.says[Math.min(answers.asked++, answers.says.length - 1)]!;
      if (answer instanceof Error) throw answer;
      return { ...CAPACITY, preparedTransactions: 100, preparedTransactionsInUse: answer };
    };
    const first = Object.assign(new ScriptedParticipant({ prepare: 'hang' }), { capacity });
    const coordinator = createTestCoordinator({ timeoutMs: 100_000, prepareTimeoutMs: 100_000 });
    const { runtime, transactions, participants } = coordinator;
    const reports: string[] = [];
    runtime.capacities.report = ({ message }) => reports.push(message);
    participants.register(first, { name: 'first' });
    await settled();
    const limit = (): number => [...runtime.limits.all][0]!.limit;
    const run = () => transactions.run({ branches: [branch('first', 1)] });
    return { ...coordinator, first, answers, limit, run, reports };
  }

  it('admits more as recovery frees slots after a crash, and starts waiting transactions', async () => {
    const { clock, limit, run, first, answers, runtime } = await withOthers(100, 40, 2, 2);
    expect(limit()).toBe(1);
    const running = [run(), run()];
    await settled();
    expect([first.count('prepare'), runtime.limits.queued]).toEqual([1, 1]);
    await clock.advance(5_010);
    // One of the forty may be of the branch that is under way.
    expect(limit()).toBe(61);
    expect([first.count('prepare'), runtime.limits.queued]).toEqual([2, 0]);
    await clock.advance(10_010);
    expect(limit()).toBe(100);
    await clock.advance(200_000, 1_000);
    expect(answers.asked).toBe(3);
    await Promise.all(running);
  });

  it('is asked again at growing intervals, up to a minute, for as long as others hold some', async () => {
    const { clock, limit, answers } = await withOthers(30);
    const askedAfterS: number[] = [];
    for (let second = 1, before = answers.asked; second <= 200; second++) {
      await clock.advance(1_000);
      if (answers.asked > before) askedAfterS.push(second);
      before = answers.asked;
    }
    expect(askedAfterS).toEqual([5, 15, 35, 75, 135, 195]);
    expect(limit()).toBe(70);
  });

  it('keeps its limit when a server does not answer, reports it once, and asks again', async () => {
    const { clock, limit, reports } = await withOthers(30, new Error('gone'), new Error('gone'), 0);
    await clock.advance(5_010);
    expect(limit()).toBe(70);
    await clock.advance(10_010);
    expect(reports.filter((message) => message.includes('did not report the capacity'))).toEqual([
      '"first" did not report the capacity of its server again: gone. The limit stays at 70 branches at a time until it does. ' +
        'The coordinator asks again.',
    ]);
    await clock.advance(20_010);
    expect(limit()).toBe(100);
  });

  it('is not asked again once the coordinator shuts down', async () => {
    const { clock, runtime, answers } = await withOthers(30);
    runtime.capacities.close();
    await clock.advance(100_000, 1_000);
    expect(answers.asked).toBe(1);
  });
});

describe('The reports of participants on their servers', () => {
  it('does no harm where the report of it fails', async () => {
    const { runtime, participants, transactions } = createTestCoordinator();
    runtime.capacities.report = () => {
      throw new Error('no log');
    };
    const failures: unknown[] = [];
    const fail = (error: unknown): void => void failures.push(error);
    process.on('unhandledRejection', fail);
    participants.register(onServer({}), { name: 'first' });
    participants.register(onServer({}, { workConnections: 0 }), { name: 'second' });
    await settled();
    await expect(runtime.capacities.start()).resolves.toBeUndefined();
    await settled();
    process.off('unhandledRejection', fail);
    expect(failures).toEqual([]);
    expect(await transactions.run({ branches })).toMatchObject({ status: 'committed' });
  });

  async function reportsOf(...capacities: unknown[]): Promise<string[]> {
    const { runtime, participants } = createTestCoordinator();
    const reports: string[] = [];
    runtime.capacities.report = ({ level, message }) => reports.push(`${level}: ${message}`);
    for (const [index, capacity] of capacities.entries()) {
      const answer =
        typeof capacity === 'function' ? (capacity as () => never) : () => capacity as ParticipantCapacity;
      participants.register(Object.assign(new ScriptedParticipant(), { capacity: answer }), {
        name: `p-${index}`,
      });
    }
    await settled();
    return reports;
  }

  it('is reported with how many transactions that makes', async () => {
    const capacity = { ...CAPACITY, preparedTransactions: 910, preparedTransactionsInUse: 10 };
    const reports = await reportsOf(capacity, capacity, capacity);
    expect(reports.at(-1)).toBe(
      'log: The database server of "p-0", "p-1", "p-2" takes 300 transactions at a time with a branch at each of them ' +
        '(900 free prepared transactions / 3 participants), but maxInFlight is 10000: further transactions wait, and are then ' +
        'refused with DTC_SERVER_BUSY',
    );
  });

  it('is reported where the connections are too few', async () => {
    const reports = await reportsOf({ ...CAPACITY, connections: 15 }, { ...CAPACITY, connections: 15 });
    expect(reports.at(-1)).toMatch(/^warn: .* gives 15 connections, and the participants open up to 20/);
  });

  it.each([
    ['nothing', undefined],
    ['no server', { ...CAPACITY, server: 1 }],
    ['no number', { ...CAPACITY, preparedTransactions: '4' }],
    ['no place', { ...CAPACITY, workConnections: 0 }],
    ['less than nothing', { ...CAPACITY, connections: -1 }],
    ['an error', () => Promise.reject(new Error('no answer'))],
  ])('is no limit when it is %s, and a warning', async (_what, capacity) => {
    const reports = await reportsOf(capacity);
    expect(reports).toHaveLength(1);
    expect(reports[0]).toMatch(
      /^warn: "p-0" did not report the capacity of its server, so there is no limit: /,
    );
  });
});
