import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type Outcome,
  type ParticipantCapacity,
  type TransactionParticipant,
  type Vote,
  branch,
  refuse,
} from '../../src/coordinator/index.js';
import {
  type Behaviour,
  type ManualClock,
  type ParticipantScript,
  ScriptedParticipant,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';

afterEach(() => {
  vi.restoreAllMocks();
});

const CONFLICT: Behaviour = { refuse: 'BUSY', reason: 'another has it', conflict: true };
const branches = [branch('first', 1), branch('second', 2)];

function two(first: ParticipantScript = {}, second: ParticipantScript = {}) {
  const participants = { first: new ScriptedParticipant(first), second: new ScriptedParticipant(second) };
  const coordinator = createTestCoordinator({ participants, prepareTimeoutMs: 500, timeoutMs: 2_000 });
  const run = (...more: object[]) => coordinator.transactions.run(Object.assign({ branches }, ...more));
  return { ...coordinator, ...participants, run };
}

/** @returns the value with which a promise was resolved by now. */
async function answerSoFar<T>(promise: Promise<T>): Promise<T | 'none'> {
  await settled();
  return Promise.race([promise, Promise.resolve('none' as const)]);
}

/** Moves the clock so far that a pause before the next attempt is over. */
const pause = (clock: ManualClock): Promise<void> => clock.advance(400);

describe('A request that met another transaction', () => {
  it('is run again as a new transaction, and only its last outcome is reported', async () => {
    const { run, clock, transactions, first, second } = two({}, { prepare: [CONFLICT, 'yes'] });
    const running = run({ name: 'order' });
    await pause(clock);
    const outcome = await running;
    expect(outcome.status).toBe('committed');
    expect(transactions.list()).toMatchObject([
      { transactionId: outcome.transactionId, name: 'order', state: 'COMMITTED' },
      { name: 'order', state: 'ABORTED' },
    ]);
    const [before, after] = first.calls.filter(({ method }) => method === 'prepare');
    expect(before!.branch.transactionId).not.toBe(after!.branch.transactionId);
    expect([first, second].map((one) => one.count('commit'))).toEqual([1, 1]);
    expect(second.calls.map(({ branch: { payload, branchId } }) => [branchId, payload])).toEqual(
      second.calls.map(() => ['second', 2]),
    );
  });

  it('is not run again before its rollback is acknowledged everywhere', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, clock, first, second } = two(
      { rollback: { until: gate.promise, then: 'yes' } },
      { prepare: [CONFLICT, 'yes'] },
    );
    const running = run();
    await pause(clock);
    expect(second.count('prepare')).toBe(1);
    gate.resolve();
    await pause(clock);
    expect((await running).status).toBe('committed');
    expect(first.count('prepare')).toBe(2);
  });

  it('is not run again before each of its prepares is answered', async () => {
    const gate = Promise.withResolvers<void>();
    const { run, clock, second } = two(
      { prepare: [{ until: gate.promise, then: 'yes' }, 'yes'] },
      { prepare: [CONFLICT, 'yes'] },
    );
    const running = run();
    await pause(clock);
    expect(second.count('prepare')).toBe(1);
    gate.resolve();
    await pause(clock);
    expect((await running).status).toBe('committed');
  });

  it.each([
    ['its own deadline', 700, { rollback: 'hang' }, 700],
    [
      'a second after the abort when that is sooner, and the rollback does not end',
      5_000,
      { rollback: 'hang' },
      1_000,
    ],
    ['a second after the abort when a prepare is not answered', 5_000, { prepare: 'hang' }, 1_000],
  ] as const)('is told of its first attempt at %s', async (_when, timeoutMs, script, toldAtMs) => {
    const { run, clock, first, second } = two(script, { prepare: CONFLICT });
    first.script = script;
    const running = run({ timeoutMs });
    await clock.advance(toldAtMs - 10);
    expect(await answerSoFar(running)).toBe('none');
    await clock.advance(20);
    expect(await answerSoFar(running)).toMatchObject({
      status: 'aborted',
      participant: 'second',
      code: 'BUSY',
    });
    await clock.advance(1_000);
    expect(second.count('prepare')).toBe(1);
  });

  it('is told of its first attempt as soon as a rollback stalls, or waits for an operator', async () => {
    const stalling = createTestCoordinator({
      participants: {
        first: new ScriptedParticipant({ rollback: 'throw' }),
        second: new ScriptedParticipant({ prepare: CONFLICT }),
      },
      maxAttempts: 1,
    });
    expect(await answerSoFar(stalling.transactions.run({ branches }))).toMatchObject({ code: 'BUSY' });

    const gate = Promise.withResolvers<void>();
    const held = two({}, { prepare: [{ until: gate.promise, then: CONFLICT }, 'yes'] });
    const running = held.run();
    held.participants.pause('first', { since: 0, by: 'an operator', reason: 'a test' });
    gate.resolve();
    expect(await answerSoFar(running)).toMatchObject({ status: 'aborted', code: 'BUSY' });
  });

  it('keeps its deadline through all attempts', async () => {
    const { run, clock, second } = two({}, { prepare: [CONFLICT, 'hang'] });
    const running = run({ timeoutMs: 300 });
    await clock.advance(310);
    expect(await running).toMatchObject({ status: 'aborted', cause: 'timed-out', participant: 'second' });
    expect(second.count('prepare')).toBe(2);
  });

  it('is given up after four attempts, with the outcome of the last one', async () => {
    const { run, clock, second } = two({}, { prepare: CONFLICT });
    const running = run();
    for (let attempt = 0; attempt < 4; attempt++) await pause(clock);
    expect(await running).toMatchObject({ status: 'aborted', code: 'BUSY', reason: 'another has it' });
    expect(second.count('prepare')).toBe(4);
  });

  it('gets the reason of the refusal of a later attempt', async () => {
    const { run, clock } = two({}, { prepare: [CONFLICT, { refuse: 'OUT_OF_STOCK' }] });
    const running = run();
    await pause(clock);
    expect(await running).toMatchObject({ status: 'aborted', code: 'OUT_OF_STOCK' });
  });

  it('is not run again when a branch committed in spite of the rollback', async () => {
    const { run, clock, first } = two({ rollback: { heuristic: 'commit' } }, { prepare: CONFLICT });
    const running = run();
    await pause(clock);
    expect(await running).toMatchObject({
      status: 'heuristic',
      decision: 'abort',
      heuristic: 'commit',
      reports: [{ participant: 'first', kind: 'commit', reason: 'scripted' }],
    });
    expect(first.count('prepare')).toBe(1);
  });

  it.each(['its deadline', 'the shutdown', 'a stalled branch'])(
    'is told at %s of a branch that committed in spite of the rollback, while another one is rolled back still',
    async (moment) => {
      const isStalled = moment === 'a stalled branch';
      const participants = {
        first: new ScriptedParticipant({ rollback: { heuristic: 'commit' } }),
        second: new ScriptedParticipant({ prepare: CONFLICT }),
        third: new ScriptedParticipant({ rollback: isStalled ? 'throw' : 'hang' }),
      };
      const { transactions, runtime, clock } = createTestCoordinator({ participants, maxAttempts: 1 });
      const running = transactions.run({ branches: [...branches, branch('third', 3)], timeoutMs: 500 });
      await settled();
      if (moment === 'its deadline') await clock.advance(510);
      if (moment === 'the shutdown') runtime.reruns.close();
      // The vote of the third is not known yet.
      expect(await answerSoFar(running)).toMatchObject({
        status: 'heuristic',
        decision: 'abort',
        heuristic: 'hazard',
        reports: [{ participant: 'first', kind: 'commit' }],
      });
    },
  );

  it('has one outcome where something throws after its next attempt has started: that of this attempt', async () => {
    const { run, runtime, clock, second } = two({}, { prepare: [CONFLICT, 'yes'] });
    const defect = vi.spyOn(runtime.parts.observer, 'defect').mockReturnValue();
    const requested = runtime.executor.commitRequested.bind(runtime.executor);
    runtime.executor.commitRequested = (transaction) => {
      requested(transaction);
      if (transaction.extras?.attemptsBefore === 1) throw new Error('broken');
    };
    const running = run();
    await pause(clock);
    expect(await running).toMatchObject({ status: 'committed' });
    expect(second.count('commit')).toBe(1);
    expect(defect).toHaveBeenCalledExactlyOnceWith(
      new Error('broken'),
      expect.stringMatching('^starting '),
      expect.anything(),
    );
  });

  it('is told of its last attempt, and a defect is reported, where the next one cannot be made', async () => {
    const { run, runtime, clock } = two({}, { prepare: CONFLICT });
    const defect = vi.spyOn(runtime.parts.observer, 'defect').mockReturnValue();
    const running = run({ name: 'order' });
    await settled();
    runtime.reruns.start = () => {
      throw new TypeError('broken');
    };
    await pause(clock);
    expect(await running).toMatchObject({ status: 'aborted', code: 'BUSY' });
    expect(defect).toHaveBeenCalledExactlyOnceWith(new TypeError('broken'), 'running "order" again');
  });

  it('is not kept by the record of its last attempt', async () => {
    const { run, runtime, clock, transactions } = two({}, { prepare: [CONFLICT, 'yes'] });
    const running = run();
    await pause(clock);
    await running;
    for (const { transactionId } of transactions.list()) {
      expect(runtime.registry.find(transactionId)?.extras?.isRunAgain ?? false).toBe(false);
    }
    expect(Reflect.get(runtime.reruns, 'waiting')).toHaveProperty('size', 0);
  });

  it('is run again only once where a branch of its own at the same participant may be in its way', async () => {
    const { run, clock, first } = two({ prepare: ['yes', CONFLICT] });
    first.script = { prepare: ['yes', CONFLICT, 'yes', CONFLICT] };
    const running = run({ branches: [branch('first', 1), branch('first', 2), branch('second', 3)] });
    for (let attempt = 0; attempt < 4; attempt++) await pause(clock);
    expect(await running).toMatchObject({
      status: 'aborted',
      branchId: 'first.2',
      code: 'BUSY',
      reason:
        'another has it; the branch "first" of the same transaction is prepared there and may hold what it waited ' +
        'for: let one branch do the work of both',
    });
    expect(first.count('prepare')).toBe(4);
  });

  it.each([
    ['the same database', 'one', 'one', true],
    ['different databases of one server', 'one', 'two', false],
    ['databases that they do not name', undefined, undefined, false],
  ])(
    'names a branch of its own that another participant has prepared: %s',
    async (_, mine, others, isNamed) => {
      const on = (database: string | undefined, script: ParticipantScript) =>
        Object.assign(new ScriptedParticipant(script), {
          capacity: () => ({
            server: 'one',
            database,
            preparedTransactions: 100,
            preparedTransactionsInUse: 0,
            connections: 100,
            connectionsInUse: 0,
            workConnections: 10,
            ownConnections: 20,
          }),
        });
      const { transactions } = createTestCoordinator({
        participants: { holder: on(mine, {}), waiting: on(others, { prepare: CONFLICT }) },
      });
      await settled();
      const transaction = transactions.begin();
      transaction.enlist(branch('holder', 1));
      transaction.enlist(branch('waiting', 1));

      const outcome = await transaction.commit();

      const sentence = 'the branch "holder" of the same transaction is prepared there';
      expect(outcome).toMatchObject({ status: 'aborted', participant: 'waiting', code: 'BUSY' });
      expect((outcome as { reason: string }).reason.includes(sentence)).toBe(isNamed);
    },
  );

  it('is not run again where the caller holds its transaction, or for any other refusal', async () => {
    const { run, transactions, second } = two({}, { prepare: [CONFLICT, { refuse: 'BUSY' }] });
    const transaction = transactions.begin();
    for (const request of branches) transaction.enlist(request);
    expect(await transaction.commit()).toMatchObject({ status: 'aborted', code: 'BUSY' });
    expect(await run()).toMatchObject({ status: 'aborted', code: 'BUSY' });
    expect(second.count('prepare')).toBe(2);
  });

  it('is not run again once its caller has cancelled', async () => {
    const { run, clock, second } = two({ rollback: 'hang' }, { prepare: CONFLICT });
    const caller = new AbortController();
    const running = run({ signal: caller.signal });
    expect(await answerSoFar(running)).toBe('none');
    caller.abort();
    expect(await running).toMatchObject({ status: 'aborted', code: 'BUSY' });
    await pause(clock);
    expect(second.count('prepare')).toBe(1);
  });

  it('is cancelled by its caller in a later attempt as in the first', async () => {
    const { run, clock } = two({}, { prepare: [CONFLICT, 'hang'] });
    const caller = new AbortController();
    const running = run({ signal: caller.signal });
    await pause(clock);
    caller.abort();
    expect(await running).toMatchObject({ status: 'aborted', cause: 'cancelled' });
  });

  it('is answered at once at a shutdown, and not run again when the door is closed', async () => {
    const { run, runtime, clock, second } = two({}, { prepare: CONFLICT });
    const running = run();
    expect(await answerSoFar(running)).toBe('none');
    runtime.reruns.close();
    expect(await running).toMatchObject({ status: 'aborted', code: 'BUSY' });
    expect(await run()).toMatchObject({ status: 'aborted', code: 'BUSY' });

    const other = two({}, { prepare: CONFLICT });
    const drained = other.run();
    await settled();
    other.runtime.admission.isDraining = true;
    await pause(other.clock);
    expect(await drained).toMatchObject({ status: 'aborted', code: 'BUSY' });
    await pause(clock);
    expect([second, other.second].map((one) => one.count('prepare'))).toEqual([2, 1]);
  });

  it('is run again in the asynchronous context of its caller', async () => {
    const context = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const { run, participants, clock } = two();
    participants.register(
      {
        prepare: () =>
          seen.push(context.getStore()) === 1 ? refuse('BUSY', 'held', { conflict: true }) : 'commit',
        commit: () => {},
        rollback: () => {},
      },
      { name: 'third' },
    );
    const running = context.run('caller', () => run({ branches: [...branches, branch('third', 3)] }));
    await pause(clock);
    expect((await running).status).toBe('committed');
    expect(seen).toEqual(['caller', 'caller']);
  });
});

