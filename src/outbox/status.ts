import type { OutboxCounts } from './store.js';

/** The state of one outbox. @publicApi */
export interface OutboxStatus {
  readonly name: string;
  /** What its tables hold, as counted last. Undefined until then, and while the database does not answer. */
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

/** The health of all outboxes, for a check of the application. @publicApi */
export interface OutboxHealth {
  /** `degraded`: messages are dead or cannot be sent. Transactions work all the same, so a restart would not help. */
  readonly status: 'up' | 'degraded';
  /** One sentence for each problem. */
  readonly problems: readonly string[];
}
