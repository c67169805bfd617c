import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Branch,
  type GuardStore,
  MemoryGuardStore,
  ParticipantGuard,
  type Vote,
} from '../../src/coordinator/index.js';
import { isSound } from '../../src/coordinator/gate/settled.js';
import { KEY, someBranch } from '../../src/coordinator/guard/guarded-branch.fixture.js';
import { voteIn } from '../../src/coordinator/guard/votes.js';
import {
  type Ending,
  HostileGuardStore,
  type StoreDeedKind,
  type TriedAnswer,
  storeDeeds,
  tried,
  triedDeed,
} from '../support/hostile-guard-store.js';
import { type HostileValue, hostileAnswers, hostileValues } from '../support/hostile-values.js';
import { runOf } from '../support/identity.js';

const SEED = 20_261_128;
const RUNS = 3_000;
const CALLS = ['prepare', 'commit', 'rollback', 'commitOnePhase'] as const;
type Call = (typeof CALLS)[number];
type Effect = 'work' | 'finish' | 'undo';

function branchFor(call: Call, payload: unknown): Branch {
  return someBranch({ payload, attempt: call === 'prepare' ? 0 : 1 });
}

/** How often each effect of the participant was begun, and how its calls ended. */
class Effects {
  readonly work: Ending[] = [];
  readonly finish: Ending[] = [];
  readonly undo: Ending[] = [];
  /** What the work has voted, if it was begun and came to its end. */
  vote: Vote | undefined;
  isSound = false;

  constructor(private readonly plan: Readonly<Record<Effect, readonly TriedAnswer[]>>) {}

  run(effect: Effect): never {
    const planned = this.isSound ? undefined : this.plan[effect][this[effect].length];
    const value = effect === 'work' ? 'commit' : undefined;
    const ending = planned?.ending ?? { value };
    this[effect].push(ending);
    // Read once, because it may say something else the next time.
    if (effect === 'work' && ending !== 'never' && 'value' in ending) this.vote = voteIn(ending.value);
    return (planned === undefined ? value : planned.make()) as never;
  }
}

/** Whether an effect was done, or may have been: it is not known to have failed. */
const isDone = (ending: Ending): boolean => ending === 'never' || 'value' in ending;
const hasSucceeded = (endings: readonly Ending[]): boolean =>
  endings.some((ending) => ending !== 'never' && 'value' in ending);
const isRefusal = (vote: unknown): boolean =>
  vote === 'abort' || (vote as { vote?: unknown })?.vote === 'abort';

/** What was told of the branch, in the order in which it was. */
type Told = { readonly call: Call } & ({ readonly value: unknown } | { readonly error: unknown });

class Stage {
  readonly told: Told[] = [];
  readonly made = new Set<Call>();
  underWay = 0;
  private isDead = false;

  constructor(
    readonly guard: ParticipantGuard,
    readonly effects: Effects,
    private readonly payload: unknown,
  ) {}

  /** The process has ended. */
  die(): void {
    this.isDead = true;
  }

  private run(effect: Effect): never {
    return this.isDead ? (new Promise(() => {}) as never) : this.effects.run(effect);
  }

  /** Makes a call, which must not throw. */
  call(call: Call): void {
    const { guard } = this;
    const one = branchFor(call, this.payload);
    const work = () => this.run('work');
    const finish = () => this.run('finish');
    const undo = () => this.run('undo');
    this.made.add(call);
    this.underWay++;
    const answers: Record<Call, () => Promise<unknown>> = {
      prepare: () => guard.prepare(one, work),
      commit: () => guard.commit(one, finish),
      rollback: () => guard.rollback(one, undo),
      commitOnePhase: () => guard.commitOnePhase(one, { prepare: work, commit: finish, rollback: undo }),
    };
    const answer = answers[call]();
    expect(isSound(answer)).toBe(true);
    void answer
      .then(
        (value) => this.told.push({ call, value }),
        (error: unknown) => this.told.push({ call, error }),
      )
      .finally(() => this.underWay--);
  }

