import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import { type TestCoordinator, createTestCoordinator } from '../../src/coordinator/testing/index.js';
import { type Told, listenTo } from '../faults/told.js';
import { FAULTS, type Fault, Network, RemoteLog, RemoteParticipant, SteppedClock } from './network.js';
import { PROPERTY_RUNS } from '../support/property-runs.js';

const SEED = 20_260_803;

/** Mostly sound, so that enough transactions commit; the rate differs from run to run. */
const faults = fc.oneof(
  { weight: 1, arbitrary: fc.constant<Fault[]>([]) },
  {
    weight: 1,
    arbitrary: fc.array(
      fc.oneof(
        { weight: 3, arbitrary: fc.constant<Fault>('none') },
        { weight: 1, arbitrary: fc.constantFrom<Fault>(...FAULTS) },
      ),
      { maxLength: 6 },
    ),
  },
  { weight: 1, arbitrary: fc.array(fc.constantFrom<Fault>(...FAULTS), { maxLength: 8 }) },
);

const vote = fc.oneof(
  { weight: 8, arbitrary: fc.constant('commit' as const) },
  { weight: 1, arbitrary: fc.constant('read-only' as const) },
  { weight: 1, arbitrary: fc.constant('abort' as const) },
);

const scenario = fc.record({
  branches: fc.array(fc.record({ vote, faults }), { minLength: 1, maxLength: 4 }),
  logFaults: faults,
  caller: fc.constantFrom('runs', 'runs', 'commits', 'rolls back as well', 'cancels'),
  timers: fc.array(fc.oneof(fc.integer({ min: 1, max: 600 }), fc.constant('recovery' as const)), {
    maxLength: 8,
  }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

/** Starts the transaction as its caller does. Later actions of the caller are tasks of the scheduler. */
function start(
  { transactions }: TestCoordinator<SteppedClock>,
  { branches, caller }: Scenario,
  scheduler: fc.Scheduler,
): Told {
  const requests = branches.map((_, index) => branch(`p${index}`, index));
  const controller = new AbortController();
  if (caller === 'runs' || caller === 'cancels') {
    if (caller === 'cancels') {
      scheduler.scheduleSequence([async () => controller.abort(new Error('changed my mind'))]);
    }
    return listenTo(transactions.run({ branches: requests, signal: controller.signal }));
  }
  const transaction = transactions.begin();
  for (const request of requests) transaction.enlist(request);
  const told: Told = { outcome: undefined, error: undefined };
  scheduler.scheduleSequence([async () => hear(transaction.commit(), told)]);
  if (caller === 'rolls back as well') {
    scheduler.scheduleSequence([async () => hear(transaction.rollback(), told)]);
  }
  return told;
}

/** Every caller must get the same answer, however often it asks. */
function hear(answer: Promise<Outcome>, told: Told): void {
  void answer.then((outcome) => {
    if (told.outcome !== undefined && told.outcome !== outcome) told.error = new Error('told two outcomes');
    told.outcome = outcome;
  });
}

describe('The asynchronous code under every order of messages and timers', () => {
  it(`keeps AC1 to AC3, AC5 and told = actual (seed ${SEED}, ${PROPERTY_RUNS} runs)`, async () => {
    const witnesses = {
      committed: 0,
      aborted: 0,
      pending: 0,
      pendingThenAborted: 0,
      lateAnswers: 0,
      stalled: 0,
    };
    const property = fc.asyncProperty(fc.scheduler(), scenario, async (scheduler, one) => {
      const network = new Network(scheduler);
      const log = new RemoteLog(network, one.logFaults);
      const remotes = one.branches.map(
        (given, index) => new RemoteParticipant(`p${index}`, network, given.vote, given.faults),
      );
      const clock = new SteppedClock();
      const coordinator = createTestCoordinator({
        clock,
        log,
        participants: Object.fromEntries(remotes.map((remote, index) => [`p${index}`, remote])),
        timeoutMs: 1_000,
        prepareTimeoutMs: 500,
        completionTimeoutMs: 500,
        maxAttempts: 2,
        maxInFlight: 4,
        retainFinished: 4,
        retainFinishedMs: 86_400_000,
      });
      const told = start(coordinator, one, scheduler);
      let hasStalled = false;
      const elapse = (ms: number): void => {
        clock.move(ms);
        coordinator.sweep();
        hasStalled ||= coordinator.runtime.registry.unsettled.size > 0;
      };
      scheduler.scheduleSequence(
        one.timers.map((timer) => async () => {
          if (timer === 'recovery') void coordinator.recover();
          else elapse(timer);
        }),
      );
      await scheduler.waitIdle();
      const early = told.outcome;

      network.heal();
      const { registry } = coordinator.runtime;
      for (let round = 0; round < 20; round++) {
        await scheduler.waitIdle();
        if (registry.inFlight === 0 && registry.unsettled.size === 0) break;
        elapse(1_000);
        void coordinator.recover();
      }

      const outcome = told.outcome!;
      expect(outcome).toBeDefined();
      expect(told.error).toBeUndefined();
      if (early !== undefined) expect(outcome).toBe(early);
      const { transactionId } = outcome;
      const view = coordinator.transactions.find(transactionId)!;
      // AC5, and nothing that stays behind.
      expect(['COMMITTED', 'ABORTED']).toContain(view.state);
      expect([registry.inFlight, registry.unsettled.size]).toEqual([0, 0]);

      const isCommit = view.state === 'COMMITTED';
      for (const remote of remotes) {
        const ledger = remote.ledgerOf(transactionId);
        if (isCommit) {
          // AC3: every participant voted for it. AC1, AC2: every participant has done it, once, and never the
          // opposite.
          expect(['commit', 'read-only']).toContain(ledger.vote);
          expect(ledger).toMatchObject({ held: 0, committed: ledger.vote === 'commit' ? 1 : 0, undone: 0 });
        } else {
          expect(ledger).toMatchObject({ held: 0, committed: 0 });
        }
      }
      // A record means commit permanently, and without one nothing that needs it was committed.
      const needsRecord = remotes.some((remote) => remote.ledgerOf(transactionId).vote === 'commit');
      expect(log.records.has(transactionId)).toBe(isCommit && needsRecord);
      expect([...log.ended]).toEqual([...log.records]);
      // The answer to the caller is true.
      if (outcome.status === 'pending') {
        if (outcome.decision === 'commit') expect(view.state).toBe('COMMITTED');
        witnesses.pending++;
        if (!isCommit) witnesses.pendingThenAborted++;
      } else {
        expect(outcome.status).toBe(isCommit ? 'committed' : 'aborted');
      }
      witnesses[isCommit ? 'committed' : 'aborted']++;
      if (hasStalled) witnesses.stalled++;
      for (const { counts } of coordinator.participants.list()) witnesses.lateAnswers += counts.lateAnswers;
    });
    await fc.assert(property, { seed: SEED, numRuns: PROPERTY_RUNS });

    // The search is worth something only if it came by each of these often enough.
    expect(witnesses.committed).toBeGreaterThan(PROPERTY_RUNS / 10);
    expect(witnesses.aborted).toBeGreaterThan(PROPERTY_RUNS / 10);
    expect(witnesses.pending).toBeGreaterThan(PROPERTY_RUNS / 100);
    expect(witnesses.pendingThenAborted).toBeGreaterThan(0);
    expect(witnesses.lateAnswers).toBeGreaterThan(PROPERTY_RUNS / 10);
    expect(witnesses.stalled).toBeGreaterThan(PROPERTY_RUNS / 100);
  }, 180_000);
});
