import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant, settled } from '../../src/coordinator/testing/index.js';
import { Cluster, LEASE_MS, type Member } from '../support/cluster.js';

const SEED = 20_261_128;
const RUNS = 60;
const NAMES = ['order', 'stock', 'payment'] as const;

/** The faults of the members, in this order. */
type Event =
  | { readonly kind: 'run'; readonly member: number; readonly branches: number }
  | { readonly kind: 'kill' | 'pause' | 'resume' | 'fence'; readonly member: number }
  | {
      readonly kind: 'lose';
      readonly member: number;
      readonly fault: 'lost' | 'unanswered' | 'late' | 'stale';
    }
  | { readonly kind: 'outage'; readonly ms: number }
  | { readonly kind: 'restart' | 'start' | 'land' }
  | { readonly kind: 'wait'; readonly ms: number };

const member = fc.nat(5);
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('run' as const),
      member,
      branches: fc.integer({ min: 0, max: 3 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(50, 500, 2_000, 6_000) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('kill', 'pause', 'resume', 'fence'), member }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('lose' as const),
      member,
      fault: fc.constantFrom('lost', 'unanswered', 'late', 'stale'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('outage' as const), ms: fc.constantFrom(500, 3_000, 12_000) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('restart', 'start', 'land') }) },
);

/** How a participant behaves: mostly well. */
const behaviour = fc.constantFrom(
  'yes',
  'yes',
  'yes',
  'yes',
  'no',
  'read-only',
  'throw-after',
  'hang-after',
  'slow',
);

/** Members, their answers, and their faults. */
class Story {
  readonly cluster: Cluster;
  readonly told: Outcome[] = [];

  constructor(behaviours: readonly (readonly string[])[]) {
    this.cluster = new Cluster({});
    const { clock } = this.cluster;
    const participants = NAMES.map((name, index) => {
      const prepare = behaviours[index]!.map((one) => (one === 'slow' ? { delayMs: 700 } : one));
      const onePhase = index === 0 && { commitOnePhase: ['yes', 'no', 'throw-after', 'yes'] as const };
      const script = { prepare, commit: ['yes', 'throw-after', 'throw', 'yes'] as const, ...onePhase };
      return [name, new ScriptedParticipant(script as never, clock)] as const;
    });
    Object.assign(this.cluster.participants, Object.fromEntries(participants));
  }

  get participants(): ScriptedParticipant[] {
    return Object.values(this.cluster.participants);
  }

  async happen(event: Event): Promise<void> {
    const { cluster } = this;
    if (event.kind === 'wait') await cluster.advance(event.ms);
    else if (event.kind === 'restart') cluster.store.restart();
    else if (event.kind === 'start') await this.start();
    else if (event.kind === 'outage') {
      cluster.store.isDown = true;
      await cluster.advance(event.ms);
      cluster.store.isDown = false;
    } else if ('member' in event) {
      await this.happenTo(cluster.members[event.member % cluster.members.length]!, event);
    } else for (const { log } of cluster.members) log.land();
    await settled();
  }

  private async start(): Promise<void> {
    if (this.cluster.members.length < 6) await this.cluster.start();
  }

  private async happenTo(one: Member, event: Extract<Event, { member: number }>): Promise<void> {
    if (event.kind === 'run') this.run(one, event.branches);
    else if (event.kind === 'kill') one.kill();
    else if (event.kind === 'pause') one.pause();
    else if (event.kind === 'resume') one.resume();
    else if (event.kind === 'lose') one.log.failNext(event.fault);
    else await one.log.members.leave().catch(() => {});
  }

  private run(one: Member, branches: number): void {
    if (!one.isRunning) return;
    const names = NAMES.slice(0, branches);
    one.coordinator.transactions.run({ branches: names.map((name) => branch(name, 1)) }).then(
      (outcome) => this.told.push(outcome),
      () => {},
    );
  }

  /** Everything works from now on, and a member that was never disturbed is there. */
  async end(): Promise<Member> {
    const { cluster } = this;
    cluster.store.isDown = false;
    for (const one of cluster.members) {
      one.log.land();
      one.resume();
    }
    for (const one of this.participants) one.script = {};
    const witness = await cluster.start();
    await cluster.advance(6 * LEASE_MS);
    return witness;
  }
}

describe('Members of one log, whatever happens to them', () => {
  it('end all branches of a transaction alike, tell the truth, and leave nothing prepared', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(...NAMES.map(() => fc.array(behaviour, { minLength: 4, maxLength: 8 }))),
        fc.array(event, { minLength: 5, maxLength: 25 }),
        async (behaviours, events) => {
          const story = new Story(behaviours);
          await story.cluster.startSteady(3);
          for (const one of events) await story.happen(one);
          const witness = await story.end();
          await check(story, witness);
          expect(story.cluster.hasPrepared).toBe(false);
        },
      ),
      { seed: SEED, numRuns: RUNS },
    );
  }, 60_000);
});

/** AC1 to AC3: no two branches end differently, no decision is reversed, and what was told is true. */
async function check({ told, participants, cluster }: Story, witness: Member): Promise<void> {
  const ends = new Map<string, Set<string>>();
  for (const { effects } of participants) {
    for (const [key, effect] of effects) {
      const id = key.split('/')[0]!;
      ends.set(id, (ends.get(id) ?? new Set()).add(effect));
    }
  }
  for (const [id, effects] of ends) expect([id, ...effects]).toHaveLength(2);
  for (const outcome of told) {
    const { status, transactionId } = outcome;
    expect(outcome).not.toMatchObject({ status: 'heuristic' });
    const end = [...(ends.get(transactionId) ?? [])][0];
    if (status === 'committed') expect(end ?? 'committed').toBe('committed');
    if (status === 'aborted') expect(end ?? 'rolled-back').toBe('rolled-back');
    // A transaction that has only read has no effects, and any member answers for it all the same.
    const known = await witness.coordinator.transactions.outcomeOf(transactionId);
    if (status !== 'pending') expect([status, 'elsewhere']).toContain(known.status);
  }
  for (const [id, [effect]] of ends) {
    const { status } = await witness.coordinator.transactions.outcomeOf(id);
    const isTrue = effect === 'committed' ? ['committed', 'elsewhere'] : ['aborted', 'elsewhere'];
    expect(isTrue).toContain(status);
  }
  const living = new Set(cluster.members.filter(({ isRunning }) => isRunning).map(({ epoch }) => epoch));
  const open = witness.coordinator.runtime.members.list.map(({ epoch }) => epoch);
  expect(open.filter((epoch) => !living.has(epoch))).toEqual([]);
}
