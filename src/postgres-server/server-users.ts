import { DatabaseSync } from 'node:sqlite';
import { PostgresServerError } from './postgres-server.error.js';

/** How long the last user may take to stop the server, while the next one waits to start it again. */
const WAIT_MS = 10_000;
const SQLITE_BUSY = 5;

/** How often the last user tries to find that it is: another one that leaves at the same moment may be in its way. */
const ATTEMPTS = 4;
const LEAST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 100;

/**
 * Who uses a server: processes that were started in the same folder. Each holds a shared lock, which the operating system
 * takes back when it ends, however it ends. It is the lock of an empty SQLite file, since Node itself has no file locks.
 */
export class ServerUsers {
  private constructor(private readonly database: DatabaseSync) {}

  /**
   * Counts this process among the users, until it ends.
   *
   * @param file is made when it is not there.
   * @throws PostgresServerError when the file is out of reach, or somebody has been stopping the server for too long.
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
   * Counts this process among the users no more.
   *
   * @param whenLast is called where nobody else uses the server; and nobody can join while it runs.
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

/** At the exit of a process nothing else can be waited with. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
