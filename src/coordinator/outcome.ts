import type { AbortCause, HeuristicKind } from './protocol/index.js';

/** Every participant has committed. @publicApi */
export interface CommittedOutcome {
  readonly status: 'committed';
  readonly transactionId: string;
}

/**
 * Abort is decided, and whatever was prepared is being rolled back. A participant may yet report that it committed all
 * the same, a heuristic commit: that report comes after this answer, and is kept with the transaction.
 *
 * @publicApi
 */
export interface AbortedOutcome {
  readonly status: 'aborted';
  readonly transactionId: string;
  readonly cause: AbortCause;
  /** The participant that caused it, where one did. */
  readonly participant?: string;
  readonly branchId?: string;
  /** The code of the participant's refusal, where it gave one. */
  readonly code?: string;
  /** Why, in words. */
  readonly reason: string;
  /** Set where a participant refused, and said that the same request may succeed when it is tried again. */
  readonly temporary?: boolean;
  /** What the participant threw, where it did. */
  readonly error?: unknown;
}

/**
 * The outcome is not known yet, or commit is decided and not delivered everywhere. The transaction goes on by
 * itself; ask for it by its id.
 *
 * @publicApi
 */
export interface PendingOutcome {
  readonly status: 'pending';
  readonly transactionId: string;
  readonly decision: 'commit' | 'unknown';
  readonly reason: string;
}

/** One branch's report that it did not end as decided. @publicApi */
export interface HeuristicReport {
  readonly participant: string;
  readonly branchId: string;
  readonly kind: HeuristicKind;
  readonly reason: string;
}

/**
 * A participant ended otherwise than was decided, or may have. Look at each report, and correct what the participant did.
 * The decision is `abort` only where a request of `run()` was to be run again after a conflict, and a branch of its last
 * attempt reported meanwhile that it committed, or may have.
 *
 * @publicApi
 */
export interface HeuristicOutcome {
  readonly status: 'heuristic';
  readonly transactionId: string;
  readonly decision: 'commit' | 'abort';
  readonly heuristic: HeuristicKind;
  readonly reports: readonly HeuristicReport[];
}

/**
 * What the caller of a transaction is told. It never turns out false: `aborted` is said only once abort is
 * decided, `committed` only once every participant has acknowledged, and `pending` rather than a guess.
 *
 * @publicApi
 */
export type Outcome = CommittedOutcome | AbortedOutcome | PendingOutcome | HeuristicOutcome;
