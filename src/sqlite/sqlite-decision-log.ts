import { join } from 'node:path';
import { CoordinatorError } from '../coordinator/errors.js';
import {
  AUDIT_KEPT,
  type AuditEntry,
  type CommitDecision,
  type DecisionLog,
  type HeuristicRecord,
  type LogClaim,
} from '../coordinator/log/decision-log.js';
import { FlushStatistics } from '../coordinator/log/flush-statistics.js';
import {
  LogBrokenError,
  LogInUseError,
  LogNotOpenedError,
  RecordRefusedError,
} from '../coordinator/log/log-errors.js';
import { newLogId, newRunToken, nextEpoch } from '../coordinator/log/log-identity.js';
import { within } from '../coordinator/within.js';
import { type Write, batchOf } from './batch.js';
import { errorOf, problemOf, refusalsOf } from './failures.js';
import { FoundRecords } from './found-records.js';
import { GroupCommit, type Refusals } from '../coordinator/log/group-commit.js';
import { type Found, LogFailure, PUT, REMOVE, REMOVE_ALL, type Written } from './messages.js';
import { encodeBody } from '../coordinator/log/record-body.js';
import { AUDITS, CHECK, COMMITS, REPORTS, STARTS } from '../coordinator/log/record-shapes.js';
import { LogWorker } from './worker-client.js';

/** Options of {@link SqliteDecisionLog}. @publicApi */
export interface SqliteDecisionLogOptions {
  /**
   * The folder of the logs, created when it is missing. Each coordinator has a folder of its own name in it.
   */
  readonly path: string;
}

/**
 * How long notes without a waiting caller may be delayed to share the flush of a decision, in milliseconds.
 */
const NOTES_WITHIN_MS = 50;
/** The least content that is written to find out whether a decision can be written. */
const CHECK_BYTES = 4_096;
/** Far more than there are transactions in flight, and no more than fits into memory. */
const MAX_WAITING = 100_000;
/** A size that SQLite handles easily, and far more than a payload should have. */
const MAX_RECORD_BYTES = 64 * 1024 * 1024;
/** The time limit of the whole closing, in milliseconds. */
const CLOSE_LIMIT_MS = 10_000;
const NOTHING = new Uint8Array();

/**
 * A write with its place in the order of the calls. Of two writes to one key the later must win, whichever of
 * them was delayed.
 */
interface Ordered extends Write {
  readonly place: number;
}

interface Opened {
  readonly folder: string;
  readonly worker: LogWorker;
}

/**
 * A decision log in an embedded SQLite database, which a thread of its own reads, writes and flushes. A
 * decision is durable after its flush, which all waiting decisions share.
 *
 * @publicApi
 */
export class SqliteDecisionLog implements DecisionLog {
  readonly flushes = new FlushStatistics();
  private readonly writes = new GroupCommit<Ordered>((group) => this.write(group), MAX_WAITING);
  private notes: Ordered[] = [];
  private nextPlace = 0;
  private notesTimer: NodeJS.Timeout | undefined;
  private opened: Opened | undefined;
  private starts: ReadonlyMap<number, string> = new Map();
  private broken: LogBrokenError | undefined;
  /** The size of the last record that could not be written. */
  private failedBytes = 0;

  constructor(private readonly options: SqliteDecisionLogOptions) {}

  /**
   * @throws LogInUseError, DamagedLogError, UnknownLogFormatError, FormerLogError, LogStartsUsedUpError;
   * LogNotOpenedError with the error of the system.
   */
  async open(coordinator: string): Promise<LogClaim> {
    const folder = join(this.options.path, coordinator);
    if (this.opened !== undefined) throw new LogInUseError(this.opened.folder);
    const records = new FoundRecords();
    const worker = new LogWorker(records.add);
    this.opened = { folder, worker };
    try {
      return await this.claim(worker, records);
    } catch (error) {
      this.opened = undefined;
      // The reason why it could not be opened matters more than an error of closing it.
      await worker.close(CLOSE_LIMIT_MS).catch(() => {});
      if (error instanceof CoordinatorError) throw error;
      throw error instanceof LogFailure
        ? errorOf(error.failure, folder)
        : new LogNotOpenedError(folder, error);
    }
  }

  isOwnRun(epoch: number, token: string): boolean {
    return this.starts.get(epoch) === token;
  }

  append(decision: CommitDecision): Promise<void> {
    const record = decision.toRecord();
    const payloads = record.branches.map(({ payload }) => payload);
    return this.put(COMMITS + decision.id, record, payloads);
  }

  async lookUp(transactionId: string): Promise<'recorded' | 'absent'> {
    // A running write may still reach the disk.
    await this.writes.settled();
    if (this.broken !== undefined) throw this.broken;
    const isThere = await this.ask(
      this.storage.worker.request({ type: 'holds', key: COMMITS + transactionId }),
    );
    return isThere === true ? 'recorded' : 'absent';
  }

  progress(decision: CommitDecision): Promise<void> {
    return this.append(decision);
  }

  end(transactionId: string): void {
    this.note({ kind: REMOVE, key: COMMITS + transactionId, body: NOTHING });
  }

  report(report: HeuristicRecord): Promise<void> {
    return this.put(reportsOf(report.id) + report.branchId, report);
  }

