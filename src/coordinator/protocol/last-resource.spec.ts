import { describe, expect, it } from 'vitest';
import { RecordingEffects, activeWith, activeWithLast } from '../../../test/protocol/recording-effects.js';
import { acknowledged, attemptsExhausted } from './completion.js';
import { awaitsConfirmation, confirmed, recordAbsent, recorded } from './decision.js';
import { heuristicOutcome } from './heuristics.js';
import { State } from './states.js';
import { Cause, Decider, type ProtocolTransaction, Voted } from './transaction.js';
import {
  ANOTHER_DECIDES,
  deadlinePassed,
  enlist,
  enlistLastResource,
  onePhaseAnswered,
  requestCommit,
  requestRollback,
  vote,
} from './voting.js';

const effects = new RecordingEffects();

/** Two branches vote, and the third is a last resource. */
function asked(): ProtocolTransaction {
  const transaction = ready();
  recorded(transaction, effects);
  expect(effects.take()).toEqual(['commit in one phase']);
  return transaction;
}

function ready(): ProtocolTransaction {
  const transaction = activeWithLast(3);
  requestCommit(transaction, Decider.LOG, effects);
  vote(transaction, 0, Voted.COMMIT, effects);
  vote(transaction, 1, Voted.COMMIT, effects);
  expect(effects.take()).toEqual(['ACTIVE to PREPARING', 'prepare', 'PREPARING to READY', 'record']);
  return transaction;
}

