import { describe, expect, it } from 'vitest';
import { type Branch, type TransactionParticipant, branch } from '../../src/coordinator/index.js';
import { createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { listenTo } from '../faults/told.js';

const BEHAVIOURS = ['yes', 'no', 'read-only', 'throw', 'hang'] as const;
type Behaviour = (typeof BEHAVIOURS)[number];

const PREPARE_TIMEOUT_MS = 500;

/** Answers prepare when the test says so, and remembers the order of what it was asked. */
class TimedVoter implements TransactionParticipant {
  readonly calls: string[] = [];
  signal: AbortSignal | undefined;
  private readonly vote = Promise.withResolvers<unknown>();

  constructor(readonly behaviour: Behaviour) {}

  prepare(one: Branch): Promise<'commit'> {
    this.calls.push('prepare');
    this.signal = one.signal;
    return this.vote.promise as Promise<'commit'>;
  }

  commit(): void {
    this.calls.push('commit');
  }

  rollback(): void {
    this.calls.push('rollback');
  }

  answer(): void {
    this.calls.push('answer');
    if (this.behaviour === 'throw') this.vote.reject(new Error('scripted'));
    else this.vote.resolve({ yes: 'commit', no: 'abort', 'read-only': 'read-only' }[this.behaviour as 'yes']);
  }
}

/** Every list of `length` behaviours. */
function* behaviourLists(length: number): Generator<Behaviour[]> {
  if (length === 0) yield [];
  else for (const rest of behaviourLists(length - 1)) for (const one of BEHAVIOURS) yield [...rest, one];
}

/** Every order of these things. */
function* orders<T>(things: readonly T[]): Generator<T[]> {
  if (things.length === 0) yield [];
  for (const first of things) {
    for (const rest of orders(things.filter((thing) => thing !== first))) yield [first, ...rest];
  }
}

/** The event: the answer of the branch with this index, or the time-out of prepare. */
type Arrival = number | 'time-out';

interface Case {
  readonly behaviours: readonly Behaviour[];
  readonly arrivals: readonly Arrival[];
}

/** All branches that hang are given up at one moment, so that together they are one arrival. */
function* casesOf(length: number): Generator<Case> {
  for (const behaviours of behaviourLists(length)) {
    const answering = behaviours.flatMap((behaviour, index) => (behaviour === 'hang' ? [] : [index]));
    const things: Arrival[] = answering.length < length ? [...answering, 'time-out'] : answering;
    for (const arrivals of orders(things)) yield { behaviours, arrivals };
  }
}

async function check({ behaviours, arrivals }: Case): Promise<'committed' | 'aborted'> {
  const voters = behaviours.map((behaviour) => new TimedVoter(behaviour));
  const participants = Object.fromEntries(voters.map((voter, index) => [`p${index}`, voter]));
  const { transactions, clock, runtime } = createTestCoordinator({
    participants,
    prepareTimeoutMs: PREPARE_TIMEOUT_MS,
    maxInFlight: 1,
    retainFinished: 1,
  });
  const told = listenTo(transactions.run({ branches: voters.map((_, index) => branch(`p${index}`, index)) }));

  const isAgainst = (arrival: Arrival): boolean =>
    arrival === 'time-out' || ['no', 'throw'].includes(behaviours[arrival]!);
  const firstAgainst = arrivals.findIndex(isAgainst);
  const isCommit = firstAgainst === -1;
  const deciding = isCommit ? arrivals.length - 1 : firstAgainst;
  for (const [turn, arrival] of arrivals.entries()) {
    if (arrival === 'time-out') await clock.advance(PREPARE_TIMEOUT_MS, PREPARE_TIMEOUT_MS);
    else voters[arrival]!.answer();
    await settled();
    // The caller is told when it is decided, neither before nor later.
    expect(told.outcome === undefined).toBe(turn < deciding);
  }

  // Commit if, and only if, every vote is for it (AC3, AC4).
  const outcome = told.outcome!;
  const { transactionId } = outcome;
  expect(outcome.status).toBe(isCommit ? 'committed' : 'aborted');
  const inTime = new Set(arrivals.slice(0, deciding + 1));
  if (!isCommit) {
    const decider = arrivals[deciding]!;
    const unanswered = behaviours.findIndex((_, index) => !inTime.has(index));
    const expected =
      decider === 'time-out'
        ? { cause: 'timed-out', participant: `p${unanswered}` }
        : { cause: behaviours[decider] === 'no' ? 'refused' : 'failed', participant: `p${decider}` };
    expect(outcome).toMatchObject(expected);
  }

  for (const [index, { calls, behaviour, signal }] of voters.entries()) {
    const isInTime = inTime.has(index);
    const holdsNothing = behaviour === 'no' || behaviour === 'read-only';
    expect(signal!.aborted).toBe(!isCommit);
    if (isCommit) {
      expect(calls).toEqual(behaviour === 'yes' ? ['prepare', 'answer', 'commit'] : ['prepare', 'answer']);
    } else if (behaviour === 'hang') {
      expect(calls).toEqual(['prepare', 'rollback']);
    } else if (isInTime) {
      // A refusal is proven and a read-only branch holds nothing: never contacted again.
      expect(calls).toEqual(holdsNothing ? ['prepare', 'answer'] : ['prepare', 'answer', 'rollback']);
    } else {
      // Rolled back while it prepared; and again after its late answer, unless that proves that it holds
      // nothing.
      const late = ['prepare', 'rollback', 'answer'];
      expect(calls).toEqual(holdsNothing ? late : [...late, 'rollback']);
    }
  }

  // Every participant has ended, the same way (AC1, AC5), and nothing is left in flight.
  expect(transactions.find(transactionId)).toMatchObject({
    state: isCommit ? 'COMMITTED' : 'ABORTED',
    stalled: false,
    heuristic: null,
  });
  expect([runtime.registry.inFlight, runtime.registry.unsettled.size]).toEqual([0, 0]);
  return isCommit ? 'committed' : 'aborted';
}

describe('Every vote of every branch, in every order of arrival', () => {
  it.each([
    [1, 5, 2],
    [2, 49, 8],
    [3, 697, 48],
    [4, 12_897, 384],
  ])(
    '%i branches: %i cases, of which %i commit',
    async (length, expectedCases, expectedCommits) => {
      let cases = 0;
      let commits = 0;
      for (const one of casesOf(length)) {
        cases++;
        if ((await check(one)) === 'committed') commits++;
      }
      expect([cases, commits]).toEqual([expectedCases, expectedCommits]);
    },
    60_000,
  );
});
