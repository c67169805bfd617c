import { AsyncLocalStorage } from 'node:async_hooks';
import type { Transaction } from './transaction.js';

interface Scope {
  /** The transaction that a decorated method has begun, while the method runs. */
  enclosing: Transaction | undefined;
  /** A transaction that is hidden from the code below. */
  readonly hidden: Transaction | undefined;
}

/**
 * The place of the calling code with respect to decorated methods. The ambient transaction alone is not
 * enough: a transaction that has ended, for example by an abort at its deadline, is no longer ambient, and a
 * method that wants to join it must not get a transaction of its own instead.
 */
export class TransactionScope {
  private readonly storage = new AsyncLocalStorage<Scope>();

  /** Runs the work of the method that has begun this transaction. */
  async enclose<T>(transaction: Transaction, work: () => Promise<T>): Promise<T> {
    const scope: Scope = { enclosing: transaction, hidden: undefined };
    try {
      return await this.storage.run(scope, work);
    } finally {
      // Work that it has left running no longer belongs to it.
      scope.enclosing = undefined;
    }
  }

  /** Runs work that must have no transaction. */
  hide<T>(transaction: Transaction | undefined, work: () => T): T {
    return this.storage.run({ enclosing: undefined, hidden: transaction }, work);
  }

  get enclosing(): Transaction | undefined {
    return this.storage.getStore()?.enclosing;
  }

  hides(transaction: Transaction): boolean {
    return this.storage.getStore()?.hidden === transaction;
  }
}
