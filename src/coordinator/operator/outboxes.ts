/** How many messages an outbox holds. @publicApi */
export interface OutboxCounts {
  /** Messages that are not sent yet. Counted up to 10,000. */
  readonly waiting: number;
  /** The age of the oldest of them in milliseconds; 0 when there is none. */
  readonly oldestMs: number;
  /** Messages that are not tried again by themselves. Counted up to 10,000. */
  readonly dead: number;
}

/** The state of one outbox. @publicApi */
export interface OutboxStatus {
  readonly name: string;
  /**
   * The numbers of messages in its tables, as counted last. Undefined before the first count, and while the
   * database does not answer.
   */
  readonly held: OutboxCounts | undefined;
  /** Messages that this process has sent since its start. */
  readonly sent: number;
  /** Failed attempts of this process after which the message is tried again. */
  readonly retried: number;
  /** Messages that have used up their attempts in this process. */
  readonly deadSinceStart: number;
  /** Messages that this process is sending. */
  readonly sending: number;
  /** Attempts that have used up their time, and whose function has not ended since. */
  readonly hanging: number;
  /** Why the database did not answer, when it was asked last. */
  readonly problem: string | undefined;
}

/** A message that has used up its attempts. @publicApi */
export interface DeadMessage {
  readonly id: string;
  readonly topic: string;
  readonly key?: string | undefined;
  /** A place in the list. A message that is sent again gets another one. */
  readonly position: number;
  readonly transactionId: string;
  readonly writtenAt: string;
  readonly attempts: number;
  readonly error: string;
}

/** A dead message with what it says. @publicApi */
export interface DeadMessageInFull extends DeadMessage {
  /** The payload as JSON. */
  readonly json: string;
}

/**
 * The outboxes of the application, as its operators see them. OperationsModule finds it among the providers
 * by {@link OUTBOX_DESK}, so that it depends on no outbox.
 */
export interface OutboxDesk {
  status(): readonly OutboxStatus[];

  /**
   * @returns at most so many dead messages, the first in the order of positions, behind the position `after`.
   */
  listDead(outbox: string, limit: number, after?: number): Promise<readonly DeadMessage[]>;

  /** @returns undefined when no message with this id is dead. */
  findDead(outbox: string, id: string): Promise<DeadMessageInFull | undefined>;

  /** Sends dead messages again. @returns how many. */
  requeue(outbox: string, ids: readonly string[]): Promise<number>;

  /** Deletes dead messages. @returns how many. */
  discard(outbox: string, ids: readonly string[]): Promise<number>;
}

/** Metadata of a class that is an {@link OutboxDesk}. */
export const OUTBOX_DESK = 'dtc:outbox-desk';
