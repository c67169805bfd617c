import { describe, expect, it } from 'vitest';
import { RecordingEffects } from '../../../test/protocol/recording-effects.js';
import { acknowledged } from './completion.js';
import { presume, restoreCommitted, restoreOrphan } from './recovery.js';
import { ABORTED, ABORTING, COMMITTED, COMMITTING } from './states.js';
import { ABORT_CAUSES, ProtocolTransaction, TOLD_ABORTED, TOLD_PENDING } from './transaction.js';

describe('a transaction restored from its commit record', () => {
  it('is decided, told to nobody, and owes every branch its completion', () => {
    const transaction = new ProtocolTransaction();
    restoreCommitted(transaction, 3, 0b101);

    expect(transaction).toMatchObject({
      state: COMMITTING,
      size: 3,
      yes: 0b101,
      open: 0b101,
      stalled: 0b101,
      told: TOLD_PENDING,
    });
  });

  it('ends when the last of its branches has acknowledged, without telling anybody', () => {
    const transaction = new ProtocolTransaction();
    const effects = new RecordingEffects();
    restoreCommitted(transaction, 2, 0b11);

    acknowledged(transaction, 0, 0, effects);
    expect(effects.take()).toEqual([]);
    acknowledged(transaction, 1, 0, effects);

    expect(effects.take()).toEqual(['COMMITTING to COMMITTED', 'ended']);
    expect(transaction).toMatchObject({ state: COMMITTED, open: 0, stalled: 0 });
  });
});

describe('a transaction made of orphans', () => {
  it('is aborted by presumption, and owes each of them its rollback', () => {
    const transaction = new ProtocolTransaction();

    expect([restoreOrphan(transaction), restoreOrphan(transaction)]).toEqual([0, 1]);

    expect(transaction).toMatchObject({
      state: ABORTING,
      size: 2,
      open: 0b11,
      stalled: 0b11,
      told: TOLD_ABORTED,
    });
    expect(ABORT_CAUSES[transaction.cause]).toBe('presumed');
  });

  it('takes one more after its end, and is over once more when that is rolled back', () => {
    const transaction = new ProtocolTransaction();
    const effects = new RecordingEffects();
    restoreOrphan(transaction);
    acknowledged(transaction, 0, 0, effects);
    expect(effects.take()).toEqual(['ABORTING to ABORTED', 'ended']);

    expect(restoreOrphan(transaction)).toBe(1);
    expect(transaction).toMatchObject({ state: ABORTED, open: 0b10, stalled: 0b10 });
    acknowledged(transaction, 1, 0, effects);

    expect(effects.take()).toEqual(['ended']);
    expect(transaction).toMatchObject({ state: ABORTED, open: 0, stalled: 0 });
  });
});

describe('what may be said to a branch in doubt', () => {
  it.each([
    [true, true, true, 'commit'],
    [true, true, false, 'commit'],
    [false, true, true, 'commit'],
    [false, true, false, 'commit'],
    [true, false, false, 'abort'],
    // Fault 52: it may be alive.
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
