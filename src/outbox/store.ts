import type { DeadMessage, DeadMessageInFull, OutboxCounts } from '../coordinator/operator/outboxes.js';
import type { OutboxMessage } from './message.js';

export type { DeadMessage, DeadMessageInFull, OutboxCounts };

/** A message that this relay, and no other one, sends until its lease ends. @publicApi */
export interface ClaimedMessage extends Omit<OutboxMessage, 'payload'> {
  /** The payload as JSON. */
  readonly json: string;
}

/** The result of one attempt. @publicApi */
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

/** The most messages of one state that are counted. */
export const MOST_COUNTED = 10_000;

/** The most rows that one statement deletes. */
export const DELETED_AT_ONCE = 1_000;

/** The most dead messages that one call lists, sends again or deletes. */
export const MOST_DEAD_AT_ONCE = 1_000;

/**
 * Where the messages of one database are. `PostgresOutbox` and `MariaDbOutbox` implement it. Several relays,
 * also of other processes, may use one at the same time.
 *
 * @publicApi
 */
export interface OutboxStore {
  /** The name in metrics, log lines and health. */
  readonly name: string;

  /**
   * Finds the tables, and makes missing ones if that is wanted.
   *
   * @throws OutboxError when they cannot be used.
   */
  start(): Promise<void>;

  /**
   * Takes messages that are due, and counts an attempt of each. Of a key only the first waiting message is
   * taken, so that one that fails blocks the later ones until it is sent or dead. A message that another
   * relay has taken is skipped.
   *
   * @param limit the most messages.
   * @param leaseMs after this time without a result the message is due again.
   */
  claim(limit: number, leaseMs: number): Promise<readonly ClaimedMessage[]>;

  /**
   * Keeps the results of attempts. A result other than `sent` counts only for the latest attempt of its
   * message.
   */
  record(attempts: readonly RecordedAttempt[]): Promise<void>;

  /** Counts its messages. */
  count(): Promise<OutboxCounts>;

  /**
   * Deletes some messages that were sent this long ago, and keys that no branch has locked for an hour.
   *
   * @returns whether there may be more.
   */
  purge(retainSentMs: number): Promise<boolean>;

  /**
   * @param limit at most 1,000.
   * @param after a position: only messages behind it are listed. @default 0
   * @returns dead messages in the order of their positions, without what they say.
   */
  listDead(limit: number, after?: number): Promise<readonly DeadMessage[]>;

  /** @returns a dead message with what it says; undefined when no message with this id is dead. */
  findDead(id: string): Promise<DeadMessageInFull | undefined>;

  /**
   * Sends dead messages again, with all their attempts. One that has a key comes last of its key: it gets
   * another position, under the lock on the key. While a branch holds that key the message stays dead.
   *
   * @param ids at most 1,000.
   * @returns how many wait to be sent now.
   */
  requeue(ids: readonly string[]): Promise<number>;

  /** Deletes dead messages. @param ids at most 1,000. @returns how many were dead. */
  discard(ids: readonly string[]): Promise<number>;

  /** Closes its connections. */
  close(): Promise<void>;
}
