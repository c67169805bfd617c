import { closeSync, existsSync, fstatSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DamagedLogError } from '../log-errors.js';

const FILE = 'decisions.mdb';
/** Is there from the first claim on, so that a database that is missing is not taken for a new one. */
const MARKER = 'claimed';

/** Where the two pages that describe an LMDB file keep what is read here, in bytes from the begin of the page. */
const MAGIC_AT = 24;
const PAGE_SIZE_AT = 48;
/** The roots of the two trees: of the free pages, and of the records. */
const ROOTS_AT = [88, 136] as const;
const TRANSACTION_AT = 152;
const MAGIC = 0xbeefc0de;
const HEAD_BYTES = 160;
/** Instead of a root, for a tree that is empty. */
const NO_PAGE = 2n ** 64n - 1n;

/** @returns the path of the database in the folder of a log. */
export function databaseIn(folder: string): string {
  return join(folder, FILE);
}

/** Notes that the log has been claimed: from now on it must be there. */
export function markClaimed(folder: string): void {
  const marker = join(folder, MARKER);
  if (!existsSync(marker)) writeFileSync(marker, '');
}

/**
 * Looks whether the database file has at least its roots, before it is mapped into memory: a page that is missing would
 * end the process without a word when it is read. How long a whole file is cannot be told: the last pages that were in use
 * need never have been written.
 *
 * @throws DamagedLogError when it is missing, empty or cut off although the log has been claimed before.
 */
export function checkFile(folder: string): void {
  const path = databaseIn(folder);
  const isNew = !existsSync(join(folder, MARKER));
  if (!existsSync(path)) {
    if (isNew) return;
    throw new DamagedLogError(path, 'it is missing');
  }
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    if (size === 0 && isNew) return;
    const needed = neededBytes(file);
    if (needed === undefined) throw new DamagedLogError(path, 'it is empty, or no database of this kind');
    if (size < needed) throw new DamagedLogError(path, `it has ${size} bytes, and must have ${needed}`);
  } finally {
    closeSync(file);
  }
}

/** @returns how long the file must be at least, by the younger of its two descriptions; undefined when it has none. */
function neededBytes(file: number): number | undefined {
  const first = headOf(file, 0);
  if (first === undefined) return undefined;
  const second = headOf(file, first.pageSize);
  const youngest = second !== undefined && second.transaction > first.transaction ? second : first;
  return Number(youngest.highestRoot + 1n) * first.pageSize;
}

function headOf(
  file: number,
  position: number,
): { pageSize: number; highestRoot: bigint; transaction: bigint } | undefined {
  const head = Buffer.alloc(HEAD_BYTES);
  if (readSync(file, head, 0, HEAD_BYTES, position) < HEAD_BYTES) return undefined;
  if (head.readUInt32LE(MAGIC_AT) !== MAGIC) return undefined;
  const roots = ROOTS_AT.map((at) => head.readBigUInt64LE(at)).filter((page) => page !== NO_PAGE);
  return {
    pageSize: head.readUInt32LE(PAGE_SIZE_AT),
    highestRoot: roots.reduce((highest, page) => (page > highest ? page : highest), 1n),
    transaction: head.readBigUInt64LE(TRANSACTION_AT),
  };
}
