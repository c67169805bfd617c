// What the operators' interface answers, as far as it is shown here. Moments are ISO 8601, durations milliseconds.

export const STATES = [
  'ACTIVE',
  'PREPARING',
  'READY',
  'COMMITTING',
  'ABORTING',
  'COMMITTED',
  'ABORTED',
] as const;
export type TransactionState = (typeof STATES)[number];

export const HEURISTIC_KINDS = ['commit', 'rollback', 'mixed', 'hazard'] as const;
export type HeuristicKind = (typeof HEURISTIC_KINDS)[number];

export type Role = 'reader' | 'operator' | 'anyone';

export interface Access {
  readonly name: string | null;
  readonly role: Role;
}

export interface Condition {
  readonly accepting: boolean;
  readonly draining: boolean;
  readonly recovering: boolean;
  readonly logProblem: string | null;
  readonly restartNeeded: boolean;
  readonly inFlight: number;
  readonly maxInFlight: number;
  readonly inDoubt: number;
  readonly stalled: number;
  readonly heuristic: number;
  readonly oldestInDoubtMs: number | null;
  readonly oldestStalledMs: number | null;
}

export interface Statistics {
  readonly committed: number;
  readonly aborted: number;
  readonly pending: number;
  readonly heuristicReports: number;
  readonly retries: number;
  readonly lateAnswers: number;
  readonly timeouts: number;
  readonly refusals: number;
  readonly orphans: number;
  readonly defects: number;
}

export interface CoordinatorView {
  readonly name: string;
  readonly epoch: number;
  readonly version: string;
  readonly durable: boolean;
  readonly startedAt: string;
  readonly condition: Condition;
  readonly statistics: Statistics;
}

export interface BranchView {
  readonly branchId: string;
  readonly participant: string;
  readonly vote: 'commit' | 'read-only' | 'abort' | 'none' | null;
  readonly state:
    | 'enlisted'
    | 'preparing'
    | 'prepared'
    | 'read-only'
    | 'refused'
    | 'committing'
    | 'committed'
    | 'rolling-back'
    | 'rolled-back'
    | 'heuristic';
  readonly stalled: boolean;
  /** Its participant is paused, so its completion waits. */
  readonly held: boolean;
  readonly attempts: number;
  readonly lastError: string | null;
  readonly nextAttemptAt: string | null;
  readonly heuristic: { readonly kind: HeuristicKind; readonly reason: string } | null;
}

export interface TransactionSummary {
  readonly transactionId: string;
  readonly name: string;
  readonly state: TransactionState;
  readonly stalled: boolean;
  /** Prepared, the decision not known yet. */
  readonly inDoubt: boolean;
  readonly decision: 'commit' | 'abort' | null;
  readonly cause: string | null;
  readonly reason: string | null;
  readonly heuristic: HeuristicKind | null;
  readonly startedAt: string;
  readonly deadlineAt: string;
  readonly decidedAt: string | null;
  readonly endedAt: string | null;
  readonly durationMs: number | null;
  /** Since it began; until its end, if it ended. */
  readonly ageMs: number;
  readonly branches: readonly BranchView[];
}

export interface TimelineEntry {
  /** Since the begin of the transaction. */
  readonly atMs: number;
  readonly event: string;
  readonly branchId?: string;
  readonly attempt?: number;
  readonly detail?: string;
}

export interface TransactionView extends TransactionSummary {
  readonly timeline: readonly TimelineEntry[];
}

export interface TransactionPage {
  readonly transactions: readonly TransactionSummary[];
  readonly nextCursor: string | null;
}

export interface Latency {
  readonly count: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

export interface ParticipantCounts {
  readonly commitVotes: number;
  readonly readOnlyVotes: number;
  readonly refusals: number;
  readonly failures: number;
  readonly timeouts: number;
  readonly lateAnswers: number;
  readonly lateFailures: number;
  readonly committed: number;
  readonly rolledBack: number;
  readonly failedAttempts: number;
  readonly heuristicReports: number;
  readonly stalled: number;
}

export interface ParticipantView {
  readonly name: string;
  readonly className: string;
  readonly onePhase: boolean;
  readonly ambient: boolean;
  readonly prepareTimeoutMs: number;
  readonly completionTimeoutMs: number;
  readonly maxAttempts: number;
  readonly retryBaseMs: number;
  readonly retryCapMs: number;
  readonly paused: { readonly since: string; readonly by: string; readonly reason: string } | null;
  readonly counts: ParticipantCounts;
  readonly latency: { readonly prepare: Latency; readonly completion: Latency };
}

export interface AuditEntry {
  readonly id: string;
  readonly at: string;
  readonly by: string;
  readonly action: string;
  readonly target: string;
  readonly reason: string;
  readonly detail: string | null;
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  readonly nextCursor: string | null;
}

/** What the stream of events says, once a second. */
export interface Overview {
  readonly at: string;
  readonly coordinator: CoordinatorView;
  /** In doubt, stalled or with a heuristic report: some of them, the oldest first. */
  readonly attention: readonly TransactionSummary[];
  readonly attentionTotal: number;
  readonly participants: readonly ParticipantView[];
}
