import { COMMITTING, isAbort } from '../protocol/index.js';
import type { BranchRecord } from './branch-record.js';
import type { Clock } from './clock.js';
import { dropPayloads, isRecorded } from './leftovers.js';
import type { LogNotes } from './log-notes.js';
import type { TransactionRecord } from './transaction-record.js';
import type { TransactionRegistry } from './transaction-registry.js';

/** What is noted and kept of a transaction towards its end, and after it. */
export class Ends {
  constructor(
    private readonly clock: Clock,
    private readonly registry: TransactionRegistry,
    private readonly notes: LogNotes,
  ) {}

  /** No branch owes anything. @returns whether it is the first time, and not once more after a late answer. */
  ended(transaction: TransactionRecord): boolean {
    const first = transaction.endedAt === 0;
    if (first) transaction.endedAt = this.clock.now();
    dropPayloads(transaction);
    // A decision is kept until its reports are forgotten and no branch is over by word alone.
    if (!transaction.isWatched) this.noteEnd(transaction);
    else if (isRecorded(transaction)) this.notes.progressed(transaction);
    this.registry.release(transaction, first);
    return first;
  }

  /** Its heuristic reports were dealt with. */
  forgotten(transaction: TransactionRecord): void {
    // Where there is no record, a report is all that the log has of a commit.
    if (transaction.isSettled || isRecorded(transaction) || isAbort(transaction.state)) {
      this.notes.forgotten(transaction);
    } else {
      transaction.needExtras().owesForget = true;
    }
    this.settled(transaction);
  }

  /** Nothing may keep the transaction any more. */
  settled(transaction: TransactionRecord): void {
    if (!transaction.isSettled) return;
    dropPayloads(transaction);
    this.noteEnd(transaction);
    this.registry.release(transaction, false);
  }

  reported(branch: BranchRecord): void {
    this.notes.reported(branch);
  }

  /** Some branches have acknowledged the commit, and others will not for a while. */
  progressed(transaction: TransactionRecord): void {
    if (transaction.state !== COMMITTING || transaction.open === transaction.yes) return;
    this.notes.progressed(transaction);
  }

  private noteEnd(transaction: TransactionRecord): void {
    if (isRecorded(transaction)) this.notes.ended(transaction);
    if (transaction.extras?.owesForget !== true) return;
    transaction.extras.owesForget = false;
    this.notes.forgotten(transaction);
  }
}
