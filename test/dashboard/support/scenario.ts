import { VERSION } from '../../../src/coordinator/version.js';
import type {
  AuditEntryView,
  BranchView,
  CoordinatorView,
  MemberNow,
  ParticipantView,
  TimelineEntry,
  TransactionView,
} from '../../../dashboard/src/api/views.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export type ScriptedBranch = Mutable<BranchView>;
export type ScriptedTransaction = Mutable<Omit<TransactionView, 'branches'>> & { branches: ScriptedBranch[] };
export type ScriptedParticipant = Mutable<ParticipantView>;
export type ScriptedMember = Mutable<MemberNow>;

export type ScriptedCoordinator = Omit<CoordinatorView, 'condition' | 'statistics'> & {
  readonly condition: Mutable<CoordinatorView['condition']>;
  readonly statistics: Mutable<CoordinatorView['statistics']>;
};

/** All that a coordinator knows at one moment of a bad night. */
export interface Scenario {
  readonly coordinator: ScriptedCoordinator;
  /** The youngest first. */
  readonly transactions: ScriptedTransaction[];
  readonly participants: ScriptedParticipant[];
  /** The members that share the log; none where the log is not shared. */
  readonly members: ScriptedMember[];
  /** The latest first. */
  readonly audit: AuditEntryView[];
  /** The ids of the dead messages of the outbox `orders`. */
  deadMessages: readonly string[];
  /** By how much its clock is ahead of the real one, so that time can pass at once. */
  aheadMs: number;
}

/** @returns the time of its clock, in milliseconds since 1970. */
export function nowOf({ aheadMs }: Scenario): number {
  return Date.now() + aheadMs;
}

export const STALLED_ID = 'coordinator-7-stalled';
export const IN_DOUBT_ID = 'coordinator-7-in-doubt';
export const HEURISTIC_ID = 'coordinator-7-heuristic';
export const ACTIVE_ID = 'coordinator-7-active';
export const REFUSED_ID = 'coordinator-7-refused';

const MINUTE_MS = 60_000;

/**
 * @param nowMs when it is, in milliseconds since 1970.
 * @param others how many transactions there are in which nothing is wrong.
 */
export function badNight(nowMs: number, others: number): Scenario {
  const ended = Array.from({ length: others }, (_, index) =>
    endedTransaction(nowMs - 800 - index * 37, index),
  );
  const [before, after] = [ended.slice(0, 4), ended.slice(4)];
  return {
    aheadMs: 0,
    deadMessages: [1, 2, 3].map((n) => `5f0c3a52-8d1e-4b7a-9c66-00000000000${n}`),
    coordinator: coordinatorAt(nowMs),
    transactions: [
      activeTransaction(nowMs - 400),
      ...before,
      refusedTransaction(nowMs - 2_000),
      ...after,
      inDoubtTransaction(nowMs - 38_000),
      heuristicTransaction(nowMs - 9 * MINUTE_MS),
      stalledTransaction(nowMs),
    ],
    participants: [
      participant('order', 'OrderParticipant', 3.1, 11),
      participant('inventory', 'InventoryParticipant', 4.8, 26, { refusals: 211, timeouts: 3 }),
      participant('payment', 'PaymentParticipant', 18.2, 240, {
        failures: 9,
        timeouts: 14,
        failedAttempts: 12,
        stalled: 1,
        heuristicReports: 1,
      }),
    ],
    members: [],
    audit: [
      {
        id: 'a2',
        at: iso(nowMs - 4 * MINUTE_MS),
        by: 'alice',
        action: 'retry',
        target: `${STALLED_ID}/payment`,
        reason: 'the provider says that it is back',
        detail: null,
      },
      {
        id: 'a1',
        at: iso(nowMs - 30 * MINUTE_MS),
        by: 'rob',
        action: 'resume',
        target: 'payment',
        reason: 'maintenance is over',
        detail: null,
      },
    ],
  };
}

/** Two members that live, one of which the fake is, and one that is gone. */
export function threeMembers({ coordinator }: Scenario): ScriptedMember[] {
  const { condition, epoch } = coordinator;
  const common = {
    leaseAgeMs: 400,
    adoptedBy: null,
    presumable: true,
    draining: false,
    problem: null,
    version: '1.0.0-rc.1',
  } as const;
  return [
    {
      ...common,
      epoch: epoch - 2,
      member: 'shop-0',
      address: 'http://10.4.0.11:3000',
      self: false,
      state: 'lost',
      leaseAgeMs: 9_000,
      condition: null,
      version: null,
    },
    {
      ...common,
      epoch: epoch - 1,
      member: 'shop-1',
      address: 'http://10.4.0.12:3000',
      self: false,
      state: 'alive',
      condition: { ...condition, inFlight: 5, inDoubt: 0, stalled: 0, heuristic: 0 },
    },
    {
      ...common,
      epoch,
      member: 'shop-2',
      address: 'http://10.4.0.13:3000',
      self: true,
      state: 'alive',
      condition,
    },
  ];
}

