import { describe, expect, it } from 'vitest';
import { acknowledged, attemptsExhausted, completionRound } from './completion.js';
import { patienceEnded, recorded } from './decision.js';
import { RecordingEffects, preparingWith } from '../../../test/protocol/recording-effects.js';
import { State } from './states.js';
import { type ProtocolTransaction, Voted } from './transaction.js';
import { deadlinePassed, prepareTimedOut, vote } from './voting.js';

const effects = new RecordingEffects();

function committing(size: number): ProtocolTransaction {
  const transaction = preparingWith(size, effects);
  for (let branch = 0; branch < size; branch++) vote(transaction, branch, Voted.COMMIT, effects);
  recorded(transaction, effects);
  effects.take();
  return transaction;
}

/** Branch 0 voted commit, branch 1 did not answer in time. Both are being rolled back. */
function abortingWithLateBranch(): ProtocolTransaction {
  const transaction = preparingWith(2, effects);
  vote(transaction, 0, Voted.COMMIT, effects);
  prepareTimedOut(transaction, 1, effects);
  effects.take();
  return transaction;
}

describe('rule 4: a decision never changes', () => {
  it('stays commit when the attempts of a branch are used up (fault 36)', () => {
    const transaction = committing(2);
    attemptsExhausted(transaction, 1, effects);
    expect(effects.take()).toEqual(['tell pending', 'stalled 1']);
    expect(transaction).toMatchObject({ state: State.COMMITTING, open: 0b11, stalled: 0b10 });
  });

  it('stays abort when the attempts of a branch are used up and the caller already has its answer', () => {
    const transaction = abortingWithLateBranch();
    attemptsExhausted(transaction, 0, effects);
    expect(effects.take()).toEqual(['stalled 0']);
    expect(transaction).toMatchObject({ state: State.ABORTING, open: 0b11, stalled: 0b01 });
  });

  it('is reported as pending when the patience or the deadline ends first, and only once', () => {
    for (const event of [patienceEnded, deadlinePassed]) {
      const transaction = committing(1);
      event(transaction, effects);
      expect(effects.take()).toEqual(['tell pending']);
      acknowledged(transaction, 0, 0, effects);
      expect(effects.take()).toEqual(['COMMITTING to COMMITTED', 'ended']);
    }
  });

  it('is not reported as pending to the caller of an abort', () => {
    const transaction = abortingWithLateBranch();
    patienceEnded(transaction, effects);
    deadlinePassed(transaction, effects);
    expect(effects.take()).toEqual([]);
  });
});

describe('rule 5: each branch is completed on its own', () => {
  it('waits for the last acknowledgement, whichever branch sends it (fault 47)', () => {
    const transaction = committing(3);
    acknowledged(transaction, 2, 0, effects);
    acknowledged(transaction, 0, 0, effects);
    acknowledged(transaction, 0, 0, effects);
    expect(effects.take()).toEqual([]);
    expect(transaction).toMatchObject({ state: State.COMMITTING, open: 0b010 });
    acknowledged(transaction, 1, 0, effects);
    expect(transaction.state).toBe(State.COMMITTED);
    effects.take();
  });

  it('reports a branch as stalled once, and only while it owes an answer', () => {
    const transaction = committing(2);
    acknowledged(transaction, 0, 0, effects);
    attemptsExhausted(transaction, 0, effects);
    expect(effects.take()).toEqual([]);
    attemptsExhausted(transaction, 1, effects);
    attemptsExhausted(transaction, 1, effects);
    expect(effects.take()).toEqual(['tell pending', 'stalled 1']);
  });

  it('finishes a stalled branch when it acknowledges after all', () => {
    const transaction = committing(1);
    attemptsExhausted(transaction, 0, effects);
    acknowledged(transaction, 0, 0, effects);
    expect(effects.take()).toEqual(['tell pending', 'stalled 0', 'COMMITTING to COMMITTED', 'ended']);
    expect(transaction.stalled).toBe(0);
  });

  it('counts no attempts before the decision', () => {
    const transaction = preparingWith(1, effects);
    attemptsExhausted(transaction, 0, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    attemptsExhausted(transaction, 0, effects);
    expect(effects.take()).toEqual(['PREPARING to READY', 'record']);
  });
});

describe('a late answer to prepare', () => {
  it('opens a second round, and the acknowledgement of the overtaken rollback does not close the branch', () => {
    const transaction = abortingWithLateBranch();
    acknowledged(transaction, 0, 0, effects);
    expect(completionRound(transaction, 1)).toBe(0);
    vote(transaction, 1, Voted.COMMIT, effects);
    expect(effects.take()).toEqual(['roll back 1']);
    expect(completionRound(transaction, 1)).toBe(1);

    acknowledged(transaction, 1, 0, effects);
    expect(effects.take()).toEqual([]);
    expect(transaction).toMatchObject({ state: State.ABORTING, open: 0b10 });
    acknowledged(transaction, 1, 1, effects);
    expect(effects.take()).toEqual(['ABORTING to ABORTED', 'ended']);
  });

  it.each([
    ['yes', Voted.COMMIT],
    ['an error', Voted.NONE],
  ] as const)('that is %s after the end is rolled back, and the end is reported again', (_, answer) => {
    const transaction = abortingWithLateBranch();
    acknowledged(transaction, 0, 0, effects);
    acknowledged(transaction, 1, 0, effects);
    expect(effects.take()).toEqual(['ABORTING to ABORTED', 'ended']);
    vote(transaction, 1, answer, effects);
    expect(effects.take()).toEqual(['roll back 1']);
    expect(transaction).toMatchObject({ state: State.ABORTED, open: 0b10 });
    acknowledged(transaction, 1, 1, effects);
    expect(effects.take()).toEqual(['ended']);
    expect(transaction).toMatchObject({ state: State.ABORTED, open: 0 });
  });

  it.each([
    ['no', Voted.ABORT],
    ['read-only', Voted.READ_ONLY],
  ] as const)('that is %s closes the branch, which holds nothing', (_, answer) => {
    const transaction = abortingWithLateBranch();
    acknowledged(transaction, 0, 0, effects);
    vote(transaction, 1, answer, effects);
    expect(effects.take()).toEqual(['ABORTING to ABORTED', 'ended']);
    acknowledged(transaction, 1, 0, effects);
    expect(effects.take()).toEqual([]);
  });

  it.each([
    ['no', Voted.ABORT],
    ['read-only', Voted.READ_ONLY],
  ] as const)('that is %s after the end changes nothing', (_, answer) => {
    const transaction = abortingWithLateBranch();
    acknowledged(transaction, 0, 0, effects);
    acknowledged(transaction, 1, 0, effects);
    effects.take();
    vote(transaction, 1, answer, effects);
    expect(effects.take()).toEqual([]);
    expect(transaction).toMatchObject({ state: State.ABORTED, open: 0 });
  });

  it('makes a stalled branch active again', () => {
    const transaction = abortingWithLateBranch();
    attemptsExhausted(transaction, 1, effects);
    vote(transaction, 1, Voted.COMMIT, effects);
    expect(effects.take()).toEqual(['stalled 1', 'roll back 1']);
    expect(transaction.stalled).toBe(0);
    attemptsExhausted(transaction, 1, effects);
    expect(effects.take()).toEqual(['stalled 1']);
  });
});
