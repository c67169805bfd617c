import { includes } from '../protocol/index.js';
import type { ServerLimit } from './server-limit.js';
import type { TransactionRecord } from './transaction-record.js';

/** How many slots a transaction needs, by the server. */
export type Needs = ReadonlyMap<ServerLimit, number>;

export function hasRoom(needs: Needs): boolean {
  for (const [limit, slots] of needs) if (!limit.hasRoom(slots)) return false;
  return true;
}

export function hasSlots(needs: Needs): boolean {
  for (const [limit, slots] of needs) if (!limit.hasSlots(slots)) return false;
  return true;
}

/** @returns how many of these branches are at each server. One that decides alone is not prepared, and needs no slot. */
export function needsOf(transaction: TransactionRecord, branches = -1): Map<ServerLimit, number> {
  const needs = new Map<ServerLimit, number>();
  const { firstBranch } = transaction;
  if (transaction.size === 1 && firstBranch?.participant.onePhase) return needs;
  for (let branch = firstBranch; branch !== undefined; branch = branch.next) {
    const limit = branch.participant.server as ServerLimit | undefined;
    if (limit !== undefined && includes(branches, branch.index))
      needs.set(limit, (needs.get(limit) ?? 0) + 1);
  }
  return needs;
}
