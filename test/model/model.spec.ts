import { describe, expect, it } from 'vitest';
import { STATES, Told } from '../../src/coordinator/protocol/index.js';
import { CONFIGURATIONS_IN_TESTS, DEFECT_WORLDS, describeConfiguration } from './configurations.js';
import { DEFECTS, type Defect } from './defects.js';
import { forget } from './forgetting.js';
import { type Model, search } from './search.js';
import { twoPhase } from './two-phase.js';
import { worldModel } from './world-model.js';
import { RESTORED, type World } from './world.js';

const SEARCH_LIMIT_MS = 300_000;
/** Small enough to look at each state twice. */
const SMALL_WORLDS = [
  { participants: 2, guarded: true },
  { participants: 2, guarded: false },
  { participants: 1, guarded: true, shared: true },
  { participants: 1, guarded: false, shared: true },
];
const NOTHING_WRONG = { violation: undefined, stuck: undefined };

/** The same model without its symmetry: every state stands for itself. */
function withNames<State>(model: Model<State>): Model<State> {
  return { ...model, canonicalise: () => 1 };
}

/** @returns what is kept of a state of the world, as a text. */
function keyOf(model: Model<World>, w: World): string {
  const words = new Int32Array(model.width);
  model.pack(w, words, 0);
  model.canonicalise(words, 0);
  return words.join(',');
}

/** @returns what the search has to keep of a world: all that a rule reads. */
function comparable(w: World): unknown {
  // Who caused an abort is told to people, and read by no rule; nor is who had voted, of a restored
  // transaction.
  const { cause: _cause, causeBranch: _causeBranch, ...first } = w.first;
  return [
    Object.entries(w).filter(([name]) => name !== 'first' && name !== 'adopters'),
    first,
    w.adopters.map(({ mode, transaction: { yes: _yes, ...restored } }) => [
      mode,
      mode === RESTORED && restored,
    ]),
  ];
}

/** Whether no step leads anywhere else. */
function isEnd(model: Model<World>, w: World): boolean {
  const here = keyOf(model, w);
  const words = new Int32Array(model.width);
  model.pack(w, words, 0);
  const copy = model.create();
  return model.steps.every((step) => {
    model.unpack(words, 0, copy);
    if (!step.when(copy)) return true;
    step.take(copy);
    return keyOf(model, copy) === here;
  });
}

function describeEnd({ first, told, all, committed, readOnly }: World): string {
  const caller = told === Told.COMMITTED ? 'was told so' : 'was not told so';
  const leftOut = (committed | readOnly) === all ? 'no participant is' : 'a participant is';
  return `the coordinator is ${STATES[first.state]}, the caller ${caller}, ${leftOut} left out`;
}

describe('the search', () => {
  it.each([
    [3, 288],
    [6, 50_816],
  ])("finds the states of Lamport's TwoPhase for %i resource managers: %i", (size, states) => {
    expect(search(twoPhase(size))).toMatchObject({ ...NOTHING_WRONG, states });
  });

  it('counts the same states with and without the symmetry of names', () => {
    for (const guarded of [true, false]) {
      const model = worldModel({ participants: 2, guarded });
      expect(search(model).states).toBe(search(withNames(model)).representatives);
    }
  });

  it('tells of a violation by a shortest path, with the same names throughout', () => {
    const { violation } = search(
      worldModel({
        participants: 2,
        guarded: true,
        defect: 'the end is recorded before all have acknowledged',
      }),
    );
    expect(violation).toEqual({
      message: 'M8: the end is recorded only after every acknowledgement',
      path: [
        'C0: one more branch is enlisted',
        'C0: one more branch is enlisted',
        'C0: commit is asked for',
        'participant 0 gets prepare: it prepares and votes commit',
        'C0: hears of branch 0: commit',
        'participant 1 gets prepare: it prepares and votes commit',
        'C0: hears of branch 1: commit',
        'the commit record reaches the log',
        'C0: hears from the log that the record is there',
        'participant 0 gets commit',
        'C0: hears that branch 0 has committed',
      ],
    });
  });
});

describe('the state that the search keeps', () => {
  it('loses nothing that a rule of the protocol reads', () => {
    for (const world of SMALL_WORLDS) {
      const model = worldModel(world);
      const words = new Int32Array(model.width);
      const copy = model.create();
      let compared = 0;
      search({
        ...model,
        check: (w) => {
          model.pack(w, words, 0);
          model.unpack(words, 0, copy);
          expect(JSON.stringify(comparable(copy))).toBe(JSON.stringify(comparable(w)));
          compared++;
        },
      });
      expect(compared).toBeGreaterThan(4_000);
    }
  });

  it.each([{ participants: 1, guarded: true }, { participants: 1, guarded: false }, ...SMALL_WORLDS])(
    'forgets only messages without a future: %o',
    (world) => {
      const model = worldModel(world);
      const remembered = new Set<string>();
      search({ ...model, check: (w) => void remembered.add(keyOf(model, w)) });

      const everything = worldModel({ ...world, forgetting: false });
      const forgotten = new Set<string>();
      const words = new Int32Array(model.width);
      const copy = model.create();
      const result = search({
        ...everything,
        check: (w) => {
          everything.check(w);
          model.pack(w, words, 0);
          model.unpack(words, 0, copy);
          forget(copy);
          forgotten.add(keyOf(model, copy));
        },
      });
      expect(result).toMatchObject(NOTHING_WRONG);
      expect(result.representatives).toBeGreaterThan(remembered.size);
      expect(forgotten.size).toBe(remembered.size);
      expect([...forgotten].every((key) => remembered.has(key))).toBe(true);
    },
  );
});

describe('the real protocol core', () => {
  it.each(
    CONFIGURATIONS_IN_TESTS.map(
      (configuration) => [describeConfiguration(configuration), configuration] as const,
    ),
  )(
    'keeps AC1 to AC3 and what it told in every state, and can always end (AC5): %s',
    (_, { states, ...world }) => {
      expect(search(worldModel(world))).toMatchObject({ ...NOTHING_WRONG, states });
    },
    SEARCH_LIMIT_MS,
  );

  it.each([1, 2, 3])(
    'AC4: when nothing fails and all vote for it, %i participants commit',
    (participants) => {
      const model = worldModel({ participants, guarded: true, faults: false });
      const ends = new Set<string>();
      const result = search({
        ...model,
        check: (w) => {
          model.check(w);
          if (isEnd(model, w)) ends.add(describeEnd(w));
        },
      });
      expect(result).toMatchObject(NOTHING_WRONG);
      expect([...ends]).toEqual([
        'the coordinator is COMMITTED, the caller was told so, no participant is left out',
      ]);
    },
  );
});

describe('a world with a defect', () => {
  it.each(Object.entries(DEFECTS))('is found out: %s (%s)', (name) => {
    const defect = name as Defect;
    const isFound = DEFECT_WORLDS.some((world) => {
      const { violation, stuck } = search(worldModel({ participants: 2, ...world, defect }));
      return (violation ?? stuck) !== undefined;
    });
    expect(isFound).toBe(true);
  });

  it('is found although nothing forbidden happens in it: a participant stays in doubt permanently (AC5)', () => {
    const { violation, stuck } = search(
      worldModel({ participants: 1, guarded: true, defect: 'no recovery' }),
    );
    expect(violation).toBeUndefined();
    expect(stuck?.at(-1)).toBe('C0 crashes');
  });
});
