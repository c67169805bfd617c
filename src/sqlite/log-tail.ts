import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { type Census, decodeCensus, encodeCensus } from './census.ts';

/**
 * A small file with the number of the last flushed transaction. It is written after each flush and is never
 * flushed itself, so a power failure may leave it behind the log, but never ahead. It shows that a flushed
 * transaction is missing when the end of the write-ahead log is cut off or damaged, which the write-ahead log
 * itself would not show.
 */
export class LogTail {
  private file: number | undefined;

  constructor(path: string) {
    this.file = openSync(path, 'r+');
  }

  /** Records that everything up to this census is on the disk. */
  write(census: Census): void {
    if (this.file === undefined) throw new Error('the tail is closed');
    try {
      writeSync(this.file, encodeCensus(census), 0, undefined, 0);
    } catch (error) {
      // Without room it stays behind, and shows less.
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }

  /** May be called again: by then the number may belong to another file, which must stay open. */
  close(): void {
    const { file } = this;
    if (file === undefined) return;
    this.file = undefined;
    closeSync(file);
  }
}

/** @returns the content of the tail; undefined when it is missing or changed, which only costs a proof. */
export function readTail(path: string): Census | undefined {
  try {
    return decodeCensus(readFileSync(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
