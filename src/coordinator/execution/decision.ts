import { isInstanceOf } from '../gate/failure.js';
import { follow, settled } from '../gate/settled.js';
import { messageOf } from '../gate/texts.js';
import type { ClaimedLog } from '../log/claimed-log.js';
import type { DecisionLog } from '../log/decision-log.js';
import { LogBrokenError, RecordRefusedError } from '../log/log-errors.js';
import type { CoordinatorRun } from '../participant/participant.js';
import {
  awaitsConfirmation,
  awaitsRecord,
  confirmed,
  idPrefixOf,
  isAbort,
  isCommit,
  isDecidedByBranch,
  patienceEnded,
  recordAbsent,
  recorded,
} from '../protocol/index.js';
import { backoffMs } from './backoff.js';
import { type Clock, NEVER } from './clock.js';
import type { Deadlines } from './deadlines.js';
import type { Observers } from './observer.js';
import { ownershipOf } from './ownership.js';
import type { BranchRecord, TransactionRecord } from './records.js';
import type { TransactionRegistry } from './registry.js';

const INQUIRY_BASE_MS = 100;
const INQUIRY_CAP_MS = 10_000;
/** How long the log may take to answer before it is asked again. */
const ANSWER_WITHIN_MS = 10_000;

/**
 * Makes commit decisions durable before the first commit call is sent. If it is unknown whether the log took
 * a record, the decision is in doubt: it is neither commit nor abort until the log has answered an inquiry.
 */
export class DecisionRecorder {
  constructor(
    private readonly log: ClaimedLog,
    private readonly registry: TransactionRegistry,
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly deadlines: Deadlines,
    private readonly observers: Observers,
  ) {}

  record(transaction: TransactionRecord): void {
    const { run } = this.log;
    let appended: void | Promise<void>;
    try {
      appended = this.log.storage.append(transaction);
    } catch (error) {
      // The log refused the record because of its content, which says nothing about the next record.
      this.unknown(transaction, error);
      return;
    }
    if (appended === undefined) recorded(transaction, transaction.executor);
    else this.awaitRecord(transaction, appended, run);
  }

  /**
   * A branch has decided to commit. The record that names the branch is replaced by one that says so: from then on the branch need
   * not be asked again, and only then may another branch commit.
   */
  confirm(transaction: TransactionRecord): void {
    this.inquireIn(transaction, ANSWER_WITHIN_MS);
    if (this.log.shared === undefined) this.writeCommit(transaction);
    // Its next epoch may have begun in the log, where it may not write this record any more.
    else if (this.log.isLost) this.leaveToOthers(transaction);
    else if (this.isOfThisRun(transaction)) this.writeCommit(transaction);
    else void this.confirmEarlier(transaction);
  }

  private writeCommit(transaction: TransactionRecord): void {
    const { run } = this.log;
    const failed = (error: unknown): void => {
      if (!isInstanceOf(error, RecordRefusedError)) this.log.failed(error, run);
      this.unconfirmed(transaction, error);
    };
    let written: void | Promise<void>;
    try {
      written = (transaction.extras?.log ?? this.log.storage).progress(transaction, true);
    } catch (error) {
      failed(error);
      return;
    }
    if (written === undefined) confirmed(transaction, transaction.executor);
    else follow(written, () => this.isConfirmed(transaction), failed);
  }

  private isConfirmed(transaction: TransactionRecord): void {
    this.log.succeeded();
    if (transaction.extras !== undefined) transaction.extras.inquiryAt = 0;
    confirmed(transaction, transaction.executor);
  }

  /**
   * Another member may have adopted its epoch. Then that member writes the record, and this one waits until it has: what this
   * one writes would change nothing, although the log finds the record.
   */
  private async confirmEarlier(transaction: TransactionRecord): Promise<void> {
    const answer = await settled(() => ownershipOf(transaction, this.log));
    if (!awaitsConfirmation(transaction)) return;
    if ('error' in answer) this.unconfirmed(transaction, answer.error);
    else if (answer.value === 'committed') this.isConfirmed(transaction);
    else if (answer.value === 'own') this.writeCommit(transaction);
    else this.leaveToOthers(transaction);
  }

