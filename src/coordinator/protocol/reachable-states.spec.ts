import { beforeAll, describe, expect, it } from 'vitest';
import { type ProtocolEvent, allEvents } from '../../../test/protocol/events.js';
import { InvariantChecker } from '../../../test/protocol/invariants.js';
import { RecordingEffects } from '../../../test/protocol/recording-effects.js';
import { STATES, State } from './states.js';
import {
  Decider,
  PROTOCOL_FIELDS,
  ProtocolTransaction,
  copyProtocolState,
  protocolKey,
} from './transaction.js';

/** A step of the walk: an event that changes one state into another. */
interface Step {
  readonly from: ProtocolTransaction;
  readonly to: string;
  readonly event: ProtocolEvent;
}

const SIZE = 2;
const events = allEvents(SIZE);

function isSame(a: ProtocolTransaction, b: ProtocolTransaction): boolean {
  return PROTOCOL_FIELDS.every((field) => a[field] === b[field]);
}

/** Walks breadth first through every state that any order of events reaches, and checks each step. */
function walk(): { states: Map<string, ProtocolTransaction>; steps: Step[] } {
  const checker = new InvariantChecker();
  const start = new ProtocolTransaction();
  const states = new Map([[protocolKey(start), start]]);
  const steps: Step[] = [];
  for (const from of states.values()) {
    for (const event of events) {
      if (!event.fits.includes(STATES[from.state]!)) continue;
      const next = new ProtocolTransaction();
      copyProtocolState(from, next);
      checker.step(next, (effects) => event.apply(next, effects));
      if (isSame(from, next)) continue;
      const to = protocolKey(next);
      steps.push({ from, to, event });
      if (!states.has(to)) states.set(to, next);
    }
  }
  return { states, steps };
}

describe(`every state that ${SIZE} branches can reach, by every event in every order`, () => {
  let states: Map<string, ProtocolTransaction>;
  let steps: Step[];

  beforeAll(() => {
    ({ states, steps } = walk());
  });

  it('keeps AC1 to AC3 and never contradicts what the caller was told', () => {
    // The walk itself checks every step. This checks that it reached every state.
    const reached = new Set([...states.values()].map(({ state }) => STATES[state]));
    expect(reached).toEqual(new Set(STATES));
    expect(states.size).toBeGreaterThan(10_000);
  });

  it('leaves READY only by an answer of the log, or of the branch that decides', () => {
    const exits = new Map<string, Set<string>>();
    for (const { from, to, event } of steps) {
      const { state } = states.get(to)!;
      if (from.state !== State.READY || state === State.READY) continue;
      const exit = `${event.name}${from.decider === Decider.LOG ? '' : from.size === 1 ? ', one-phase' : ', last resource'}`;
      exits.set(exit, (exits.get(exit) ?? new Set()).add(STATES[state]!));
    }
    expect(Object.fromEntries([...exits].map(([exit, to]) => [exit, [...to]]))).toEqual({
      'the decision is recorded': ['COMMITTING'],
      'the record is absent': ['ABORTING'],
      'one-phase: commit, one-phase': ['COMMITTED'],
      'one-phase: rollback, one-phase': ['ABORTED'],
      'one-phase: mixed, one-phase': ['COMMITTED'],
      'one-phase: hazard, one-phase': ['COMMITTED'],
      'the record is absent, one-phase': ['ABORTING'],
      'the record is absent, last resource': ['ABORTING', 'ABORTED'],
      'one-phase: commit, last resource': ['COMMITTING', 'COMMITTED'],
      'one-phase: rollback, last resource': ['ABORTING', 'ABORTED'],
      'one-phase: mixed, last resource': ['COMMITTING', 'COMMITTED'],
      'one-phase: hazard, last resource': ['COMMITTING', 'COMMITTED'],
    });
  });

  it('can end from every state', () => {
    const before = new Map<string, string[]>();
    for (const { from, to } of steps) {
      const list = before.get(to);
      if (list === undefined) before.set(to, [protocolKey(from)]);
      else list.push(protocolKey(from));
    }
    const isOver = ({ state, open }: ProtocolTransaction) =>
      (state === State.COMMITTED || state === State.ABORTED) && open === 0;
    const canEnd = new Set([...states].filter(([, transaction]) => isOver(transaction)).map(([key]) => key));
    for (const key of canEnd) for (const previous of before.get(key) ?? []) canEnd.add(previous);
    expect(canEnd.size).toBe(states.size);
  });

  it('is changed by every event that fits the state', () => {
    const seen = new Map(events.map(({ name }) => [name, new Set<string>()]));
    for (const { from, event } of steps) seen.get(event.name)!.add(STATES[from.state]!);
    for (const { name, fits } of events) {
      expect({ name, states: [...seen.get(name)!].toSorted() }).toEqual({ name, states: fits.toSorted() });
    }
  });

  it('is not changed by an event that does not fit, which calls no effect', () => {
    const offences = new Set<string>();
    const effects = new RecordingEffects();
    const copy = new ProtocolTransaction();
    for (const transaction of states.values()) {
      const state = STATES[transaction.state]!;
      for (const event of events) {
        if (event.fits.includes(state)) continue;
        copyProtocolState(transaction, copy);
        event.apply(copy, effects);
        const called = effects.take();
        if (called.length > 0 || !isSame(copy, transaction))
          offences.add(`${event.name} in ${state}: ${called.join(', ')}`);
      }
    }
    expect([...offences]).toEqual([]);
  });
});
