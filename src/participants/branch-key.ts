import type { Branch } from '../coordinator/index.js';

/** @returns what a participant files the work of a branch under: a transaction may have several of its branches. */
export function branchKey({ transactionId, branchId }: Branch): string {
  return `${transactionId}/${branchId}`;
}
