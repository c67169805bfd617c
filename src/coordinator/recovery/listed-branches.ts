import type { PreparedBranch } from '../participant/participant.js';

/**
 * A longer list is not examined: it would block the memory, and the recovery of its participant, for too
 * long.
 */
export const MAX_LISTED = 1_000_000;
/** No coordinator makes longer ids. */
const MAX_ID_LENGTH = 200;

/** A branch as a participant lists it, each field read once: the fields may not have their declared types. */
export interface ListedBranch {
  readonly transactionId: unknown;
  readonly branchId: unknown;
  readonly payload?: unknown;
}

/**
 * @returns the number of listed branches, read once.
 * @throws TypeError when the answer is not a list, RangeError when it is too long.
 */
export function countListed(listed: unknown): number {
  if (!Array.isArray(listed)) throw new TypeError('recover() must answer with a list of branches');
  const count: unknown = listed.length;
  if (Number.isSafeInteger(count) && (count as number) >= 0 && (count as number) <= MAX_LISTED) {
    return count as number;
  }
  throw new RangeError(
    `recover() lists more than ${MAX_LISTED} branches, so none is examined: list only the oldest ones`,
  );
}

/**
 * @returns the branch at a place of the list, read once, so that it cannot change its answer later.
 * @throws any error of reading it: then the list proves nothing.
 */
export function listedAt(listed: unknown, index: number): ListedBranch {
  const branch: unknown = (listed as readonly unknown[])[index];
  const { transactionId, branchId, payload } = (branch ?? {}) as ListedBranch;
  return { transactionId, branchId, payload };
}

/** Whether a coordinator can have made ids like those of the branch. */
export function isPreparedBranch(listed: ListedBranch): listed is PreparedBranch {
  return isId(listed.transactionId) && isId(listed.branchId);
}

function isId(id: unknown): boolean {
  return typeof id === 'string' && id.length <= MAX_ID_LENGTH;
}
