import {
  COMMITTING,
  PREPARING,
  type ProtocolEffects,
  READY,
  TOLD_NOTHING,
  deadlinePassed,
  includes,
  patienceEnded,
  prepareTimedOut,
} from '../protocol/index.js';
import { type BranchRecord, CALL_NONE, callDueAt, calledToPrepareAt } from './branch-record.js';
import type { Clock } from './clock.js';
import type { DecisionRecorder } from './decision-recorder.js';
import type { Deliveries } from './deliveries.js';
import { NEVER } from './moments.js';
import type { Observers } from './observers.js';
import type { TransactionRecord } from './transaction-record.js';

/** Turns the passing of time into events: for the voting, the log, the caller's patience and each completion. */
export class Timeouts {
  constructor(
    private readonly clock: Clock,
    private readonly completionWaitMs: number,
    private readonly deliveries: Deliveries,
    private readonly recorder: DecisionRecorder,
    private readonly observers: Observers,
    private readonly effects: ProtocolEffects<TransactionRecord>,
  ) {}

  /**
   * Deals with whatever is due in one transaction.
   *
   * @returns when something is due next.
   */
  readonly examine = (transaction: TransactionRecord): number => {
    const now = this.clock.now();
    try {
      this.examineVoting(transaction, now);
      this.recorder.examine(transaction, now);
      if (transaction.state === COMMITTING && transaction.decidedAt + this.completionWaitMs <= now) {
        patienceEnded(transaction, this.effects);
      }
      for (const branch of transaction.branches) this.deliveries.examine(branch, now);
    } catch (error) {
      // One transaction that cannot be dealt with keeps no other from its deadline.
      this.observers.defect(error, `examining ${transaction.id}`);
    }
    return this.nextDueAt(transaction);
  };

  private examineVoting(transaction: TransactionRecord, now: number): void {
    if (transaction.state === PREPARING) {
      const late = transaction.branches.find((branch) => isAsked(branch) && callDueAt(branch) <= now);
      if (late !== undefined) {
        this.noteLateness(transaction, now);
        prepareTimedOut(transaction, late.index, this.effects);
      }
    }
    if (transaction.decidedAt === 0 && transaction.deadlineAt <= now)
      deadlinePassed(transaction, this.effects);
  }

  /** Every branch whose answer is still out when the first is given up. */
  private noteLateness(transaction: TransactionRecord, now: number): void {
    for (const branch of transaction.branches) {
      if (!isAsked(branch) || callDueAt(branch) > now) continue;
      const waitedMs = Math.round(callDueAt(branch) - calledToPrepareAt(branch));
      const message = `${branch.participant.name} did not answer prepare within ${waitedMs} ms`;
      branch.refusal = { code: undefined, reason: message, error: undefined };
      this.observers.prepareFailed(branch, 'timed-out', message);
    }
  }

  private nextDueAt(transaction: TransactionRecord): number {
    let dueAt = NEVER;
    if (transaction.decidedAt === 0 && transaction.told === TOLD_NOTHING) dueAt = transaction.deadlineAt;
    if (transaction.state === COMMITTING && transaction.told === TOLD_NOTHING) {
      dueAt = transaction.decidedAt + this.completionWaitMs;
    }
    const inquiryAt = transaction.extras?.inquiryAt ?? 0;
    if (transaction.state === READY && inquiryAt !== 0) dueAt = Math.min(dueAt, inquiryAt);
    for (const branch of transaction.branches) {
      const preparing = transaction.state === PREPARING && isAsked(branch);
      dueAt = Math.min(dueAt, preparing ? callDueAt(branch) : this.deliveries.dueAt(branch));
    }
    return dueAt;
  }
}

/** Whether its answer to prepare is still out: in turn, the others have not been asked yet. */
function isAsked({ transaction, index, call }: BranchRecord): boolean {
  return includes(transaction.awaiting, index) && call !== CALL_NONE;
}
