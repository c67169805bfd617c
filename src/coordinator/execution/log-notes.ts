import { isCommit } from '../protocol/index.js';
import type { BranchRecord } from './branch-record.js';
import type { ClaimedLog } from './claimed-log.js';
import { follow } from '../gate/settled.js';
import { messageOf } from './incident.js';
import type { Observers } from './observers.js';
import type { TransactionRecord } from './transaction-record.js';

/** How many notes are kept at most to be written again. */
const MAX_UNWRITTEN = 10_000;

type Note = () => void | Promise<void>;

/**
 * What is written about a transaction after its decision. Nobody waits for it. What a lost note would cost is said with each;
 * those that nothing would bring back are kept until they are written.
 */
export class LogNotes {
  /** By what they are about. */
  private readonly unwritten = new Map<
    string,
    { readonly transaction: TransactionRecord; readonly write: Note }
  >();

  constructor(
    private readonly log: ClaimedLog,
    private readonly observers: Observers,
  ) {}

  /** Every branch has acknowledged: the record has done its service. If that is not noted, it does it once more. */
  ended(transaction: TransactionRecord): void {
    this.note(transaction, () => this.log.storage.end(transaction.id));
  }

  /**
   * Some branches have acknowledged, and the decision is kept for a while yet: after a restart they are not told once more,
   * since a participant need not remember for ever what it has committed.
   */
  progressed(transaction: TransactionRecord): void {
    this.note(transaction, () => this.log.storage.progress(transaction));
  }

  /** A heuristic report outlives this process. Nobody may be asked for it again. */
  reported(branch: BranchRecord): void {
    const { transaction, branchId, participant, heuristic } = branch;
    if (heuristic === undefined) return;
    const { id, name, state } = transaction;
    const decision = isCommit(state) ? 'commit' : 'abort';
    const report = { id, name, decision, branchId, participant: participant.name, ...heuristic } as const;
    this.note(transaction, () => this.log.storage.report(report), `${id}/${branchId}`);
  }

  /** The reports of a transaction were dealt with; one that could not be written need not be any more. */
  forgotten(transaction: TransactionRecord): void {
    for (const [about, note] of this.unwritten)
      if (note.transaction === transaction) this.unwritten.delete(about);
    this.note(transaction, () => this.log.storage.forget(transaction.id), transaction.id);
  }

  /** Whether something could not be written, and is to be. */
  get hasUnwritten(): boolean {
    return this.unwritten.size > 0;
  }

  /** The log works again: what could not be written is. */
  writeAgain(): void {
    const notes = [...this.unwritten];
    this.unwritten.clear();
    for (const [about, { transaction, write }] of notes) this.note(transaction, write, about);
  }

  /** @param about what the note is about, for one that is kept until it is written. */
  private note(transaction: TransactionRecord, write: Note, about?: string): void {
    const failed = (error: unknown): void => {
      this.observers.notNoted(transaction, messageOf(error));
      if (about !== undefined && this.unwritten.size < MAX_UNWRITTEN) {
        this.unwritten.set(about, { transaction, write });
      }
    };
    try {
      const writing = write();
      if (writing !== undefined) follow(writing, () => {}, failed);
    } catch (error) {
      failed(error);
    }
  }
}
