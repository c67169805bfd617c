import type { Occupation } from '../execution/group-fields.js';
import type { TransactionRecord } from '../execution/records.js';
import type { TransactionRegistry } from '../execution/registry.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { includes, isAbort, isCommit } from '../protocol/index.js';

/**
 * Which participants work for a group, or for a single transaction that others may be grouped behind. There
 * is at most one at a time for each participant. All participants of a transaction are taken in one step, so
 * none waits for another while it holds one. A participant is free when it has acknowledged the decision, or
 * has stalled.
 */
export class OccupiedParticipants implements Occupation<TransactionRecord> {
  private readonly holders = new Map<RegisteredParticipant, TransactionRecord>();
  /** Participants that have not answered in time, with the number of their answers then. */
  private readonly silent = new Map<RegisteredParticipant, number>();

  /**
   * @param freed called when participants of a transaction are free; `isOver` says whether all of them are.
   */
  constructor(
    private readonly registry: Pick<TransactionRegistry, 'unsettled'>,
    private readonly freed: (transaction: TransactionRecord, isOver: boolean) => void,
    /** The rest of a transaction waits for recovery or for an operator. */
    private readonly waits: (transaction: TransactionRecord) => void,
  ) {}

  areFree(participants: readonly RegisteredParticipant[]): boolean {
    return this.holders.size === 0 || !participants.some((participant) => this.holders.has(participant));
  }

  isOccupied(participant: RegisteredParticipant): boolean {
    return this.holders.has(participant);
  }

  occupy(participants: readonly RegisteredParticipant[], transaction: TransactionRecord): void {
    for (const participant of participants) this.holders.set(participant, transaction);
    transaction.needGroup().occupation = this;
  }

  /** The transaction does not start. Nothing is told of it. */
  vacate(transaction: TransactionRecord): void {
    for (const { participant } of transaction.branches) {
      if (this.holders.get(participant) === transaction) this.holders.delete(participant);
    }
  }

  /** A branch was acknowledged or has stalled, an attempt has failed, or the transaction has ended. */
  moved(transaction: TransactionRecord): void {
    const { state, endedAt } = transaction;
    const isDecided = isCommit(state) || isAbort(state);
    const isAside = this.registry.unsettled.has(transaction);
    const free = new Set<RegisteredParticipant>();
    for (const branch of transaction.branches) {
      const isWaiting = includes(transaction.stalled, branch.index) || branch.isHeld;
      if (isWaiting) this.late(branch.participant);
      const isDone = isDecided && !includes(transaction.open, branch.index);
      // A member that is set aside without a decision waits for the log.
      if (isDone || isWaiting || (isAside && !isDecided) || endedAt !== 0) free.add(branch.participant);
    }
    if (isAside && endedAt === 0) this.waits(transaction);
    this.release(transaction, (participant) => free.has(participant));
  }

  timedOut(transaction: TransactionRecord, branch: number): void {
    this.late(transaction.branches[branch]!.participant);
  }

  /**
   * The participant has not answered in time: its transactions run outside groups until it has answered
   * again.
   */
  late(participant: RegisteredParticipant): void {
    this.silent.set(participant, answersOf(participant));
  }

  isSilent(participant: RegisteredParticipant): boolean {
    if (this.silent.size === 0) return false;
    const before = this.silent.get(participant);
    if (before === undefined) return false;
    if (answersOf(participant) === before) return true;
    this.silent.delete(participant);
    return false;
  }

  /** Some transactions are set aside without a step of their own. */
  sweep(): void {
    for (const transaction of new Set(this.holders.values())) {
      if (this.registry.unsettled.has(transaction)) this.moved(transaction);
    }
  }

  private release(
    transaction: TransactionRecord,
    isFree: (participant: RegisteredParticipant) => boolean,
  ): void {
    let isFreed = false;
    let isOver = true;
    for (const { participant } of transaction.branches) {
      if (this.holders.get(participant) !== transaction) continue;
      if (isFree(participant)) {
        this.holders.delete(participant);
        isFreed = true;
      } else isOver = false;
    }
    if (isFreed) this.freed(transaction, isOver);
  }
}

function answersOf({ counts }: RegisteredParticipant): number {
  return counts.commitVotes + counts.readOnlyVotes + counts.refusals + counts.committed + counts.rolledBack;
}
