import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messageOf } from '../coordinator/gate/texts.ts';
import { LogFailure } from './messages.ts';

const PRIVATE_FOLDER = 0o700;
const PRIVATE_FILE = 0o600;
const OTHERS = 0o077;
/**
 * The position of the checkpoint sequence number in the header of a write-ahead log ("WAL Header Format" in
 * "Database File Format").
 */
const WAL_ROUND_AT = 12;
const WAL_HEADER_BYTES = 32;

/**
 * The files of one log. While SQLite has a file open, no code but SQLite may open and close it, except the
 * lock file: on the main file that would silently drop the lock of the whole process.
 */
export class LogFiles {
  readonly folder: string;
  readonly main: string;
  readonly wal: string;
  /** Holds the main file while a connection is closed that must not change it. */
  private readonly aside: string;
  /**
   * The same for the write-ahead log, on Windows alone. It is copied last: where it is, both copies are
   * complete.
   */
  private readonly walAside: string;
  /** Records how far the log has come, and is never flushed. */
  readonly tail: string;
  readonly lock: string;
  /** Exists from the first claim on, so that a missing main file is not taken for a new log. */
  private readonly marker: string;
  private readonly platform: NodeJS.Platform;

  /** @param platform where the files are: Windows moves no file that is open. */
  constructor(folder: string, platform: NodeJS.Platform = process.platform) {
    this.folder = folder;
    this.platform = platform;
    this.main = join(folder, 'decisions.sqlite');
    this.wal = `${this.main}-wal`;
    this.aside = `${this.main}-aside`;
    this.walAside = `${this.wal}-aside`;
    this.tail = `${this.main}-tail`;
    this.lock = join(folder, 'lock');
    this.marker = join(folder, 'claimed');
  }

  /** Creates the folder if it is missing, for this user alone, and flushes its directory entry. */
  prepareFolder(): void {
    const folder = resolve(this.folder);
    const first = mkdirSync(folder, { recursive: true, mode: PRIVATE_FOLDER });
    narrow(folder, PRIVATE_FOLDER);
    if (first === undefined) return;
    // Each created folder is an entry of its parent.
    for (let made = folder; made.length >= first.length; made = dirname(made)) flushFolder(dirname(made));
  }

  /** Creates the files that SQLite would create with rights of its own choice. Called with the lock held. */
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
   * How often the write-ahead log was restarted, according to its header: once after each checkpoint that
   * moved all of it. Undefined if it has no header, and NaN if the process can open no other file now. It may
   * be read outside of SQLite, which takes no lock on this file.
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

  /** The main file opened by a connection that takes no lock and reads no other file. */
  get mainAlone(): URL {
    const url = pathToFileURL(this.main);
    url.search = 'immutable=1';
    return url;
  }

  /** Records that the log was claimed: from now on it must exist. The created files are flushed. */
  markClaimed(): void {
    createPrivate(this.marker);
    flushFolder(this.folder);
  }

  /** Restores the files after a process ended while they were moved or copied away. */
  restore(): void {
    const isCopied = existsSync(this.walAside);
    if (existsSync(this.aside)) {
      if (isCopied || !existsSync(this.main)) renameSync(this.aside, this.main);
      // The process ended before SQLite could change the main file. The log goes on there, so this copy would
      // be old soon.
      else rmSync(this.aside);
    }
    if (isCopied) renameSync(this.walAside, this.wal);
    for (const copied of [this.aside, this.walAside]) rmSync(unfinished(copied), { force: true });
  }

  /**
   * Closes a connection and changes nothing. With its last connection SQLite would move the write-ahead log
   * into the main file and delete it, but not if the main file is no longer in its place.
   *
   * On Windows this needs room for a copy of both files. Without it the connection stays open on purpose.
   * SQLite closes it when the thread ends, and moves the write-ahead log then.
   *
   * @throws the error of `close`; an error when the files cannot be moved or copied, and then nothing is
   * closed.
   */
  closeUnchanged(close: () => void): void {
    if (this.platform === 'win32') {
      this.closeAndRestore(close);
      return;
    }
    renameSync(this.main, this.aside);
    try {
      close();
    } finally {
      renameSync(this.aside, this.main);
    }
  }

  /**
   * Copies of the files take the place of what SQLite has made of them. {@link restore} goes on after a crash
   * in between.
   */
  private closeAndRestore(close: () => void): void {
    // Without a write-ahead log there is nothing that SQLite could move.
    if (!existsSync(this.wal)) {
      close();
      return;
    }
    this.copyAside();
    try {
      close();
    } finally {
      this.restore();
    }
  }

  private copyAside(): void {
    try {
      copy(this.main, this.aside);
      copy(this.wal, this.walAside);
    } catch (error) {
      const problem = `its files could not be copied (${messageOf(error)}), so they are still open: make room in ${this.folder}`;
      throw new Error(problem, { cause: error });
    }
  }
}

/** A copy has its name only when all of it is on the disk. */
function copy(from: string, to: string): void {
  const part = unfinished(to);
  copyFileSync(from, part);
  const file = openSync(part, 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(part, to);
}

function unfinished(copied: string): string {
  return `${copied}.unfinished`;
}

/**
 * Closes files after a failure.
 *
 * @returns the failure, which stays the one to report. If the files cannot be closed, it says that too.
 */
export function closedAfter(failure: unknown, close: () => void): unknown {
  try {
    close();
    return failure;
  } catch (error) {
    const also = `. Then the log could not be closed: ${messageOf(error)}`;
    if (!(failure instanceof LogFailure)) return new Error(messageOf(failure) + also, { cause: failure });
    const { failure: first } = failure;
    return 'problem' in first ? new LogFailure({ ...first, problem: first.problem + also }) : failure;
  }
}

/** @returns whether the file was created now. */
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

/** Removes the rights of all other users, if this user owns the file. */
function narrow(path: string, mode: number): void {
  const stat = statSync(path);
  if ((stat.mode & OTHERS) !== 0 && stat.uid === process.geteuid?.()) chmodSync(path, mode);
}

/** Flushes the directory entries of a folder. Windows cannot, and does not need to. */
function flushFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
