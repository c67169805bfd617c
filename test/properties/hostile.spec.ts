import { EventEmitter2 } from '@nestjs/event-emitter';
import { Logger } from '@nestjs/common';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type Branch,
  CoordinatorStatus,
  type Outcome,
  TRANSACTION_EVENTS,
  type TransactionParticipant,
  type TransactionRequest,
  branch,
} from '../../src/coordinator/index.js';
import { Reporter } from '../../src/coordinator/observation/reporter.js';
import type { EventListeners } from '../../src/coordinator/observation/event-listeners.js';
import { TransactionEvents } from '../../src/coordinator/observation/transaction-events.js';
import { NestTransactionLines } from '../../src/coordinator/observation/transaction-lines.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { type HostileValue, hostileAnswers, hostileValues } from '../support/hostile-values.js';

const RUNS = 400;
const SEED = 20261128;
const OUTCOMES = ['committed', 'aborted', 'pending', 'heuristic'];
const METHODS = ['prepare', 'commit', 'rollback', 'commitOnePhase', 'branchStarted', 'branchEnded'] as const;
type Method = (typeof METHODS)[number];

const SOUND: Record<Method, () => unknown> = {
  prepare: () => 'commit',
  commit: () => undefined,
  rollback: () => undefined,
  commitOnePhase: () => 'commit',
  branchStarted: () => undefined,
  branchEnded: () => undefined,
};

/** What the hostile participant does at its first calls of each method; then it is sound. */
type Misdeeds = Readonly<Record<Method, readonly HostileValue[]>>;

/** What it does to the branch that it is given, besides. */
const TAMPERING: Readonly<Record<string, (branch: Branch) => unknown>> = {
  nothing: () => undefined,
  freezes: Object.freeze,
  'takes its prototype': (branch) => Object.setPrototypeOf(branch, null),
  'listens and throws': ({ signal }) =>
    signal.addEventListener('abort', () => {
      throw new Error('a listener');
    }),
  'listens and rejects': ({ signal }) => {
    Object.assign(signal, { onabort: () => Promise.reject(new Error('a listener')) });
  },
};

interface Scenario {
  readonly misdeeds: Misdeeds;
  readonly tampering: string;
  readonly isAlone: boolean;
  readonly place: number;
  readonly othersRefuse: boolean;
  readonly inTurn: boolean;
  readonly payload: HostileValue;
  readonly listener: HostileValue;
}

const scenarios: fc.Arbitrary<Scenario> = fc.record({
  misdeeds: fc.record(
    Object.fromEntries(METHODS.map((method) => [method, fc.array(hostileAnswers, { maxLength: 2 })])) as {
      [M in Method]: fc.Arbitrary<HostileValue[]>;
    },
  ),
  tampering: fc.constantFrom(...Object.keys(TAMPERING)),
  isAlone: fc.boolean(),
  place: fc.nat({ max: 2 }),
  othersRefuse: fc.boolean(),
  inTurn: fc.boolean(),
  payload: hostileValues,
  listener: hostileAnswers,
});

/** A participant that does as the scenario says. */
class HostileParticipant {
  readonly told: string[] = [];
  private readonly calls = new Map<Method, number>();

  constructor(private readonly scenario: Scenario) {}

  act(method: Method, given?: Branch): unknown {
    const call = this.calls.get(method) ?? 0;
    this.calls.set(method, call + 1);
    this.told.push(method);
    if (given !== undefined && call === 0) {
      try {
        TAMPERING[this.scenario.tampering]!(given);
      } catch {
        // What it is given defends itself.
      }
    }
    const misdeed = this.scenario.misdeeds[method][call];
    return misdeed === undefined ? SOUND[method]() : misdeed.make();
  }
}

function participantOf(scenario: Scenario): [HostileParticipant, TransactionParticipant] {
  const hostile = new HostileParticipant(scenario);
  const methods = METHODS.filter((method) => method !== 'commitOnePhase' || scenario.isAlone);
  const instance = Object.fromEntries(
    methods.map((method) => [
      method,
      (given: Branch) => hostile.act(method, method.startsWith('branch') ? undefined : given),
    ]),
  );
  return [hostile, instance as unknown as TransactionParticipant];
}

