import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const PRIVATE_FOLDER = 0o700;
const PRIVATE_FILE = 0o600;
const OTHERS = 0o077;
/** Where the header of a write-ahead log has its checkpoint sequence number ("WAL Header Format" in "Database File Format"). */
const WAL_ROUND_AT = 12;
const WAL_HEADER_BYTES = 32;

/**
 * The files of one log. No file but the lock may be opened and closed past SQLite while SQLite has it open: on the main file that
 * would drop the lock of the whole process without notice.
 */
export class LogFiles {
  readonly folder: string;
  readonly main: string;
  readonly wal: string;
  /** Where the main file is while a connection is closed that must not change it. */
  private readonly aside: string;
  /** Says how far the log has come, and is never flushed. */
  readonly tail: string;
  readonly lock: string;
  /** Is there from the first claim on, so that a main file that is missing is not taken for a new log. */
  private readonly marker: string;

  constructor(folder: string) {
    this.folder = folder;
    this.main = join(folder, 'decisions.sqlite');
    this.wal = `${this.main}-wal`;
    this.aside = `${this.main}-aside`;
    this.tail = `${this.main}-tail`;
    this.lock = join(folder, 'lock');
    this.marker = join(folder, 'claimed');
  }

  /** Makes the folder where it is not there, for this user alone, and flushes that it is there. */
  prepareFolder(): void {
    const folder = resolve(this.folder);
    const first = mkdirSync(folder, { recursive: true, mode: PRIVATE_FOLDER });
    narrow(folder, PRIVATE_FOLDER);
    if (first === undefined) return;
    // Each folder that was made is known to the one above it.
    for (let made = folder; made.length >= first.length; made = dirname(made)) flushFolder(dirname(made));
  }

  /** Makes the files that SQLite would make with the rights of its own choice. Called with the lock held. */
  prepareFiles(): void {
    createPrivate(this.main);
    createPrivate(this.tail);
    for (const file of [this.main, this.wal, this.tail, this.lock, this.marker]) {
      if (existsSync(file)) narrow(file, PRIVATE_FILE);
    }
  }

  /** A file of the log of an earlier version of this library, which is not read. */
  get former(): string | undefined {
    const path = join(this.folder, 'decisions.mdb');
    return existsSync(path) ? path : undefined;
  }

  get isClaimed(): boolean {
    return existsSync(this.marker);
  }

  get mainBytes(): number {
    return existsSync(this.main) ? statSync(this.main).size : 0;
  }

  get walBytes(): number {
    return statSync(this.wal, { throwIfNoEntry: false })?.size ?? 0;
  }

  /**
   * How often the write-ahead log was begun from the start, as its header says: once more after each checkpoint that moved all of
   * it. Undefined where it has no header, and NaN where the process may open no other file for now. It may be read past SQLite,
   * which takes no lock on this file.
   */
  get walRound(): number | undefined {
    const header = Buffer.alloc(WAL_HEADER_BYTES);
    let file: number;
    try {
      file = openSync(this.wal, 'r');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return undefined;
      if (code === 'EMFILE' || code === 'ENFILE') return Number.NaN;
      throw error;
    }
    try {
      const bytes = readSync(file, header, 0, WAL_HEADER_BYTES, 0);
      return bytes < WAL_HEADER_BYTES ? undefined : header.readUInt32BE(WAL_ROUND_AT);
    } finally {
      closeSync(file);
    }
  }

  /** The main file as a connection opens it that takes no lock, and that reads nothing but it. */
  get mainAlone(): URL {
    const url = pathToFileURL(this.main);
    url.search = 'immutable=1';
    return url;
  }

  /** Notes that the log was claimed: from now on it must be there. What was made is flushed. */
  markClaimed(): void {
    createPrivate(this.marker);
    flushFolder(this.folder);
  }

  /** Brings back the main file where a process ended while it was put aside. */
  restoreMain(): void {
    if (existsSync(this.aside) && !existsSync(this.main)) renameSync(this.aside, this.main);
  }

  /**
   * Closes a connection and changes nothing. As it closes the last connection SQLite would move the write-ahead log into the
   * main file and delete it, but not where the main file is not in its place any more.
   */
  closeUnchanged(close: () => void): void {
    renameSync(this.main, this.aside);
    try {
      close();
    } finally {
      renameSync(this.aside, this.main);
    }
  }
}

/** @returns whether the file was made now. */
export function createPrivate(path: string): boolean {
  try {
    const file = openSync(path, 'wx', PRIVATE_FILE);
    fsyncSync(file);
    closeSync(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Takes the rights of all others away, where this user owns the file. */
function narrow(path: string, mode: number): void {
  const stat = statSync(path);
  if ((stat.mode & OTHERS) !== 0 && stat.uid === process.geteuid?.()) chmodSync(path, mode);
}

/** Flushes which files a folder holds. Windows cannot, and has no need to. */
function flushFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
