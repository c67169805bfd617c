import { hash } from 'node:crypto';

// Only code that Node can run unbuilt may be used here, and in all files that the worker imports: tests run
// without a build.

/** The version of the format of everything in the log. */
export const FORMAT_VERSION = 1;
/** The number of characters in the id of a log. */
export const LOG_ID_BYTES = 12;
export const DIGEST_BYTES = 32;

/**
 * The log's own account, written again in every transaction: its id, the number of its transactions, and the
 * number of records that it must hold. Without it, a record that is missing altogether would not be noticed.
 */
export interface Census {
  readonly logId: string;
  /** The number of transactions of the log so far. */
  readonly sequence: number;
  readonly count: number;
  /** The digests of all records, combined by exclusive or, so that their order does not matter. */
  readonly digest: Uint8Array;
  /**
   * The mark: whether the main file depends on a write-ahead log. It is set in the main file from each
   * checkpoint on, so that a missing write-ahead log is noticed.
   */
  readonly needsWal: boolean;
}

const MAGIC = Buffer.from('DTC-LOG\n', 'latin1');
const VERSION_AT = 8;
const NEEDS_WAL_AT = 9;
const LOG_ID_AT = 12;
const SEQUENCE_AT = 24;
const COUNT_AT = 32;
const DIGEST_AT = 40;
const SEAL_AT = 72;
export const CENSUS_BYTES = SEAL_AT + DIGEST_BYTES;

/** @returns the census in its stored form, sealed by a checksum. */
export function encodeCensus({ logId, sequence, count, digest, needsWal }: Census): Buffer {
  const stored = Buffer.alloc(CENSUS_BYTES);
  MAGIC.copy(stored);
  stored.writeUInt8(FORMAT_VERSION, VERSION_AT);
  stored.writeUInt8(needsWal ? 1 : 0, NEEDS_WAL_AT);
  stored.write(logId, LOG_ID_AT, LOG_ID_BYTES, 'latin1');
  stored.writeBigUInt64LE(BigInt(sequence), SEQUENCE_AT);
  stored.writeBigUInt64LE(BigInt(count), COUNT_AT);
  stored.set(digest, DIGEST_AT);
  sealOf(stored).copy(stored, SEAL_AT);
  return stored;
}

/** @returns the census, and the version of its format; undefined when it has been changed. */
export function decodeCensus(stored: Uint8Array): (Census & { readonly version: number }) | undefined {
  if (stored.length !== CENSUS_BYTES) return undefined;
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.length);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (!sealOf(bytes).equals(bytes.subarray(SEAL_AT))) return undefined;
  return {
    version: bytes.readUInt8(VERSION_AT),
    needsWal: bytes.readUInt8(NEEDS_WAL_AT) === 1,
    logId: bytes.toString('latin1', LOG_ID_AT, LOG_ID_AT + LOG_ID_BYTES),
    sequence: Number(bytes.readBigUInt64LE(SEQUENCE_AT)),
    count: Number(bytes.readBigUInt64LE(COUNT_AT)),
    digest: Uint8Array.from(bytes.subarray(DIGEST_AT, SEAL_AT)),
  };
}

/** @returns the census in a page; undefined when there is none, or none that is intact. */
export function censusInPage(page: Buffer): (Census & { readonly version: number }) | undefined {
  const at = page.indexOf(MAGIC);
  return at === -1 ? undefined : decodeCensus(page.subarray(at, at + CENSUS_BYTES));
}

/**
 * The digests of all records, combined by exclusive or: their order does not matter, and a digest can be
 * removed again.
 */
export class Digests {
  private readonly all: Buffer;
  private readonly one = Buffer.alloc(DIGEST_BYTES);

  constructor(start: Uint8Array = new Uint8Array(DIGEST_BYTES)) {
    this.all = Buffer.from(start);
  }

  /** Adds a digest, in hexadecimal digits, or removes one that was added. Both are the same operation. */
  combine(digest: string): void {
    const { all, one } = this;
    one.write(digest, 'hex');
    for (let index = 0; index < DIGEST_BYTES; index++) all[index]! ^= one[index]!;
  }

  /** @returns a copy of the combination. */
  total(): Uint8Array {
    return Uint8Array.from(this.all);
  }
}

export function isSameDigest(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

function sealOf(stored: Buffer): Buffer {
  return hash('sha256', stored.subarray(0, SEAL_AT), 'buffer');
}
