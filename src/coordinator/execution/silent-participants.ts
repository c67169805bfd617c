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
  private lookedAt = 0;
  /** Whether any participant is doubtful. */
  isAny = false;

  constructor(
    private readonly clock: Clock,
    private readonly observers: Observers,
    /** Called when a participant has fallen silent. */
    private readonly onSilent: () => void,
  ) {}

  /** The participant has missed a prepare. */
  look(participant: RegisteredParticipant): void {
    const now = this.clock.now();
    if (this.silent.has(participant) || participant.silentSince(now) === undefined) return;
    const before = this.reportedAt.get(participant);
    const isReported = before === undefined || now - before >= AT_MOST_EVERY_MS;
    this.silent.set(participant, isReported);
    this.onSilent();
    if (!isReported) return;
    this.reportedAt.set(participant, now);
    this.observers.silent(participant);
  }

  /**
   * Finds out which branches of a transaction of run() that starts its voting are asked before the others: those of
   * doubtful participants. There are none if the caller has chosen the order, if the work is done already, as that
   * of a group, or if the time is not enough for two rounds: this order makes no transaction late that would be
   * in time without it.
   */
  askedFirst(transaction: TransactionRecord): BranchSet {
    const { extras, decider } = transaction;
    if (!this.isAny || transaction.settle === undefined || extras?.inTurn || extras?.group?.isGroup)
      return Branches.NONE;
    let first: BranchSet = Branches.NONE;
    let firstMs = 0;
    let othersMs = 0;
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      const { participant, index } = branch;
      const { prepareTimeoutMs } = participant.options;
      if (index === decider) continue;
      if (participant.silence.isDoubtful && participant.isOne) {
        first |= only(index);
        firstMs = Math.max(firstMs, prepareTimeoutMs);
      } else othersMs = Math.max(othersMs, prepareTimeoutMs);
    }
    const isTime = this.clock.now() + firstMs + othersMs <= transaction.deadlineAt;
    return othersMs > 0 && isTime ? first : Branches.NONE;
  }

  /**
   * Reports those that are not silent any more. Of one that nothing is known of any more, the next prepare
   * shows it.
   */
  sweep(now: number, participants: () => readonly RegisteredParticipant[]): void {
    if (now - this.lookedAt >= LOOKED_EVERY_MS) {
      this.isAny = false;
      for (const { silence, options } of participants()) {
        silence.look(now, now - this.lookedAt, options.prepareTimeoutMs);
        if (silence.isDoubtful) this.isAny = true;
      }
      this.lookedAt = now;
    }
    for (const [participant, isReported] of this.silent) {
      if (participant.silentSince(now) !== undefined) continue;
      this.silent.delete(participant);
      if (isReported) this.observers.heard(participant);
    }
  }
}
