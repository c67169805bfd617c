import { setTimeout as pause } from 'node:timers/promises';
import { ExclusiveLock } from '../sqlite/exclusive-lock.js';
import { PostgresServerError } from './postgres-server.error.js';

/** How long the start of another process in the same folder is waited for: a new cluster takes some seconds. */
const WAIT_MS = 60_000;
const PAUSE_MS = 50;

/**
 * Does something while no other process does it with the same file. The wait does not block, so that this process still
 * gets its signals.
 *
 * @param file is made when it is not there.
 * @throws PostgresServerError when others are at it for too long; and what the task throws.
 */
export async function whileNobodyElse<T>(file: string, task: () => Promise<T>): Promise<T> {
  const end = performance.now() + WAIT_MS;
  let lock = ExclusiveLock.acquire(file);
  while (lock === undefined) {
    if (performance.now() > end) {
      throw new PostgresServerError('another process is starting it and has not finished. Try again');
    }
    await pause(PAUSE_MS);
    lock = ExclusiveLock.acquire(file);
  }
  try {
    return await task();
  } finally {
    lock.release();
  }
}
