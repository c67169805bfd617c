import { describe, expect, it } from 'vitest';
import { acknowledged, completionRound, heuristicReported } from './completion.js';
import { recorded } from './decision.js';
import { type HeuristicKind, forgetHeuristics, heuristicOutcome } from './heuristics.js';
import { RecordingEffects, preparingWith } from '../../../test/protocol/recording-effects.js';
import { State } from './states.js';
import { Cause, type ProtocolTransaction, Voted } from './transaction.js';
import { requestRollback, vote } from './voting.js';

const effects = new RecordingEffects();

/** How a branch ends: as decided, or with a report. */
type End = 'ack' | HeuristicKind;

function finish(transaction: ProtocolTransaction, ends: readonly End[]): void {
  for (const [branch, end] of ends.entries()) {
    if (end === 'ack') acknowledged(transaction, branch, 0, effects);
    else heuristicReported(transaction, branch, end, 0, effects);
  }
}

function committed(ends: readonly End[], readOnlyBranches = 0): ProtocolTransaction {
  const size = ends.length + readOnlyBranches;
  const transaction = preparingWith(size, effects);
  for (let branch = 0; branch < size; branch++) {
    vote(transaction, branch, branch < ends.length ? Voted.COMMIT : Voted.READ_ONLY, effects);
  }
  recorded(transaction, effects);
  finish(transaction, ends);
  return transaction;
}

function rolledBack(ends: readonly End[]): ProtocolTransaction {
  const transaction = preparingWith(ends.length, effects);
  for (const branch of ends.keys()) {
    if (branch < ends.length - 1) vote(transaction, branch, Voted.COMMIT, effects);
  }
  requestRollback(transaction, Cause.ROLLED_BACK, effects);
  finish(transaction, ends);
  return transaction;
}

describe('the heuristic outcome of a commit', () => {
  it.each<[readonly End[], HeuristicKind | undefined]>([
    [['ack'], undefined],
    [['commit'], undefined],
    [['ack', 'commit'], undefined],
    [['rollback'], 'rollback'],
    [['mixed'], 'mixed'],
    [['hazard'], 'hazard'],
    [['rollback', 'rollback'], 'rollback'],
    [['ack', 'rollback'], 'mixed'],
    [['commit', 'rollback'], 'mixed'],
    [['ack', 'mixed'], 'mixed'],
    [['rollback', 'mixed'], 'mixed'],
    [['hazard', 'mixed'], 'mixed'],
    [['ack', 'hazard'], 'hazard'],
    [['hazard', 'hazard'], 'hazard'],
    [['rollback', 'hazard'], 'hazard'],
    [['ack', 'rollback', 'hazard'], 'mixed'],
  ])('whose branches end with %j is %s', (ends, expected) => {
    const transaction = committed(ends);
    expect(transaction.state).toBe(State.COMMITTED);
    expect(heuristicOutcome(transaction)).toBe(expected);
    expect(effects.take().filter((call) => call.startsWith('tell'))).toEqual([
      expected === undefined ? 'tell committed' : 'tell heuristic',
    ]);
  });

  it('does not count branches that only read', () => {
    expect(heuristicOutcome(committed(['rollback', 'rollback'], 1))).toBe('rollback');
    effects.take();
  });
});

describe('the heuristic outcome of an abort', () => {
  it.each<[readonly End[], HeuristicKind | undefined]>([
    [['ack', 'ack'], undefined],
    [['rollback', 'ack'], undefined],
    [['commit', 'commit'], 'commit'],
    [['ack', 'commit'], 'mixed'],
    [['commit', 'mixed'], 'mixed'],
    [['commit', 'hazard'], 'hazard'],
    [['ack', 'hazard'], 'hazard'],
  ])('whose branches end with %j is %s; the caller has already been told aborted', (ends, expected) => {
    const transaction = rolledBack(ends);
    expect(transaction.state).toBe(State.ABORTED);
    expect(heuristicOutcome(transaction)).toBe(expected);
    expect(effects.take().filter((call) => call.startsWith('tell'))).toEqual(['tell aborted']);
  });

  it('does not count the branch that refused, nor one that only read', () => {
    const transaction = preparingWith(3, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    vote(transaction, 1, Voted.READ_ONLY, effects);
    vote(transaction, 2, Voted.ABORT, effects);
    heuristicReported(transaction, 0, 'commit', 0, effects);
    expect(heuristicOutcome(transaction)).toBe('commit');
    effects.take();
  });
});

describe('a heuristic report', () => {
  it('closes its branch, and its repeat changes nothing (fault 39)', () => {
    const transaction = preparingWith(2, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    vote(transaction, 1, Voted.COMMIT, effects);
    recorded(transaction, effects);
    heuristicReported(transaction, 0, 'rollback', 0, effects);
    heuristicReported(transaction, 0, 'hazard', 0, effects);
    acknowledged(transaction, 0, 0, effects);
    expect(transaction).toMatchObject({ state: State.COMMITTING, open: 0b10, against: 0b01, hazard: 0 });
    effects.take();
  });

  it('of an overtaken round is not kept', () => {
    const transaction = preparingWith(1, effects);
    requestRollback(transaction, Cause.ROLLED_BACK, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    heuristicReported(transaction, 0, 'commit', 0, effects);
    expect(transaction).toMatchObject({ against: 0, open: 0b1 });
    heuristicReported(transaction, 0, 'commit', completionRound(transaction, 0), effects);
    expect(transaction).toMatchObject({ against: 0b1, open: 0, state: State.ABORTED });
    effects.take();
  });

  it('is kept until it is forgotten', () => {
    const transaction = committed(['rollback', 'mixed', 'hazard']);
    expect(heuristicOutcome(transaction)).toBe('mixed');
    forgetHeuristics(transaction);
    expect(heuristicOutcome(transaction)).toBeUndefined();
    expect(transaction).toMatchObject({ state: State.COMMITTED, against: 0, mixed: 0, hazard: 0 });
    effects.take();
  });

  it('of one branch is forgotten, and those of the others are kept', () => {
    const transaction = committed(['rollback', 'mixed', 'hazard']);
    forgetHeuristics(transaction, 0b010);
    expect(transaction).toMatchObject({ against: 0b001, mixed: 0, hazard: 0b100 });
    forgetHeuristics(transaction, 0b101);
    expect(transaction).toMatchObject({ against: 0, mixed: 0, hazard: 0 });
    effects.take();
  });
});
