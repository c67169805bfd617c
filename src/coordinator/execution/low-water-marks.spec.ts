import { describe, expect, it } from 'vitest';
import { branch } from '../participant/branch-request.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../testing/index.js';

const TRANSACTIONS = 2_500;
/** The most numbers that are checked in one turn of the event loop. */
const STEPS = 1_000;

describe('The low-water mark of the present epoch', () => {
  it('is raised by a limited number of steps in one turn, and by the next sweeps to its end', async () => {
    const stock = new ScriptedParticipant();
    const { runtime, transactions, clock } = createTestCoordinator({
      participants: { stock },
      retainFinished: 0,
    });
    const marked = (): number => runtime.log.run.lowWaterMarks!()[0]!.sequence;
    for (let number = 0; number < TRANSACTIONS; number++)
      await transactions.run({ branches: [branch('stock', 1)] });
    await settled();

    expect(marked()).toBe(STEPS);
    // No host is called meanwhile.
    for (let sweeps = 0; sweeps < 2; sweeps++) runtime.sweep();
    expect(marked()).toBe(TRANSACTIONS);

    const open = transactions.begin();
    await transactions.run({ branches: [branch('stock', 1)] });
    expect(marked()).toBe(TRANSACTIONS);
    await open.rollback();
    await clock.advance(100);
    expect(marked()).toBe(TRANSACTIONS + 2);
  });
});
