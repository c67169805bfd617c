import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { messageOf } from '../coordinator/gate/texts.ts';
import { type Census, Digests, decodeCensus, encodeCensus } from './census.ts';
import { type LogFiles, closedAfter } from './log-files.ts';
import { LogTail } from './log-tail.ts';
import { type Batch, type Claim, LogFailure, PUT, REMOVE, type Written } from './messages.ts';
import { proveReadable } from '../coordinator/log/record-body.ts';
import { open, seal } from './record-envelope.ts';
import {
  KEPT_WAL_BYTES,
  type Place,
  SCHEMA,
  type Stored,
  emptyCensus,
  isFull,
  updateCensus,
} from './stored-log.ts';
import { PAGE_BYTES } from './wal-scan.ts';

/**
 * The approximate number of pages that are written before the main file takes over the content of the
 * write-ahead log.
 */
const CHECKPOINT_PAGES = 2_500;
/**
 * The pages that each transaction writes besides those of its records: that of the census, and one that is
 * only half used.
 */
const PAGES_BESIDES = 2;
/** The approximate size of a row besides its body. */
const BYTES_BESIDES = 120;

/** The new value of each key: its body, or none. */
type Changes = Map<string, Uint8Array | undefined>;

/**
 * Writes the records of a log that was opened and checked. Each transaction is flushed before its method
 * returns.
 */
export class LogWriter {
  private readonly files: LogFiles;
  private readonly stored: Stored;
  private readonly database: DatabaseSync;
  private readonly index: Map<string, Place>;
  private nextRow: number;
  private census: Census | undefined;
  private statements:
    Readonly<Record<'insert' | 'update' | 'remove' | 'census' | 'valueOf', StatementSync>> | undefined;
  private pagesSinceCheckpoint = 0;
  /**
   * Pages are estimated from bytes, and each removal may touch a page: a write-ahead log that is larger gets
   * its checkpoint as well.
   */
  private mostWalBytes = KEPT_WAL_BYTES;
  private readonly tail: LogTail;
  /** Whether the last checkpoint was complete. */
  private isCheckpointWhole = false;
  /** Whether a start has claimed the log. Before that nothing in its files may change. */
  private isClaimed = false;

  /**
   * @throws the error of the system when the tail cannot be opened. The log is then closed, and its lock is
   * free.
   */
  constructor(files: LogFiles, stored: Stored) {
    this.files = files;
    this.stored = stored;
    this.database = stored.database;
    this.index = stored.index;
    this.nextRow = stored.nextRow;
    this.census = stored.census;
    try {
      this.tail = new LogTail(files.tail);
    } catch (error) {
      const failure = closedAfter(error, () => files.closeUnchanged(() => stored.database.close()));
      stored.lock.release();
      throw failure;
    }
  }

  /** Records a start, in a new or an existing log, and makes the log survive a power failure from now on. */
  claim({ logId, key, body }: Claim): void {
    const isNew = this.census === undefined;
    const before = this.census ?? emptyCensus(logId);
    if (isNew) {
      this.database.exec('BEGIN IMMEDIATE');
      for (const sql of SCHEMA) this.database.exec(sql);
      this.database.prepare('INSERT INTO census VALUES (1, ?)').run(encodeCensus(before));
    }
    this.statements = {
      insert: this.database.prepare('INSERT INTO record VALUES (?, ?)'),
      update: this.database.prepare('UPDATE record SET value = ? WHERE id = ?'),
      remove: this.database.prepare('DELETE FROM record WHERE id = ?'),
      census: this.database.prepare('UPDATE census SET value = ? WHERE id = 1'),
      valueOf: this.database.prepare('SELECT value FROM record WHERE id = ?'),
    };
    this.commit(new Map([[key, body]]), before, true, isNew);
    if (this.census?.needsWal !== false)
      throw new LogFailure({ kind: 'full', problem: 'no checkpoint could be made' });
    if (!this.isCheckpointWhole)
      throw new LogFailure({
        kind: 'failed',
        problem: 'a checkpoint was incomplete, so a lost write-ahead log would not be noticed',
      });
    this.files.markClaimed();
    this.isClaimed = true;
  }

