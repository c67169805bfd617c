import type { Attributes } from '../participant/attributes.js';
import type { AbortCause, HeuristicKind } from '../protocol/index.js';

/** The fields of every event. No event holds a payload. @publicApi */
export interface TransactionEvent {
  readonly transactionId: string;
  readonly name: string;
  /** The ids of its branches. */
  readonly branches: readonly string[];
  /** The keys of the business that its caller has given it, if any. */
  readonly attributes?: Attributes;
}

/** Every participant has committed, or had nothing to commit. @publicApi */
export interface TransactionCommittedEvent extends TransactionEvent {
  readonly durationMs: number;
}

/** Every participant has been rolled back. @publicApi */
export interface TransactionAbortedEvent extends TransactionEvent {
  readonly durationMs: number;
  readonly cause: AbortCause;
  readonly reason: string;
}

/** The caller was told that the outcome is pending. @publicApi */
export interface TransactionPendingEvent extends TransactionEvent {
  readonly decision: 'commit' | 'unknown';
  readonly reason: string;
}

/** A branch used up its attempts. The recovery job continues with it. @publicApi */
export interface TransactionStalledEvent extends TransactionEvent {
  readonly branchId: string;
  readonly participant: string;
  readonly attempts: number;
  readonly lastError: string;
}

/** A participant ended against the decision, or may have. @publicApi */
export interface TransactionHeuristicEvent extends TransactionEvent {
  readonly branchId: string;
  readonly participant: string;
  readonly kind: HeuristicKind;
  readonly reason: string;
}

/** The vote of a branch is about to expire, and the branch is not completed. @publicApi */
export interface TransactionExpiringEvent extends TransactionEvent {
  readonly branchId: string;
  readonly participant: string;
  /** When the vote expires, in milliseconds since the epoch, and how long that is from now. */
  readonly expiresAt: number;
  readonly leftMs: number;
  /**
   * `commit`: it is decided, and not delivered yet. `unknown`: the branch is prepared, and nothing is
   * decided.
   */
  readonly decision: 'commit' | 'unknown';
}

/**
 * The events that the coordinator emits through `@nestjs/event-emitter`, each after the fact. An application
 * that wants to listen imports `EventEmitterModule.forRoot()`. A listener decides nothing. Its error is
 * logged and changes nothing.
 *
 * @publicApi
 */
export const TRANSACTION_EVENTS = {
  committed: 'transaction.committed',
  aborted: 'transaction.aborted',
  pending: 'transaction.pending',
  stalled: 'transaction.stalled',
  heuristic: 'transaction.heuristic',
  expiring: 'transaction.expiring',
} as const;

/** The payload of each event, by its name. @publicApi */
export interface TransactionEventPayloads {
  readonly 'transaction.committed': TransactionCommittedEvent;
  readonly 'transaction.aborted': TransactionAbortedEvent;
  readonly 'transaction.pending': TransactionPendingEvent;
  readonly 'transaction.stalled': TransactionStalledEvent;
  readonly 'transaction.heuristic': TransactionHeuristicEvent;
  readonly 'transaction.expiring': TransactionExpiringEvent;
}
