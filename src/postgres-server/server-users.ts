import { DatabaseSync } from 'node:sqlite';
import { PostgresServerError } from './postgres-server.error.js';

/** How long the last user may take to stop the server, while the next one waits to start it again. */
const WAIT_MS = 10_000;
const SQLITE_BUSY = 5;

/** The number of attempts of a user to find that it is the last: another one may leave at the same moment. */
const ATTEMPTS = 4;
const LEAST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 100;

/**
 * The users of a server: processes that were started in the same folder. Each holds a shared lock, which the
 * operating system releases when the process ends, in any way. It is the lock of an empty SQLite file, since
 * Node itself has no file locks.
 */
export class ServerUsers {
  private constructor(private readonly database: DatabaseSync) {}

  /**
   * Counts this process as a user, until it ends.
   *
   * @param file is created when it is missing.
   * @throws PostgresServerError when the file cannot be opened, or another process has been stopping the
   * server for too long.
   */
  static join(file: string): ServerUsers {
    try {
      const database = new DatabaseSync(file, { timeout: WAIT_MS });
      database.exec('BEGIN; SELECT count(*) FROM sqlite_schema');
      return new ServerUsers(database);
    } catch (cause) {
      throw new PostgresServerError(
        (cause as { errcode?: number }).errcode === SQLITE_BUSY
          ? 'another process is stopping it and has not finished. Try again'
          : `${file} cannot be opened by this user (${(cause as Error).message}). Give the user the right to write in ` +
              'its folder, or start in another one',
        { cause },
      );
    }
  }

  /**
   * No longer counts this process as a user.
   *
   * @param whenLast is called when no other process uses the server; none can join while it runs.
   */
  leave(whenLast: () => void): void {
    if (!this.database.isOpen) return;
    this.database.exec('ROLLBACK; PRAGMA busy_timeout = 0');
    if (this.isAlone()) whenLast();
    this.database.close();
  }

  private isAlone(): boolean {
    for (let attempt = 1; !this.isLocked(); attempt++) {
      if (attempt === ATTEMPTS) return false;
      standStill(LEAST_PAUSE_MS + Math.random() * (LONGEST_PAUSE_MS - LEAST_PAUSE_MS));
    }
    return true;
  }

  private isLocked(): boolean {
    try {
      this.database.exec('BEGIN EXCLUSIVE');
      return true;
    } catch {
      return false;
    }
  }
}

/** At the exit of a process, only a blocking wait is possible. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