describe('a last resource', () => {
  it('is asked after every other branch has voted and the record that names it is durable', () => {
    const transaction = activeWithLast(3);
    requestCommit(transaction, Decider.LOG, effects);
    expect(effects.take()).toEqual(['ACTIVE to PREPARING', 'prepare']);
    vote(transaction, 0, Voted.COMMIT, effects);
    expect(effects.take()).toEqual([]);
    vote(transaction, 1, Voted.READ_ONLY, effects);
    expect(effects.take()).toEqual(['PREPARING to READY', 'record']);
    recorded(transaction, effects);
    expect(effects.take()).toEqual(['commit in one phase']);
  });

  it('may be enlisted before the others', () => {
    const transaction = activeWith(0);
    expect(enlistLastResource(transaction)).toBe(0);
    expect(enlist(transaction)).toBe(1);
    requestCommit(transaction, Decider.LOG, effects);
    vote(transaction, 1, Voted.COMMIT, effects);
    recorded(transaction, effects);
    expect(effects.take()).toContain('commit in one phase');
    expect(transaction.decider).toBe(0);
  });

  it('decides commit, which the log takes before the others learn of it', () => {
    const transaction = asked();
    onePhaseAnswered(transaction, 'commit', effects);
    expect(effects.take()).toEqual(['READY to COMMITTING', 'confirm']);
    expect(awaitsConfirmation(transaction)).toBe(true);
    acknowledged(transaction, 0, 0, effects);
    expect(effects.take()).toEqual([]);
    confirmed(transaction, effects);
    confirmed(transaction, effects);
    expect(effects.take()).toEqual(['commit 0 1']);
    acknowledged(transaction, 0, 0, effects);
    acknowledged(transaction, 1, 0, effects);
    expect(effects.take()).toEqual(['COMMITTING to COMMITTED', 'tell committed', 'ended']);
  });

  it('needs no second record where no other branch waits for it', () => {
    const transaction = activeWithLast(2);
    requestCommit(transaction, Decider.LOG, effects);
    vote(transaction, 0, Voted.READ_ONLY, effects);
    recorded(transaction, effects);
    effects.take();
    onePhaseAnswered(transaction, 'commit', effects);
    expect(effects.take()).toEqual([
      'READY to COMMITTING',
      'COMMITTING to COMMITTED',
      'tell committed',
      'ended',
    ]);
  });

  it('decides abort by a refusal, and is not rolled back itself', () => {
    const transaction = asked();
    onePhaseAnswered(transaction, 'rollback', effects);
    expect(effects.take()).toEqual(['READY to ABORTING', 'cancel', 'tell aborted', 'roll back 0 1']);
    expect(transaction).toMatchObject({ cause: 1, causeBranch: 2 });
  });

  it('is recorded also when it is the only branch', () => {
    const transaction = activeWithLast(1);
    requestCommit(transaction, Decider.LOG, effects);
    expect(effects.take()).toEqual(['ACTIVE to PREPARING', 'PREPARING to READY', 'record']);
    recorded(transaction, effects);
    expect(effects.take()).toEqual(['commit in one phase']);
  });

  it('is not asked when another branch refuses, and then holds nothing', () => {
    const transaction = activeWithLast(3);
    requestCommit(transaction, Decider.LOG, effects);
    vote(transaction, 0, Voted.ABORT, effects);
    expect(effects.take().slice(-1)).toEqual(['roll back 1']);
  });

  it('is not asked when the deadline passes, the caller cancels or asks for rollback before the votes are in', () => {
    const ends = [
      (t: ProtocolTransaction) => deadlinePassed(t, effects),
      (t: ProtocolTransaction) => requestRollback(t, Cause.CANCELLED, effects),
      (t: ProtocolTransaction) => requestRollback(t, Cause.ROLLED_BACK, effects),
    ];
    for (const end of ends) {
      const transaction = activeWithLast(3);
      requestCommit(transaction, Decider.LOG, effects);
      vote(transaction, 0, Voted.COMMIT, effects);
      end(transaction);
      expect(effects.take().slice(-1)).toEqual(['roll back 0 1']);
    }
  });

  it('cannot be called off once its record may be in the log', () => {
    const transaction = ready();
    expect(requestRollback(transaction, Cause.ROLLED_BACK, effects)).toBe(false);
    deadlinePassed(transaction, effects);
    expect(effects.take()).toEqual(['tell pending']);
    expect(transaction.state).toBe(State.READY);
  });

  it('is not asked when the record is proven absent', () => {
    const transaction = ready();
    recordAbsent(transaction, effects);
    expect(effects.take().slice(-1)).toEqual(['roll back 0 1']);
    recorded(transaction, effects);
    expect(effects.take()).toEqual([]);
  });

  it('decides nothing before it was asked', () => {
    const transaction = ready();
    onePhaseAnswered(transaction, 'commit', effects);
    expect(effects.take()).toEqual([]);
    expect(transaction.state).toBe(State.READY);
  });

  it('leaves the others in doubt while it has not answered, and no record is absent any more', () => {
    const transaction = asked();
    vote(transaction, 2, Voted.COMMIT, effects);
    recordAbsent(transaction, effects);
    attemptsExhausted(transaction, 2, effects);
    expect(effects.take()).toEqual(['tell pending', 'stalled 2']);
    expect(transaction.state).toBe(State.READY);
  });

  it('tells the caller pending, not aborted, when its commit is not durable in time', () => {
    const transaction = asked();
    onePhaseAnswered(transaction, 'commit', effects);
    effects.take();
    deadlinePassed(transaction, effects);
    expect(effects.take()).toEqual(['tell pending']);
    expect(transaction.state).toBe(State.COMMITTING);
  });

  it('counts among those that committed, so that an end of all others against it is mixed', () => {
    const transaction = asked();
    onePhaseAnswered(transaction, 'commit', effects);
    confirmed(transaction, effects);
    transaction.against = 0b011;
    expect(heuristicOutcome(transaction)).toBe('mixed');
    effects.take();
  });

  it('is refused beside another one, and after the voting has started', () => {
    const transaction = activeWithLast(2);
    expect(enlistLastResource(transaction)).toBe(ANOTHER_DECIDES);
    expect(transaction).toMatchObject({ size: 2, decider: 1 });
    requestCommit(transaction, Decider.LOG, effects);
    expect(enlistLastResource(transaction)).toBe(-1);
    effects.take();
  });
});