async function coordinatorOf(scenario: Scenario) {
  const emitter = new EventEmitter2();
  for (const event of Object.values(TRANSACTION_EVENTS)) emitter.on(event, () => scenario.listener.make());
  const events = new TransactionEvents({ connect: async () => emitter } as unknown as EventListeners);
  await events.onModuleInit();
  const reporter = new Reporter(new NestTransactionLines(), events);
  const [hostile, instance] = participantOf(scenario);
  const others = ['left', 'right'].map(
    () => new ScriptedParticipant(scenario.othersRefuse ? { prepare: 'no' } : {}),
  );
  const coordinator = createTestCoordinator({
    participants: { hostile: instance, left: others[0]!, right: others[1]! },
    observer: reporter,
    timeoutMs: 1_000,
    prepareTimeoutMs: 300,
    completionTimeoutMs: 300,
    completionWaitMs: 500,
    maxAttempts: 2,
    retryBaseMs: 10,
    retryCapMs: 20,
  });
  const status = new CoordinatorStatus(coordinator.runtime, coordinator.participants, reporter);
  return { ...coordinator, status, reporter, hostile, others };
}

function requestOf({ isAlone, place, inTurn, payload }: Scenario): TransactionRequest {
  const hostile = branch('hostile', payload.make());
  if (isAlone) return { branches: [hostile] };
  const branches = [branch('left', 1), branch('right', 1)];
  branches.splice(place, 0, hostile);
  return { branches, prepareInTurn: inTurn };
}

/** Whether the outcome that was told is what has happened in the end. */
function contradicts(outcome: Outcome, state: string, isHeuristic: boolean): boolean {
  if (outcome.status === 'committed') return state !== 'COMMITTED' || isHeuristic;
  if (outcome.status === 'aborted') return state !== 'ABORTED';
  return (
    outcome.status === 'heuristic' && state !== (outcome.decision === 'commit' ? 'COMMITTED' : 'ABORTED')
  );
}

describe('Hostile values of user code', () => {
  const uncaught: unknown[] = [];
  const remember = (error: unknown): void => void uncaught.push(error);
  beforeAll(() => Logger.overrideLogger(false));
  afterAll(() => Logger.overrideLogger(['error', 'warn']));
  beforeEach(() => {
    uncaught.length = 0;
    process.on('unhandledRejection', remember);
    process.on('uncaughtException', remember);
  });
  afterEach(() => {
    process.off('unhandledRejection', remember);
    process.off('uncaughtException', remember);
  });

  it(`a participant's answers, throws and deeds harm no one (seed ${SEED}, ${RUNS} runs)`, async () => {
    await fc.assert(
      fc.asyncProperty(scenarios, async (scenario) => {
        const coordinator = await coordinatorOf(scenario);
        const { transactions, runtime, clock, recover, hostile, others, status, reporter } = coordinator;
        let outcome: Outcome | undefined;
        let refusal: unknown;
        void transactions.run(requestOf(scenario)).then(
          (told) => (outcome = told),
          (error: unknown) => (refusal = error),
        );
        for (let round = 0; round < 6; round++) {
          await clock.advance(700);
          await settled();
          const passed = recover();
          await clock.advance(700);
          await passed;
        }

        expect(refusal).toBeUndefined();
        expect(OUTCOMES).toContain(outcome?.status);
        const view = transactions.find(outcome!.transactionId)!;
        expect(contradicts(outcome!, view.state, view.heuristic !== null)).toBe(false);
        const isCommitted = view.state === 'COMMITTED';
        expect([isCommitted, view.state === 'ABORTED']).toContain(true);
        if (!scenario.isAlone) {
          const { vote } = view.branches.find(({ participant }) => participant === 'hostile')!;
          if (vote !== 'abort' && vote !== 'read-only') {
            expect(hostile.told).toContain(isCommitted ? 'commit' : 'rollback');
          }
          for (const [index, other] of others.entries()) {
            const effect = other.effectOn(view.transactionId, ['left', 'right'][index]!);
            expect(effect === (isCommitted ? 'rolled-back' : 'committed')).toBe(false);
            expect(effect).not.toBe('prepared');
          }
        }
        expect([runtime.registry.inFlight, reporter.statistics.defects]).toEqual([0, 0]);
        expect([...runtime.registry.unresolved().values()].every(({ stalled }) => stalled === 0)).toBe(true);
        const shown = JSON.stringify([view, status.view(), status.participants(), transactions.list()]);
        expect(shown.length).toBeLessThan(30_000);
        expect(uncaught).toEqual([]);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  }, 240_000);
});
