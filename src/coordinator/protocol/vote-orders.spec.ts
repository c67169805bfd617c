import { describe, expect, it } from 'vitest';
import { acknowledged } from './completion.js';
import { recorded } from './decision.js';
import { InvariantChecker } from '../../../test/protocol/invariants.js';
import { activeWith } from '../../../test/protocol/recording-effects.js';
import { State } from './states.js';
import { ABORT_CAUSES, Decider, type ProtocolTransaction, Voted, allBranches } from './transaction.js';
import { prepareTimedOut, requestCommit, vote } from './voting.js';

/** `none` is an error or an invalid answer; `hang` is no answer until the time is up. */
const ANSWERS = ['yes', 'read-only', 'no', 'none', 'hang'] as const;
type Answer = (typeof ANSWERS)[number];
const VOTES = { yes: Voted.COMMIT, 'read-only': Voted.READ_ONLY, no: Voted.ABORT, none: Voted.NONE } as const;
const CAUSES = { no: 'refused', none: 'failed', hang: 'timed-out' } as const;

/** Counts how often each branch is called in phase two, and checks that it may be called. */
class CountingEffects extends InvariantChecker {
  readonly sentCommits: number[] = [];
  readonly sentRollbacks: number[] = [];

  override commit(transaction: ProtocolTransaction, branches: number): void {
    super.commit(transaction, branches);
    this.sentCommits.push(branches);
  }

  override rollback(transaction: ProtocolTransaction, branches: number): void {
    super.rollback(transaction, branches);
    this.sentRollbacks.push(branches);
  }
}

function* sequences(length: number): Generator<Answer[]> {
  if (length === 0) yield [];
  else for (const rest of sequences(length - 1)) for (const answer of ANSWERS) yield [answer, ...rest];
}

function* orders(branches: readonly number[]): Generator<number[]> {
  if (branches.length === 0) yield [];
  for (const first of branches) {
    for (const rest of orders(branches.filter((branch) => branch !== first))) yield [first, ...rest];
  }
}

const bit = (branch: number): number => 1 << branch;
const setOf = (branches: readonly number[]): number => branches.reduce((set, branch) => set | bit(branch), 0);

/**
 * Plays one combination, and compares the behaviour of the core with an independent statement of the rules.
 */
function play(answers: readonly Answer[], order: readonly number[]): void {
  const transaction = activeWith(answers.length);
  const effects = new CountingEffects();
  requestCommit(transaction, Decider.LOG, effects);
  for (const branch of order) {
    const answer = answers[branch]!;
    effects.step(transaction, () => {
      if (answer === 'hang') prepareTimedOut(transaction, branch, effects);
      else vote(transaction, branch, VOTES[answer], effects);
    });
  }

  const firstNo = order.findIndex((branch) => !['yes', 'read-only'].includes(answers[branch]!));
  if (firstNo === -1) checkCommit(transaction, effects, answers);
  else checkAbort(transaction, effects, answers, order, firstNo);
}

function checkCommit(
  transaction: ProtocolTransaction,
  effects: CountingEffects,
  answers: readonly Answer[],
): void {
  const yes = setOf([...answers.keys()].filter((branch) => answers[branch] === 'yes'));
  if (yes !== 0) {
    expect(transaction.state).toBeLessThan(State.COMMITTING);
    effects.step(transaction, () => recorded(transaction, effects));
    expect(transaction.state).toBe(State.COMMITTING);
    for (const branch of answers.keys())
      effects.step(transaction, () => acknowledged(transaction, branch, 0, effects));
  }
  expect(transaction.state).toBe(State.COMMITTED);
  expect(effects.sentRollbacks).toEqual([]);
  // Each branch that voted commit is committed once. A branch that only read is never called again.
  expect(effects.sentCommits).toEqual(yes === 0 ? [] : [yes]);
}

function checkAbort(
  transaction: ProtocolTransaction,
  effects: CountingEffects,
  answers: readonly Answer[],
  order: readonly number[],
  firstNo: number,
): void {
  const culprit = order[firstNo]!;
  const culpritAnswer = answers[culprit] as 'no' | 'none' | 'hang';
  expect(transaction.causeBranch).toBe(culprit);
  expect(ABORT_CAUSES[transaction.cause]).toBe(CAUSES[culpritAnswer]);
  expect(effects.sentCommits).toEqual([]);

  // At the decision: every branch except those that had proven to hold nothing.
  const holdNothing = order
    .slice(0, firstNo + 1)
    .filter((branch) => ['read-only', 'no'].includes(answers[branch]!));
  const [atDecision, ...again] = [allBranches(transaction) & ~setOf(holdNothing), 0].filter(
    (set) => set !== 0,
  );
  expect(again).toEqual([]);
  // Afterwards: again each branch whose late answer does not prove that it holds nothing.
  const late = order.slice(firstNo + 1).filter((branch) => ['yes', 'none'].includes(answers[branch]!));
  expect(effects.sentRollbacks).toEqual([
    ...(atDecision === undefined ? [] : [atDecision]),
    ...late.map(bit),
  ]);

  for (const branch of answers.keys()) {
    const round = late.includes(branch) ? 1 : 0;
    effects.step(transaction, () => acknowledged(transaction, branch, round, effects));
  }
  expect(transaction.state).toBe(State.ABORTED);
  expect(transaction.open).toBe(0);
}

describe('the votes {yes, read-only, no, none, hang}', () => {
  it.each([1, 2, 3, 4])(
    'of %i branches, in every combination and order of arrival: commit only if all agree, otherwise the first refusal decides',
    (size) => {
      let played = 0;
      for (const answers of sequences(size)) {
        for (const order of orders([...answers.keys()])) {
          try {
            play(answers, order);
          } catch (error) {
            const text = order.map((branch) => `${branch} ${answers[branch]}`).join(', then ');
            throw new Error(`${text}: ${(error as Error).message}`, { cause: error });
          }
          played++;
        }
      }
      expect(played).toBe(5 ** size * [1, 1, 2, 6, 24][size]!);
    },
  );

  it('do not change the abort when hanging branches answer late', () => {
    for (const answer of Object.values(VOTES)) {
      const transaction = activeWith(2);
      const effects = new CountingEffects();
      requestCommit(transaction, Decider.LOG, effects);
      effects.step(transaction, () => prepareTimedOut(transaction, 0, effects));
      effects.step(transaction, () => vote(transaction, 0, answer, effects));
      effects.step(transaction, () => vote(transaction, 1, answer, effects));
      expect(transaction.state === State.ABORTING || transaction.state === State.ABORTED).toBe(true);
      expect(effects.sentCommits).toEqual([]);
    }
  });
});
