import { describe, expect, it } from 'vitest';
import { RecordingEffects } from '../../../test/protocol/recording-effects.js';
import { acknowledged } from './completion.js';
import { heuristicOutcome } from './heuristics.js';
import { restoreCommitted, restoreDecider, restoreOrphan, restoreReport } from './recovery.js';
import { State } from './states.js';
import { ProtocolTransaction } from './transaction.js';
import { onePhaseAnswered } from './voting.js';

function committing(size: number): ProtocolTransaction {
  const transaction = new ProtocolTransaction();
  restoreCommitted(transaction, size, (1 << size) - 1);
  return transaction;
}

describe('a heuristic report restored from the log', () => {
  it.each([
    ['mixed', 'mixed'],
    ['hazard', 'hazard'],
    ['rollback', 'against'],
  ] as const)('%s closes its branch, and is kept beside other reports of its kind', (kind, set) => {
    const transaction = committing(3);
    restoreReport(transaction, 0, kind);
    expect(transaction).toMatchObject({ state: State.COMMITTING, [set]: 0b001, open: 0b110, stalled: 0b110 });
    restoreReport(transaction, 2, kind);
    expect(transaction).toMatchObject({ state: State.COMMITTING, [set]: 0b101, open: 0b010, stalled: 0b010 });
    expect(transaction.against + transaction.mixed + transaction.hazard).toBe(0b101);
  });

  it('lets the transaction end with the last acknowledgement, with a heuristic outcome', () => {
    const transaction = committing(2);
    const effects = new RecordingEffects();
    restoreReport(transaction, 0, 'rollback');
    acknowledged(transaction, 1, 0, effects);

    expect(effects.take()).toEqual(['COMMITTING to COMMITTED', 'ended']);
    expect(heuristicOutcome(transaction)).toBe('mixed');
  });

  it('of the last branch ends the transaction, as decided', () => {
    const committed = committing(1);
    restoreReport(committed, 0, 'hazard');
    expect(committed).toMatchObject({ state: State.COMMITTED, open: 0, stalled: 0 });

    const aborted = new ProtocolTransaction();
    restoreOrphan(aborted, 0);
    restoreOrphan(aborted, 1);
    restoreReport(aborted, 0, 'commit');
    expect(aborted.state).toBe(State.ABORTING);
    restoreReport(aborted, 1, 'commit');
    expect(aborted).toMatchObject({ state: State.ABORTED, against: 0b11 });
  });

  it('of the branch that decides leaves it stalled, until the report is taken as its answer', () => {
    const transaction = new ProtocolTransaction();
    const effects = new RecordingEffects();
    restoreDecider(transaction, 3, 2);
    restoreReport(transaction, 2, 'mixed');
    expect(transaction).toMatchObject({ state: State.READY, mixed: 0b100, awaiting: 0b100, stalled: 0b100 });
    onePhaseAnswered(transaction, 'mixed', effects);
    expect(effects.take()).toEqual(['READY to COMMITTING', 'confirm']);
  });
});
