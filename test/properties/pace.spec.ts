import { describe, expect, it } from 'vitest';
import {
  type Branch,
  type CoordinatorOptions,
  type ParticipantOptions,
  type TransactionParticipant,
  branch,
} from '../../src/coordinator/index.js';
import {
  type ManualClock,
  ScriptedParticipant,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { listenTo } from '../faults/told.js';

/** Notes at what moments it is asked to commit, which it refuses to do until `succeedsAt`. */
class Timekeeper implements TransactionParticipant {
  readonly moments: number[] = [];
  readonly branches: Branch[] = [];
  clock: ManualClock | undefined;
  succeedsAt = Number.POSITIVE_INFINITY;

  prepare(): 'commit' {
    return 'commit';
  }

  async commit(one: Branch): Promise<void> {
    this.moments.push(this.clock!.now());
    this.branches.push(one);
    if (this.moments.length < this.succeedsAt) throw new Error('not yet');
  }

  rollback(): void {}
}

function timekeeping(
  options: CoordinatorOptions & { random?: () => number },
  own: Partial<ParticipantOptions> = {},
) {
  const keeper = new Timekeeper();
  const coordinator = createTestCoordinator({ maxAttempts: 1_000, ...options });
  keeper.clock = coordinator.clock;
  coordinator.participants.register(keeper, { name: 'keeper', ...own });
  const run = () => coordinator.transactions.run({ branches: [branch('keeper', 1)] });
  const pauses = () => keeper.moments.slice(1).map((moment, index) => moment - keeper.moments[index]!);
  return { ...coordinator, keeper, run, pauses };
}

describe('The pace of attempts', () => {
  it('pauses double up to the cap, each at its moment', async () => {
    const { run, clock, pauses, keeper } = timekeeping({
      retryBaseMs: 100,
      retryCapMs: 1_000,
      random: () => 0.999_999,
    });
    void run();
    await settled();
    expect(keeper.moments).toEqual([1_000]);
    await clock.advance(10_000, 1);

    expect(pauses().slice(0, 8)).toEqual([100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]);
  });

  it('the cap holds after hours of failures', async () => {
    const { run, clock, pauses } = timekeeping({
      retryBaseMs: 100,
      retryCapMs: 5_000,
      random: () => 0.999_999,
    });
    void run();
    await settled();
    await clock.advance(3 * 3_600_000, 2_500);

    expect(pauses().length).toBeGreaterThan(900);
    expect(Math.max(...pauses())).toBeLessThanOrEqual(7_500);
  });

  it('full jitter: the pauses of many branches spread over the whole range', async () => {
    let state = 20_260_806;
    const random = (): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
      return state / 0x80000000;
    };
    const first: number[] = [];
    const { run, clock, keeper } = timekeeping({ retryBaseMs: 1_000, retryCapMs: 5_000, random });
    for (let number = 0; number < 200; number++) void run();
    await settled();
    keeper.moments.length = 0;
    keeper.succeedsAt = 0;
    await clock.advance(1_000, 1);
    for (const moment of keeper.moments) first.push(moment - 1_000);

    expect(first).toHaveLength(200);
    const quarters = [0, 0, 0, 0];
    for (const pause of first) quarters[Math.min(3, Math.floor(pause / 250))]!++;
    expect(Math.min(...quarters)).toBeGreaterThan(25);
  });

  it('each attempt has its number, its deadline and a signal of its own', async () => {
    const signals: AbortSignal[] = [];
    const seen: { attempt: number; inMs: number }[] = [];
    const { transactions, participants, clock } = createTestCoordinator({
      completionTimeoutMs: 300,
      retryBaseMs: 100,
    });
    participants.register(
      {
        prepare: () => 'commit',
        commit: ({ signal, attempt, deadline }) => {
          signals.push(signal);
          seen.push({ attempt, inMs: deadline - clock.epochMs - clock.now() });
          return attempt < 3 ? new Promise<void>(() => {}) : undefined;
        },
        rollback: () => {},
      },
      { name: 'slow' },
    );
    const told = listenTo(transactions.run({ branches: [branch('slow', 1)] }));
    await settled();
    await clock.advance(290);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    await clock.advance(10);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    expect(signals[0]!.reason).toMatchObject({ code: 'DTC_ATTEMPT_ABANDONED' });
    await clock.advance(1_000);

    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, false]);
    expect(new Set(signals).size).toBe(3);
    expect(seen).toEqual([
      { attempt: 1, inMs: 300 },
      { attempt: 2, inMs: 300 },
      { attempt: 3, inMs: 300 },
    ]);
  });

  it('a signal that is first asked for after the attempt was given up is aborted already', async () => {
    let kept: Branch | undefined;
    const { transactions, participants, clock } = createTestCoordinator({ completionTimeoutMs: 300 });
    participants.register(
      {
        prepare: () => 'commit',
        commit: (one) => {
          kept ??= one;
          return one === kept ? new Promise<void>(() => {}) : undefined;
        },
        rollback: () => {},
      },
      { name: 'slow' },
    );
    void transactions.run({ branches: [branch('slow', 1)] });
    await clock.advance(1_000);

    expect(kept!.signal.aborted).toBe(true);
  });

  it('one hung branch delays no other, nor its own transaction beyond completionWaitMs', async () => {
    const hung = new ScriptedParticipant({ commit: 'hang' });
    const sound = new ScriptedParticipant();
    const { transactions, clock } = createTestCoordinator({
      participants: { hung, sound },
      completionTimeoutMs: 500,
      completionWaitMs: 800,
      maxAttempts: 1_000,
    });
    const told = listenTo(transactions.run({ branches: [branch('hung', 1), branch('sound', 1)] }));
    await settled();
    expect(sound.count('commit')).toBe(1);
    for (let number = 0; number < 20; number++) {
      expect(await transactions.run({ branches: [branch('sound', number)] })).toMatchObject({
        status: 'committed',
      });
    }

    await clock.advance(790);
    expect(told.outcome).toBeUndefined();
    await clock.advance(10);
    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'commit' });
  });
});

