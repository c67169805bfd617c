import type { PreparedBranch } from '../participant/participant.js';

/** A longer list is not looked at: it would hold the memory, and the recovery of its participant, for too long. */
export const MAX_LISTED = 1_000_000;
/** No id that a coordinator has made is longer. */
const MAX_ID_LENGTH = 200;

/** A branch as a participant lists it, each field read once: it need not be what the type promises. */
export interface ListedBranch {
  readonly transactionId: unknown;
  readonly branchId: unknown;
  readonly payload?: unknown;
}

/**
 * @returns how many branches a participant lists. It is asked for once.
 * @throws TypeError when it lists none, RangeError when there are too many.
 */
export function countListed(listed: unknown): number {
  if (!Array.isArray(listed)) throw new TypeError('recover() must answer with a list of branches');
  const count: unknown = listed.length;
  if (Number.isSafeInteger(count) && (count as number) >= 0 && (count as number) <= MAX_LISTED) {
    return count as number;
  }
  throw new RangeError(
    `recover() lists more than ${MAX_LISTED} branches, so none is looked at: list the oldest ones first, and no more`,
  );
}

/**
 * @returns the branch at a place of the list, read once, so that it cannot say one thing now and another later.
 * @throws what it throws when it is read: then the list proves nothing.
 */
export function listedAt(listed: unknown, index: number): ListedBranch {
  const branch: unknown = (listed as readonly unknown[])[index];
  const { transactionId, branchId, payload } = (branch ?? {}) as ListedBranch;
  return { transactionId, branchId, payload };
}

/** Whether its ids can be those of a branch that a coordinator has made. */
export function isPreparedBranch(listed: ListedBranch): listed is PreparedBranch {
  return isId(listed.transactionId) && isId(listed.branchId);
}

function isId(id: unknown): boolean {
  return typeof id === 'string' && id.length <= MAX_ID_LENGTH;
}
