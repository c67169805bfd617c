import type { AbortCause, HeuristicKind } from './protocol/index.js';

/** The fields that every outcome has. @publicApi */
export interface OutcomeOfTransaction {
  readonly transactionId: string;
  /**
   * Set where the request had a key that belongs to an earlier request. Nothing was begun: this is what has
   * become of the transaction of the earlier request.
   */
  readonly repeated?: true;
}

/** Every participant has committed. @publicApi */
export interface CommittedOutcome extends OutcomeOfTransaction {
  readonly status: 'committed';
}

/**
 * Abort is decided, and every prepared branch is being rolled back. A participant may still report that it
 * committed, a heuristic commit. That report comes after this answer, and is kept with the transaction.
 *
 * @publicApi
 */
export interface AbortedOutcome extends OutcomeOfTransaction {
  readonly status: 'aborted';
  readonly cause: AbortCause;
  /** The participant that caused it, if a participant did. */
  readonly participant?: string;
  readonly branchId?: string;
  /** The code of the participant's refusal, if it gave one. */
  readonly code?: string;
  /** The reason, for people. */
  readonly reason: string;
  /** Set where a participant refused, and said that the same request may succeed when it is tried again. */
  readonly temporary?: boolean;
  /** The error of the participant, if it threw one. */
  readonly error?: unknown;
}

/**
 * The outcome is not known yet, or commit is decided and not delivered everywhere. The transaction continues
 * by itself. Ask for its outcome by its id.
 *
 * @publicApi
 */
export interface PendingOutcome extends OutcomeOfTransaction {
  readonly status: 'pending';
  readonly decision: 'commit' | 'unknown';
  readonly reason: string;
  /**
   * The code of the refusal, where a coordinator in another process has refused to say. With
   * `DTC_TRANSACTION_NOT_FOUND` the coordinator has forgotten the transaction, and nothing more will be known
   * of it: look at the data of the participants.
   */
  readonly code?: string;
}

/** One branch's report that it did not end as decided. @publicApi */
export interface HeuristicReport {
  readonly participant: string;
  readonly branchId: string;
  readonly kind: HeuristicKind;
  readonly reason: string;
}

/**
 * A participant ended against the decision, or may have. Look at each report, and correct the effect at the
 * participant. The decision is `abort` only if a request of `run()` was to run again after a conflict, and a
 * branch of its last attempt has reported meanwhile that it committed, or may have.
 *
 * @publicApi
 */
export interface HeuristicOutcome extends OutcomeOfTransaction {
  readonly status: 'heuristic';
  readonly decision: 'commit' | 'abort';
  readonly heuristic: HeuristicKind;
  readonly reports: readonly HeuristicReport[];
}

/**
 * The outcome that the caller of a transaction is told. It is always true: `aborted` is reported only once
 * abort is decided, `committed` only once every participant has acknowledged, and `pending` when neither is
 * known.
 *
 * @publicApi
 */
export type Outcome = CommittedOutcome | AbortedOutcome | PendingOutcome | HeuristicOutcome;

/**
 * What is known of a transaction, whichever member has begun it. Nothing here is a guess.
 *
 * - `committed` and `aborted`: the decision, and it is final.
 * - `pending`: the member that owns the transaction says that it is not decided, or not known yet.
 * - `elsewhere`: only the member with the epoch `owner` can know more, and it was not asked or has not
 *   answered. Ask again later.
 * - `unknown`: never to be taken for aborted. The outcome was kept long enough and is gone (`purged`,
 *   `forgotten`); the log may have lost it (`undecidable`); the id is of another log (`foreign`); or the log
 *   cannot be asked now (`log-unavailable`).
 *
 * @publicApi
 */
export type KnownOutcome = { readonly transactionId: string } & (
  | { readonly status: 'committed' | 'aborted' | 'pending' }
  | {
      readonly status: 'elsewhere';
      /** The epoch of the member to ask. */
      readonly owner: number;
      /** The URL at which it is reached; null when it has none. */
      readonly address: string | null;
    }
  | {
      readonly status: 'unknown';
      readonly because: 'purged' | 'forgotten' | 'undecidable' | 'foreign' | 'log-unavailable';
    }
);
