import type { UndecidedBranch, UndecidedBranches, UndecidedReason } from '../execution/observer.js';

/** The most branches that are shown, the oldest. */
const SHOWN = 20;
/** A longer text from a participant is not kept. */
const MAX_ID_LENGTH = 200;

/**
 * The branches in one list of a participant that this coordinator cannot decide, and when each was first
 * seen. Those of other coordinators are mostly listed only for a moment, so they count when two lists contain
 * them, far enough apart.
 */
export class UndecidedTally {
  private readonly seen = new Map<string, UndecidedBranch>();

  /**
   * @param before the tally of the previous list.
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

  /** The number of branches with this coordinator's name. */
  get undecidable(): number {
    let count = 0;
    for (const { reason } of this.seen.values()) if (!isForeign(reason)) count++;
    return count;
  }

  /**
   * @param askedAt when the list was requested, on the coordinator's clock.
   * @param safetyMs how long branches of other coordinators must have been listed.
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
