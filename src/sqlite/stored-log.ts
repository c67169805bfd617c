import { DatabaseSync } from 'node:sqlite';
import { messageOf } from '../coordinator/gate/texts.ts';
import { ExclusiveLock } from './exclusive-lock.ts';
import {
  type Census,
  DIGEST_BYTES,
  Digests,
  FORMAT_VERSION,
  decodeCensus,
  encodeCensus,
  isSameDigest,
} from './census.ts';
import { checkFiles } from './log-check.ts';
import { type LogFiles, closedAfter, createPrivate } from './log-files.ts';
import { LogFailure } from './messages.ts';
import { open } from './record-envelope.ts';
import { kindOf } from '../coordinator/log/record-shapes.ts';
import { CENSUS_PAGE, PAGE_BYTES } from './wal-scan.ts';

/** The census comes first, so that it is on the page that the scan reads. */
export const SCHEMA = [
  'CREATE TABLE census (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL) STRICT',
  'CREATE TABLE record (id INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT',
] as const;

/** The place of a record. */
export interface Place {
  readonly row: number;
  readonly digest: string;
}

/** A log that was opened and checked. */
export interface Stored {
  readonly database: DatabaseSync;
  readonly lock: ExclusiveLock;
  /** Undefined before the first claim. */
  readonly census: Census | undefined;
  readonly index: Map<string, Place>;
  readonly nextRow: number;
  readonly warning: string | undefined;
}

const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;
/**
 * No memory, read-only, I/O error, full, cannot be opened, no permission: errors of the system, not damage.
 */
const OF_THE_SYSTEM: ReadonlySet<number> = new Set([3, 7, 8, 10, SQLITE_FULL, 14, 23]);
/** A file that ends too early. */
const SHORT_READ = 522;
/** The largest size of a write-ahead log that is kept when it restarts, in bytes. */
export const KEPT_WAL_BYTES = 16 * 1024 * 1024;

/**
 * Opens a log, and reads and checks every byte that a decision depends on. Nothing is written.
 *
 * @param found receives every record.
 * @throws LogFailure; the error of the system when a file cannot be opened or read.
 */
export function openStored(files: LogFiles, found: (key: string, body: Buffer) => void): Stored {
  files.prepareFolder();
  createPrivate(files.lock);
  const lock = ExclusiveLock.acquire(files.lock);
  if (lock === undefined) throw new LogFailure({ kind: 'in-use' });
  try {
    files.restore();
    const { sequence, warning } = checkFiles(files);
    files.prepareFiles();
    const database = connect(files);
    try {
      const read = readAll(database, sequence, files, found);
      return { database, lock, warning, ...read };
    } catch (error) {
      // Damaged files stay unchanged, for examination.
      throw closedAfter(asDamage(error, files), () => files.closeUnchanged(() => database.close()));
    }
  } catch (error) {
    lock.release();
    throw error;
  }
}

export function codeOf(error: unknown): number | undefined {
  return (error as { errcode?: number }).errcode;
}

export function isFull(error: unknown): boolean {
  return ((codeOf(error) ?? 0) & 0xff) === SQLITE_FULL;
}

