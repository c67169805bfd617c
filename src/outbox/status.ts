export type { OutboxStatus } from '../coordinator/operator/outboxes.js';

/** The health of all outboxes, for a check of the application. @publicApi */
export interface OutboxHealth {
  /**
   * `degraded`: messages are dead or cannot be sent. Transactions work all the same, so a restart would not
   * help.
   */
  readonly status: 'up' | 'degraded';
  /** One sentence for each problem. */
  readonly problems: readonly string[];
}
