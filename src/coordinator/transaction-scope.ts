import { AsyncLocalStorage } from 'node:async_hooks';

interface Scope<T> {
  /** The transaction that a decorated method has begun, while the method runs. */
  enclosing: T | undefined;
  /** A transaction that is hidden from the code below. */
  readonly hidden: T | undefined;
}

/**
 * The place of the calling code with respect to decorated methods. The ambient transaction alone is not
 * enough: a transaction that has ended, for example by an abort at its deadline, is no longer ambient, and a
 * method that wants to join it must not get a transaction of its own instead.
 */
export class TransactionScope<T extends object> {
  private readonly storage = new AsyncLocalStorage<Scope<T> | undefined>();
  /** Whether a decorated method has run. Until then the store need not be asked. */
  private isUsed = false;

  /** Runs the work of the method that has begun this transaction. */
  async enclose<R>(transaction: T, work: () => Promise<R>): Promise<R> {
    const scope: Scope<T> = { enclosing: transaction, hidden: undefined };
    this.isUsed = true;
    try {
      return await this.storage.run(scope, work);
    } finally {
      // Work that it has left running no longer belongs to it.
      scope.enclosing = undefined;
    }
  }

  /** Runs work that must have no transaction. One that is hidden from the caller stays hidden. */
  hide<R>(transaction: T | undefined, work: () => R): R {
    const hidden = transaction ?? this.storage.getStore()?.hidden;
    this.isUsed = true;
    return this.storage.run({ enclosing: undefined, hidden }, work);
  }

  /** Runs code that the caller's methods do not enclose, such as that of a participant. */
  leave<R>(work: () => R): R {
    return this.storage.run(undefined, work);
  }

  get isEntered(): boolean {
    return this.isUsed && this.storage.getStore() !== undefined;
  }

  get enclosing(): T | undefined {
    return this.storage.getStore()?.enclosing;
  }

  hides(transaction: T): boolean {
    return this.storage.getStore()?.hidden === transaction;
  }
}
