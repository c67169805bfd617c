import {
  Branches,
  Cause,
  State,
  awaitsConfirmation,
  includes,
  isAbort,
  isDecidedByBranch,
  only,
} from '../protocol/index.js';
import { type Clock, Moment, NEVER } from './clock.js';
import type { UnforcedRecords } from './decision.js';
import type { Observers } from './observer.js';
import type { BranchRecord, TransactionRecord } from './records.js';
import type { TransactionRegistry } from './registry.js';
import type { Reruns } from './reruns.js';
import type { ServerLimits } from './capacity/server-limits.js';

interface EndingsParts {
  readonly clock: Clock;
  readonly registry: TransactionRegistry;
  readonly records: UnforcedRecords;
  readonly observers: Observers;
  readonly reruns: Reruns;
  readonly limits: ServerLimits;
  /** Nothing is left to do for a transaction whose request has a key. */
  readonly keyedOver: (transaction: TransactionRecord) => void;
}

/** Writes, keeps and releases what belongs to a transaction, towards its end and after it. */
export class Endings {
  constructor(private readonly parts: EndingsParts) {}

  /** One of its branches was acknowledged, or an attempt to complete one has failed. */
  moved(transaction: TransactionRecord): void {
    if (transaction.extras?.shares !== undefined) this.parts.limits.release(transaction);
    transaction.extras?.group?.occupation?.moved(transaction);
  }

  /** Some branches have acknowledged the commit, and others will not for a while. */
  progressed(transaction: TransactionRecord): void {
    this.parts.limits.release(transaction);
    transaction.extras?.group?.occupation?.moved(transaction);
    if (transaction.isMember) return;
    if (transaction.state !== State.COMMITTING || !hasBranchEnded(transaction)) return;
    this.parts.records.progressed(transaction);
  }

  /**
   * A branch has stalled or is held. Nothing limits how long, so the transaction gives its place in flight to
   * another.
   */
  setAside(transaction: TransactionRecord): void {
    const { registry, reruns } = this.parts;
    registry.setAside(transaction);
    if (transaction.extras?.isRunAgain) reruns.stalled(transaction);
    this.progressed(transaction);
  }

  /** A transaction that has ended needs one more rollback. */
  reopened(transaction: TransactionRecord): void {
    this.parts.registry.setAside(transaction);
  }

  /** A participant's report that contradicts the decision, or may contradict it, was accepted. */
  reported(branch: BranchRecord): void {
    this.parts.records.reported(branch);
  }

  /** No branch owes an answer, for the first time or again after a late answer. */
  ended(transaction: TransactionRecord): void {
    const { clock, registry, records, observers } = this.parts;
    const isFirst = transaction.endedUs === Moment.NOT_YET;
    if (isFirst) transaction.endedUs = transaction.elapsedUs(clock.now());
    dropPayloads(transaction);
    // It is kept for a while. With its deadlines, each of those that are kept would cause one sweep of all.
    transaction.dueAt = NEVER;
    // A decision is kept until its reports are forgotten and no completed branch may still be prepared.
    if (!transaction.isWatched) this.noteEnd(transaction);
    else if (isRecorded(transaction)) records.progressed(transaction);
    registry.release(transaction, isFirst);
    observers.ended(transaction, isFirst);
    const { extras } = transaction;
    if (extras !== undefined) this.makeRoom(transaction, extras);
  }

  /** Something waits for the end of the transaction. */
  private makeRoom(transaction: TransactionRecord, extras: NonNullable<TransactionRecord['extras']>): void {
    const { reruns, limits } = this.parts;
    if (extras.isRunAgain) reruns.proceed(transaction);
    if (extras.shares !== undefined) limits.release(transaction);
    extras.group?.occupation?.moved(transaction);
  }

  /** An operator has dealt with its heuristic reports. */
  forgotten(transaction: TransactionRecord): void {
    // Without a commit record, a report is the log's only trace of a commit.
    const hasRecord = isRecorded(transaction);
    if (transaction.isSettled || hasRecord || isAbort(transaction.state)) {
      this.parts.records.forgotten(transaction, hasRecord);
    } else {
      transaction.needExtras().owesForget = true;
    }
    this.settled(transaction, hasRecord);
  }

  /** An operator has dealt with one of its heuristic reports, and others are left. */
  reportForgotten(branch: BranchRecord): void {
    const { transaction } = branch;
    const { records } = this.parts;
    const hasRecord = isRecorded(transaction);
    // Else the reports are the only trace of a commit, and the log keeps them all until the last one is forgotten.
    if (hasRecord || isAbort(transaction.state)) records.reportForgotten(branch, hasRecord);
  }

  /**
   * Nothing may keep the transaction any more.
   *
   * @param isEnded whether its record ends with its reports.
   */
  settled(transaction: TransactionRecord, isEnded = false): void {
    if (!transaction.isSettled) return;
    dropPayloads(transaction);
    this.noteEnd(transaction, isEnded);
    this.parts.registry.release(transaction, false);
  }

  private noteEnd(transaction: TransactionRecord, isEnded = false): void {
    const { records } = this.parts;
    if (transaction.extras?.requestKey !== undefined) this.parts.keyedOver(transaction);
    if (isEnded) return;
    if (isRecorded(transaction)) records.ended(transaction);
    else if (isRecordedAndRefused(transaction)) records.refused(transaction);
    if (transaction.extras?.owesForget !== true) return;
    transaction.extras.owesForget = false;
    records.forgotten(transaction, isRecorded(transaction));
  }
}

/** Whether a branch of a committing transaction has ended of which the log does not know that. */
function hasBranchEnded(transaction: TransactionRecord): boolean {
  const { open, yes, decider } = transaction;
  if (awaitsConfirmation(transaction)) return false;
  // That the branch that decides has ended is in the log before the others commit.
  return open !== (isDecidedByBranch(transaction) ? yes & ~only(decider) : yes);
}

/** Whether the commit record of an ended transaction is in the log. */
function isRecorded(transaction: TransactionRecord): boolean {
  const { state, yes, recordsAll } = transaction;
  // The record of a member is that of its group.
  if (state !== State.COMMITTED || (transaction.extras !== undefined && transaction.isMember)) return false;
  return isDecidedByBranch(transaction) ? recordsAll : yes !== Branches.NONE;
}

/** Whether the log has a record of an aborted transaction, which names the branch that has refused. */
function isRecordedAndRefused(transaction: TransactionRecord): boolean {
  const { state, cause, causeBranch, decider, recordsAll } = transaction;
  if (state !== State.ABORTED || cause !== Cause.REFUSED || !recordsAll) return false;
  return isDecidedByBranch(transaction) && causeBranch === decider;
}

/** The payloads are kept only as long as a branch may have to be rolled back again. */
function dropPayloads(transaction: TransactionRecord): void {
  const { state, awaiting, extras } = transaction;
  // A branch whose completion is unconfirmed may need the decision again.
  const needed =
    (state === State.COMMITTED ? Branches.NONE : awaiting) | (extras?.unconfirmed ?? Branches.NONE);
  for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
    if (!includes(needed, branch.index)) branch.payload = undefined;
    branch.dropSignal();
  }
  extras?.letGo();
}
