import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median, round } from './statistics.js';

const FLUSHES = 50;
/** The exit code of a shell for a process that SIGINT has ended. */
const EXIT_INTERRUPTED = 130;

/** Passes a new folder to a measurement, and always removes it afterwards, also after an interruption. */
export async function withTemporaryFolder<Result>(
  measure: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  const interrupted = (): void => {
    // A database server has a listener of its own, and ends the process when the server has stopped.
    if (process.listenerCount('SIGINT') === 1) process.exit(EXIT_INTERRUPTED);
  };
  process.once('exit', remove);
  process.on('SIGINT', interrupted);
  try {
    return await measure(folder);
  } finally {
    process.off('SIGINT', interrupted);
    process.off('exit', remove);
    remove();
  }
}

/** @returns how long a flush of a few bytes takes in this folder, in milliseconds: the median. */
export function flushMsIn(folder: string): number {
  const file = openSync(join(folder, 'flushes'), 'w');
  try {
    const tookMs = Array.from({ length: FLUSHES }, () => {
      const begunAt = performance.now();
      writeSync(file, 'a decision');
      fsyncSync(file);
      return performance.now() - begunAt;
    });
    return round(median(tookMs), 3);
  } finally {
    closeSync(file);
  }
}
