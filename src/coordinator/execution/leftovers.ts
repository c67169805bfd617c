import { COMMITTED, NO_BRANCHES, includes } from '../protocol/index.js';
import type { TransactionRecord } from './transaction-record.js';
import { isUnconfirmed } from './unconfirmed-ends.js';

/** Whether the commit record of a transaction that is over is in the log. */
export function isRecorded({ state, onePhase, yes }: TransactionRecord): boolean {
  return state === COMMITTED && !onePhase && yes !== NO_BRANCHES;
}

/** What the caller sent is kept no longer than it is needed: while a branch may have to be rolled back again. */
export function dropPayloads(transaction: TransactionRecord): void {
  for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
    const isOver = transaction.state === COMMITTED || !includes(transaction.awaiting, branch.index);
    // One that is over by word alone may have to be told again.
    if (isOver && !isUnconfirmed(branch)) branch.payload = undefined;
    branch.dropSignal();
  }
  transaction.extras?.letGo();
}