  hasTold(call: Call): boolean {
    return this.told.some((told) => told.call === call && 'value' in told);
  }
}

/** The code of an error that the guard itself has made: one of another kind would be a defect of it. */
function checkRejection(error: unknown): void {
  let stack: unknown;
  try {
    ({ stack } = error as Error);
  } catch {
    return;
  }
  if (typeof stack !== 'string' || !/^\s+at .*src\/coordinator\/guard\//.test(stack.split('\n')[1] ?? ''))
    return;
  expect((error as { code?: unknown }).code).toMatch(/^DTC_/);
}

/** What holds at any moment of the process that the stage is of. */
function checkEffects({ work, finish, undo, vote }: Effects, wasRestarted: boolean): void {
  expect(work.length).toBeLessThanOrEqual(1);
  for (const effect of [finish, undo]) {
    // What is done, or may be, is not done again.
    expect(effect.slice(0, -1).filter(isDone)).toEqual([]);
  }
  if (finish.length > 0) expect([vote, undo.length]).toEqual(['commit', 0]);
  // The next process cannot know how far the work came, so its undo takes work that was not done at all.
  if (undo.length === 0 || wasRestarted) return;
  expect(work.length).toBe(1);
  expect(vote === 'read-only' || isRefusal(vote)).toBe(false);
}

function checkTold({ told, effects, made }: Stage): void {
  let isRolledBack = false;
  for (const one of told) {
    if ('error' in one) {
      checkRejection(one.error);
      continue;
    }
    const { call, value } = one;
    const vote = voteIn(value);
    if (call === 'commit') expect(hasSucceeded(effects.finish)).toBe(true);
    if (call === 'rollback') {
      isRolledBack = true;
      expect(effects.finish).toEqual([]);
    }
    if (call === 'prepare') {
      if (vote === 'commit') expect([effects.vote, isRolledBack]).toEqual(['commit', false]);
      if (vote === 'read-only') expect(effects.vote).toBe('read-only');
      // A store that fails or hangs is no reason to refuse.
      if (isRefusal(vote) && !isRefusal(effects.vote)) {
        expect(made.has('rollback') || made.has('commitOnePhase')).toBe(true);
        expect(vote).toMatchObject({ code: 'ROLLED_BACK' });
      }
    }
    if (call === 'commitOnePhase') {
      if (value === 'commit') expect(effects.vote === 'read-only' || hasSucceeded(effects.finish)).toBe(true);
      else expect([isRefusal(value), effects.finish.length]).toEqual([true, 0]);
    }
  }
}

/** A branch that was acknowledged as rolled back holds nothing. */
function checkNothingHeld({ effects }: Stage): void {
  const { work, undo, vote } = effects;
  if (work.length === 0 || vote === 'read-only' || isRefusal(vote)) return;
  expect(hasSucceeded(undo)).toBe(true);
}

interface Scenario {
  readonly deeds: readonly Parameters<typeof triedDeed>[0][];
  readonly plan: Readonly<Record<Effect, readonly HostileValue[]>>;
  readonly moves: readonly (Call | number)[];
  readonly payload: HostileValue;
  /** Whether the process is ended when it has come to rest, or before. */
  readonly ends: 'no' | 'at rest' | 'at once';
}

const votes: fc.Arbitrary<HostileValue> = fc
  .constantFrom<Vote>('commit', 'read-only', 'abort', { vote: 'abort', code: 'NO', reason: 'none left' })
  .map((vote) => ({ label: JSON.stringify(vote), make: () => vote }));

const scenarios: fc.Arbitrary<Scenario> = fc.record({
  deeds: fc.array(storeDeeds, { maxLength: 8 }),
  plan: fc.record({
    work: fc.array(fc.oneof(votes, hostileAnswers), { minLength: 1, maxLength: 1 }),
    finish: fc.array(hostileAnswers, { maxLength: 2 }),
    undo: fc.array(hostileAnswers, { maxLength: 2 }),
  }),
  moves: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom<Call>('prepare', 'rollback', 'commit') },
      { weight: 1, arbitrary: fc.constant<Call>('commitOnePhase') },
      { weight: 3, arbitrary: fc.nat({ max: 5 }) },
    ),
    { minLength: 1, maxLength: 10 },
  ),
  payload: hostileValues,
  ends: fc.constantFrom('no', 'at rest', 'at once'),
});

