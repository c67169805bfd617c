import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Stock, type Step } from '../../src/coordinator/groups/stock.fixture.js';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import { settled } from '../../src/coordinator/testing/index.js';
import { Cluster, LEASE_MS, type Member } from '../support/cluster.js';
import { PROPERTY_RUNS } from '../support/property-runs.js';

const SEED = 20_261_130;
const RUNS = Math.ceil(PROPERTY_RUNS / 80);

/** What happens to the members of the coordinator, in this order. */
type Event =
  | { readonly kind: 'run'; readonly member: number; readonly count: number }
  | { readonly kind: 'pause'; readonly member: number }
  | { readonly kind: 'resume'; readonly member: number }
  | { readonly kind: 'lose'; readonly member: number; readonly fault: 'lost' | 'unanswered' | 'late' }
  | { readonly kind: 'wait'; readonly ms: number };

const member = fc.nat(5);
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('run' as const),
      member,
      count: fc.integer({ min: 1, max: 5 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(50, 300, 1_000, 6_000) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('pause', 'resume'), member }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('lose' as const),
      member,
      fault: fc.constantFrom('lost', 'unanswered', 'late'),
    }),
  },
);

/** A process is killed at the so manyth call of a step, before or after its effect. */
interface Crash {
  readonly stock: 'one' | 'two';
  readonly step: Step;
  readonly number: number;
  readonly isAfter: boolean;
}

const crash: fc.Arbitrary<Crash> = fc.record({
  stock: fc.constantFrom('one', 'two'),
  step: fc.constantFrom('work', 'discard', 'prepare', 'prepare', 'commit', 'commit', 'rollback'),
  number: fc.integer({ min: 1, max: 6 }),
  isAfter: fc.boolean(),
});

/** Members whose transactions become groups, what was told by them, and what happens. */
class Story {
  readonly stocks: Readonly<Record<'one' | 'two', Stock>>;
  readonly cluster: Cluster;
  readonly told: Outcome[] = [];
  private taken = 0;

  /**
   * @param delays how long the calls take, one after the other, in milliseconds.
   * @param reruns whether the stocks can change what is open of a group.
   */
  constructor(crashes: readonly Crash[], delays: readonly number[], reruns: boolean) {
    this.stocks = {
      one: new Stock(new Map([['tea', 3]]), reruns),
      two: new Stock(new Map([['tea', 2]]), reruns),
    };
    this.cluster = new Cluster(this.stocks as never);
    let calls = 0;
    for (const [name, stock] of Object.entries(this.stocks)) {
      const counts = new Map<string, number>();
      const strike = (id: string, step: Step, isAfter: boolean): void => {
        const number = (counts.get(`${step}/${isAfter}`) ?? 0) + 1;
        counts.set(`${step}/${isAfter}`, number);
        const isHit = crashes.some(
          (each) =>
            each.stock === name && each.step === step && each.number === number && each.isAfter === isAfter,
        );
        if (isHit) this.cluster.members.find(({ epoch }) => id.includes(`.${epoch.toString(36)}.`))?.kill();
      };
      stock.before = async ({ id, step }) => {
        const ms = delays[calls++ % delays.length]!;
        if (ms > 0) await this.cluster.clock.delay(ms);
        strike(id, step, false);
      };
      stock.after = ({ id, step }) => strike(id, step, true);
    }
  }

  async happen(event: Event): Promise<void> {
    if (event.kind === 'wait') await this.cluster.advance(event.ms);
    else {
      const { members } = this.cluster;
      this.happenTo(members[event.member % members.length]!, event);
    }
    await settled();
  }

  private happenTo(one: Member, event: Extract<Event, { member: number }>): void {
    if (event.kind === 'pause') one.pause();
    else if (event.kind === 'resume') one.resume();
    else if (event.kind === 'lose') one.log.failNext(event.fault);
    else for (let number = 0; number < event.count; number++) this.run(one);
  }

  private run(one: Member): void {
    if (!one.isRunning) return;
    // Every third one takes, and there is not enough for all of them.
    const payload = { take: { tea: ++this.taken % 3 === 0 ? 2 : -1 } };
    const branches = Object.keys(this.stocks).map((name) => branch(name, payload));
    one.coordinator.transactions.run({ branches }).then(
      (outcome) => this.told.push(outcome),
      () => {},
    );
  }

  /** Everything works from now on, and a member that was never disturbed is there. */
  async end(): Promise<Member> {
    const { cluster } = this;
    for (const stock of Object.values(this.stocks)) {
      stock.before = () => {};
      stock.after = () => {};
    }
    for (const one of cluster.members) {
      one.log.land();
      one.resume();
    }
    const witness = await cluster.start();
    await cluster.advance(8 * LEASE_MS);
    return witness;
  }
}

/** Each transaction has happened once at both stocks or at none, and what was told of it is true. */
async function check({ told, stocks }: Story, witness: Member): Promise<number> {
  const { one, two } = stocks;
  expect([one.isIdle, two.isIdle]).toEqual([true, true]);
  expect(Object.fromEntries(one.applied)).toEqual(Object.fromEntries(two.applied));
  expect([...one.applied.values()].every((times) => times === 1)).toBe(true);
  for (const { status, transactionId } of told) {
    expect(status).not.toBe('heuristic');
    if (status === 'committed') expect(one.applied.get(transactionId)).toBe(1);
    if (status === 'aborted') expect(one.applied.has(transactionId)).toBe(false);
    const known = await witness.coordinator.transactions.outcomeOf(transactionId);
    if (status !== 'pending') expect([status, 'elsewhere']).toContain(known.status);
  }
  for (const id of one.applied.keys()) {
    const { status } = await witness.coordinator.transactions.outcomeOf(id);
    expect(['committed', 'elsewhere']).toContain(status);
  }
  return one.works.filter(({ length }) => length > 1).length;
}

describe('Members of one log whose transactions become groups, wherever one of them is killed', () => {
  it('end all branches alike, tell the truth of each transaction, and leave nothing open', async () => {
    let groups = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(crash, { maxLength: 3 }),
        fc.array(fc.constantFrom(0, 0, 20, 100, 400), { minLength: 1, maxLength: 6 }),
        fc.array(event, { minLength: 5, maxLength: 20 }),
        fc.boolean(),
        async (crashes, delays, events, reruns) => {
          const story = new Story(crashes, delays, reruns);
          await story.cluster.startSteady(2);
          for (const one of events) await story.happen(one);
          groups += await check(story, await story.end());
        },
      ),
      { seed: SEED, numRuns: RUNS },
    );
    expect(groups).toBeGreaterThan(RUNS / 2);
  }, 600_000);
});
