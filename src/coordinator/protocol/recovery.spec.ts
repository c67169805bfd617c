import { describe, expect, it } from 'vitest';
import { RecordingEffects } from '../../../test/protocol/recording-effects.js';
import { acknowledged } from './completion.js';
import { presume, restoreCommitted, restoreOrphan } from './recovery.js';
import { IllegalTransitionError, State } from './states.js';
import { ABORT_CAUSES, ProtocolTransaction, Told } from './transaction.js';

describe('a transaction restored from its commit record', () => {
  it('is decided, answers no caller, and owes every branch its completion', () => {
    const transaction = new ProtocolTransaction();
    restoreCommitted(transaction, 3, 0b101);

    expect(transaction).toMatchObject({
      state: State.COMMITTING,
      size: 3,
      yes: 0b101,
      open: 0b101,
      stalled: 0b101,
      told: Told.PENDING,
    });
  });

  it('ends when the last of its branches has acknowledged, and answers no caller', () => {
    const transaction = new ProtocolTransaction();
    const effects = new RecordingEffects();
    restoreCommitted(transaction, 2, 0b11);

    acknowledged(transaction, 0, 0, effects);
    expect(effects.take()).toEqual([]);
    acknowledged(transaction, 1, 0, effects);

    expect(effects.take()).toEqual(['COMMITTING to COMMITTED', 'ended']);
    expect(transaction).toMatchObject({ state: State.COMMITTED, open: 0, stalled: 0 });
  });
});

describe('a transaction with branches that were completed before', () => {
  it('owes only the others their completion', () => {
    const transaction = new ProtocolTransaction();
    const effects = new RecordingEffects();
    restoreCommitted(transaction, 3, 0b111, 0b010);
    expect(transaction).toMatchObject({ state: State.COMMITTING, yes: 0b111, open: 0b010, stalled: 0b010 });

    acknowledged(transaction, 1, 0, effects);

    expect(effects.take()).toEqual(['COMMITTING to COMMITTED', 'ended']);
  });

  it('has ended if all branches were completed', () => {
    const transaction = new ProtocolTransaction();
    restoreCommitted(transaction, 2, 0b11, 0);

    expect(transaction).toMatchObject({
      state: State.COMMITTED,
      yes: 0b11,
      open: 0,
      stalled: 0,
      told: Told.PENDING,
    });
  });
});

describe('a transaction that already has a state', () => {
  it('is restored only by steps of the table', () => {
    const aborted = new ProtocolTransaction();
    restoreOrphan(aborted, 0);
    expect(() => restoreCommitted(aborted, 1, 0b1)).toThrow(IllegalTransitionError);
    expect(aborted.state).toBe(State.ABORTING);

    const committed = new ProtocolTransaction();
    restoreCommitted(committed, 1, 0b1);
    expect(() => restoreCommitted(committed, 1, 0b1)).toThrow(IllegalTransitionError);
    expect(committed.state).toBe(State.COMMITTING);
  });
});

describe('a transaction made of orphans', () => {
  it('is aborted by presumption, and owes each of them its rollback', () => {
    const transaction = new ProtocolTransaction();

    restoreOrphan(transaction, 0);
    restoreOrphan(transaction, 1);

    expect(transaction).toMatchObject({
      state: State.ABORTING,
      size: 2,
      open: 0b11,
      stalled: 0b11,
      told: Told.ABORTED,
    });
    expect(ABORT_CAUSES[transaction.cause]).toBe('presumed');
  });

  it('takes one more orphan after its end, and ends again when that is rolled back', () => {
    const transaction = new ProtocolTransaction();
    const effects = new RecordingEffects();
    restoreOrphan(transaction, 0);
    acknowledged(transaction, 0, 0, effects);
    expect(effects.take()).toEqual(['ABORTING to ABORTED', 'ended']);

    restoreOrphan(transaction, 1);
    expect(transaction).toMatchObject({ state: State.ABORTED, open: 0b10, stalled: 0b10 });
    acknowledged(transaction, 1, 0, effects);

    expect(effects.take()).toEqual(['ended']);
    expect(transaction).toMatchObject({ state: State.ABORTED, open: 0, stalled: 0 });
  });
});

describe('an orphan that was rolled back and is still prepared', () => {
  it('owes its rollback again, and is not counted as a second branch', () => {
    const transaction = new ProtocolTransaction();
    const effects = new RecordingEffects();
    restoreOrphan(transaction, 0);
    acknowledged(transaction, 0, 0, effects);

    restoreOrphan(transaction, 0);

    expect(transaction).toMatchObject({ state: State.ABORTED, size: 1, open: 0b1, stalled: 0b1 });
  });
});

describe('the answer to a branch in doubt', () => {
  it.each([
    [true, true, true, 'commit'],
    [true, true, false, 'commit'],
    [false, true, true, 'commit'],
    [false, true, false, 'commit'],
    [true, false, false, 'abort'],
    // Fault 52: it may still be running.
    [true, false, true, 'wait'],
    // Fault 30: only the owner of the claim may presume.
    [false, false, false, 'wait'],
    [false, false, true, 'wait'],
  ] as const)(
    'owns %s, recorded %s, begun in this epoch %s: %s',
    (owns, recorded, begunInThisEpoch, answer) => {
      expect(presume({ owns, recorded, begunInThisEpoch })).toBe(answer);
    },
  );
});
