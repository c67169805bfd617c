import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Shop, turns } from '../../src/coordinator/groups/shop.fixture.js';
import { Stock, type Step, type Take } from '../../src/coordinator/groups/stock.fixture.js';
import type { Outcome } from '../../src/coordinator/index.js';
import { PROPERTY_RUNS } from '../support/property-runs.js';

const SEED = 20_261_129;
const RUNS = Math.ceil(PROPERTY_RUNS / 40);
const ITEMS = ['tea', 'milk'];

/** One transaction: what it takes at each stock, and when its caller cancels it. */
interface Given {
  readonly one: Take;
  readonly two: Take;
  /** After so many turns of the event loop; undefined for never. */
  readonly cancelledAfter: number | undefined;
}

/** A call that goes wrong: the so manyth of its kind at a stock. */
interface Fault {
  readonly stock: 'one' | 'two';
  readonly step: Step;
  readonly number: number;
  readonly isAfter: boolean;
}

/** True once in so many times. */
const rarely = (times: number): fc.Arbitrary<boolean> =>
  fc.oneof({ weight: times - 1, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });
const take: fc.Arbitrary<Take> = fc.record({
  take: fc.dictionary(fc.constantFrom(...ITEMS), fc.integer({ min: -1, max: 2 }), { maxKeys: 2 }),
  fails: rarely(10),
  alone: rarely(12),
  outside: rarely(12),
});
const transaction: fc.Arbitrary<Given> = fc.record({
  one: take,
  two: take,
  cancelledAfter: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined, freq: 3 }),
});
const fault: fc.Arbitrary<Fault> = fc.record({
  stock: fc.constantFrom('one', 'two'),
  step: fc.constantFrom('work', 'discard', 'prepare', 'commit', 'rollback'),
  number: fc.integer({ min: 1, max: 3 }),
  isAfter: fc.boolean(),
});

/**
 * How the stocks work: whether they go on behind a refused member, and whether they can change what is open
 * of a group.
 */
interface Habits {
  readonly goesOn: boolean;
  readonly reruns: boolean;
}

/** What became of everything, when all is over. */
interface Result {
  readonly outcomes: readonly Outcome[];
  readonly stocks: Readonly<Record<'one' | 'two', Stock>>;
}

async function runAll(
  given: readonly Given[],
  faults: readonly Fault[],
  { goesOn, reruns }: Habits,
  start: number,
): Promise<Result> {
  const items = (): Map<string, number> => new Map(ITEMS.map((item) => [item, start]));
  const stocks = { one: new Stock(items(), reruns), two: new Stock(items(), reruns) };
  for (const [name, stock] of Object.entries(stocks)) {
    stock.goesOn = goesOn;
    const counts = new Map<string, number>();
    const strike = (step: Step, isAfter: boolean): void => {
      const key = `${step}/${isAfter}`;
      const number = (counts.get(key) ?? 0) + 1;
      counts.set(key, number);
      const isHit = faults.some(
        (each) =>
          each.stock === name && each.step === step && each.isAfter === isAfter && each.number === number,
      );
      if (isHit) throw new Error(`${step} ${number} at ${name} has failed`);
    };
    // So that callers cancel, and others come, between any two calls.
    stock.before = async ({ step }) => {
      await turns(1);
      strike(step, false);
    };
    stock.after = ({ step }) => strike(step, true);
  }
  const shop = new Shop(stocks);
  const { coordinator } = shop;
  const started = given.map(({ one, two, cancelledAfter }) => {
    const controller = new AbortController();
    if (cancelledAfter !== undefined) void turns(cancelledAfter).then(() => controller.abort());
    return shop.run({ one, two }, { signal: controller.signal });
  });
  const all = Promise.all(started);
  const state = { isOver: false };
  void all.then(() => (state.isOver = true));
  await turns();
  for (let step = 0; step < 50 && !state.isOver; step++) {
    await coordinator.clock.advance(200, 50);
    await turns(5);
  }
  const outcomes = await all;
  for (let pass = 0; pass < 6; pass++) {
    await coordinator.clock.advance(1_000, 200);
    await coordinator.recover();
  }
  expect(coordinator.runtime.registry.inFlight).toBe(0);
  const ended = outcomes.map((outcome): Outcome => {
    if (outcome.status !== 'pending') return outcome;
    const end = coordinator.transactions.find(outcome.transactionId)?.state;
    expect(['COMMITTED', 'ABORTED']).toContain(end);
    return end === 'COMMITTED' ? { status: 'committed', transactionId: outcome.transactionId } : outcome;
  });
  return { outcomes: ended, stocks };
}

