import { statfsSync } from 'node:fs';

const EIO = 5;
/** ENOSPC, EDQUOT and MDB_MAP_FULL: they come before anything is flushed, and go when there is room again. */
const NO_ROOM: ReadonlySet<unknown> = new Set([28, 122, -30_792]);
/** What a transaction takes besides its records. */
const OVERHEAD_BYTES = 256 * 1024;

/** @returns why a transaction failed, which LMDB tells in a promise of its own. */
export async function causeOf(error: unknown): Promise<unknown> {
  try {
    await (error as { commitError?: Promise<unknown> }).commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}

/**
 * Whether a write has failed for want of room, so that it may be tried again later. A page that only half fits is an EIO in
 * LMDB's words, as is a flush that has failed, after which nothing may be written; the room that is left tells them apart.
 *
 * @param bytes the size of what was written.
 */
export function isPassing(cause: unknown, folder: string, bytes: number): boolean {
  const { code } = cause as { code?: unknown };
  return NO_ROOM.has(code) || (code === EIO && freeBytes(folder) < bytes + OVERHEAD_BYTES);
}

/** Where it cannot even be asked there is no want of room, but something worse. */
function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return Infinity;
  }
}
