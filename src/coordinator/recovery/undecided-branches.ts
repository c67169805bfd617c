import type { UndecidedBranch, UndecidedBranches, UndecidedReason } from '../execution/observer.js';

/** So many branches are shown, the oldest. */
const SHOWN = 20;
/** Nothing longer is kept of what a participant lists. */
const MAX_ID_LENGTH = 200;

/**
 * The branches in one list of a participant that this coordinator cannot decide, and since when each has been there. Those
 * of other coordinators are mostly there for a moment only: so they count when two lists have them, far enough apart.
 */
export class UndecidedTally {
  private readonly seen = new Map<string, UndecidedBranch>();

  /**
   * @param before the tally of the list before.
   * @param now on the coordinator's clock.
   */
  constructor(
    private readonly before: UndecidedTally | undefined,
    private readonly now: number,
  ) {}

  see(branch: unknown, reason: UndecidedReason): void {
    const { transactionId, branchId } = (branch ?? {}) as { transactionId?: unknown; branchId?: unknown };
    const ids = { transactionId: textOf(transactionId), branchId: textOf(branchId) };
    const key = `${ids.transactionId}/${ids.branchId}`;
    const since = this.before?.seen.get(key)?.since ?? this.now;
    this.seen.set(key, { ...ids, reason, since });
  }

  /** How many are of this coordinator's name. */
  get undecidable(): number {
    let count = 0;
    for (const { reason } of this.seen.values()) if (!isForeign(reason)) count++;
    return count;
  }

  /**
   * @param askedAt when the list was asked for, on the coordinator's clock.
   * @param safetyMs how long those of other coordinators must have been there.
   */
  result(askedAt: number, safetyMs: number): UndecidedBranches {
    const oldest: UndecidedBranch[] = [];
    let [undecidable, foreign] = [0, 0];
    for (const branch of this.seen.values()) {
      if (isForeign(branch.reason)) {
        if (askedAt - branch.since < safetyMs) continue;
        foreign++;
      } else undecidable++;
      const youngest = oldest.at(-1);
      if (oldest.length === SHOWN && youngest !== undefined && youngest.since <= branch.since) continue;
      oldest.splice(oldest.findLastIndex(({ since }) => since <= branch.since) + 1, 0, branch);
      if (oldest.length > SHOWN) oldest.pop();
    }
    return { undecidable, foreign, oldest };
  }
}

function isForeign(reason: UndecidedReason): boolean {
  return reason === 'other-coordinator' || reason === 'malformed';
}

function textOf(id: unknown): string | null {
  return typeof id === 'string' ? id.slice(0, MAX_ID_LENGTH) : null;
}