describe('Time-outs', () => {
  it('a participant has its own, and the coordinator fills in the rest', async () => {
    const deadlines: Record<string, number> = {};
    const note = (name: string): TransactionParticipant => ({
      prepare: ({ deadline }) => {
        deadlines[name] = deadline - clock.epochMs - clock.now();
        return 'commit';
      },
      commit: ({ deadline }) => {
        deadlines[`${name} commit`] = deadline - clock.epochMs - clock.now();
      },
      rollback: () => {},
    });
    const { transactions, participants, clock } = createTestCoordinator({
      timeoutMs: 1_000,
      prepareTimeoutMs: 700,
      completionTimeoutMs: 900,
    });
    participants.register(note('usual'), { name: 'usual' });
    participants.register(note('quick'), { name: 'quick', prepareTimeoutMs: 200, completionTimeoutMs: 100 });
    participants.register(note('slow'), { name: 'slow', prepareTimeoutMs: 5_000 });
    await transactions.run({ branches: ['usual', 'quick', 'slow'].map((name) => branch(name, 1)) });

    expect(deadlines).toEqual({
      usual: 700,
      quick: 200,
      // No participant gets longer than the transaction has.
      slow: 1_000,
      'usual commit': 900,
      'quick commit': 100,
      'slow commit': 900,
    });
  });

  it('the first participant whose own time is up decides', async () => {
    const hung = { prepare: () => new Promise<'commit'>(() => {}), commit: () => {}, rollback: () => {} };
    const { transactions, participants, clock } = createTestCoordinator({ prepareTimeoutMs: 700 });
    participants.register({ ...hung }, { name: 'usual' });
    participants.register({ ...hung }, { name: 'quick', prepareTimeoutMs: 200 });
    const told = listenTo(transactions.run({ branches: [branch('usual', 1), branch('quick', 1)] }));
    await clock.advance(190);
    expect(told.outcome).toBeUndefined();
    await clock.advance(10);

    expect(told.outcome).toMatchObject({
      cause: 'timed-out',
      participant: 'quick',
      reason: 'quick did not answer prepare within 200 ms',
    });
  });

  it('the transaction has one of its own, which counts from its start and not from commit', async () => {
    const stock = new ScriptedParticipant({ prepare: 'hang' });
    const { transactions, clock } = createTestCoordinator({
      participants: { stock },
      prepareTimeoutMs: 5_000,
    });
    const transaction = transactions.begin({ timeoutMs: 1_000 });
    transaction.enlist(branch('stock', 1));
    await clock.advance(900);
    const told = listenTo(transaction.commit());
    await clock.advance(90);
    expect(told.outcome).toBeUndefined();
    await clock.advance(10);

    expect(told.outcome).toMatchObject({ status: 'aborted', cause: 'timed-out' });
  });

  it('signals: one for all prepares of a transaction, aborted with the abort and never by a commit', async () => {
    const signals: AbortSignal[] = [];
    const note = (vote: 'commit' | 'abort'): TransactionParticipant => ({
      prepare: ({ signal }) => {
        signals.push(signal);
        return vote;
      },
      commit: () => {},
      rollback: () => {},
    });
    const { transactions, clock } = createTestCoordinator({
      participants: { yes: note('commit'), no: note('abort') },
    });
    await transactions.run({ branches: [branch('yes', 1), branch('yes', 2)] });
    await clock.advance(60_000, 1_000);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, false]);

    signals.length = 0;
    const outcome = await transactions.run({ branches: [branch('yes', 1), branch('no', 1)] });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect(signals[0]!.reason).toMatchObject({
      code: 'DTC_ABORTED',
      transactionId: outcome.transactionId,
    });
  });
});
