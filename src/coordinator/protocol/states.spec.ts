import { describe, expect, it } from 'vitest';
import { enter } from './decision.js';
import { RecordingEffects } from '../../../test/protocol/recording-effects.js';
import {
  IllegalTransitionError,
  LEGAL_TRANSITIONS,
  STATES,
  type TransactionState,
  isAbort,
  isCommit,
  isLegal,
} from './states.js';
import { ProtocolTransaction, protocolKey } from './transaction.js';

/** The arrows of the documentation, written a second time on purpose. */
const ARROWS = [
  'ACTIVE to PREPARING',
  'PREPARING to READY',
  'READY to COMMITTING',
  'COMMITTING to COMMITTED',
  'ACTIVE to ABORTING',
  'PREPARING to ABORTING',
  'READY to ABORTING',
  'ABORTING to ABORTED',
];

const PAIRS = STATES.flatMap((from) => STATES.map((to) => [from, to] as const));

function isArrow([from, to]: readonly [TransactionState, TransactionState]): boolean {
  return ARROWS.includes(`${from} to ${to}`);
}

function at(state: TransactionState): ProtocolTransaction {
  const transaction = new ProtocolTransaction();
  transaction.state = STATES.indexOf(state);
  return transaction;
}

describe('the states of a transaction', () => {
  it('has exactly the documented arrows in its table', () => {
    const inTable = STATES.flatMap((from) => LEGAL_TRANSITIONS[from].map((to) => `${from} to ${to}`));
    expect(inTable.toSorted()).toEqual(ARROWS.toSorted());
  });

  it.each(PAIRS.filter(isArrow))('takes the step from %s to %s', (from, to) => {
    const effects = new RecordingEffects();
    const transaction = at(from);
    expect(isLegal(STATES.indexOf(from), STATES.indexOf(to))).toBe(true);
    enter(transaction, STATES.indexOf(to), effects);
    expect(STATES[transaction.state]).toBe(to);
    expect(effects.take()).toEqual([`${from} to ${to}`]);
  });

  it.each(PAIRS.filter((pair) => !isArrow(pair)))('refuses the step from %s to %s', (from, to) => {
    const effects = new RecordingEffects();
    const transaction = at(from);
    expect(isLegal(STATES.indexOf(from), STATES.indexOf(to))).toBe(false);
    expect(() => enter(transaction, STATES.indexOf(to), effects)).toThrow(IllegalTransitionError);
    expect(protocolKey(transaction)).toBe(protocolKey(at(from)));
    expect(effects.take()).toEqual([]);
  });

  it('names both states in the error of an illegal step', () => {
    const error = new IllegalTransitionError('COMMITTED', 'ABORTING');
    expect(error).toMatchObject({
      code: 'DTC_ILLEGAL_TRANSITION',
      name: 'IllegalTransitionError',
      from: 'COMMITTED',
      to: 'ABORTING',
    });
    expect(error.message).toContain('from COMMITTED to ABORTING');
  });

  it('gives the decision in each state, and none before it is made', () => {
    const decided = (is: (state: number) => boolean) => STATES.filter((_, state) => is(state));
    expect(decided(isCommit)).toEqual(['COMMITTING', 'COMMITTED']);
    expect(decided(isAbort)).toEqual(['ABORTING', 'ABORTED']);
  });
});
