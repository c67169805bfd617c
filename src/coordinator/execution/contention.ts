import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { type BranchSet, Branches, includes } from '../protocol/index.js';
import type { Clock } from './clock.js';
import type { BranchRecord, TransactionRecord } from './records.js';
import type { Turns } from './transaction-extras.js';

/** How long participants first prepare in turn after a conflict. */
const FIRST_HOLD_MS = 5_000;
/** It doubles each time a conflict follows soon after the return to all at once, up to this. */
const LONGEST_HOLD_MS = 60_000;

/** The recent conflicts at one participant. */
interface Mark {
  /** Until when it prepares in turn, on the coordinator's clock. */
  until: number;
  holdMs: number;
}

/**
 * Knows where transactions conflict, and so which of them ask their participants one after the other.
 *
 * If all participants are asked at once, two transactions can each hold what the other waits for, in two
 * databases, and no database detects it. If all transactions ask in the same order, they queue. This takes
 * the sum of the prepare times instead of the longest, so it is done only where it helps: after a refusal
 * with `conflict`, and while a participant has no free place or its server is busy, since the prepares then
 * wait one after the other anyway. Each participant has one mark.
 */
export class Contention {
  /** No participant is marked after this moment. */
  private latest = 0;
  private readonly marks = new WeakMap<RegisteredParticipant, Mark>();
  /** Whether the places of a participant, or the room of its server, are limited. */
  isLimited = false;

  constructor(private readonly clock: Clock) {}

  /** A participant refused a branch because of a conflict with another transaction. */
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

  /** Whether it is worth asking {@link calls}. */
  get isLikely(): boolean {
    return this.isLimited || this.latest !== 0;
  }

  /**
   * Whether the participants of a transaction that starts its voting are asked one after the other. A
   * transaction with a single branch has no order, and waits for a place like all others.
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

/**
 * A conflict while a participant prepares in turn prolongs that. A conflict soon after it shows that the
 * return came too early.
 */
function holdAfter(mark: Mark | undefined, now: number): number {
  if (mark === undefined || now >= mark.until + mark.holdMs) return FIRST_HOLD_MS;
  return now < mark.until ? mark.holdMs : Math.min(2 * mark.holdMs, LONGEST_HOLD_MS);
}

/**
 * The branches of a transaction whose participants prepare one after the other, in the order in which the
 * participants were registered, and at one participant in the order of the branch ids. All transactions use
 * the same order, so no two wait for each other in a circle. Exception: branches that are asked before the
 * others. If their participants answer after all, a circle is possible, and ends as one of transactions that
 * ask all at once does.
 */
export class InTurn implements Turns<BranchRecord> {
  private readonly order: readonly BranchRecord[];
  private asked = 0;
  /** By the index of the branch, on the coordinator's clock. */
  private readonly askedAts: number[] = [];

  /** @param without branches that have no turn. */
  constructor(transaction: TransactionRecord, without: BranchSet = Branches.NONE) {
    const { branches, decider } = transaction;
    const isOrdered = ({ index }: BranchRecord): boolean => index !== decider && !includes(without, index);
    this.order = branches.filter(isOrdered).toSorted(inLockOrder);
  }

  /** @returns the branch whose turn it is; undefined when each has had its turn. */
  next(): BranchRecord | undefined {
    return this.order[this.asked++];
  }

  /** Marks the participant of this branch as asked. */
  asks({ index }: BranchRecord, now: number): void {
    this.askedAts[index] = now;
  }

  /** @returns when its participant was asked; undefined before that. */
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