function coordinatorAt(nowMs: number): ScriptedCoordinator {
  return {
    name: 'orders-eu-1',
    logId: 'k3v9x2ma',
    epoch: 7,
    version: VERSION,
    durable: true,
    startedAt: iso(nowMs - 26 * 60 * MINUTE_MS),
    condition: {
      accepting: true,
      draining: false,
      recovering: false,
      fenced: false,
      logProblem: null,
      restartNeeded: false,
      inFlight: 17,
      maxInFlight: 1_000,
      inDoubt: 1,
      stalled: 1,
      heuristic: 1,
      oldestInDoubtMs: 38_000,
      silent: 0,
      oldestStalledMs: 12 * MINUTE_MS,
    },
    statistics: {
      committed: 1_284_310,
      aborted: 4_127,
      pending: 6,
      heuristicReports: 1,
      retries: 96,
      lateAnswers: 4,
      timeouts: 17,
      refusals: 4_096,
      orphans: 0,
      defects: 0,
    },
  };
}

function participant(
  name: string,
  className: string,
  p50Ms: number,
  p99Ms: number,
  counts: Partial<ParticipantView['counts']> = {},
): ScriptedParticipant {
  return {
    name,
    className,
    onePhase: name === 'order',
    ambient: false,
    lastResource: false,
    prepareTimeoutMs: 2_000,
    completionTimeoutMs: 2_000,
    maxAttempts: 10,
    retryBaseMs: 100,
    retryCapMs: 30_000,
    paused: null,
    silent: null,
    counts: {
      commitVotes: 1_284_310,
      readOnlyVotes: 0,
      refusals: 0,
      failures: 0,
      timeouts: 0,
      lateAnswers: 0,
      lateFailures: 0,
      committed: 1_284_309,
      rolledBack: 4_127,
      failedAttempts: 0,
      heuristicReports: 0,
      stalled: 0,
      ...counts,
    },
    latency: {
      prepare: { count: 1_288_437, p50Ms, p99Ms },
      completion: { count: 1_288_436, p50Ms: p50Ms / 2, p99Ms },
    },
    undecided: { undecidable: 0, foreign: 0, oldest: [] },
  };
}

function branch(participant: string, fields: Partial<ScriptedBranch> = {}): ScriptedBranch {
  return {
    branchId: participant,
    participant,
    vote: 'commit',
    state: 'committed',
    stalled: false,
    held: false,
    attempts: 1,
    lastError: null,
    nextAttemptAt: null,
    heuristic: null,
    ...fields,
  };
}

function transaction(
  transactionId: string,
  startedMs: number,
  fields: Partial<ScriptedTransaction>,
): ScriptedTransaction {
  return {
    transactionId,
    name: 'create-order',
    state: 'COMMITTED',
    stalled: false,
    inDoubt: false,
    decision: 'commit',
    cause: null,
    reason: null,
    heuristic: null,
    startedAt: iso(startedMs),
    deadlineAt: iso(startedMs + 5_000),
    decidedAt: iso(startedMs + 31),
    endedAt: null,
    durationMs: null,
    ageMs: 0,
    branches: [],
    timeline: [],
    ...fields,
  };
}

const VOTES: readonly TimelineEntry[] = [
  { atMs: 0, event: 'begun', detail: 'create-order' },
  { atMs: 0.4, event: 'preparing' },
  { atMs: 3.6, event: 'voted', branchId: 'order', detail: 'commit' },
  { atMs: 6.1, event: 'voted', branchId: 'inventory', detail: 'commit' },
  { atMs: 24.8, event: 'voted', branchId: 'payment', detail: 'commit' },
];
const DECIDED: TimelineEntry = { atMs: 31.2, event: 'decided', detail: 'commit' };
const DELIVERED: readonly TimelineEntry[] = [
  { atMs: 33.9, event: 'committed', branchId: 'order', attempt: 1 },
  { atMs: 36.4, event: 'committed', branchId: 'inventory', attempt: 1 },
];

