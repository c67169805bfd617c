import { DatabaseSync } from 'node:sqlite';
import { type Census, decodeCensus } from './census.ts';
import type { LogFiles } from './log-files.ts';
import { readTail } from './log-tail.ts';
import { LogFailure } from './messages.ts';
import { type WalScan, scanWal } from './wal-scan.ts';

/** The content of an opened log if nothing was lost. */
export interface Expected {
  /** The number of transactions of the log; 0 for a new one. */
  readonly sequence: number;
  readonly warning: string | undefined;
}

/**
 * Checks the files of a log before SQLite opens them. SQLite would silently drop everything behind the first
 * damage of the write-ahead log, and would not notice a missing one.
 *
 * @throws LogFailure when something that was flushed is missing. Nothing was changed then.
 */
export function checkFiles(files: LogFiles): Expected {
  if (files.former !== undefined) throw new LogFailure({ kind: 'former', file: files.former });
  const wal = scanWal(files.wal);
  if (files.mainBytes === 0) {
    if (files.isClaimed || !wal.isEmpty) throw damaged(files.main, 'it is missing, or empty');
    return { sequence: 0, warning: undefined };
  }
  const main = readMain(files);
  const problem = wal.hasHeader ? lostBehindHeader(wal, main) : lostWithHeader(wal, main);
  if (problem !== undefined) throw damaged(files.wal, problem);
  const sequence = wal.lastSequence ?? main?.sequence ?? 0;
  if (sequence === 0 && files.isClaimed) {
    throw damaged(files.main, 'it does not tell what the log must hold');
  }
  const flushed = flushedSequence(files, wal.logId ?? main?.logId);
  // The tail is never ahead of a flush, so this is not a write that a crash has interrupted, although it may
  // be the last alone.
  if (flushed > sequence) {
    throw damaged(files.wal, `it ends with transaction ${sequence}, but transaction ${flushed} was flushed`);
  }
  const isTorn = wal.hasHeader && wal.hasTail;
  return { sequence, warning: isTorn ? tornTail(files.wal) : undefined };
}

/**
 * A transaction is written only after the previous one was flushed. So a remnant of the transaction after the
 * next proves that something durable is missing. Only the very last one may be missing here: the write-ahead
 * log alone cannot distinguish damage to it from a write that a crash has interrupted. The tail can, if it
 * has come that far.
 */
function lostBehindHeader(wal: WalScan, main: Census | undefined): string | undefined {
  const found = wal.lastSequence ?? main?.sequence ?? 0;
  if (wal.highestSequence > found + 1) {
    return (
      `after transaction ${found} it cannot be read, but it holds a part of transaction ${wal.highestSequence}, which was ` +
      'started only after all earlier ones were flushed'
    );
  }
  if (main !== undefined && main.sequence > found) {
    return `it ends with transaction ${found}, but transaction ${main.sequence} was flushed`;
  }
  return undefined;
}

/**
 * Its header is flushed before the first transaction behind it is written, and is written only when
 * everything before is elsewhere.
 */
function lostWithHeader(wal: WalScan, main: Census | undefined): string | undefined {
  const found = main?.sequence ?? 0;
  if (wal.highestSequence > found) {
    return `its header cannot be read, but it holds a part of transaction ${wal.highestSequence}`;
  }
  if (main?.needsWal === true && wal.highestSequence < found) {
    return 'it is missing or cannot be read, but the main file requires it';
  }
  return undefined;
}

/**
 * @returns the census in the main file, read without a lock and without the write-ahead log; undefined when
 * it has none.
 */
function readMain(files: LogFiles): Census | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(files.mainAlone, { readOnly: true });
    const row = database.prepare('SELECT value FROM census').get() as { value?: unknown } | undefined;
    return row?.value instanceof Uint8Array ? decodeCensus(row.value) : undefined;
  } catch (error) {
    // Alone it may be unreadable: before its first checkpoint, or when a crash has interrupted one. The
    // missing part is then in the write-ahead log. If it is not, the complete read notices the missing
    // census.
    if ((error as { errcode?: number }).errcode === undefined) throw error;
    return undefined;
  } finally {
    database?.close();
  }
}

/** @returns the number of a transaction that was flushed, 0 when none is known. */
function flushedSequence(files: LogFiles, logId: string | undefined): number {
  const tail = readTail(files.tail);
  return tail !== undefined && tail.logId === logId ? tail.sequence : 0;
}

function tornTail(path: string): string {
  return (
    `The last write to ${path} was interrupted, and was dropped. This is normal after a crash. Without a crash, the disk has ` +
    'lost the last transaction of the log, which may have been a decision.'
  );
}

function damaged(record: string, problem: string): LogFailure {
  return new LogFailure({ kind: 'damaged', record, problem });
}