  private unconfirmed(transaction: TransactionRecord, error: unknown): void {
    if (!awaitsConfirmation(transaction)) return;
    this.observers.recordUnknown(transaction, messageOf(error));
    if (this.log.isLost) {
      this.leaveToOthers(transaction);
      return;
    }
    if (this.log.isBroken) patienceEnded(transaction, transaction.executor);
    transaction.needExtras().inquiries++;
    this.inquireLater(transaction);
  }

  private isOfThisRun({ id }: TransactionRecord): boolean {
    return id.startsWith(idPrefixOf(this.log.run));
  }

  private awaitRecord(transaction: TransactionRecord, appended: Promise<void>, run: CoordinatorRun): void {
    // A log that does not answer is asked after a while, so that no transaction waits without end.
    this.inquireIn(transaction, ANSWER_WITHIN_MS);
    follow(
      appended,
      () => this.appended(transaction),
      (error: unknown) => {
        // A record that cannot be kept says nothing about the next one.
        if (!(error instanceof RecordRefusedError)) this.log.failed(error, run);
        this.unknown(transaction, error);
      },
    );
  }

  private appended(transaction: TransactionRecord): void {
    this.log.succeeded();
    // A record that only names the branch that decides says nothing of the decision: an adopter may have ended it.
    if (isAbort(transaction.state) && !isDecidedByBranch(transaction)) {
      const error = new Error('the log has recorded a decision after it had answered that it never would');
      this.observers.defect(error, transaction.id, transaction);
    }
    this.isThere(transaction);
  }

  /** Its record is in the log: nothing more is asked about it. */
  private isThere(transaction: TransactionRecord): void {
    if (transaction.extras !== undefined) transaction.extras.inquiryAt = 0;
    recorded(transaction, transaction.executor);
  }

  /** @returns when the log is asked again. */
  dueAt(transaction: TransactionRecord): number {
    const inquiryAt = transaction.extras?.inquiryAt ?? 0;
    return inquiryAt !== 0 && waitsForLog(transaction) ? inquiryAt : NEVER;
  }

  /** Asks the log again when it is time. */
  examine(transaction: TransactionRecord, now: number): void {
    const inquiryAt = transaction.extras?.inquiryAt ?? 0;
    if (!waitsForLog(transaction) || inquiryAt === 0 || inquiryAt > now) return;
    if (transaction.extras?.inquiries === 0) {
      this.log.failed(new Error(`it has not answered for ${ANSWER_WITHIN_MS} ms`));
    }
    if (awaitsRecord(transaction)) void this.inquire(transaction);
    else this.confirm(transaction);
  }

  /** Asks the log, the first time at once, since a lost acknowledgement is the likeliest cause. */
  private unknown(transaction: TransactionRecord, error: unknown): void {
    // Another inquiry has found it out meanwhile.
    if (!awaitsRecord(transaction)) return;
    const message = messageOf(error);
    const extras = transaction.needExtras();
    this.observers.recordUnknown(transaction, message);
    // Only a new start can find the answer, and no caller has to wait for that.
    if (this.log.isBroken) patienceEnded(transaction, transaction.executor);
    if (extras.inquiries === 0) void this.inquire(transaction);
    else this.inquireLater(transaction);
  }

  /** Asks the log. @returns a promise that resolves when it has answered; it is never a rejection. */
  async inquire(transaction: TransactionRecord): Promise<void> {
    const extras = transaction.needExtras();
    extras.inquiries++;
    this.inquireIn(transaction, ANSWER_WITHIN_MS);
    const answer = await settled(() => this.log.storage.lookUp(transaction.id));
    if ('error' in answer) {
      if (isInstanceOf(answer.error, LogBrokenError)) this.log.failed(answer.error);
      this.unknown(transaction, answer.error);
      return;
    }
    const found = answer.value;
    if (found === 'recorded') this.isThere(transaction);
    else if (found === 'absent') recordAbsent(transaction, transaction.executor);
    else if (found === 'fenced') this.fenced(transaction);
    else this.unknown(transaction, new Error('the log answered neither recorded, absent nor fenced'));
  }

