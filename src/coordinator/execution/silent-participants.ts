import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { type BranchSet, Branches, only } from '../protocol/index.js';
import type { Clock } from './clock.js';
import type { Observers } from './observer.js';
import type { TransactionRecord } from './records.js';

/** A participant that falls silent again and again is reported so often at most. */
const AT_MOST_EVERY_MS = 60_000;
/** How often it is found out which participants are doubtful. */
const LOOKED_EVERY_MS = 50;

/**
 * Knows which participants are doubtful, and reports when one stops answering its prepares, and when that is
 * over.
 */
export class SilentParticipants {
  /** Those that are silent, and whether that was reported. */
  private readonly silent = new Map<RegisteredParticipant, boolean>();
  private readonly reportedAt = new WeakMap<RegisteredParticipant, number>();
  private lookedAt = Number.NEGATIVE_INFINITY;
  /** Whether any participant is doubtful. */
  isAny = false;

  constructor(
    private readonly clock: Clock,
    private readonly observers: Observers,
  ) {}

  /** The participant has missed a prepare. */
  look(participant: RegisteredParticipant): void {
    const now = this.clock.now();
    if (this.silent.has(participant) || participant.silentSince(now) === undefined) return;
    const before = this.reportedAt.get(participant);
    const isReported = before === undefined || now - before >= AT_MOST_EVERY_MS;
    this.silent.set(participant, isReported);
    if (!isReported) return;
    this.reportedAt.set(participant, now);
    this.observers.silent(participant);
  }

  /**
   * Finds out which branches of a transaction that is about to prepare are asked before the others: those of
   * doubtful participants. Until they have voted, the others are not asked and take no room. If the caller has
   * chosen the order, or the work is done already, as that of a group, there are none.
   *
   * @returns the branches; none when no participant is doubtful, or all are.
   */
  askedFirst(transaction: TransactionRecord): BranchSet {
    if (!this.isAny) return Branches.NONE;
    const { extras, decider } = transaction;
    if (extras?.inTurn || extras?.group?.isGroup) return Branches.NONE;
    let first = Branches.NONE;
    let areOthers = false;
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      const { participant, index } = branch;
      if (index === decider) continue;
      if (participant.silence.isDoubtful && participant.isOne) first |= only(index);
      else areOthers = true;
    }
    return areOthers ? first : Branches.NONE;
  }

  /**
   * Reports those that are not silent any more. Of one that nothing is known of any more, the next prepare
   * shows it.
   */
  sweep(now: number, participants: () => readonly RegisteredParticipant[]): void {
    if (now - this.lookedAt >= LOOKED_EVERY_MS) {
      this.lookedAt = now;
      this.isAny = false;
      for (const { silence, options } of participants()) {
        silence.look(now, options.prepareTimeoutMs);
        if (silence.isDoubtful) this.isAny = true;
      }
    }
    for (const [participant, isReported] of this.silent) {
      if (participant.silentSince(now) !== undefined) continue;
      this.silent.delete(participant);
      if (isReported) this.observers.heard(participant);
    }
  }
}
