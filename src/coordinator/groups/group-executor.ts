import type { BranchRecord, TransactionExecutor, TransactionRecord } from '../execution/records.js';
import { type BranchSet, Told, acknowledged, completionRound } from '../protocol/index.js';
import { ForwardingExecutor } from './forwarding-executor.js';

/** The calls that a group makes for its members. */
export interface GroupEvents {
  /** Whether no participant holds anything of the group, and none was asked to prepare it. */
  readonly isUntouched: boolean;
  /** Its commit record is durable. */
  committed(): void;
  aborted(): void;
  /** No branch owes an answer. */
  ended(): void;
  /** A participant has answered. */
  answered(): void;
  /** No caller waits any longer for what the group has yet to do. */
  patienceEnded(): void;
}

/** Drives a group as any other transaction, and lets its members follow. */
export class GroupExecutor extends ForwardingExecutor {
  constructor(
    main: TransactionExecutor,
    private readonly events: GroupEvents,
  ) {
    super(main);
  }

  override answered(branch: BranchRecord, value: unknown): void {
    super.answered(branch, value);
    this.events.answered();
  }

  override failed(branch: BranchRecord, error: unknown): void {
    super.failed(branch, error);
    this.events.answered();
  }

  override commit(group: TransactionRecord, branches: BranchSet): void {
    this.events.committed();
    super.commit(group, branches);
  }

  override rollback(group: TransactionRecord, branches: BranchSet): void {
    this.events.aborted();
    if (!this.events.isUntouched) {
      super.rollback(group, branches);
      return;
    }
    for (const { index } of group.branches) acknowledged(group, index, completionRound(group, index), this);
  }

  override ended(group: TransactionRecord): void {
    super.ended(group);
    this.events.ended();
  }

  /** A group has no caller of its own: its members have. */
  override tell(_group: TransactionRecord, told: Told): void {
    if (told === Told.PENDING) this.events.patienceEnded();
  }
}
