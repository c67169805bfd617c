import { NEVER } from './clock.js';
import type { TransactionRecord } from './records.js';
import type { TransactionRegistry } from './registry.js';

/**
 * The deadlines of all transactions, without a timer for each. Each transaction keeps a moment before which
 * none of its deadlines is due, and this class keeps one for all transactions: until then a sweep is one
 * comparison. A transaction that ends in time takes its deadline with it.
 */
export class Deadlines {
  private earliest = NEVER;

  constructor(private readonly registry: TransactionRegistry) {}

  /** Sets a deadline of this transaction at the latest at this moment. */
  arm(transaction: TransactionRecord, dueAt: number): void {
    if (dueAt < transaction.dueAt) transaction.dueAt = dueAt;
    if (dueAt < this.earliest) this.earliest = dueAt;
  }

  /**
   * As {@link arm}, with a whole number of milliseconds since the transaction began: for the deadlines that
   * each transaction has. As an argument, a moment would be an object of its own.
   */
  armIn(transaction: TransactionRecord, sinceStartMs: number): void {
    transaction.dueIn(sinceStartMs);
    const dueAt = transaction.startedAt + sinceStartMs;
    if (dueAt < this.earliest) this.earliest = dueAt;
  }

  /**
   * Looks for due deadlines.
   *
   * @param now on the coordinator's clock.
   * @param examine handles one transaction, and returns when its next deadline is due.
   */
  sweep(now: number, examine: (transaction: TransactionRecord) => number): void {
    if (now < this.earliest) return;
    // The minimum is reset before the examination, so that deadlines armed by it count as well.
    this.earliest = NEVER;
    this.registry.forEach((transaction) => this.settle(transaction, now, examine));
  }

  /** Handles the due deadlines of one transaction, and remembers its next one. */
  settle(
    transaction: TransactionRecord,
    now: number,
    examine: (transaction: TransactionRecord) => number,
  ): void {
    if (transaction.dueAt <= now) {
      transaction.dueAt = NEVER;
      const next = examine(transaction);
      if (next < transaction.dueAt) transaction.dueAt = next;
    }
    if (transaction.dueAt < this.earliest) this.earliest = transaction.dueAt;
  }
}