/** Each committed transaction has taken effect once at each stock, and no other one at any. */
function expectAtomicity(given: readonly Given[], { outcomes, stocks }: Result, start: number): void {
  for (const name of ['one', 'two'] as const) {
    const stock = stocks[name];
    expect(stock.isIdle).toBe(true);
    const expected = new Map(ITEMS.map((item) => [item, start]));
    const applied = new Map<string, number>();
    for (const [index, { status, transactionId }] of outcomes.entries()) {
      const entries = Object.entries(given[index]![name].take ?? {});
      if (status !== 'committed' || entries.length === 0) continue;
      applied.set(transactionId, 1);
      for (const [item, count] of entries) expected.set(item, expected.get(item)! - count);
    }
    expect(Object.fromEntries(stock.applied)).toEqual(Object.fromEntries(applied));
    expect(stock.contents).toEqual(Object.fromEntries(expected));
  }
}

type Contents = Record<'one' | 'two', Record<string, number>>;

function suffices(contents: Contents, { one, two }: Given): boolean {
  return [[contents.one, one] as const, [contents.two, two] as const].every(([there, { take: taken = {} }]) =>
    Object.entries(taken).every(([item, count]) => there[item]! >= count),
  );
}

function after(contents: Contents, given: Given): Contents {
  const next = structuredClone(contents);
  for (const name of ['one', 'two'] as const) {
    for (const [item, count] of Object.entries(given[name].take ?? {})) next[name][item]! -= count;
  }
  return next;
}

/**
 * Whether there is an order in which the committed transactions can have run one after the other, and each
 * refused one had a moment in it at which it could not have what it wanted.
 */
function isSerial(committed: readonly Given[], refused: readonly Given[], contents: Contents): boolean {
  const left = refused.filter((each) => suffices(contents, each));
  if (committed.length === 0) return left.length === 0;
  return committed.some(
    (next, index) =>
      suffices(contents, next) && isSerial(committed.toSpliced(index, 1), left, after(contents, next)),
  );
}

function hasSerialOutcomes(given: readonly Given[], { outcomes }: Result, start: number): boolean {
  const contents = { tea: start, milk: start };
  const committed = given.filter((_each, index) => outcomes[index]!.status === 'committed');
  const refused = given.filter((_each, index) => (outcomes[index] as { code?: string }).code === 'OUT');
  return isSerial(committed, refused, { one: { ...contents }, two: { ...contents } });
}

/** An outcome other than committed has a reason of its own transaction. */
function expectOwnReasons(given: readonly Given[], { outcomes }: Result): void {
  for (const [index, outcome] of outcomes.entries()) {
    const { one, two, cancelledAfter } = given[index]!;
    if (outcome.status === 'committed') {
      expect(one.fails === true || two.fails === true).toBe(false);
      continue;
    }
    expect(outcome.status).toBe('aborted');
    if (outcome.status !== 'aborted') continue;
    if (outcome.cause === 'cancelled') expect(cancelledAfter).toBeDefined();
    else if (outcome.cause === 'failed') expect(one.fails === true || two.fails === true).toBe(true);
    else expect(outcome).toMatchObject({ cause: 'refused', code: 'OUT' });
  }
}

const requests = fc.array(transaction, { minLength: 2, maxLength: 7 });
const habits: fc.Arbitrary<Habits> = fc.record({ goesOn: fc.boolean(), reruns: fc.boolean() });
const stockOf = fc.integer({ min: 0, max: 4 });

describe('groups, for any mix of votes', () => {
  it('each outcome is one of a serial order, and no error of a member decides another', async () => {
    await fc.assert(
      fc.asyncProperty(requests, stockOf, habits, async (given, start, how) => {
        const result = await runAll(given, [], how, start);
        expectAtomicity(given, result, start);
        expect(hasSerialOutcomes(given, result, start)).toBe(true);
        expectOwnReasons(given, result);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  }, 600_000);

  it('whichever call fails, before or after its effect, each transaction happens once everywhere or nowhere', async () => {
    await fc.assert(
      fc.asyncProperty(
        requests,
        fc.array(fault, { minLength: 1, maxLength: 4 }),
        stockOf,
        habits,
        async (given, faults, start, how) => {
          const result = await runAll(given, faults, how, start);
          expectAtomicity(given, result, start);
          expect(hasSerialOutcomes(given, result, start)).toBe(true);
        },
      ),
      { seed: SEED, numRuns: RUNS },
    );
  }, 600_000);
});
