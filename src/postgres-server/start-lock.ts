import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { PostgresServerError } from './postgres-server.error.js';

/** How long the start of another process in the same folder is waited for: a new cluster takes some seconds. */
const WAIT_MS = 60_000;
const PAUSE_MS = 50;
const SQLITE_BUSY = 5;

/**
 * Does something while no other process does it with the same file. It is waited for without standing still, so that this
 * process still hears of signals; and should one that is at it end, the operating system takes its lock back.
 *
 * @param file is made when it is not there.
 * @throws PostgresServerError when others are at it for too long; and what the task throws.
 */
export async function whileNobodyElse<T>(file: string, task: () => Promise<T>): Promise<T> {
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    const end = performance.now() + WAIT_MS;
    while (!tryLock(database)) {
      if (performance.now() > end) {
        throw new PostgresServerError(
          'another process is starting it, and does not come to an end. Try again',
        );
      }
      await pause(PAUSE_MS);
    }
    return await task();
  } finally {
    database.close();
  }
}

function tryLock(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return false;
    throw error;
  }
}