/** The main file has a lock of its own, which holds even if the lock of the folder was removed. */
function connect(files: LogFiles): DatabaseSync {
  const database = new DatabaseSync(files.main, { timeout: 0 });
  try {
    // The exclusive lock comes first: with it SQLite needs no memory that it would share with other
    // processes.
    database.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA page_size = ${PAGE_BYTES};
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA fullfsync = ON;
      PRAGMA checkpoint_fullfsync = ON;
      PRAGMA wal_autocheckpoint = 0;
      PRAGMA journal_size_limit = ${KEPT_WAL_BYTES};
      PRAGMA cache_spill = OFF;
      PRAGMA mmap_size = 0;
      PRAGMA temp_store = MEMORY;
      PRAGMA cell_size_check = ON;
      PRAGMA trusted_schema = OFF`);
    return database;
  } catch (error) {
    if (((codeOf(error) ?? 0) & 0xff) !== SQLITE_BUSY) {
      throw closedAfter(asDamage(error, files), () => files.closeUnchanged(() => database.close()));
    }
    // The files are those of another process, which goes on with them. Without its lock SQLite moves nothing.
    throw closedAfter(new LogFailure({ kind: 'in-use' }), () => database.close());
  }
}

type Read = Pick<Stored, 'census' | 'index' | 'nextRow'>;

function readAll(
  database: DatabaseSync,
  sequence: number,
  files: LogFiles,
  found: (key: string, body: Buffer) => void,
): Read {
  const [mode] = database.prepare('PRAGMA journal_mode').all();
  if (mode?.journal_mode !== 'wal') throw damaged(files.main, 'it has no write-ahead log');
  const [first] = database.prepare('PRAGMA integrity_check(1)').all();
  if (first?.integrity_check !== 'ok') throw damaged(files.main, String(first?.integrity_check));
  if (sequence === 0) {
    if (database.prepare('SELECT name FROM sqlite_schema').all().length > 0) {
      throw damaged(files.main, 'it has tables, but no census tells what they must hold');
    }
    return { census: undefined, index: new Map(), nextRow: 1 };
  }
  checkSchema(database, files);
  const census = readCensus(database, files);
  if (census.sequence !== sequence) {
    throw damaged(files.main, `it ends with transaction ${census.sequence}, but must end with ${sequence}`);
  }
  return { census, ...readRecords(database, census, files, found) };
}

function checkSchema(database: DatabaseSync, files: LogFiles): void {
  const stored = database.prepare('SELECT sql, rootpage FROM sqlite_schema ORDER BY rowid').all();
  const isKnown =
    stored.length === SCHEMA.length &&
    SCHEMA.every(
      (sql, index) => stored[index]!.sql === sql && stored[index]!.rootpage === CENSUS_PAGE + index,
    );
  if (!isKnown) throw damaged(files.main, 'its tables are not those of a log');
}

function readCensus(database: DatabaseSync, files: LogFiles): Census {
  const rows = database.prepare('SELECT id, value FROM census').all();
  const stored = rows.length === 1 && rows[0]!.id === 1 ? rows[0]!.value : undefined;
  const census = stored instanceof Uint8Array ? decodeCensus(stored) : undefined;
  if (census === undefined) throw damaged(files.main, 'its census is missing or has been changed');
  if (census.version !== FORMAT_VERSION) throw new LogFailure({ kind: 'format', found: census.version });
  return census;
}

function readRecords(
  database: DatabaseSync,
  census: Census,
  files: LogFiles,
  found: (key: string, body: Buffer) => void,
): Pick<Read, 'index' | 'nextRow'> {
  const index = new Map<string, Place>();
  const digests = new Digests();
  let nextRow = 1;
  for (const { id, value } of database.prepare('SELECT id, value FROM record').iterate()) {
    if (typeof id !== 'number' || !(value instanceof Uint8Array)) {
      throw damaged(`row ${String(id)}`, 'it is not a record');
    }
    const opened = open(census.logId, id, value);
    if ('damage' in opened) throw damaged(`row ${id}`, opened.damage);
    if ('version' in opened) throw new LogFailure({ kind: 'format', found: opened.version });
    const { key } = opened;
    if (kindOf(key) === undefined) throw damaged(key, 'its key is of no known kind');
    if (index.has(key)) throw damaged(key, 'it exists twice');
    digests.combine(opened.digest);
    index.set(key, { row: id, digest: opened.digest });
    nextRow = Math.max(nextRow, id + 1);
    found(key, opened.body);
  }
  if (index.size !== census.count || !isSameDigest(digests.total(), census.digest)) {
    throw damaged(
      files.main,
      `it must hold ${census.count} records, but it holds ${index.size}, or different ones`,
    );
  }
  return { index, nextRow };
}

/** @returns the census of an empty log. */
export function emptyCensus(logId: string): Census {
  return { logId, sequence: 0, count: 0, digest: new Uint8Array(DIGEST_BYTES), needsWal: false };
}

/** @returns the statement that writes a census, for use where no parameter can be bound. */
export function updateCensus(census: Census): string {
  return `UPDATE census SET value = x'${encodeCensus(census).toString('hex')}' WHERE id = 1`;
}

/**
 * @returns a failure for an error of SQLite during reading, which means damage unless the system reports
 * another cause.
 */
function asDamage(error: unknown, files: LogFiles): unknown {
  if (error instanceof LogFailure) return error;
  const code = codeOf(error);
  if (code !== undefined && code !== SHORT_READ && OF_THE_SYSTEM.has(code & 0xff)) return error;
  return damaged(files.main, messageOf(error));
}

function damaged(record: string, problem: string): LogFailure {
  return new LogFailure({ kind: 'damaged', record, problem });
}
