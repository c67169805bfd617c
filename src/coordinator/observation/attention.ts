import { Moment } from '../execution/clock.js';
import { isAwaited } from '../execution/expiries.js';
import type { BranchRecord, TransactionRecord } from '../execution/records.js';
import type { TransactionRegistry } from '../execution/registry.js';
import { State } from '../protocol/index.js';

/**
 * A transaction that is in doubt for longer than this needs attention; the flush of a decision takes less. In
 * milliseconds.
 */
export const DOUBT_WORTH_A_LOOK_MS = 1_000;

/**
 * @returns since when its decision has been awaited, on the coordinator's clock: the last vote, or the
 * one-phase call.
 */
export function inDoubtSince(transaction: TransactionRecord): number {
  let lastVoteUs = Moment.NOT_YET;
  for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
    if (branch.votedUs > lastVoteUs) lastVoteUs = branch.votedUs;
  }
  return lastVoteUs === Moment.NOT_YET ? transaction.preparingAt : transaction.startedAt + lastVoteUs / 1000;
}

/**
 * @returns when it was decided, or asked to commit in one phase: a stalled branch has owed its answer since
 * then.
 */
export function stalledSince(transaction: TransactionRecord): number {
  return transaction.decidedAt === 0 ? inDoubtSince(transaction) : transaction.decidedAt;
}

/** @returns its branches that are not completed, and whose vote is about to expire or has expired. */
export function expiringBranches(transaction: TransactionRecord): BranchRecord[] {
  return transaction.branches.filter((branch) => branch.expiry?.isAnnounced === true && isAwaited(branch));
}

/**
 * @param now on the coordinator's clock.
 * @returns the transactions that need an operator's attention, the oldest first: in doubt for more than a
 * moment, stalled, with a vote that is about to expire, or with a heuristic report.
 */
export function needingAttention(registry: TransactionRegistry, now: number): TransactionRecord[] {
  const found = new Set<TransactionRecord>();
  // If the only open matter is an unconfirmed completion, an operator has nothing to do.
  for (const transaction of registry.unsettled) {
    if (transaction.endedAt === 0 || transaction.open !== 0 || transaction.hasHeuristics)
      found.add(transaction);
  }
  registry.forEach((transaction) => {
    if (transaction.extras?.hasExpiries === true && expiringBranches(transaction).length > 0)
      found.add(transaction);
    if (transaction.state !== State.READY) return;
    if (now - inDoubtSince(transaction) >= DOUBT_WORTH_A_LOOK_MS) found.add(transaction);
  });
  return [...found].toSorted((a, b) => a.sequence - b.sequence);
}