  /**
   * Another coordinator has claimed the log, and decides from now on. This coordinator reports no outcome of
   * the transaction, which may have been recorded before the claim. If the log answers late that it was, this
   * is still accepted.
   */
  private fenced(transaction: TransactionRecord): void {
    // That an earlier run of this process is fenced says nothing of the present one.
    if (this.isOfThisRun(transaction)) this.log.lose();
    if (awaitsRecord(transaction)) this.leaveToOthers(transaction);
  }

  private leaveToOthers(transaction: TransactionRecord): void {
    transaction.needExtras().inquiryAt = 0;
    patienceEnded(transaction, transaction.executor);
    this.registry.setAside(transaction);
  }

  private inquireLater(transaction: TransactionRecord): void {
    const { inquiries } = transaction.needExtras();
    this.inquireIn(transaction, backoffMs(inquiries, INQUIRY_BASE_MS, INQUIRY_CAP_MS, this.random()));
  }

  private inquireIn(transaction: TransactionRecord, pauseMs: number): void {
    const inquiryAt = this.clock.now() + pauseMs;
    transaction.needExtras().inquiryAt = inquiryAt;
    this.deadlines.arm(transaction, inquiryAt);
  }
}

function waitsForLog(transaction: TransactionRecord): boolean {
  return awaitsRecord(transaction) || awaitsConfirmation(transaction);
}

/** The most records that are kept to be written again. */
const MAX_UNWRITTEN = 10_000;

type Note = () => void | Promise<void>;

/**
 * Writes the records of a transaction after its decision without waiting for them: unforced records, in the
 * terms of R*. Each method states the cost of a lost record. Records that nothing would recreate are kept
 * until they are written.
 */
export class UnforcedRecords {
  /** By their subject. */
  private readonly unwritten = new Map<
    string,
    { readonly transaction: TransactionRecord | undefined; readonly write: Note }
  >();

  constructor(
    private readonly log: ClaimedLog,
    private readonly observers: Observers,
  ) {}

  /**
   * Every branch has acknowledged, so the commit record is no longer needed. If this note is lost, the
   * decision is delivered again after a restart. In a shared log the record would stay until then, and with it an epoch
   * that this member has adopted, so there the note is kept until it is written.
   */
  ended(transaction: TransactionRecord): void {
    let writing: void | Promise<void>;
    try {
      writing = this.logOf(transaction).end(transaction.id);
    } catch (error) {
      this.endFailed(transaction, error);
      return;
    }
    if (writing !== undefined) this.awaitEnd(transaction, writing);
  }

  private awaitEnd(transaction: TransactionRecord, writing: Promise<void>): void {
    follow(
      writing,
      () => {},
      (error: unknown) => this.endFailed(transaction, error),
    );
  }

  private endFailed(transaction: TransactionRecord, error: unknown): void {
    const { id } = transaction;
    const about = this.log.shared === undefined ? undefined : `${id} ended`;
    this.failed(transaction, () => this.logOf(transaction).end(id), about, error);
  }

  /** As {@link ended}, for a transaction of an earlier run of this process that is not kept any more. */
  endedEarlier(id: string): void {
    this.note(undefined, () => this.log.storage.end(id), `${id} ended`);
  }

  /**
   * The branch that the record names as the decider has refused. It is kept until it is written: until then, the record is
   * handed to the member that adopts the epoch, and the branch is asked once more.
   */
  refused(transaction: TransactionRecord): void {
    const { shared } = this.log;
    const { id, extras } = transaction;
    const write = (): void | Promise<void> =>
      shared === undefined ? (extras?.log ?? this.log.storage).end(id) : shared.end(id, 'aborted');
    this.note(transaction, write, `${id} refused`);
  }

  /**
   * A transaction with a key has aborted, or was never begun: its key is free. It is kept until it is written: until then
   * only this member knows that the key is free.
   *
   * @param isUnknown whether the reservation may still be under way to the log.
   */
  released(transaction: TransactionRecord, isUnknown: boolean): void {
    const { shared } = this.log;
    if (shared === undefined) return;
    const { id } = transaction;
    const release = (): void | Promise<void> => shared.release(id);
    // After an inquiry nothing that was sent before takes effect any more.
    const write = isUnknown ? (): Promise<void> => shared.lookUp(id).then(release) : release;
    this.note(transaction, write, `${id} key`);
  }

