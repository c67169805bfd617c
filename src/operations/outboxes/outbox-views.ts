import type { DeadMessage, OutboxCounts, OutboxStatus } from '../../coordinator/index.js';

/** The state of one outbox, as it is shown to people. */
export interface OutboxView extends Omit<OutboxStatus, 'held' | 'problem' | 'deadSinceStart'> {
  /** As counted last; null until then, and while the database does not answer. */
  readonly held: OutboxCounts | null;
  /** Why the database does not answer; null while it does. */
  readonly problem: string | null;
}

/** A message that is not sent any more by itself. */
export interface DeadMessageView extends Omit<DeadMessage, 'key'> {
  readonly key: string | null;
}

/** A dead message with what it says. */
export interface DeadMessageDetail extends DeadMessageView {
  /** The payload as JSON, as its text. */
  readonly payload: string;
}

/** A part of the dead messages of an outbox. */
export interface DeadMessagePage {
  readonly messages: readonly DeadMessageView[];
  /** The cursor of the next page; null after the last. */
  readonly nextCursor: string | null;
}

/** The result of an order about dead messages. */
export interface MessageResult {
  readonly done: number;
  /** How many were not dead any more, or have a key that a branch holds. */
  readonly left: number;
}
