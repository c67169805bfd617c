import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type RootDatabase, open } from 'lmdb';
import type { CommitDecision, DecisionLog, HeuristicRecord, LogClaim } from '../decision-log.js';
import { ExclusiveLock } from '../exclusive-lock.js';
import { LogBrokenError, LogFencedError, LogInUseError } from '../log-errors.js';
import { GroupCommit } from './group-commit.js';
import { encodeRecord } from './record-format.js';
import { COMMITS, readCommits, readEpoch, readReports, reportKey } from './stored-records.js';

/** Options of {@link LmdbDecisionLog}. @publicApi */
export interface LmdbDecisionLogOptions {
  /** The folder of the logs, made when it is not there. Each coordinator has a folder of its own name in it. */
  readonly path: string;
}

const EPOCH = 'epoch';
/** How long the notes that nobody waits for may be put off, in milliseconds, to share the flush of a decision. */
const NOTES_WITHIN_MS = 50;

/**
 * Failures that come before anything is flushed and go when there is room again: ENOSPC, EDQUOT and MDB_MAP_FULL.
 */
const PASSING: ReadonlySet<unknown> = new Set([28, 122, -30_792]);

/** A write: what is kept under the key from now on, or nothing. */
interface Write {
  readonly key: string;
  readonly value: Buffer | undefined;
}

/**
 * A decision log in an embedded LMDB database. A decision is durable when its flush is done, and all that wait share one.
 * Each write depends on the epoch, so that a coordinator whose log was claimed by another writes nothing more.
 *
 * @publicApi
 */
export class LmdbDecisionLog implements DecisionLog {
  private readonly writes = new GroupCommit<Write>((group) => this.write(group));
  private notes: Write[] = [];
  private notesTimer: NodeJS.Timeout | undefined;
  private opened:
    { readonly database: RootDatabase<Buffer, string>; readonly lock: ExclusiveLock } | undefined;
  private epoch = 0;
  private broken: LogBrokenError | undefined;

  constructor(private readonly options: LmdbDecisionLogOptions) {}

  /**
   * @throws LogInUseError, DamagedLogError, UnknownLogFormatError, or what the file system says.
   */
  async open(coordinator: string): Promise<LogClaim> {
    const folder = join(this.options.path, coordinator);
    mkdirSync(folder, { recursive: true });
    const lock = ExclusiveLock.acquire(join(folder, 'lock'));
    if (lock === undefined) throw new LogInUseError(folder);
    try {
      const database = open<Buffer, string>({
        path: join(folder, 'decisions.mdb'),
        encoding: 'binary',
        useVersions: true,
        // One write is one promise, also when it fails. With batches by turn there is one more, which nobody can catch.
        eventTurnBatching: false,
        // A write is done when it has reached the disk, and not before.
        overlappingSync: false,
      });
      this.opened = { database, lock };
      // What cannot be read stops the start before anything is changed.
      readCommits(database);
      this.epoch = readEpoch(database, EPOCH) + 1;
      await database.put(EPOCH, encodeRecord({ epoch: this.epoch }), this.epoch);
      return {
        epoch: this.epoch,
        durable: true,
        decisions: readCommits(database),
        reports: readReports(database),
      };
    } catch (error) {
      if (this.opened === undefined) lock.release();
      else await this.close();
      throw error;
    }
  }

  append(decision: CommitDecision): Promise<void> {
    const key = COMMITS + decision.id;
    return this.writes.add({ key, value: encodeRecord(decision.toRecord()) });
  }

  async lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'> {
    // While a write is under way it may still get there.
    await this.writes.settled();
    if (this.broken !== undefined) throw this.broken;
    const { database } = this;
    database.resetReadTxn();
    if (database.doesExist(COMMITS + transactionId)) return 'recorded';
    return readEpoch(database, EPOCH) === this.epoch ? 'absent' : 'fenced';
  }

  end(transactionId: string): void {
    this.note({ key: COMMITS + transactionId, value: undefined });
  }

  report(report: HeuristicRecord): Promise<void> {
    return this.writes.add({ key: reportKey(report), value: encodeRecord(report) });
  }

  async forget(transactionId: string): Promise<void> {
    const keys = readReports(this.database)
      .filter((report) => report.id === transactionId)
      .map(reportKey);
    await Promise.all(keys.map((key) => this.writes.add({ key, value: undefined })));
  }

  /** Writes the epoch again, which takes as much of the disk as a decision does. */
  check(): Promise<void> {
    return this.writes.add({ key: EPOCH, value: encodeRecord({ epoch: this.epoch }) });
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

  private get database(): RootDatabase<Buffer, string> {
    if (this.opened === undefined) throw new Error('The decision log is closed.');
    return this.opened.database;
  }

  /** Nobody waits for it: it goes with the next decision, or by itself when none comes soon. */
  private note(write: Write): void {
    this.notes.push(write);
    this.notesTimer ??= setTimeout(() => {
      this.notesTimer = undefined;
      if (this.notes.length > 0) void this.writes.add(this.notes.pop()!).catch(() => {});
    }, NOTES_WITHIN_MS).unref();
  }

  /** Writes a group, and the notes with it, in one transaction that depends on the epoch. */
  private async write(group: readonly Write[]): Promise<void> {
    if (this.broken !== undefined) throw this.broken;
    const { database } = this;
    const { notes, epoch } = this;
    this.notes = [];
    let written: boolean;
    try {
      written = await database.ifVersion(EPOCH, epoch, () => {
        for (const { key, value } of [...notes, ...group]) {
          // The transaction as a whole says whether it was written.
          const part = value === undefined ? database.remove(key) : database.put(key, value, epoch);
          part.catch(() => {});
        }
      });
    } catch (error) {
      this.notes.push(...notes);
      const cause = await causeOf(error);
      if (!PASSING.has((cause as { code?: unknown }).code))
        this.broken = new LogBrokenError(messageOf(cause));
      throw this.broken ?? cause;
    }
    if (!written) throw new LogFencedError();
  }
}

/** @returns why a transaction failed, which LMDB tells in a promise of its own. */
async function causeOf(error: unknown): Promise<unknown> {
  try {
    await (error as { commitError?: Promise<unknown> }).commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
