import { CoordinatorError, WITHOUT_STACK } from './errors.js';

/**
 * A database server has all the branches in progress that it can take, and its queue is full, or this
 * transaction has waited in it for a quarter of its time. Safe to try again.
 *
 * @publicApi
 */
export class ServerBusyError extends CoordinatorError {
  readonly code = 'DTC_SERVER_BUSY';
  /** When to try again, in milliseconds, from 1. */
  readonly retryAfterMs: number;

  /**
   * @param participants the participants on the server.
   * @param limit the most branches that may be in progress there now.
   * @param expectedWaitMs the expected wait for room.
   */
  constructor(
    readonly participants: readonly string[],
    readonly limit: number,
    expectedWaitMs: number,
  ) {
    super(
      `The database server of ${participants.map((name) => `"${name}"`).join(', ')} takes ${limit} branches at a time, ` +
        'and too many transactions wait for it. Nothing was started: try again later, or give the server more prepared ' +
        'transactions and connections.',
      WITHOUT_STACK,
    );
    this.retryAfterMs = Math.min(Math.max(1, Math.ceil(expectedWaitMs)), 60_000);
  }
}
