import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Branch,
  HeuristicError,
  type HeuristicKind,
  type PreparedBranch,
  branch,
  branchKey,
} from '../../src/coordinator/index.js';
import { type TestCoordinator, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { HEURISTIC_KINDS } from '../../src/coordinator/protocol/index.js';
import { RestartableLog } from '../faults/restartable-log.js';

const SEED = 20_261_128;
const RUNS = 300;
const NAMES = ['a', 'b', 'c'] as const;

type Behaviour = 'works' | 'throws' | HeuristicKind;
type Step =
  | { readonly do: 'run'; readonly vote: 'commit' | 'abort' | 'throw' | 'late' }
  | { readonly do: 'behave'; readonly name: (typeof NAMES)[number]; readonly as: Behaviour }
  | { readonly do: 'recover' | 'restart' | 'forget' | 'advance' | 'answer' }
  | { readonly do: 'resolve'; readonly as: HeuristicKind }
  | { readonly do: 'pause' | 'resume'; readonly name: (typeof NAMES)[number] };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('run' as const), vote: fc.constantFrom('commit', 'abort', 'throw', 'late') }),
  fc.record({
    do: fc.constant('behave' as const),
    name: fc.constantFrom(...NAMES),
    as: fc.constantFrom<Behaviour>('works', 'throws', 'throws', ...HEURISTIC_KINDS),
  }),
  fc.record({ do: fc.constantFrom('recover', 'restart', 'forget', 'advance', 'answer') }),
  fc.record({ do: fc.constant('resolve' as const), as: fc.constantFrom(...HEURISTIC_KINDS) }),
  fc.record({ do: fc.constantFrom('pause', 'resume'), name: fc.constantFrom(...NAMES) }),
);

/** Three participants that outlive the coordinators over one log. */
class History {
  private readonly log = new RestartableLog();
  private readonly behaviours = new Map<string, Behaviour>();
  private readonly prepared = new Map<string, Map<string, PreparedBranch>>(
    NAMES.map((name) => [name, new Map()]),
  );
  private late: (() => void)[] = [];
  coordinator = this.make();

  async take(step: Step): Promise<void> {
    const { coordinator } = this;
    const records = [...coordinator.runtime.registry.unsettled];
    if (step.do === 'run') {
      const branches = NAMES.map((name) => branch(name, step.vote));
      // One with a paused participant is refused before it begins.
      void coordinator.transactions.run({ branches, timeoutMs: 50 }).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'DTC_PARTICIPANT_PAUSED' });
      });
    } else if (step.do === 'behave') this.behaviours.set(step.name, step.as);
    else if (step.do === 'recover') void coordinator.recover();
    else if (step.do === 'advance') await coordinator.clock.advance(100);
    else if (step.do === 'answer') for (const answer of this.late.splice(0)) answer();
    else if (step.do === 'forget') for (const { id } of records) coordinator.transactions.forget(id);
    else if (step.do === 'resolve') {
      const { completion } = coordinator.runtime.executor;
      for (const record of records)
        for (const one of record.branches) completion.resolve(one, step.as, 'by hand');
    } else if (step.do === 'pause') {
      coordinator.participants.pause(step.name, { since: 0, by: 'alice', reason: 'it fails over' });
    } else if (step.do === 'resume') coordinator.participants.resume(step.name);
    else this.coordinator = this.make();
    await settled();
  }

  private make(): TestCoordinator {
    const participants = Object.fromEntries(NAMES.map((name) => [name, this.participant(name)]));
    return createTestCoordinator({
      name: 'shop',
      log: this.log,
      participants,
      orphanSafetyMs: 100,
      maxAttempts: 2,
      retryBaseMs: 1,
      retryCapMs: 1,
      completionWaitMs: 50,
    });
  }

  private participant(name: (typeof NAMES)[number]) {
    const prepared = this.prepared.get(name)!;
    const end = (one: Branch): void => {
      const behaviour = this.behaviours.get(name) ?? 'works';
      if (behaviour === 'throws') throw new Error('busy');
      if (behaviour !== 'works') throw new HeuristicError(behaviour, 'by itself');
      prepared.delete(branchKey(one));
    };
    return {
      prepare: async (one: Branch): Promise<'commit' | 'abort'> => {
        if (name === 'c' && one.payload === 'abort') return 'abort';
        prepared.set(branchKey(one), one);
        if (name === 'c' && one.payload === 'throw') throw new Error('died');
        if (name === 'b' && one.payload === 'late')
          await new Promise<void>((resolve) => this.late.push(resolve));
        return 'commit';
      },
      commit: end,
      rollback: end,
      recover: () =>
        [...prepared.values()].map(({ transactionId, branchId }) => ({ transactionId, branchId })),
    };
  }
}

/** The answer of the registry, and the same count from every transaction that it knows. */
function counts({ participants, runtime: { registry } }: TestCoordinator): {
  readonly answered: object;
  readonly recounted: object;
} {
  const recounted = new Map<string, { stalled: number; reports: number }>(
    NAMES.map((name) => [name, { stalled: 0, reports: 0 }]),
  );
  let inFlight = 0;
  registry.forEach((record) => {
    const isInFlight = record.endedAt === 0 && !registry.unsettled.has(record);
    if (isInFlight) inFlight++;
    for (const { index, participant } of record.branches) {
      const count = recounted.get(participant.name)!;
      count.stalled += (record.stalled >> index) & 1;
      // A report is open when its transaction has ended, or has stalled.
      if (!isInFlight) count.reports += ((record.against | record.mixed | record.hazard) >> index) & 1;
    }
  });
  const answered = participants.registered().map((one) => [one.name, registry.unresolvedAt(one)] as const);
  return {
    answered: { inFlight: registry.inFlight, ...Object.fromEntries(answered) },
    recounted: { inFlight, ...Object.fromEntries(recounted) },
  };
}

describe('the counts of stalled branches, reports and transactions in flight', () => {
  it(`is the result of a recount after any history (seed ${SEED}, ${RUNS} runs)`, async () => {
    const seen = { stalled: 0, reports: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { minLength: 15, maxLength: 60 }), async (steps) => {
        const history = new History();
        for (const step of steps) {
          await history.take(step);
          const { answered, recounted } = counts(history.coordinator);
          expect(answered).toEqual(recounted);
          const text = JSON.stringify(answered);
          if (/"stalled":[1-9]/.test(text)) seen.stalled++;
          if (/"reports":[1-9]/.test(text)) seen.reports++;
        }
      }),
      { seed: SEED, numRuns: RUNS },
    );
    // The search is worth something only if it came by these.
    expect(Math.min(seen.stalled, seen.reports)).toBeGreaterThan(RUNS / 2);
  }, 60_000);

  it('a restored report on an abort does not lower the count of stalled branches', async () => {
    const history = new History();
    await history.take({ do: 'behave', name: 'a', as: 'commit' });
    await history.take({ do: 'run', vote: 'abort' });
    await history.take({ do: 'restart' });
    const a = history.coordinator.participants.resolve('a');
    expect(history.coordinator.runtime.registry.unresolvedAt(a)).toEqual({ stalled: 0, reports: 1 });
  });
});
