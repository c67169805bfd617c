import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acknowledged, completionRound } from './completion.js';
import { confirmed, recorded } from './decision.js';
import { allEvents } from '../../../test/protocol/events.js';
import { InvariantChecker } from '../../../test/protocol/invariants.js';
import { activeWith, activeWithLast } from '../../../test/protocol/recording-effects.js';
import { State } from './states.js';
import { Decider, type ProtocolTransaction, Told, Voted } from './transaction.js';
import { onePhaseAnswered, requestCommit, vote } from './voting.js';

const RUN = { seed: 3, numRuns: 10_000 };
const MAX_SIZE = 6;

/** A number of branches, and any events in any order, both legal and illegal, also repeated. */
const walks = fc.integer({ min: 0, max: MAX_SIZE }).chain((size) =>
  fc.record({
    size: fc.constant(size),
    hasLast: fc.boolean(),
    events: fc.array(fc.constantFrom(...allEvents(size)), { maxLength: 60, size: 'max' }),
  }),
);

/**
 * Repairs every failure: the caller asks for commit, the log answers, every branch answers and acknowledges.
 */
function heal(transaction: ProtocolTransaction, effects: InvariantChecker): void {
  const branches = Array.from({ length: transaction.size }, (_, branch) => branch);
  effects.step(transaction, () => requestCommit(transaction, Decider.LOG, effects));
  for (const branch of branches) {
    effects.step(transaction, () => vote(transaction, branch, Voted.COMMIT, effects));
  }
  effects.step(transaction, () => recorded(transaction, effects));
  effects.step(transaction, () => onePhaseAnswered(transaction, 'commit', effects));
  effects.step(transaction, () => confirmed(transaction, effects));
  for (const branch of branches) {
    const round = completionRound(transaction, branch);
    effects.step(transaction, () => acknowledged(transaction, branch, round, effects));
  }
}

describe('any events in any order', () => {
  it('keep every invariant, and after all repairs the transaction ends as the caller was told', () => {
    const ends = new Map<number, number>();
    fc.assert(
      fc.property(walks, ({ size, hasLast, events }) => {
        const transaction = hasLast && size > 0 ? activeWithLast(size) : activeWith(size);
        const effects = new InvariantChecker();
        for (const event of events) effects.step(transaction, () => event.apply(transaction, effects));
        const { told } = transaction;
        heal(transaction, effects);
        expect(transaction.open).toBe(0);
        expect([State.COMMITTED, State.ABORTED]).toContain(transaction.state);
        const promised =
          told === Told.COMMITTED ? State.COMMITTED : told === Told.ABORTED ? State.ABORTED : undefined;
        expect(promised ?? transaction.state).toBe(transaction.state);
        ends.set(transaction.state, (ends.get(transaction.state) ?? 0) + 1);
      }),
      RUN,
    );
    // A walk that never committed would prove little.
    expect(ends.get(State.COMMITTED)).toBeGreaterThan(RUN.numRuns / 20);
    expect(ends.get(State.ABORTED)).toBeGreaterThan(RUN.numRuns / 20);
  });
});