  /**
   * Writes the records that can be read again, in one transaction, and returns the refusals of the others.
   *
   * @throws LogFailure of the kind `full` when there was no room, and nothing was written; of another kind
   * when the result is unknown.
   */
  write(batch: Batch): Written {
    const refused: [number, string][] = [];
    const changes: Changes = new Map();
    let at = 0;
    for (const [index, key] of batch.keys.entries()) {
      const body = batch.bodies.subarray(at, (at += batch.lengths[index]!));
      if (batch.kinds[index] === REMOVE) changes.set(key, undefined);
      else if (batch.kinds[index] === PUT) {
        const problem = problemOf(key, body);
        if (problem === undefined) changes.set(key, body);
        else refused.push([index, problem]);
      } else this.removeAll(key, changes);
    }
    for (const [key, body] of changes) if (body === undefined && !this.index.has(key)) changes.delete(key);
    if (changes.size === 0) return { refused, flushMs: undefined };
    const startedAt = performance.now();
    this.commit(changes, this.census!, this.isCheckpointDue);
    return { refused, flushMs: performance.now() - startedAt };
  }

  /** Whether there is a record under a key. */
  holds(key: string): boolean {
    const place = this.index.get(key);
    if (place === undefined) return false;
    const value = this.statements!.valueOf.get(place.row)?.value;
    const opened = value instanceof Uint8Array ? open(this.census!.logId, place.row, value) : undefined;
    if (opened === undefined || !('key' in opened) || opened.key !== key) {
      throw new Error(`row ${place.row} has been changed`);
    }
    return true;
  }

  /** Closes the files, and releases the lock. Nothing is called after it. */
  close(): void {
    try {
      this.detach();
    } finally {
      this.stored.lock.release();
    }
  }

  /**
   * Closes the files, and keeps the lock. After an error of the disk there is no checkpoint: the write-ahead
   * log on the disk may differ from the one in memory. There is none either if the main file needs the
   * write-ahead log, or if the start was refused.
   */
  detach(): void {
    if (!this.database.isOpen) return;
    this.tail.close();
    const close = (): void => this.database.close();
    if (this.isClaimed && this.census?.needsWal === false) close();
    else this.files.closeUnchanged(close);
  }

  /**
   * Closes the files after a failure, and keeps the lock.
   *
   * @returns the failure to report: the same one, with what kept the files from being closed.
   */
  detachAfter(failure: LogFailure): unknown {
    return closedAfter(failure, () => this.detach());
  }

  private get isCheckpointDue(): boolean {
    return this.pagesSinceCheckpoint >= CHECKPOINT_PAGES || this.files.walBytes > this.mostWalBytes;
  }

  private removeAll(start: string, changes: Changes): void {
    for (const keys of [this.index.keys(), [...changes.keys()]]) {
      for (const key of keys) if (key.startsWith(start)) changes.set(key, undefined);
    }
  }