/** Releases what is on its way, until nothing is any more. */
async function comeToRest(store: HostileGuardStore): Promise<void> {
  for (let turn = 0; turn < 8; turn++) {
    await setImmediate();
    if (store.pending.length > 0) turn = 0;
    store.pending.shift()?.();
  }
}

/** Tells the decision until it is acknowledged, as a coordinator does. @returns how it ended. */
async function complete(stage: Stage, call: Call): Promise<Told> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const before = stage.told.length;
    stage.call(call);
    for (let turn = 0; turn < 20 && stage.told.length === before; turn++) await setImmediate();
    const last = stage.told.at(-1);
    if (stage.told.length === before || last === undefined) throw new Error(`no answer to ${call}`);
    if ('value' in last) return last;
    if ((last.error as { code?: unknown })?.code === 'DTC_HEURISTIC') return last;
  }
  return stage.told.at(-1)!;
}

describe('A guard with hostile arguments', () => {
  const uncaught: unknown[] = [];
  const remember = (error: unknown): void => void uncaught.push(error);
  beforeEach(() => {
    uncaught.length = 0;
    process.on('unhandledRejection', remember);
    process.on('uncaughtException', remember);
  });
  afterEach(() => {
    process.off('unhandledRejection', remember);
    process.off('uncaughtException', remember);
  });

  it(`has each effect once and answers the truth, or not at all (seed ${SEED}, ${RUNS} runs)`, async () => {
    const seen = new Map<StoreDeedKind | 'yes' | 'no' | 'committed' | 'rolled back' | 'restarted', number>();
    const count = (what: Parameters<typeof seen.set>[0]): void =>
      void seen.set(what, (seen.get(what) ?? 0) + 1);
    await fc.assert(
      fc.asyncProperty(scenarios, async ({ deeds, plan, moves, payload, ends }) => {
        const [work, finish, undo] = await Promise.all(
          [plan.work, plan.finish, plan.undo].map((answers) => Promise.all(answers.map(tried))),
        );
        const store = new HostileGuardStore(await Promise.all(deeds.map(triedDeed)));
        const effects = new Effects({ work: work!, finish: finish!, undo: undo! });
        const stage = new Stage(new ParticipantGuard(store), effects, payload.make());
        for (const move of moves) {
          if (typeof move === 'string') stage.call(move);
          else store.pending.splice(move % Math.max(1, store.pending.length), 1)[0]?.();
          await setImmediate();
          checkEffects(effects, false);
        }
        if (ends !== 'at once') await comeToRest(store);
        checkEffects(effects, false);
        checkTold(stage);
        if (stage.hasTold('rollback')) checkNothingHeld(stage);
        const hangs = stage.underWay > 0;
        // A store that hangs, or an effect that does, makes a call wait, and nothing else does.
        if (hangs && ends !== 'at once') {
          const began = [...effects.work, ...effects.finish, ...effects.undo];
          expect(store.hangs || began.includes('never')).toBe(true);
        }

        const isNew = ends !== 'no' || hangs;
        if (isNew) {
          store.die();
          stage.die();
        }
        store.heal();
        effects.isSound = true;
        const sound = isNew ? new HostileGuardStore([], store.records) : store;
        const last = isNew ? new Stage(new ParticipantGuard(sound), effects, 1) : stage;
        const mayRollBack = stage.made.has('rollback') || effects.vote !== 'commit';
        const end = await complete(last, mayRollBack ? 'rollback' : 'commit');
        checkEffects(effects, isNew);
        checkTold(stage);
        if ('value' in end && end.call === 'rollback') checkNothingHeld(last);
        // Told one thing, in one process, it always comes to its end.
        if (!isNew && !(stage.made.has('commit') && mayRollBack) && !stage.made.has('commitOnePhase')) {
          expect(end).toHaveProperty('value');
        }
        if (!isNew) expect(stage.guard.held).toBe(0);
        expect(JSON.stringify(store.records.get(KEY) ?? null).length).toBeLessThan(1_000);
        expect(uncaught).toEqual([]);

        for (const kind of new Set(store.seen)) count(kind);
        for (const told of stage.told) {
          if (told.call !== 'prepare' || !('value' in told)) continue;
          if (told.value === 'commit') count('yes');
          if (isRefusal(told.value)) count('no');
        }
        if (hasSucceeded(effects.finish)) count('committed');
        if (hasSucceeded(effects.undo)) count('rolled back');
        if (isNew) count('restarted');
      }),
      { seed: SEED, numRuns: RUNS },
    );

    // The search is worth something only if it came by all of these.
    expect(Object.fromEntries([...seen].filter(([, times]) => times < RUNS / 60))).toEqual({});
    expect(seen.size).toBe(18);
  }, 120_000);

  it(`refuses values that are no branch and no step, and changes nothing (seed ${SEED}, ${RUNS} runs)`, async () => {
    const fields = [
      'transactionId',
      'branchId',
      'attempt',
      'run',
      'name',
      'logId',
      'epoch',
      'token',
      'isUnsettled',
    ];
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...CALLS),
        fc.option(fc.tuple(fc.constantFrom(...fields), hostileValues), { nil: undefined }),
        fc.option(hostileValues, { nil: undefined }),
        hostileValues,
        async (call, tampering, branch, step) => {
          const records = new MemoryGuardStore();
          const guard = new ParticipantGuard(records);
          const one = { ...branchFor(call, 1), run: { ...runOf() } };
          const [field, value] = tampering ?? [];
          if (field !== undefined) Object.assign(field in one ? one : one.run, { [field]: value?.make() });
          const given = (branch === undefined ? one : branch.make()) as Branch;
          const steps = step.make() as never;
          const answer =
            call === 'commitOnePhase' ? guard.commitOnePhase(given, steps) : guard[call](given, steps);
          expect(isSound(answer)).toBe(true);
          const ended = await answer.then(
            (answered: unknown) => ({ answered }),
            (error: unknown) => ({ error }),
          );
          if ('error' in ended) checkRejection(ended.error);
          const isStep = call !== 'commitOnePhase' && typeof steps === 'function';
          const code = 'error' in ended ? (ended.error as { code?: unknown })?.code : undefined;
          if (!isStep) expect(code).toBe('DTC_GUARD_INVALID_CALL');
          if (code === 'DTC_GUARD_INVALID_CALL') {
            refused++;
            expect(records.size).toBe(0);
          }
          // The records of other branches are asked about meanwhile.
          await guard.prepare({ ...branchFor('prepare', 1), transactionId: 't2' }, () => 'commit');
          await setImmediate();
          expect(uncaught).toEqual([]);
        },
      ),
      { seed: SEED, numRuns: RUNS },
    );
    expect(refused).toBeGreaterThan(RUNS / 2);
  }, 120_000);

  it(`refuses values that are no store, and invalid options (seed ${SEED})`, () => {
    fc.assert(
      fc.property(
        hostileValues,
        fc.option(fc.constantFrom('get', 'insert', 'put'), { nil: undefined }),
        (value, method) => {
          const store =
            method === undefined
              ? value.make()
              : Object.assign(new MemoryGuardStore(), { [method]: value.make() });
          const isFunction =
            method !== undefined && typeof (store as Record<string, unknown>)[method] === 'function';
          if (isFunction) return;
          expect(() => new ParticipantGuard(store as GuardStore)).toThrow(
            expect.objectContaining({ code: 'DTC_INVALID_OPTIONS' }),
          );
        },
      ),
      { seed: SEED, numRuns: 500 },
    );
    expect(() => new ParticipantGuard(new MemoryGuardStore(), { interrupted: 'forget' as never })).toThrow(
      'interrupted must be "report" or "repeat"',
    );
  });
});
