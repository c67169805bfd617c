import type { OutboxMessage } from './message.js';

/** A message that this relay, and no other one, sends until its lease ends. @publicApi */
export interface ClaimedMessage extends Omit<OutboxMessage, 'payload'> {
  /** The payload as JSON. */
  readonly json: string;
}

/** What became of one attempt. @publicApi */
export type AttemptResult =
  | { readonly kind: 'sent' }
  /** It is tried again after `retryInMs` milliseconds. */
  | { readonly kind: 'failed'; readonly error: string; readonly retryInMs: number }
  /** It is not tried again by itself. */
  | { readonly kind: 'dead'; readonly error: string }
  /** It was interrupted, which does not count as an attempt. */
  | { readonly kind: 'interrupted' };

/** The result of an attempt, for the store. @publicApi */
export interface RecordedAttempt {
  readonly position: number;
  readonly attempt: number;
  readonly result: AttemptResult;
}

/** How many messages an outbox holds. @publicApi */
export interface OutboxCounts {
  /** Messages that are not sent yet. Counted up to 10,000. */
  readonly waiting: number;
  /** The age of the oldest of them in milliseconds; 0 when there is none. */
  readonly oldestMs: number;
  /** Messages that are not tried again by themselves. Counted up to 10,000. */
  readonly dead: number;
}

/** A message that has used up its attempts. @publicApi */
export interface DeadMessage {
  readonly id: string;
  readonly topic: string;
  readonly key?: string | undefined;
  readonly position: number;
  readonly transactionId: string;
  readonly writtenAt: string;
  readonly attempts: number;
  readonly error: string;
}

/** The most messages of one state that are counted. */
export const MOST_COUNTED = 10_000;

/** The most rows that one statement deletes. */
export const DELETED_AT_ONCE = 1_000;

/** The most dead messages that one call lists, sends again or deletes. */
export const MOST_DEAD_AT_ONCE = 1_000;

/**
 * Where the messages of one database are. `PostgresOutbox` and `MariaDbOutbox` implement it. Several relays, also of other
 * processes, may use one at the same time.
 *
 * @publicApi
 */
export interface OutboxStore {
  /** The name in metrics, log lines and health. */
  readonly name: string;

  /** Finds the tables, and makes missing ones if that is wanted. @throws OutboxError when they cannot be used. */
  start(): Promise<void>;

  /**
   * Takes messages that are due, and counts an attempt of each. Of a key only the first waiting message is taken, so that
   * one that fails blocks the later ones until it is sent or dead. A message that another relay has taken is skipped.
   *
   * @param limit the most messages.
   * @param leaseMs after this time without a result the message is due again.
   */
  claim(limit: number, leaseMs: number): Promise<readonly ClaimedMessage[]>;

  /** Keeps the results of attempts. A result other than `sent` counts only for the latest attempt of its message. */
  record(attempts: readonly RecordedAttempt[]): Promise<void>;

  /** Counts its messages. */
  count(): Promise<OutboxCounts>;

  /**
   * Deletes some messages that were sent this long ago, and keys that no branch has locked for an hour.
   *
   * @returns whether there may be more.
   */
  purge(retainSentMs: number): Promise<boolean>;

  /** @returns dead messages, the oldest first. @param limit at most 1,000. */
  listDead(limit: number): Promise<readonly DeadMessage[]>;

  /** Sends dead messages again, with all their attempts. @param ids at most 1,000. @returns how many were dead. */
  requeue(ids: readonly string[]): Promise<number>;

  /** Deletes dead messages. @param ids at most 1,000. @returns how many were dead. */
  discard(ids: readonly string[]): Promise<number>;

  /** Closes its connections. */
  close(): Promise<void>;
}
