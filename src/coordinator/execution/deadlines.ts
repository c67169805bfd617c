import { NEVER } from './clock.js';
import type { TransactionRecord } from './records.js';
import type { TransactionRegistry } from './registry.js';

/**
 * All deadlines of all transactions, without a timer for any. Each transaction knows a moment before which nothing
 * of its is due, and this knows one before which nothing at all is: until then a sweep is one comparison. A
 * transaction that ends in time takes its deadline with it.
 */
export class Deadlines {
  private earliest = NEVER;

  constructor(private readonly registry: TransactionRegistry) {}

  /** Something of this transaction is due at that moment, and maybe nothing before it. */
  arm(transaction: TransactionRecord, dueAt: number): void {
    if (dueAt < transaction.dueAt) transaction.dueAt = dueAt;
    if (dueAt < this.earliest) this.earliest = dueAt;
  }

  /**
   * Looks for what is due.
   *
   * @param now on the coordinator's clock.
   * @param examine deals with one transaction, and returns when something of its is due next.
   */
  sweep(now: number, examine: (transaction: TransactionRecord) => number): void {
    if (now < this.earliest) return;
    // What the examination itself arms counts as well, so the minimum starts afresh before it.
    this.earliest = NEVER;
    this.registry.forEach((transaction) => this.settle(transaction, now, examine));
  }

  /** Deals with what is due in one transaction, and remembers when the next thing is. */
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
