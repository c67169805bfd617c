import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type RootDatabase, open } from 'lmdb';
import { CoordinatorError, FencedError } from '../../errors.js';
import type { AuditEntry, CommitDecision, DecisionLog, HeuristicRecord, LogClaim } from '../decision-log.js';
import { ExclusiveLock } from '../exclusive-lock.js';
import { FlushStatistics } from '../flush-statistics.js';
import { newLogId, newRunToken, nextEpoch } from '../log-identity.js';
import { LogBrokenError, LogInUseError, LogNotOpenedError } from '../log-errors.js';
import { causeOf, isPassing } from './failures.js';
import { checkFile, databaseIn, markClaimed } from './file-check.js';
import { GroupCommit } from './group-commit.js';
import { encodeRecord } from './record-format.js';
import {
  CHECK,
  COMMITS,
  EPOCH,
  auditKey,
  readAudits,
  readCommits,
  readEpoch,
  readIdentity,
  readReports,
  readStart,
  reportKey,
  reportsOf,
  startKey,
} from './stored-records.js';

/** Options of {@link LmdbDecisionLog}. @publicApi */
export interface LmdbDecisionLogOptions {
  /** The folder of the logs, made when it is not there. Each coordinator has a folder of its own name in it. */
  readonly path: string;
}

/** How long the notes that nobody waits for may be put off, in milliseconds, to share the flush of a decision. */
const NOTES_WITHIN_MS = 50;
/** What is written at least to find out whether a decision could be. */
const CHECK_BYTES = 4_096;

/** Stands for the removal of every key that begins so. */
const ALL = Symbol('all');

/** A write: what is kept under the key from now on, or nothing. */
interface Write {
  readonly key: string;
  readonly value: Buffer | undefined | typeof ALL;
}

interface Opened {
  readonly folder: string;
  readonly name: string;
  readonly database: RootDatabase<Buffer, string>;
  readonly lock: ExclusiveLock;
}

/**
 * A decision log in an embedded LMDB database. A decision is durable when its flush is done, and all that wait share one.
 * Each write depends on the epoch, so that a coordinator whose log was claimed by another writes nothing more.
 *
 * @publicApi
 */
export class LmdbDecisionLog implements DecisionLog {
  readonly flushes = new FlushStatistics();
  private readonly writes = new GroupCommit<Write>((group) => this.write(group));
  private notes: Write[] = [];
  private notesTimer: NodeJS.Timeout | undefined;
  private opened: Opened | undefined;
  private epoch = 0;
  private broken: LogBrokenError | undefined;
  /** The size of what could not be written the last time. */
  private failedBytes = 0;

  constructor(private readonly options: LmdbDecisionLogOptions) {}

  /**
   * @throws LogInUseError, DamagedLogError, UnknownLogFormatError; LogNotOpenedError with what the system says.
   */
  async open(coordinator: string): Promise<LogClaim> {
    const folder = join(this.options.path, coordinator);
    if (this.opened !== undefined) throw new LogInUseError(this.opened.folder);
    try {
      return await this.claim(folder, coordinator);
    } catch (error) {
      await this.close();
      throw error instanceof CoordinatorError ? error : new LogNotOpenedError(folder, await causeOf(error));
    }
  }

  isOwnRun(epoch: number, token: string): boolean {
    const { database } = this.storage;
    database.resetReadTxn();
    return readStart(database, epoch) === token;
  }

  append(decision: CommitDecision): Promise<void> {
    return this.writes.add({ key: COMMITS + decision.id, value: encodeRecord(decision.toRecord()) });
  }