describe('Participants where transactions met', () => {
  const opposite = branches.toReversed();

  /** A coordinator whose participants have met a conflict, and answer prepare when the gate opens. */
  async function afterConflict() {
    const gate = Promise.withResolvers<void>();
    const held: Behaviour = { until: gate.promise, then: 'yes' };
    const coordinator = two(
      { prepare: ['yes', held, held, 'yes'] },
      { prepare: [{ refuse: 'X', conflict: true }, 'yes'] },
    );
    const transaction = coordinator.transactions.begin();
    for (const request of branches) transaction.enlist(request);
    expect((await transaction.commit()).status).toBe('aborted');
    return { ...coordinator, gate };
  }

  it('prepare in turn, all in the order of their registration, whatever the order of the branches', async () => {
    const { run, first, second, gate } = await afterConflict();
    const running: Promise<Outcome>[] = [run(), run({ branches: opposite })];
    await settled();
    expect([first, second].map((one) => one.count('prepare'))).toEqual([3, 1]);
    gate.resolve();
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual(['committed', 'committed']);
  });

  it('prepare all at once again when it was calm for five seconds', async () => {
    const { run, clock, first, second } = await afterConflict();
    await clock.advance(4_990);
    void run({ branches: opposite });
    await settled();
    expect([first, second].map((one) => one.count('prepare'))).toEqual([2, 1]);
    await clock.advance(20);
    void run({ branches: opposite });
    await settled();
    expect([first, second].map((one) => one.count('prepare'))).toEqual([3, 2]);
  });

  it('go back the later, the sooner the next conflict came; never later than after a minute', async () => {
    const { run, clock, first, second } = two();
    /** @returns for how long after a conflict a transaction is asked in turn. */
    const holdMs = async (): Promise<number> => {
      second.script = { prepare: 'yes' };
      for (let ms = 0; ; ms += 1_000) {
        const before = second.count('prepare');
        const gate = Promise.withResolvers<void>();
        first.script = { prepare: { until: gate.promise, then: 'yes' } };
        const running = run({ branches: opposite });
        await settled();
        const isAtOnce = second.count('prepare') > before;
        gate.resolve();
        await running;
        first.script = {};
        if (isAtOnce) return ms;
        await clock.advance(1_000);
      }
    };
    const conflict = async (): Promise<void> => {
      second.script = { prepare: { refuse: 'X', conflict: true } };
      // There is no time to run it again.
      expect((await run({ timeoutMs: 1 })).status).toBe('aborted');
    };
    const holds: number[] = [];
    for (let round = 0; round < 5; round++) {
      await conflict();
      holds.push(await holdMs());
    }
    expect(holds).toEqual([5_000, 10_000, 20_000, 40_000, 60_000]);
    await clock.advance(130_000);
    await conflict();
    expect(await holdMs()).toBe(5_000);
  });

  it('leave transactions alone that do not name them', async () => {
    const { participants, transactions, first } = await afterConflict();
    const third = new ScriptedParticipant();
    const fourth = new ScriptedParticipant({ prepare: 'hang' });
    participants.register(fourth, { name: 'fourth' });
    participants.register(third, { name: 'third' });
    void transactions.run({ branches: [branch('fourth', 1), branch('third', 1)] });
    await settled();
    expect([third, fourth].map((one) => one.count('prepare'))).toEqual([1, 1]);
    expect(first.count('prepare')).toBe(1);
  });
});