  /**
   * @param withCheckpoint whether to make a checkpoint in the same step. It is one step, so that no end of
   * the process finds the main file with its mark while SQLite is about to delete the write-ahead log.
   */
  private commit(changes: Changes, before: Census, withCheckpoint: boolean, isBegun = false): void {
    const digests = new Digests(before.digest);
    let count = before.count;
    const places = new Map<string, Place | undefined>();
    const { database } = this;
    const rowBefore = this.nextRow;
    const next = (): Census => ({
      logId: before.logId,
      sequence: before.sequence + 1,
      count,
      digest: digests.total(),
      needsWal: withCheckpoint,
    });
    try {
      if (!isBegun) database.exec('BEGIN IMMEDIATE');
      count += this.apply(changes, before.logId, digests, places);
      changed(this.statements!.census.run(encodeCensus(next())));
      const marked = next();
      const afterwards = { ...marked, sequence: marked.sequence + 1, needsWal: false };
      if (withCheckpoint) {
        const round = this.files.walRound ?? 0;
        database.exec(`COMMIT; PRAGMA wal_checkpoint(PASSIVE); ${updateCensus(afterwards)}`);
        this.pagesSinceCheckpoint = 0;
        // The answer of the checkpoint cannot be read within one step. After a complete one the write-ahead
        // log restarts. After an incomplete one, or if that cannot be read, it is repeated after as many
        // pages.
        this.isCheckpointWhole = (this.files.walRound ?? 0) > round;
        this.mostWalBytes = (this.isCheckpointWhole ? 0 : this.files.walBytes) + KEPT_WAL_BYTES;
      } else database.exec('COMMIT');
      this.census = withCheckpoint ? afterwards : marked;
    } catch (error) {
      this.census = this.afterFailure(error);
      if (this.census === undefined || this.census.sequence === before.sequence) {
        this.nextRow = rowBefore;
        throw failureOf(error);
      }
      // The transaction was written, and only the checkpoint found no room. It is repeated after as many
      // pages again.
      this.pagesSinceCheckpoint = 0;
      this.mostWalBytes = this.files.walBytes + KEPT_WAL_BYTES;
    }
    this.tail.write(this.census);
    for (const [key, place] of places) {
      if (place === undefined) this.index.delete(key);
      else this.index.set(key, place);
    }
  }

  /** @returns the change of the number of records. */
  private apply(
    changes: Changes,
    logId: string,
    digests: Digests,
    places: Map<string, Place | undefined>,
  ): number {
    const { insert, update, remove } = this.statements!;
    const free: number[] = [];
    let count = 0;
    let bytes = 0;
    let reused = 0;
    for (const [key, body] of changes) {
      const place = this.index.get(key);
      if (place === undefined) continue;
      digests.combine(place.digest);
      if (body !== undefined) continue;
      free.push(place.row);
      places.set(key, undefined);
      count--;
    }
    for (const [key, body] of changes) {
      if (body === undefined) continue;
      const place = this.index.get(key);
      const row = place === undefined ? free[reused] : place.row;
      if (place === undefined) {
        count++;
        if (row !== undefined) reused++;
      }
      const sealed = seal(logId, row ?? this.nextRow, key, body);
      // A free row is overwritten: one page instead of two.
      if (row === undefined) changed(insert.run(this.nextRow, sealed.value));
      else changed(update.run(sealed.value, row));
      places.set(key, { row: row ?? this.nextRow++, digest: sealed.digest });
      digests.combine(sealed.digest);
      bytes += sealed.value.length + BYTES_BESIDES;
    }
    for (const row of free.slice(reused)) changed(remove.run(row));
    bytes += free.length * BYTES_BESIDES;
    this.pagesSinceCheckpoint += PAGES_BESIDES + Math.ceil(bytes / PAGE_BYTES);
    return count;
  }

  /**
   * @returns the content of the log after a write that failed for lack of room; undefined when that cannot be
   * known.
   */
  private afterFailure(error: unknown): Census | undefined {
    if (!isFull(error)) return undefined;
    if (this.database.isTransaction) this.database.exec('ROLLBACK');
    if (this.database.prepare('SELECT name FROM sqlite_schema').get() === undefined) return undefined;
    const stored = this.database.prepare('SELECT value FROM census').get()?.value;
    return stored instanceof Uint8Array ? decodeCensus(stored) : undefined;
  }
}

/** @returns why a body could not be read again; undefined when it can. */
function problemOf(key: string, body: Uint8Array): string | undefined {
  try {
    proveReadable(key, body);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** Each statement must change one row. If it does not, the tables do not match the index. */
function changed({ changes }: { readonly changes: number | bigint }): void {
  if (changes !== 1) throw new Error(`a statement has changed ${changes} rows instead of one`);
}

function failureOf(error: unknown): LogFailure {
  const problem = messageOf(error);
  return new LogFailure({ kind: isFull(error) ? 'full' : 'failed', problem });
}