  async lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'> {
    // While a write is under way it may still get there.
    await this.writes.settled();
    if (this.broken !== undefined) throw this.broken;
    const { database } = this.storage;
    database.resetReadTxn();
    if (database.doesExist(COMMITS + transactionId)) return 'recorded';
    return readEpoch(database) === this.epoch ? 'absent' : 'fenced';
  }

  progress(decision: CommitDecision): Promise<void> {
    return this.append(decision);
  }

  end(transactionId: string): void {
    this.note({ key: COMMITS + transactionId, value: undefined });
  }

  report(report: HeuristicRecord): Promise<void> {
    return this.writes.add({ key: reportKey(report), value: encodeRecord(report) });
  }

  /** A report that is on its way is forgotten as well, since writes are taken in their order. */
  forget(transactionId: string): Promise<void> {
    return this.writes.add({ key: reportsOf(transactionId), value: ALL });
  }

  audit(entry: AuditEntry): Promise<void> {
    return this.writes.add({ key: auditKey(entry), value: encodeRecord(entry) });
  }

  /** Writes, and takes away, as much as could not be written before. */
  async check(): Promise<void> {
    const value = Buffer.alloc(Math.max(CHECK_BYTES, this.failedBytes));
    await this.writes.add({ key: CHECK, value });
    this.failedBytes = 0;
    this.note({ key: CHECK, value: undefined });
  }

  /** What is under way is written first, and so is what was put off. */
  async close(): Promise<void> {
    const { opened } = this;
    if (opened === undefined) return;
    clearTimeout(this.notesTimer);
    this.notesTimer = undefined;
    try {
      await this.writes.settled();
      // A note that is lost is harmless, so a disk that is full keeps nobody from closing.
      if (this.notes.length > 0) await this.write([]).catch(() => {});
    } finally {
      this.opened = undefined;
      await opened.database.close();
      opened.lock.release();
    }
  }

  private async claim(folder: string, name: string): Promise<LogClaim> {
    mkdirSync(folder, { recursive: true });
    const lock = ExclusiveLock.acquire(join(folder, 'lock'));
    if (lock === undefined) throw new LogInUseError(folder);
    let database: RootDatabase<Buffer, string>;
    try {
      checkFile(folder);
      database = open<Buffer, string>({
        path: databaseIn(folder),
        encoding: 'binary',
        useVersions: true,
        // One write is one promise, also when it fails. With batches by turn there is one more, which nobody can catch.
        eventTurnBatching: false,
        // A write is done when it has reached the disk, and not before.
        overlappingSync: false,
      });
    } catch (error) {
      lock.release();
      throw error;
    }
    this.opened = { folder, name, database, lock };
    // What cannot be read stops the start before anything is changed.
    readCommits(database);
    readReports(database);
    readAudits(database);
    const identity = await this.claimEpoch(database, folder);
    this.epoch = identity.epoch;
    markClaimed(folder);
    return {
      ...identity,
      durable: true,
      decisions: readCommits(database),
      reports: readReports(database),
      audits: readAudits(database),
    };
  }

  /** Of two that claim at the same time, where the lock does not hold, one is refused. */
  private async claimEpoch(
    database: RootDatabase<Buffer, string>,
    folder: string,
  ): Promise<Pick<LogClaim, 'logId' | 'epoch' | 'token'>> {
    const { logId = newLogId(), epoch: before = 0 } = readIdentity(database) ?? {};
    const epoch = nextEpoch(before);
    const token = newRunToken();
    const put = (): void => {
      database.put(EPOCH, encodeRecord({ logId, epoch }), epoch).catch(() => {});
      database.put(startKey(epoch), encodeRecord({ token }), epoch).catch(() => {});
    };
    const won = await (before === 0
      ? database.ifNoExists(EPOCH, put)
      : database.ifVersion(EPOCH, before, put));
    if (!won) throw new LogInUseError(folder);
    return { logId, epoch, token };
  }

  private get storage(): Opened {
    if (this.opened === undefined) throw new Error('The decision log is closed.');
    return this.opened;
  }

  /** Nobody waits for it: it goes with the next decision, or by itself when none comes soon. */
  private note(write: Write): void {
    this.notes.push(write);
    this.notesTimer ??= setTimeout(() => {
      this.notesTimer = undefined;
      if (this.notes.length > 0) this.writes.writeSoon();
    }, NOTES_WITHIN_MS).unref();
  }

  /** Writes a group, and then the notes, in one transaction that depends on the epoch. */
  private async write(group: readonly Write[]): Promise<void> {
    if (this.broken !== undefined) throw this.broken;
    const { database, folder, name } = this.storage;
    const { notes, epoch } = this;
    this.notes = [];
    const writes = expanded([...group, ...notes], database);
    const startedAt = performance.now();
    let written: boolean;
    try {
      written = await database.ifVersion(EPOCH, epoch, () => {
        for (const { key, value } of writes) {
          // The transaction as a whole says whether it was written.
          const part = value === undefined ? database.remove(key) : database.put(key, value, epoch);
          part.catch(() => {});
        }
      });
    } catch (error) {
      this.notes.unshift(...notes);
      this.failedBytes = Math.max(this.failedBytes, ...writes.map(({ value }) => value?.length ?? 0));
      const cause = await causeOf(error);
      if (!isPassing(cause, folder, this.failedBytes)) this.broken = new LogBrokenError(messageOf(cause));
      throw this.broken ?? cause;
    }
    if (!written) throw new FencedError(name);
    this.flushes.flushed(performance.now() - startedAt, writes.length);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** @returns the writes with the removal of all keys of a kind put as the removal of each. */
function expanded(
  writes: readonly Write[],
  database: RootDatabase<Buffer, string>,
): { readonly key: string; readonly value: Buffer | undefined }[] {
  return writes.flatMap(({ key: start, value }, index) => {
    if (value !== ALL) return [{ key: start, value }];
    database.resetReadTxn();
    const stored = database.getKeys({ start, end: `${start}\uffff` });
    const before = writes.slice(0, index).map(({ key }) => key);
    const keys = new Set([...stored, ...before.filter((key) => key.startsWith(start))]);
    return Array.from(keys, (key) => ({ key, value: undefined }));
  });
}