describe('A participant with a limit of branches that it prepares at once', () => {
  const capacity: ParticipantCapacity = {
    server: 'one',
    preparedTransactions: 100,
    preparedTransactionsInUse: 0,
    connections: 100,
    connectionsInUse: 0,
    workConnections: 1,
    ownConnections: 2,
  };
  const narrow = (
    script: ParticipantScript,
    workConnections: number,
  ): TransactionParticipant & ScriptedParticipant =>
    Object.assign(new ScriptedParticipant(script), { capacity: () => ({ ...capacity, workConnections }) });

  async function withNarrow(script: ParticipantScript, workConnections = 1) {
    const participants = { first: narrow(script, workConnections), second: new ScriptedParticipant() };
    const coordinator = createTestCoordinator({ participants, prepareTimeoutMs: 500, timeoutMs: 2_000 });
    await settled();
    return { ...coordinator, ...participants };
  }

  it('is asked for one more only when one has answered; to wait for that takes no time from its prepare', async () => {
    const gates = Array.from({ length: 3 }, () => Promise.withResolvers<void>());
    const { transactions, clock, first, second } = await withNarrow({
      prepare: gates.map(({ promise }) => ({ until: promise, then: 'yes' })),
    });
    const running = Array.from({ length: 3 }, () => transactions.run({ branches }));
    await settled();
    expect([first, second].map((one) => one.count('prepare'))).toEqual([1, 1]);
    for (const gate of gates) {
      await clock.advance(400);
      gate.resolve();
      await settled();
    }
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual(Array(3).fill('committed'));
    expect([first, second].map((one) => one.count('prepare'))).toEqual([3, 3]);
  });

  it('is asked for half as many at once after a conflict, and for one more as votes commit', async () => {
    const { transactions, clock, first } = await withNarrow({ prepare: CONFLICT }, 8);
    const refused = async (): Promise<void> => {
      const met = transactions.begin();
      for (const request of branches) met.enlist(request);
      expect((await met.commit()).status).toBe('aborted');
    };
    const askedOf20 = async (): Promise<number> => {
      first.script = { prepare: 'hang' };
      const before = first.count('prepare');
      const running = Array.from({ length: 20 }, () => transactions.run({ branches, timeoutMs: 500 }));
      await settled();
      const asked = first.count('prepare') - before;
      // As long again, so that the participant is not taken for silent.
      await clock.advance(510 + 1_000);
      await Promise.all(running);
      return asked;
    };
    // Those that are refused at one moment have waited for the same row.
    await Promise.all([refused(), refused(), refused()]);
    expect(await askedOf20()).toBe(4);
    for (let number = 0; number < 6; number++) {
      first.script = { prepare: CONFLICT };
      await refused();
      await clock.advance(100);
    }
    expect(await askedOf20()).toBe(1);
    first.script = {};
    for (let number = 0; number < 3; number++) await transactions.run({ branches });
    expect(await askedOf20()).toBe(2);
    first.script = {};
    for (let number = 0; number < 40; number++) await transactions.run({ branches });
    expect(await askedOf20()).toBe(8);
  });

  it.each<[string, ParticipantScript]>([
    ['votes read-only', { prepare: 'read-only' }],
    ['refuses for something else', { prepare: { refuse: 'OUT_OF_STOCK', reason: 'none is left' } }],
  ])('is asked for as many as before where it %s from then on', async (_name, then) => {
    const { transactions, clock, first } = await withNarrow({ prepare: CONFLICT }, 8);
    for (let number = 0; number < 4; number++) {
      const met = transactions.begin();
      for (const request of branches) met.enlist(request);
      await met.commit();
      await clock.advance(100);
    }
    first.script = then;
    for (let number = 0; number < 40; number++) await transactions.run({ branches });
    first.script = { prepare: 'hang' };
    const before = first.count('prepare');
    const running = Array.from({ length: 20 }, () => transactions.run({ branches, timeoutMs: 500 }));
    await settled();
    expect(first.count('prepare') - before).toBe(8);
    await clock.advance(510);
    await Promise.all(running);
  });

  it('makes transactions with a single branch wait like the others, in the order of arrival', async () => {
    const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    const { transactions, first } = await withNarrow({
      prepare: gates.map(({ promise }) => ({ until: promise, then: 'yes' })),
    });
    const single = { branches: [branch('first', 1)] };
    const running = [{ branches }, single, { branches }, single].map((request) => transactions.run(request));
    for (const [index, gate] of gates.entries()) {
      await settled();
      expect(first.count('prepare')).toBe(index + 1);
      gate.resolve();
    }
    const ids = (await Promise.all(running)).map(({ transactionId }) => transactionId);
    const prepared = first.calls.filter(({ method }) => method === 'prepare');
    expect(prepared.map((call) => call.branch.transactionId)).toEqual(ids);
  });

  it('is asked for others when one that hangs is aborted, and never for one that was decided meanwhile', async () => {
    const { transactions, clock, first } = await withNarrow({ prepare: ['hang', 'yes'] });
    const hanging = transactions.run({ branches });
    const caller = new AbortController();
    const cancelled = transactions.run({ branches, signal: caller.signal });
    const waiting = transactions.run({ branches });
    await settled();
    caller.abort();
    expect(await cancelled).toMatchObject({ cause: 'cancelled' });
    await clock.advance(510);
    expect(await hanging).toMatchObject({ cause: 'timed-out', participant: 'first' });
    expect((await waiting).status).toBe('committed');
    expect(first.count('prepare')).toBe(2);
  });

  it('is asked in the asynchronous context of whose turn it is', async () => {
    const context = new AsyncLocalStorage<number>();
    const seen: (number | undefined)[] = [];
    const gate = Promise.withResolvers<void>();
    const { transactions, participants } = createTestCoordinator();
    const one: TransactionParticipant = {
      capacity: () => capacity,
      prepare: async (): Promise<Vote> => {
        seen.push(context.getStore());
        await gate.promise;
        return 'commit';
      },
      commit: () => {},
      rollback: () => {},
    };
    participants.register(one, { name: 'first' });
    participants.register(new ScriptedParticipant(), { name: 'second' });
    await settled();
    const running = [1, 2, 3].map((caller) => context.run(caller, () => transactions.run({ branches })));
    gate.resolve();
    await Promise.all(running);
    expect(seen).toEqual([1, 2, 3]);
  });
});
