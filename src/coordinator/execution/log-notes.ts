import { isCommit } from '../protocol/index.js';
import type { BranchRecord } from './branch-record.js';
import type { ClaimedLog } from './claimed-log.js';
import { messageOf } from './incident.js';
import type { TransactionObserver } from './observer.js';
import type { TransactionRecord } from './transaction-record.js';

/** What is written about a transaction after its decision. Nobody waits for it, and to lose it is harmless. */
export class LogNotes {
  constructor(
    private readonly log: ClaimedLog,
    private readonly observer: TransactionObserver,
  ) {}

  /** Every branch has acknowledged: the record has done its service. If that is not noted, it does it once more. */
  ended(transaction: TransactionRecord): void {
    this.note(transaction, () => this.log.storage.end(transaction.id));
  }

  /** A heuristic report outlives this process. If it is lost, the participant is asked again, and reports again. */
  reported(branch: BranchRecord): void {
    const { transaction, branchId, participant, heuristic } = branch;
    if (heuristic === undefined) return;
    const { id, name, state } = transaction;
    const decision = isCommit(state) ? 'commit' : 'abort';
    const report = { id, name, decision, branchId, participant: participant.name, ...heuristic } as const;
    this.note(transaction, () => this.log.storage.report(report));
  }

  /** The reports of a transaction were dealt with. */
  forgotten(transaction: TransactionRecord): void {
    this.note(transaction, () => this.log.storage.forget(transaction.id));
  }

  private note(transaction: TransactionRecord, write: () => void | Promise<void>): void {
    try {
      void write()?.catch((error: unknown) => this.observer.notNoted(transaction, messageOf(error)));
    } catch (error) {
      this.observer.notNoted(transaction, messageOf(error));
    }
  }
}
