import { DatabaseSync } from 'node:sqlite';

const SQLITE_BUSY = 5;

/**
 * A lock on a folder that one process holds at a time. The operating system releases it when the process
 * ends, in any way: no file of a crashed process blocks it. It is the lock of an empty SQLite file, since
 * Node itself has no file locks.
 */
export class ExclusiveLock {
  private readonly database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.database = database;
  }

  /**
   * @param file is created when it is missing.
   * @returns the lock, or undefined when another process, or another part of this one, holds it.
   * @throws the error of the file system when the file can be neither opened nor created.
   */
  static acquire(file: string): ExclusiveLock | undefined {
    const database = new DatabaseSync(file, { timeout: 0 });
    try {
      database.exec('BEGIN EXCLUSIVE');
      return new ExclusiveLock(database);
    } catch (error) {
      database.close();
      if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
      throw error;
    }
  }

  release(): void {
    this.database.close();
  }
}
