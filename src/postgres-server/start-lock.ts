import { setTimeout as pause } from 'node:timers/promises';
import { ExclusiveLock } from '../sqlite/exclusive-lock.js';
import { PostgresServerError } from './postgres-server.error.js';

/** How long to wait for the start of another process in the same folder: a new cluster takes some seconds. */
const WAIT_MS = 60_000;
const PAUSE_MS = 50;

/**
 * Runs a task while no other process runs one with the same file. The wait does not block, so that this
 * process still gets its signals.
 *
 * @param file is created when it is missing.
 * @throws PostgresServerError when others hold it for too long; and the error of the task.
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
