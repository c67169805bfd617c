import type { ResolvedCoordinatorOptions } from '../../src/coordinator/index.js';
import { resolveCoordinatorOptions } from '../../src/coordinator/coordinator.options.js';
import type { Fault, Faults } from './faults.js';
import type { ParticipantTraits } from './participant.js';
import type { Random } from './random.js';

/** The properties of one world, without its faults. */
export interface Settings {
  readonly options: ResolvedCoordinatorOptions;
  readonly participants: readonly ParticipantTraits[];
  readonly clients: number;
  /** When everything heals, in milliseconds since the start. */
  readonly healAt: number;
  /** Whether an append is durable when it returns, as in a log that writes synchronously. */
  readonly logIsImmediate: boolean;
  /** How many members share the log at the start; 0 where one process at a time decides. */
  readonly members: number;
}

/** How long before a vote expires no decision is sent to the log any more. */
export const EXPIRY_MARGIN_MS = 20;

const NAMES = ['orders', 'stock', 'payment', 'points'] as const;

export function drawSettings(random: Random, faults: Faults): Settings {
  const coordinatorSurvives = ![
    'coordinator crashes',
    'coordinator crashes in the middle of a step',
    'coordinator crashes during recovery',
    'coordinator pauses beyond its lease',
    'coordinator pauses in the middle of a step',
    'coordinator is replaced while it runs',
    'write torn by a crash',
    'log breaks',
    'log is copied',
  ].some((fault) => faults.has(fault as Fault));
  const isGuarded = random.chance(0.65);
  const participants = NAMES.slice(0, random.whole(2, NAMES.length)).map((name): ParticipantTraits => ({
    name,
    isGuarded: isGuarded || random.chance(0.3),
    claims: faults.has('log is copied') && (name === NAMES[0] || random.chance(0.7)),
    onePhase: random.chance(0.25),
    // Without the list, branches that a crash of the coordinator has left are not found.
    lists: !coordinatorSurvives || random.chance(0.5),
    heedsSignals: random.chance(0.3),
    prepareTimeoutMs: faults.isCalm ? 5_000 : random.whole(30, 1_000),
    completionTimeoutMs: faults.isCalm ? 5_000 : random.whole(30, 1_000),
  }));
  return {
    options: drawOptions(random, faults.isCalm),
    participants,
    clients: random.whole(1, 12),
    // Some worlds last until a log that does not answer is asked again, which takes ten seconds.
    healAt: random.chance(0.8) ? random.whole(1_000, 6_000) : random.whole(6_000, 30_000),
    logIsImmediate: random.chance(0.2),
    members: 0,
  };
}

/** As {@link drawSettings}, for members that share a log. */
export function drawSettingsOfMembers(random: Random, faults: Faults): Settings {
  const isGuarded = random.chance(0.65);
  const leaseMs = random.whole(1_000, 5_000);
  const participants = NAMES.slice(0, random.whole(2, NAMES.length)).map((name): ParticipantTraits => ({
    name,
    isGuarded: isGuarded || random.chance(0.3),
    claims: false,
    onePhase: random.chance(0.25),
    // Only a list shows what a member has left that nothing is recorded of.
    lists: true,
    heedsSignals: random.chance(0.3),
    prepareTimeoutMs: faults.isCalm ? 5_000 : random.whole(30, 1_000),
    completionTimeoutMs: faults.isCalm ? 5_000 : random.whole(30, 1_000),
  }));
  const { recoveryIntervalMs, ...options } = drawOptions(random, faults.isCalm);
  return {
    options: { ...options, leaseMs, recoveryIntervalMs: Math.min(recoveryIntervalMs, leaseMs) },
    participants,
    clients: random.whole(2, 16),
    // Adoptions take a lease of the survivors, and then the end of that of the dead.
    healAt: leaseMs * (random.chance(0.8) ? random.between(1.5, 4) : random.between(4, 8)),
    logIsImmediate: false,
    members: random.whole(2, 4),
  };
}

function drawOptions(random: Random, isCalm: boolean): ResolvedCoordinatorOptions {
  return resolveCoordinatorOptions({
    name: 'c',
    expiryMarginMs: EXPIRY_MARGIN_MS,
    timeoutMs: isCalm ? 10_000 : random.whole(200, 4_000),
    completionWaitMs: isCalm ? 10_000 : random.whole(50, 3_000),
    maxAttempts: random.whole(1, 4),
    retryBaseMs: random.whole(5, 100),
    retryCapMs: random.whole(100, 1_000),
    recoveryIntervalMs: random.whole(150, 2_000),
    recoveryConcurrency: random.whole(1, 4),
    orphanSafetyMs: random.whole(200, 3_000),
    sweepIntervalMs: random.whole(10, 50),
    maxInFlight: random.chance(0.1) ? random.whole(1, 4) : 40,
    maxStalled: random.chance(0.1) ? random.whole(1, 3) : 40,
    retainFinished: random.chance(0.5) ? random.whole(0, 3) : 24,
    retainFinishedMs: random.whole(100, 10_000),
  });
}