  /** A report that is being written is forgotten as well, since writes keep their order. */
  forget(transactionId: string, branchId?: string): Promise<void> {
    const key = reportsOf(transactionId);
    return this.add(
      branchId === undefined
        ? { kind: REMOVE_ALL, key, body: NOTHING }
        : { kind: REMOVE, key: key + branchId, body: NOTHING },
    );
  }

  /** Entries reuse their places in turn, so that only the latest are kept. */
  audit(entry: AuditEntry): Promise<void> {
    return this.put(AUDITS + (entry.number % AUDIT_KEPT), entry);
  }

  /** Writes and removes as much as could not be written before. */
  async check(): Promise<void> {
    const body = new Uint8Array(Math.max(CHECK_BYTES, this.failedBytes));
    await this.add({ kind: PUT, key: CHECK, body });
    this.failedBytes = 0;
    this.note({ kind: REMOVE, key: CHECK, body: NOTHING });
  }

  /**
   * Running and delayed writes are finished first.
   *
   * @throws Error when that takes longer than 10 s because the disk does not answer, or when the files cannot
   * be closed.
   */
  async close(): Promise<void> {
    const { opened } = this;
    if (opened === undefined) return;
    clearTimeout(this.notesTimer);
    this.notesTimer = undefined;
    const endsAt = performance.now() + CLOSE_LIMIT_MS;
    await within(CLOSE_LIMIT_MS, this.writeRest(), () => undefined);
    this.opened = undefined;
    let problem = `within ${CLOSE_LIMIT_MS} ms: its disk does not answer`;
    try {
      if (await opened.worker.close(Math.max(1, endsAt - performance.now()))) return;
    } catch (error) {
      problem = `properly (${problemOf(error)})`;
    }
    throw new Error(
      `The decision log in ${opened.folder} was not closed ${problem}. Acknowledged decisions are on its disk. End the process ` +
        'before you start another one on this log.',
    );
  }

  private async writeRest(): Promise<void> {
    await this.writes.settled();
    // Losing a note is harmless, so a full disk must not prevent the closing.
    if (this.notes.length > 0) await this.write([]).catch(() => {});
  }

  /** The stored records are read and checked before anything is changed. */
  private async claim(worker: LogWorker, records: FoundRecords): Promise<LogClaim> {
    const found = (await worker.request({ type: 'open', folder: this.opened!.folder })) as Found;
    if (records.damage !== undefined) throw records.damage;
    const { logId = newLogId(), warning } = found;
    const epoch = nextEpoch(records.lastEpoch);
    const token = newRunToken();
    const key = STARTS + epoch;
    await worker.request({ type: 'claim', claim: { logId, key, body: encodeBody(key, { token }) } });
    this.starts = records.starts.set(epoch, token);
    this.broken = undefined;
    this.notes = [];
    const { decisions, reports, audits } = records;
    return {
      logId,
      epoch,
      token,
      durable: true,
      decisions: decisions.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      reports,
      audits: audits.toSorted((a, b) => a.number - b.number),
      ...(warning !== undefined && { warning }),
    };
  }

  private get storage(): Opened {
    if (this.opened === undefined) throw new Error('The decision log is closed.');
    return this.opened;
  }

  /** @throws DataCloneError, RecordRefusedError when the record cannot be kept. */
  private put(key: string, record: object, payloads?: readonly unknown[]): Promise<void> {
    const body = encodeBody(key, record, payloads);
    if (body.length > MAX_RECORD_BYTES) {
      throw new RecordRefusedError(
        key,
        `it has ${body.length} bytes, but may have at most ${MAX_RECORD_BYTES}`,
      );
    }
    return this.add({ kind: PUT, key, body });
  }

  private add(write: Write): Promise<void> {
    return this.writes.add({ ...write, place: this.nextPlace++ });
  }

  /** No caller waits for it: it is written with the next decision, or alone when none comes soon. */
  private note(write: Write): void {
    this.notes.push({ ...write, place: this.nextPlace++ });
    this.notesTimer ??= setTimeout(() => {
      this.notesTimer = undefined;
      if (this.notes.length > 0) this.writes.writeSoon();
    }, NOTES_WITHIN_MS).unref();
  }

  /** Writes a group and the notes in one transaction, in the order of their calls. */
  private async write(group: readonly Ordered[]): Promise<Refusals> {
    if (this.broken !== undefined) throw this.broken;
    const { worker } = this.storage;
    const { notes } = this;
    this.notes = [];
    const writes = notes.length === 0 ? group : [...notes, ...group].toSorted((a, b) => a.place - b.place);
    const { batch, transfer } = batchOf(writes);
    try {
      const written = (await this.ask(worker.request({ type: 'write', batch }, transfer))) as Written;
      const { refused, flushMs } = written;
      if (flushMs !== undefined) this.flushes.flushed(flushMs, writes.length - refused.length);
      return refusalsOf(refused, writes, group);
    } catch (error) {
      this.notes = [...notes, ...this.notes];
      for (const { body } of writes) this.failedBytes = Math.max(this.failedBytes, body.length);
      throw error;
    }
  }

  /** @returns the answer of the thread. An error that breaks the log breaks it until it is opened again. */
  private async ask<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof LogFailure && error.failure.kind === 'full') {
        throw new Error(`there is no room (${error.failure.problem})`, { cause: error });
      }
      this.broken ??= new LogBrokenError(problemOf(error));
      throw this.broken;
    }
  }
}

/** @returns the prefix of the keys of all reports of a transaction. */
function reportsOf(transactionId: string): string {
  return `${REPORTS}${transactionId}/`;
}
