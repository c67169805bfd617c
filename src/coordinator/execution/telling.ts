import { TOLD_ABORTED, type ToldNumber } from '../protocol/index.js';
import type { Observers } from './observers.js';
import { outcomeOf } from './outcomes.js';
import type { Reruns } from './reruns.js';
import type { TransactionRecord } from './transaction-record.js';

/** Tells those who wait for the outcome of a transaction, unless the request of its caller is run again. */
export class Telling {
  constructor(
    private readonly reruns: Reruns,
    private readonly observers: Observers,
  ) {}

  tell(transaction: TransactionRecord, told: ToldNumber): void {
    const { settle } = transaction;
    transaction.settle = undefined;
    const outcome = outcomeOf(transaction, told);
    const isRerun = told === TOLD_ABORTED && this.reruns.takes(transaction, outcome, settle);
    transaction.stopListening();
    const { extras } = transaction;
    this.observers.told(transaction, outcome);
    if (extras?.settleHandle !== undefined) {
      extras.settleHandle(outcome);
      extras.letGoOfHandle();
    }
    if (!isRerun) settle?.(outcome);
  }
}
