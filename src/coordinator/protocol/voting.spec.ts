import { describe, expect, it } from 'vitest';
import { acknowledged } from './completion.js';
import { recordAbsent, recorded } from './decision.js';
import { RecordingEffects, activeWith, preparingWith } from '../../../test/protocol/recording-effects.js';
import { State } from './states.js';
import { Cause, CauseBranch, Decider, Voted } from './transaction.js';
import {
  deadlinePassed,
  enlist,
  markRollbackOnly,
  prepareTimedOut,
  requestCommit,
  requestRollback,
  vote,
  voteExpired,
} from './voting.js';

const effects = new RecordingEffects();

describe('rule 1: commit needs every vote, and its record', () => {
  it('sends commit only after the record, to every branch that voted commit', () => {
    const transaction = preparingWith(3, effects);
    vote(transaction, 1, Voted.COMMIT, effects);
    vote(transaction, 0, Voted.READ_ONLY, effects);
    expect(effects.take()).toEqual([]);
    vote(transaction, 2, Voted.COMMIT, effects);
    expect(effects.take()).toEqual(['PREPARING to READY', 'record']);
    recorded(transaction, effects);
    expect(effects.take()).toEqual(['READY to COMMITTING', 'commit 1 2']);
    acknowledged(transaction, 1, 0, effects);
    expect(effects.take()).toEqual([]);
    acknowledged(transaction, 2, 0, effects);
    expect(effects.take()).toEqual(['COMMITTING to COMMITTED', 'tell committed', 'ended']);
  });

  it('aborts when the record is proven absent, and rolls back every branch that voted commit', () => {
    const transaction = preparingWith(2, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    vote(transaction, 1, Voted.COMMIT, effects);
    effects.take();
    recordAbsent(transaction, effects);
    expect(effects.take()).toEqual(['READY to ABORTING', 'cancel', 'tell aborted', 'roll back 0 1']);
    expect(transaction).toMatchObject({ cause: 7, causeBranch: CauseBranch.NONE });
  });

  it('accepts a driver that delivers the next event from within each effect', () => {
    const told: number[] = [];
    class SynchronousEffects extends RecordingEffects {
      override prepare(): void {
        super.prepare();
        vote(transaction, 0, Voted.COMMIT, this);
        vote(transaction, 1, Voted.COMMIT, this);
      }
      override record(): void {
        super.record();
        recorded(transaction, this);
      }
      override commit(...args: Parameters<RecordingEffects['commit']>): void {
        super.commit(...args);
        acknowledged(transaction, 1, 0, this);
        acknowledged(transaction, 0, 0, this);
      }
      override tell(...args: Parameters<RecordingEffects['tell']>): void {
        super.tell(...args);
        told.push(args[1]);
      }
    }
    const transaction = activeWith(2);
    const synchronous = new SynchronousEffects();
    requestCommit(transaction, Decider.LOG, synchronous);
    expect(synchronous.take()).toEqual([
      'ACTIVE to PREPARING',
      'prepare',
      'PREPARING to READY',
      'record',
      'READY to COMMITTING',
      'commit 0 1',
      'COMMITTING to COMMITTED',
      'tell committed',
      'ended',
    ]);
    expect(told).toHaveLength(1);
  });
});

describe('rule 2: the first abort decides', () => {
  it('aborts the signals, answers the caller and rolls back all other branches, the preparing ones included', () => {
    const transaction = preparingWith(4, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    vote(transaction, 3, Voted.READ_ONLY, effects);
    vote(transaction, 1, Voted.ABORT, effects);
    expect(effects.take()).toEqual(['PREPARING to ABORTING', 'cancel', 'tell aborted', 'roll back 0 2']);
    expect(transaction).toMatchObject({ cause: 1, causeBranch: 1 });
  });

  it('ends the transaction at once when no branch holds anything', () => {
    const transaction = preparingWith(2, effects);
    vote(transaction, 0, Voted.READ_ONLY, effects);
    vote(transaction, 1, Voted.ABORT, effects);
    expect(effects.take()).toEqual([
      'PREPARING to ABORTING',
      'cancel',
      'tell aborted',
      'ABORTING to ABORTED',
      'ended',
    ]);
  });

  it('names the branch that refused first, whatever others answer later', () => {
    const transaction = preparingWith(3, effects);
    vote(transaction, 2, Voted.ABORT, effects);
    vote(transaction, 0, Voted.NONE, effects);
    vote(transaction, 1, Voted.ABORT, effects);
    expect(transaction).toMatchObject({ cause: 1, causeBranch: 2 });
    effects.take();
  });
});

describe('rule 3: only a yes in time is a yes', () => {
  it('rolls back a branch that failed, since it may still be prepared', () => {
    const transaction = preparingWith(1, effects);
    vote(transaction, 0, Voted.NONE, effects);
    expect(effects.take()).toEqual(['PREPARING to ABORTING', 'cancel', 'tell aborted', 'roll back 0']);
    expect(transaction).toMatchObject({ cause: 2, causeBranch: 0 });
  });

  it('rolls back the branch that timed out, and once more after its late yes (fault 18)', () => {
    const transaction = preparingWith(2, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    prepareTimedOut(transaction, 1, effects);
    expect(effects.take()).toEqual(['PREPARING to ABORTING', 'cancel', 'tell aborted', 'roll back 0 1']);
    expect(transaction).toMatchObject({ cause: 3, causeBranch: 1 });
    vote(transaction, 1, Voted.COMMIT, effects);
    expect(effects.take()).toEqual(['roll back 1']);
    expect(transaction.state).toBe(State.ABORTING);
  });

  it('accepts only the first answer of a branch (fault 19)', () => {
    const transaction = preparingWith(2, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    vote(transaction, 0, Voted.ABORT, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    expect(effects.take()).toEqual([]);
    expect(transaction).toMatchObject({ state: State.PREPARING, yes: 0b01, refused: 0 });
  });

  it('ignores a time-out of a branch that has answered', () => {
    const transaction = preparingWith(2, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    prepareTimedOut(transaction, 0, effects);
    expect(effects.take()).toEqual([]);
    expect(transaction.state).toBe(State.PREPARING);
  });
});

describe('a vote that expires', () => {
  it('aborts the transaction as long as another vote is missing, and rolls back its own branch too', () => {
    const transaction = preparingWith(3, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    vote(transaction, 1, Voted.READ_ONLY, effects);
    voteExpired(transaction, 0, effects);
    expect(effects.take()).toEqual(['PREPARING to ABORTING', 'cancel', 'tell aborted', 'roll back 0 2']);
    expect(transaction).toMatchObject({ cause: 9, causeBranch: 0 });
  });

  it('is no yes when it has expired on its way, and its branch has answered', () => {
    const transaction = preparingWith(2, effects);
    vote(transaction, 1, Voted.COMMIT, effects);
    voteExpired(transaction, 0, effects);
    expect(effects.take()).toEqual(['PREPARING to ABORTING', 'cancel', 'tell aborted', 'roll back 0 1']);
    acknowledged(transaction, 1, 0, effects);
    acknowledged(transaction, 0, 0, effects);
    expect(effects.take()).toEqual(['ABORTING to ABORTED', 'ended']);
  });

  it('changes nothing once the decision is being recorded, nor for a branch that holds nothing', () => {
    const transaction = preparingWith(2, effects);
    vote(transaction, 0, Voted.READ_ONLY, effects);
    voteExpired(transaction, 0, effects);
    expect(effects.take()).toEqual([]);
    vote(transaction, 1, Voted.COMMIT, effects);
    effects.take();
    voteExpired(transaction, 1, effects);
    expect(effects.take()).toEqual([]);
    expect(transaction.state).toBe(State.READY);
    recorded(transaction, effects);
    effects.take();
    voteExpired(transaction, 1, effects);
    expect(effects.take()).toEqual([]);
  });
});

describe('the deadline', () => {
  it('aborts a transaction without a request to commit, and rolls back its branches', () => {
    const transaction = activeWith(2);
    deadlinePassed(transaction, effects);
    expect(effects.take()).toEqual(['ACTIVE to ABORTING', 'cancel', 'tell aborted', 'roll back 0 1']);
    expect(transaction).toMatchObject({ cause: 3, causeBranch: CauseBranch.NONE });
  });

  it('names the first branch that has not answered', () => {
    const transaction = preparingWith(3, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    deadlinePassed(transaction, effects);
    effects.take();
    expect(transaction).toMatchObject({ cause: 3, causeBranch: 1 });
  });

  it('decides nothing after the voting, and the caller is told pending (fault 33)', () => {
    const transaction = preparingWith(1, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    effects.take();
    deadlinePassed(transaction, effects);
    expect(effects.take()).toEqual(['tell pending']);
    expect(transaction.state).toBe(State.READY);
    deadlinePassed(transaction, effects);
    expect(effects.take()).toEqual([]);
  });
});

describe('the set of voters', () => {
  it('is closed by the step that starts the voting (fault 4)', () => {
    const transaction = activeWith(0);
    expect([enlist(transaction), enlist(transaction)]).toEqual([0, 1]);
    requestCommit(transaction, Decider.LOG, effects);
    expect(effects.take()).toEqual(['ACTIVE to PREPARING', 'prepare']);
    expect(enlist(transaction)).toBe(-1);
    expect(transaction).toMatchObject({ size: 2, awaiting: 0b11 });
  });

  it('may be empty: then nothing is asked, recorded or delivered (fault 7)', () => {
    const transaction = activeWith(0);
    requestCommit(transaction, 0, effects);
    expect(effects.take()).toEqual([
      'ACTIVE to PREPARING',
      'PREPARING to READY',
      'READY to COMMITTING',
      'COMMITTING to COMMITTED',
      'tell committed',
      'ended',
    ]);
  });
});

describe('the caller', () => {
  it.each([
    ['rolls back', Cause.ROLLED_BACK],
    ['cancels', Cause.CANCELLED],
  ])('%s a transaction whose voting has not ended', (_, cause) => {
    for (const transaction of [activeWith(2), preparingWith(2, effects)]) {
      expect(requestRollback(transaction, cause, effects)).toBe(true);
      expect(effects.take().slice(1)).toEqual(['cancel', 'tell aborted', 'roll back 0 1']);
      expect(transaction).toMatchObject({ cause, causeBranch: CauseBranch.NONE });
      expect(requestRollback(transaction, Cause.CANCELLED, effects)).toBe(false);
      expect(transaction.cause).toBe(cause);
    }
  });

  it('comes too late with a rollback once every vote is yes (fault 34)', () => {
    const transaction = preparingWith(1, effects);
    vote(transaction, 0, Voted.COMMIT, effects);
    effects.take();
    expect(requestRollback(transaction, Cause.ROLLED_BACK, effects)).toBe(false);
    recorded(transaction, effects);
    expect(requestRollback(transaction, Cause.ROLLED_BACK, effects)).toBe(false);
    expect(effects.take()).toEqual(['READY to COMMITTING', 'commit 0']);
  });

  it('comes too late with a commit after its rollback', () => {
    const transaction = activeWith(1);
    requestRollback(transaction, Cause.ROLLED_BACK, effects);
    effects.take();
    requestCommit(transaction, Decider.LOG, effects);
    expect(effects.take()).toEqual([]);
  });

  it('rules commit out: then a commit rolls back, and no branch is asked to prepare', () => {
    const transaction = activeWith(2);
    markRollbackOnly(transaction);
    expect(transaction.state).toBe(State.ACTIVE);
    requestCommit(transaction, Decider.LOG, effects);
    expect(effects.take()).toEqual(['ACTIVE to ABORTING', 'cancel', 'tell aborted', 'roll back 0 1']);
    expect(transaction.cause).toBe(6);
  });

  it('cannot rule commit out once the voting has begun', () => {
    const transaction = preparingWith(1, effects);
    markRollbackOnly(transaction);
    expect(transaction.rollbackOnly).toBe(false);
  });
});
