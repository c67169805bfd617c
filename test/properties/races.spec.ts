import { describe, expect, it } from 'vitest';
import { type Outcome, type TransactionParticipant, branch } from '../../src/coordinator/index.js';
import { createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { SteppedClock } from './network.js';
import { PROPERTY_RUNS } from '../support/property-runs.js';

const SEED = 20_260_804;
const BRANCHES = 3;

/** Chance that a run can repeat. Source: mulberry32, by Tommy Ettinger. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

/** Does something after so many turns of the queue of promises. */
async function after<T>(turns: number, work: () => T | Promise<T>): Promise<T> {
  for (let turn = 0; turn < turns; turn++) await Promise.resolve();
  return work();
}

class Voter implements TransactionParticipant {
  readonly calls: string[] = [];
  readonly vote = Promise.withResolvers<'commit'>();

  prepare(): Promise<'commit'> {
    this.calls.push('prepare');
    return this.vote.promise;
  }

  commit(): void {
    this.calls.push('commit');
  }

  rollback(): void {
    this.calls.push('rollback');
  }
}

function setUp() {
  const voters = Array.from({ length: BRANCHES }, () => new Voter());
  const clock = new SteppedClock();
  const coordinator = createTestCoordinator({
    clock,
    participants: Object.fromEntries(voters.map((voter, index) => [`p${index}`, voter])),
    timeoutMs: 500,
    prepareTimeoutMs: 500,
    maxInFlight: 4,
    retainFinished: 4,
  });
  const transaction = coordinator.transactions.begin();
  for (let index = 0; index < BRANCHES; index++) transaction.enlist(branch(`p${index}`, index));
  const voteAll = () => voters.forEach(({ vote }) => vote.resolve('commit'));
  return { ...coordinator, transaction, voters, clock, voteAll };
}

/** One decision, and the same everywhere. */
function expectAgreement({ transaction, voters }: ReturnType<typeof setUp>, outcome: Outcome): void {
  const isCommit = transaction.state === 'COMMITTED';
  expect(transaction.state).toBe(isCommit ? 'COMMITTED' : 'ABORTED');
  expect(outcome.status).toBe(isCommit ? 'committed' : 'aborted');
  for (const { calls } of voters) {
    expect(calls).toContain(isCommit ? 'commit' : 'rollback');
    expect(calls).not.toContain(isCommit ? 'rollback' : 'commit');
  }
}

describe('Two things at the same moment', () => {
  it(`a time-out and the last vote make one decision (seed ${SEED}, ${PROPERTY_RUNS} runs)`, async () => {
    const random = seeded(SEED);
    const won = { committed: 0, aborted: 0 };
    for (let run = 0; run < PROPERTY_RUNS; run++) {
      const race = setUp();
      const { transaction, voters, clock, sweep } = race;
      const committing = transaction.commit();
      for (const voter of voters.slice(1)) voter.vote.resolve('commit');
      await settled();
      await Promise.all([
        after(random(5), () => voters[0]!.vote.resolve('commit')),
        after(random(5), () => {
          clock.move(500);
          sweep();
        }),
      ]);
      const outcome = await committing;
      await settled();

      expectAgreement(race, outcome);
      if (outcome.status === 'aborted') expect(outcome.cause).toBe('timed-out');
      won[outcome.status as 'committed' | 'aborted']++;
    }
    // Each of the two has to win often, or it was no race.
    expect(Math.min(won.committed, won.aborted)).toBeGreaterThan(PROPERTY_RUNS / 10);
  }, 60_000);

  it(`commit and rollback get one outcome, in both orders and interleaved with the votes (seed ${SEED})`, async () => {
    const random = seeded(SEED);
    const won = { committed: 0, aborted: 0 };
    for (let run = 0; run < PROPERTY_RUNS; run++) {
      const race = setUp();
      const { transaction, voteAll } = race;
      const [committed, , rolledBack] = await Promise.all([
        after(random(12), () => transaction.commit()),
        after(random(12), voteAll),
        after(random(12), () => transaction.rollback()),
      ]);
      await settled();

      expect(committed).toBe(rolledBack);
      expectAgreement(race, committed);
      won[committed.status as 'committed' | 'aborted']++;
    }
    expect(Math.min(won.committed, won.aborted)).toBeGreaterThan(PROPERTY_RUNS / 10);
  }, 60_000);

  it('whichever of commit and rollback is asked first in one step, both hear rollback', async () => {
    for (const isCommitFirst of [true, false]) {
      const race = setUp();
      const { transaction, voteAll } = race;
      voteAll();
      const answers = isCommitFirst
        ? [transaction.commit(), transaction.rollback()]
        : [transaction.rollback(), transaction.commit()];
      const [first, second] = await Promise.all(answers);
      await settled();

      expect(first).toBe(second);
      expect(first).toMatchObject({ status: 'aborted', cause: 'rolled-back' });
      expectAgreement(race, first!);
    }
  });

  it(`a refusal and a cancellation at once make one decision, told with one cause (seed ${SEED})`, async () => {
    const random = seeded(SEED);
    const causes = new Map<string, number>();
    for (let run = 0; run < 2_000; run++) {
      const refusing = Promise.withResolvers<'abort'>();
      const sound = new Voter();
      const { transactions } = createTestCoordinator({
        participants: { refusing: { prepare: () => refusing.promise, commit() {}, rollback() {} }, sound },
        maxInFlight: 4,
        retainFinished: 4,
      });
      const controller = new AbortController();
      const running = transactions.run({
        branches: [branch('refusing', 1), branch('sound', 2)],
        signal: controller.signal,
      });
      await Promise.all([
        after(random(5), () => refusing.resolve('abort')),
        after(random(5), () => controller.abort(new Error('enough'))),
      ]);
      const outcome = await running;
      await settled();

      expect(outcome.status).toBe('aborted');
      const { cause } = outcome as Extract<Outcome, { status: 'aborted' }>;
      expect(sound.calls).toEqual(['prepare', 'rollback']);
      expect(transactions.find(outcome.transactionId)).toMatchObject({ state: 'ABORTED', cause });
      causes.set(cause, (causes.get(cause) ?? 0) + 1);
    }
    expect([...causes.keys()].toSorted()).toEqual(['cancelled', 'refused']);
  }, 60_000);
});
