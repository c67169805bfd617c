import type { BranchRecord, TransactionExecutor, TransactionRecord } from '../execution/records.js';
import type { BranchSet, StateNumber, Told } from '../protocol/index.js';

/**
 * Passes every effect and every answer on to the executor of the coordinator. Its subclasses change some of
 * that.
 */
export class ForwardingExecutor implements TransactionExecutor {
  constructor(protected readonly main: TransactionExecutor) {}

  get clock(): TransactionExecutor['clock'] {
    return this.main.clock;
  }

  get run(): TransactionExecutor['run'] {
    return this.main.run;
  }

  answered(branch: BranchRecord, value: unknown): void {
    this.main.answered(branch, value);
  }

  failed(branch: BranchRecord, error: unknown): void {
    this.main.failed(branch, error);
  }

  settled(transaction: TransactionRecord): void {
    this.main.settled(transaction);
  }

  cancelled(transaction: TransactionRecord): void {
    this.main.cancelled(transaction);
  }

  listenerFailed(owner: string, error: unknown, transaction: TransactionRecord): void {
    this.main.listenerFailed(owner, error, transaction);
  }

  entered(transaction: TransactionRecord, from: StateNumber): void {
    this.main.entered(transaction, from);
  }

  prepare(transaction: TransactionRecord): void {
    this.main.prepare(transaction);
  }

  commitOnePhase(transaction: TransactionRecord): void {
    this.main.commitOnePhase(transaction);
  }

  record(transaction: TransactionRecord): void {
    this.main.record(transaction);
  }

  confirm(transaction: TransactionRecord): void {
    this.main.confirm(transaction);
  }

  cancel(transaction: TransactionRecord): void {
    this.main.cancel(transaction);
  }

  commit(transaction: TransactionRecord, branches: BranchSet): void {
    this.main.commit(transaction, branches);
  }

  rollback(transaction: TransactionRecord, branches: BranchSet): void {
    this.main.rollback(transaction, branches);
  }

  tell(transaction: TransactionRecord, told: Told): void {
    this.main.tell(transaction, told);
  }

  stalled(transaction: TransactionRecord, branch: number): void {
    this.main.stalled(transaction, branch);
  }

  ended(transaction: TransactionRecord): void {
    this.main.ended(transaction);
  }
}