function stalledTransaction(nowMs: number): ScriptedTransaction {
  const startedMs = nowMs - 12 * MINUTE_MS - 4_000;
  const attempts = [39, 190, 420, 1_100, 2_300, 5_900, 11_800, 26_000, 51_000, 80_400].map(
    (atMs, index): TimelineEntry => ({
      atMs,
      event: index === 3 ? 'attempt-timed-out' : 'attempt-failed',
      branchId: 'payment',
      attempt: index + 1,
      detail: index === 3 ? 'no answer within 2000 ms' : 'connect ECONNREFUSED 10.4.0.17:8443',
    }),
  );
  return transaction(STALLED_ID, startedMs, {
    state: 'COMMITTING',
    stalled: true,
    branches: [
      branch('order'),
      branch('inventory'),
      branch('payment', {
        state: 'committing',
        stalled: true,
        attempts: 10,
        lastError: 'connect ECONNREFUSED 10.4.0.17:8443',
        nextAttemptAt: iso(nowMs + 21_000),
      }),
    ],
    timeline: [
      ...VOTES,
      DECIDED,
      ...DELIVERED,
      ...attempts,
      { atMs: 80_401, event: 'stalled', branchId: 'payment' },
    ],
  });
}

function inDoubtTransaction(startedMs: number): ScriptedTransaction {
  return transaction(IN_DOUBT_ID, startedMs, {
    state: 'READY',
    inDoubt: true,
    decision: null,
    decidedAt: null,
    branches: ['order', 'inventory', 'payment'].map((name) =>
      branch(name, { state: 'prepared', attempts: 0 }),
    ),
    timeline: [
      ...VOTES,
      { atMs: 31.4, event: 'record-unknown', detail: 'the log did not confirm the record: EIO' },
    ],
  });
}

function heuristicTransaction(startedMs: number): ScriptedTransaction {
  const reason = 'the authorisation had expired, and the provider freed it';
  return transaction(HEURISTIC_ID, startedMs, {
    heuristic: 'rollback',
    endedAt: iso(startedMs + 48),
    durationMs: 48,
    branches: [
      branch('order'),
      branch('inventory'),
      branch('payment', { state: 'heuristic', heuristic: { kind: 'rollback', reason } }),
    ],
    timeline: [
      ...VOTES,
      DECIDED,
      ...DELIVERED,
      { atMs: 47.7, event: 'heuristic', branchId: 'payment', attempt: 1, detail: `rollback: ${reason}` },
      { atMs: 48, event: 'ended', detail: 'COMMITTED' },
    ],
  });
}

function activeTransaction(startedMs: number): ScriptedTransaction {
  return transaction(ACTIVE_ID, startedMs, {
    name: 'move-stock',
    state: 'ACTIVE',
    decision: null,
    decidedAt: null,
    deadlineAt: iso(startedMs + 30 * MINUTE_MS),
    branches: [branch('inventory', { vote: null, state: 'enlisted', attempts: 0 })],
    timeline: [{ atMs: 0, event: 'begun', detail: 'move-stock' }],
  });
}

function refusedTransaction(startedMs: number): ScriptedTransaction {
  return transaction(REFUSED_ID, startedMs, {
    state: 'ABORTED',
    decision: 'abort',
    cause: 'refused',
    reason: 'inventory: OUT_OF_STOCK, not enough left',
    endedAt: iso(startedMs + 9.2),
    durationMs: 9.2,
    branches: [
      branch('order', { state: 'rolled-back' }),
      branch('inventory', { state: 'refused', vote: 'abort', attempts: 0, lastError: 'not enough left' }),
      branch('payment', { state: 'rolled-back', vote: null }),
    ],
    timeline: [
      ...VOTES.slice(0, 3),
      { atMs: 5.2, event: 'refused', branchId: 'inventory', detail: 'OUT_OF_STOCK: not enough left' },
      { atMs: 5.3, event: 'decided', detail: 'abort' },
      { atMs: 7.7, event: 'rolled-back', branchId: 'order', attempt: 1 },
      { atMs: 9.1, event: 'rolled-back', branchId: 'payment', attempt: 1 },
      { atMs: 9.2, event: 'ended', detail: 'ABORTED' },
    ],
  });
}

function endedTransaction(startedMs: number, index: number): ScriptedTransaction {
  const durationMs = 22 + (index % 19) * 1.7;
  const isAborted = index % 23 === 11;
  return transaction(`coordinator-7-${(500_000 - index).toString(36)}`, startedMs, {
    name: ['create-order', 'create-order', 'cancel-order', 'move-stock'][index % 4]!,
    ...(isAborted && {
      state: 'ABORTED',
      decision: 'abort',
      cause: 'timed-out',
      reason: 'payment did not vote within 2000 ms',
    }),
    endedAt: iso(startedMs + durationMs),
    durationMs,
    ageMs: durationMs,
    branches: ['order', 'inventory', 'payment'].map((name) =>
      branch(name, isAborted ? { state: 'rolled-back' } : {}),
    ),
    timeline: [...VOTES, DECIDED, ...DELIVERED],
  });
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
