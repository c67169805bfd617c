import { Branches, State, includes } from '../../protocol/index.js';
import type { BranchRecord, TransactionRecord } from '../records.js';
import type { Needs, ServerLimit, Share } from './server-limit.js';

export function hasRoom(needs: Needs): boolean {
  for (const [limit, slots] of needs) if (!limit.hasRoom(slots)) return false;
  return true;
}

export function hasSlots(needs: Needs): boolean {
  for (const [limit, slots] of needs) if (!limit.hasSlots(slots)) return false;
  return true;
}

/** @returns the number of branches at each server. A one-phase branch is not prepared, and needs no slot. */
export function needsOf(transaction: TransactionRecord): Map<ServerLimit, number> {
  const needs = new Map<ServerLimit, number>();
  const { firstBranch } = transaction;
  if (transaction.size === 1 && firstBranch?.participant.onePhase) return needs;
  for (let branch = firstBranch; branch !== undefined; branch = branch.next) {
    const limit = branch.participant.server as ServerLimit | undefined;
    if (limit !== undefined) needs.set(limit, (needs.get(limit) ?? 0) + 1);
  }
  return needs;
}

/** The branches of a transaction at a server have this much work to do now. */
export function settle(limit: ServerLimit, share: Share, load: number, atWork: number): void {
  limit.move(load - share.load, atWork - share.atWork);
  share.load = load;
  share.atWork = atWork;
}

/** @returns how many of its slots at a server a transaction still holds. */
export function slotsAt(transaction: TransactionRecord, limit: ServerLimit, { slots }: Share): number {
  if (transaction.endedAt !== 0) return 0;
  return Math.min(
    slots,
    countAt(transaction, limit, ({ index }) => includes(transaction.open, index)),
  );
}

/** @returns how many of its branches there are not idle. */
export function loadAt(transaction: TransactionRecord, limit: ServerLimit, { slots }: Share): number {
  const { state, awaiting, open } = transaction;
  if (state === State.ACTIVE || slots === 0) return 0;
  if (state === State.READY) return slots;
  // In turn, one branch votes after the other: they are idle only when all have voted.
  if (state === State.PREPARING) {
    const first = transaction.extras?.askedFirst ?? Branches.NONE;
    // The others wait for the first, and do nothing yet.
    if (first !== Branches.NONE)
      return countAt(transaction, limit, ({ index }) => includes(awaiting & first, index));
    return countAt(transaction, limit, ({ index }) => includes(awaiting, index)) > 0 ? slots : 0;
  }
  const isCompleting = (branch: BranchRecord): boolean => includes(open, branch.index) && !rests(branch);
  return Math.min(slots, countAt(transaction, limit, isCompleting));
}

/**
 * Whether the completion of a branch waits: for the next attempt, for recovery, or until its participant is
 * resumed.
 */
function rests({ delivery, participant }: BranchRecord): boolean {
  return delivery !== undefined && (delivery.failures > 0 || participant.paused !== undefined);
}

function countAt(
  { firstBranch }: TransactionRecord,
  limit: ServerLimit,
  counts: (branch: BranchRecord) => boolean,
): number {
  let count = 0;
  for (let branch = firstBranch; branch !== undefined; branch = branch.next) {
    if (branch.participant.server === limit && counts(branch)) count++;
  }
  return count;
}
