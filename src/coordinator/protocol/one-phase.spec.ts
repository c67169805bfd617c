import { describe, expect, it } from 'vitest';
import { acknowledged, attemptsExhausted } from './completion.js';
import { heuristicOutcome } from './heuristics.js';
import { recordAbsent, recorded } from './decision.js';
import { RecordingEffects, activeWith } from '../../../test/protocol/recording-effects.js';
import { State } from './states.js';
import { Cause, Decider, type ProtocolTransaction, Voted } from './transaction.js';
import {
  deadlinePassed,
  onePhaseAnswered,
  prepareTimedOut,
  requestCommit,
  requestRollback,
  vote,
} from './voting.js';

const effects = new RecordingEffects();

function askedToDecide(): ProtocolTransaction {
  const transaction = activeWith(1);
  requestCommit(transaction, 0, effects);
  expect(effects.take()).toEqual(['ACTIVE to PREPARING', 'PREPARING to READY', 'commit in one phase']);
  return transaction;
}

describe('rule 7: a single branch commits in one phase', () => {
  it('commits without a record and without a second call', () => {
    const transaction = askedToDecide();
    onePhaseAnswered(transaction, 'commit', effects);
    expect(effects.take()).toEqual([
      'READY to COMMITTING',
      'COMMITTING to COMMITTED',
      'tell committed',
      'ended',
    ]);
  });

  it('aborts when the branch answers that it did not commit, and does not call it again', () => {
    const transaction = askedToDecide();
    onePhaseAnswered(transaction, 'rollback', effects);
    expect(effects.take()).toEqual([
      'READY to ABORTING',
      'cancel',
      'tell aborted',
      'ABORTING to ABORTED',
      'ended',
    ]);
    expect(transaction).toMatchObject({ cause: 1, causeBranch: 0 });
  });

  it.each(['mixed', 'hazard'] as const)('reports a heuristic end: %s', (kind) => {
    const transaction = askedToDecide();
    onePhaseAnswered(transaction, kind, effects);
    expect(effects.take()).toContain('tell heuristic');
    expect(heuristicOutcome(transaction)).toBe(kind);
    expect(transaction.state).toBe(State.COMMITTED);
  });

  it('is in doubt until the answer comes: no deadline and no request makes it an abort (fault 7)', () => {
    const transaction = askedToDecide();
    prepareTimedOut(transaction, 0, effects);
    recordAbsent(transaction, effects);
    recorded(transaction, effects);
    acknowledged(transaction, 0, 0, effects);
    vote(transaction, 0, Voted.ABORT, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    expect(requestRollback(transaction, Cause.ROLLED_BACK, effects)).toBe(false);
    expect(effects.take()).toEqual([]);

    deadlinePassed(transaction, effects);
    expect(effects.take()).toEqual(['tell pending']);
    attemptsExhausted(transaction, 0, effects);
    attemptsExhausted(transaction, 0, effects);
    expect(effects.take()).toEqual(['stalled 0']);
    expect(transaction).toMatchObject({ state: State.READY, stalled: 0b1 });
  });

  it.each([
    ['commit', State.COMMITTED],
    ['rollback', State.ABORTED],
  ] as const)('is settled by a late answer: %s; the answer to the caller stays pending', (answer, state) => {
    const transaction = askedToDecide();
    attemptsExhausted(transaction, 0, effects);
    expect(effects.take()).toEqual(['tell pending', 'stalled 0']);
    onePhaseAnswered(transaction, answer, effects);
    expect(effects.take().filter((call) => call.startsWith('tell'))).toEqual([]);
    expect(transaction).toMatchObject({ state, stalled: 0, awaiting: 0 });
    onePhaseAnswered(transaction, answer === 'commit' ? 'rollback' : 'commit', effects);
    expect(transaction.state).toBe(state);
    expect(effects.take()).toEqual([]);
  });

  it('is not used for two branches, which are asked to prepare', () => {
    const transaction = activeWith(2);
    requestCommit(transaction, 0, effects);
    expect(effects.take()).toEqual(['ACTIVE to PREPARING', 'prepare']);
    expect(transaction).toMatchObject({ state: State.PREPARING, decider: Decider.LOG });
    onePhaseAnswered(transaction, 'commit', effects);
    expect(effects.take()).toEqual([]);
  });

  it('is not used for a single branch that does not support it, which votes', () => {
    const transaction = activeWith(1);
    requestCommit(transaction, Decider.LOG, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    onePhaseAnswered(transaction, 'rollback', effects);
    expect(effects.take()).toEqual(['ACTIVE to PREPARING', 'prepare', 'PREPARING to READY', 'record']);
  });
});
