import { type BranchSet, NO_BRANCHES, heuristicBranches, includes } from '../protocol/index.js';
import type { TransactionRecord } from './transaction-record.js';

/**
 * Brings the counts of the participants in line with the state of the protocol: how many of their branches are stalled, and
 * how many hold a report. It is called after each event that may change it, in whatever order events come. What was counted of
 * a transaction is kept with it, so that a branch is never counted twice, nor taken off the count without having been on it.
 */
export function keepCounts(transaction: TransactionRecord): void {
  const { stalled, extras } = transaction;
  const reported = heuristicBranches(transaction);
  if (extras === undefined && (stalled | reported) === NO_BRANCHES) return;
  const { counted } = transaction.needExtras();
  if (counted.stalled === stalled && counted.reported === reported) return;
  for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
    const { participant, index } = branch;
    participant.counts.stalled += difference(counted.stalled, stalled, index);
    participant.unforgottenReports += difference(counted.reported, reported, index);
  }
  counted.stalled = stalled;
  counted.reported = reported;
}

function difference(before: BranchSet, after: BranchSet, index: number): number {
  return Number(includes(after, index)) - Number(includes(before, index));
}
