import { TOLD_ABORTED, TOLD_COMMITTED, type ToldNumber } from '../protocol/index.js';
import type { BranchRecord } from './branch-record.js';
import type { TransactionObserver } from './observer.js';
import { outcomeOf } from './outcomes.js';
import type { Reruns } from './reruns.js';
import type { TransactionRecord } from './transaction-record.js';

/** Tells those who wait for the outcome of a transaction, unless the request of its caller is run again. */
export class Telling {
  constructor(
    private readonly reruns: Reruns,
    private readonly observer: TransactionObserver,
  ) {}

  tell(transaction: TransactionRecord, told: ToldNumber): void {
    const { settle } = transaction;
    transaction.settle = undefined;
    const outcome = outcomeOf(transaction, told);
    const isRerun = told === TOLD_ABORTED && this.reruns.takes(transaction, outcome, settle);
    transaction.stopListening();
    const { extras } = transaction;
    extras?.trace?.told(outcome);
    if (told !== TOLD_COMMITTED) this.observer.told(transaction, outcome);
    if (extras?.settleHandle !== undefined) {
      extras.settleHandle(outcome);
      extras.letGoOfHandle();
    }
    if (!isRerun) settle?.(outcome);
  }
  /** A branch has used up its attempts. */
  stalled(branch: BranchRecord, now: number): void {
    const { transaction, index, attempts } = branch;
    const message = branch.delivery!.lastError!;
    const atUs = transaction.elapsedUs(now);
    transaction.note({ atUs, type: 'stalled', branch: index, attempt: attempts, message });
    transaction.extras?.trace?.stalled(branch, message);
    this.observer.stalled(branch, message);
  }
}
