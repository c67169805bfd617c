import { AsyncLocalStorage } from 'node:async_hooks';
import type { Transaction } from './transaction.js';

interface Scope {
  /** What a decorated method has begun, while that method is under way. */
  enclosing: Transaction | undefined;
  /** What code below is not to see. */
  readonly hidden: Transaction | undefined;
}

/**
 * Where the calling code stands, as far as decorated methods are concerned. The ambient transaction alone would not say: one
 * that is over, aborted at its deadline for example, is the ambient transaction of no code any more, and a method that wanted
 * to join it must not be taken for one that needs a transaction of its own.
 */
export class TransactionScope {
  private readonly storage = new AsyncLocalStorage<Scope>();

  /** Runs the work of the method that has begun this transaction. */
  async enclose<T>(transaction: Transaction, work: () => Promise<T>): Promise<T> {
    const scope: Scope = { enclosing: transaction, hidden: undefined };
    try {
      return await this.storage.run(scope, work);
    } finally {
      // What it has left running belongs to it no longer.
      scope.enclosing = undefined;
    }
  }

  /** Runs work that is to have no transaction. */
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