  /**
   * Some branches have acknowledged, and the decision is kept for a while. After a restart these branches do
   * not receive it again, since a participant need not remember its commits without limit.
   */
  progressed(transaction: TransactionRecord): void {
    this.note(transaction, () => this.logOf(transaction).progress(transaction));
  }

  /**
   * The payload of a branch was replaced in the record of an open transaction.
   *
   * @returns a promise that resolves when the log has it.
   */
  async replaced(transaction: TransactionRecord): Promise<void> {
    await this.logOf(transaction).progress(transaction, true);
  }

  /** A heuristic report outlives this process. No participant need be asked for it again. */
  reported(branch: BranchRecord): void {
    const { transaction, branchId, participant, heuristic } = branch;
    if (heuristic === undefined) return;
    const { id, name, state } = transaction;
    const decision = isCommit(state) ? 'commit' : 'abort';
    const report = { id, name, decision, branchId, participant: participant.name, ...heuristic } as const;
    this.note(transaction, () => this.logOf(transaction).report(report), `${id}/${branchId}`);
  }

  /**
   * An operator has dealt with the reports of a transaction, of which the record ends if nothing is left to do. A report that
   * could not be written need not be written any more.
   *
   * @param isRecorded whether the log has its commit record.
   */
  forgotten(transaction: TransactionRecord, isRecorded: boolean): void {
    for (const [about, note] of this.unwritten)
      if (note.transaction === transaction) this.unwritten.delete(about);
    this.note(transaction, () => this.forget(transaction, isRecorded), transaction.id);
  }

  /** As {@link forgotten}, for one report of several. */
  reportForgotten({ transaction, branchId }: BranchRecord, isRecorded: boolean): void {
    const about = `${transaction.id}/${branchId}`;
    this.unwritten.delete(about);
    this.note(transaction, () => this.forget(transaction, isRecorded, branchId), about);
  }

  /**
   * A report has told the log that its branch has ended. The record tells that, or ends, before the report is dropped: otherwise
   * the branch would be asked again after a restart.
   */
  private forget(
    transaction: TransactionRecord,
    isRecorded: boolean,
    branchId?: string,
  ): void | Promise<void> {
    const log = this.logOf(transaction);
    const forget = (): void | Promise<void> =>
      branchId === undefined ? log.forget(transaction.id) : log.forget(transaction.id, branchId);
    if (!isRecorded) return forget();
    // The log never gets back a record that has ended.
    const noted = transaction.isSettled ? log.end(transaction.id) : log.progress(transaction);
    return noted === undefined ? forget() : noted.then(forget);
  }

  /** Whether records wait to be written again. */
  get hasUnwritten(): boolean {
    return this.unwritten.size > 0;
  }

  /** The log works again: writes the waiting records. */
  writeAgain(): void {
    const notes = [...this.unwritten];
    this.unwritten.clear();
    for (const [about, { transaction, write }] of notes) this.note(transaction, write, about);
  }

  /** The log that holds the record of a transaction. */
  private logOf({ extras }: TransactionRecord): DecisionLog {
    return extras?.log ?? this.log.storage;
  }

  /** @param about the subject of a record that is kept until it is written. */
  private note(transaction: TransactionRecord | undefined, write: Note, about?: string): void {
    const failed = (error: unknown): void => this.failed(transaction, write, about, error);
    try {
      const writing = write();
      if (writing !== undefined) follow(writing, () => {}, failed);
    } catch (error) {
      failed(error);
    }
  }
  private failed(
    transaction: TransactionRecord | undefined,
    write: Note,
    about: string | undefined,
    error: unknown,
  ): void {
    if (transaction !== undefined) this.observers.notNoted(transaction, messageOf(error));
    if (about !== undefined && this.unwritten.size < MAX_UNWRITTEN) {
      this.unwritten.set(about, { transaction, write });
    }
  }
}
