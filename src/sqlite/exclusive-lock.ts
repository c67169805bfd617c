import { DatabaseSync } from 'node:sqlite';

const SQLITE_BUSY = 5;

/**
 * A lock on a folder that one process holds at a time, and that the operating system takes back when the process ends,
 * however it ends: no file that a crash leaves behind is in the way. It is the lock of an empty SQLite file, since Node
 * itself has no file locks.
 */
export class ExclusiveLock {
  private readonly database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.database = database;
  }

  /**
   * @param file is made when it is not there.
   * @returns the lock, or undefined when another process holds it, or another part of this one.
   * @throws what the file system says when the file can be neither opened nor made.
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
