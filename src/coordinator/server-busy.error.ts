import { CoordinatorError } from './errors.js';

/**
 * A database server has as many branches under way as it can take, and as many transactions wait for it as may, or this one
 * has waited for a quarter of its time. Safe to try again.
 *
 * @publicApi
 */
export class ServerBusyError extends CoordinatorError {
  readonly code = 'DTC_SERVER_BUSY';
  /** After how long it makes sense to try again, in milliseconds, from 1. */
  readonly retryAfterMs: number;

  /**
   * @param participants those that are on the server.
   * @param limit how many branches may be under way there now.
   * @param expectedWaitMs how long one would wait for room.
   */
  constructor(
    readonly participants: readonly string[],
    readonly limit: number,
    expectedWaitMs: number,
  ) {
    super(
      `The database server of ${participants.map((name) => `"${name}"`).join(', ')} takes ${limit} branches at a time, ` +
        'and too many transactions wait for it. Nothing was begun: try again later, or give the server more prepared ' +
        'transactions and connections.',
    );
    this.retryAfterMs = Math.min(Math.max(1, Math.ceil(expectedWaitMs)), 60_000);
  }
}
