import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { Clock } from './clock.js';
import type { BranchRecord, TransactionRecord, Turns } from './records.js';

/** How long participants prepare in turn after a conflict, at first. */
const FIRST_HOLD_MS = 5_000;
/** It doubles each time a conflict follows soon after the return to all at once, up to this. */
const LONGEST_HOLD_MS = 60_000;

/** What is known of the conflicts at one participant. */
interface Mark {
  /** Until when it prepares in turn, on the coordinator's clock. */
  until: number;
  holdMs: number;
}

/**
 * Knows where transactions get into each other's way, and so which of them ask their participants one after the other.
 *
 * Asked all at once, two transactions can each hold what the other waits for, in two databases, and no database sees
 * it. Asked in one order, which is the same for all, they queue. It costs the sum of the prepares in place of the
 * longest, so it is done only where it pays: after a refusal that says `conflict`, and where a participant has no free
 * place or its server is busy, as then the prepares wait one after the other anyway. There is one mark for each participant, and no more.
 */
export class Contention {
  /** No participant is marked after this moment. */
  private latest = 0;
  private readonly marks = new WeakMap<RegisteredParticipant, Mark>();

  constructor(private readonly clock: Clock) {}

  /** A participant refused a branch because it met another transaction. */
  conflicted(participant: RegisteredParticipant): void {
    const now = this.clock.now();
    const mark = this.marks.get(participant);
    const holdMs = holdAfter(mark, now);
    this.marks.set(participant, { until: now + holdMs, holdMs });
    this.latest = Math.max(this.latest, now + holdMs);
  }

  /** Whether transactions with this participant prepare in turn, because of conflicts there. */
  isContended(participant: RegisteredParticipant): boolean {
    const mark = this.marks.get(participant);
    return mark !== undefined && this.clock.now() < mark.until;
  }

  /**
   * Whether the participants of a transaction that starts its voting are to be asked one after the other. One with a single
   * branch has no order, and waits for a place as all others do.
   */
  calls(transaction: TransactionRecord): boolean {
    const isMarked = transaction.size > 1 && this.latest !== 0 && this.clock.now() < this.latest;
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      const { participant } = branch;
      if (participant.places?.isFull || participant.server?.isBusy) return true;
      if (isMarked && this.isContended(participant)) return true;
    }
    return false;
  }
}

/** A conflict while it prepares in turn prolongs that; one soon after it tells that the return came too early. */
function holdAfter(mark: Mark | undefined, now: number): number {
  if (mark === undefined || now >= mark.until + mark.holdMs) return FIRST_HOLD_MS;
  return now < mark.until ? mark.holdMs : Math.min(2 * mark.holdMs, LONGEST_HOLD_MS);
}

/**
 * The branches of a transaction whose participants prepare one after the other. The order is that in which the
 * participants were registered, and at one participant that of the branch ids: it is the same for all transactions,
 * whatever the order of their branches, so that no two wait for each other in a circle.
 */
export class InTurn implements Turns {
  private readonly order: readonly BranchRecord[];
  private asked = 0;
  /** By the index of the branch, on the coordinator's clock. */
  private readonly askedAts: number[] = [];

  constructor(transaction: TransactionRecord) {
    this.order = transaction.branches.toSorted(inLockOrder);
  }

  /** @returns the branch whose turn it is now; undefined when each has had its turn. */
  next(): BranchRecord | undefined {
    return this.order[this.asked++];
  }

  /** The participant of this branch is asked. */
  asks({ index }: BranchRecord, now: number): void {
    this.askedAts[index] = now;
  }

  /** @returns when its participant was asked; undefined while it has not been. */
  askedAt({ index }: BranchRecord): number | undefined {
    return this.askedAts[index];
  }
}

function inLockOrder(one: BranchRecord, other: BranchRecord): number {
  const difference = one.participant.rank - other.participant.rank;
  if (difference !== 0) return difference;
  if (one.branchId === other.branchId) return 0;
  return one.branchId < other.branchId ? -1 : 1;
}
