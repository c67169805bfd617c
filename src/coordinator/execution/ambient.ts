import { AsyncLocalStorage } from 'node:async_hooks';
import type { TransactionRecord } from './transaction-record.js';

/**
 * The transaction that code is running for, without being handed it. Each call has a context of its own, so several
 * under one `Promise.all` do not see each other's; and a transaction that is over is nobody's ambient transaction.
 */
export class AmbientTransactions {
  private readonly storage = new AsyncLocalStorage<TransactionRecord>();

  /** Runs `work`, and everything it starts, with this transaction as the ambient one, and as a part of its trace. */
  run<T>(transaction: TransactionRecord, work: () => T): T {
    const trace = transaction.extras?.trace;
    return this.storage.run(transaction, trace === undefined ? work : () => trace.run(work));
  }

  current(): TransactionRecord | undefined {
    const transaction = this.storage.getStore();
    return transaction === undefined || transaction.endedAt !== 0 ? undefined : transaction;
  }
}
