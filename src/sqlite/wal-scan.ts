import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { censusInPage } from './census.ts';

// The format of a write-ahead log: https://www.sqlite.org/fileformat2.html#the_write_ahead_log

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC_LITTLE_ENDIAN = 0x377f0682;
const MAGIC_BIG_ENDIAN = 0x377f0683;
const PAGE_SIZE_AT = 8;
const SALT_AT = 16;
const SALT_BYTES = 8;
const HEADER_CHECKSUM_AT = 24;
const COMMIT_AT = 4;
const FRAME_SALT_AT = 8;
const FRAME_CHECKSUM_AT = 16;
const FRAME_CHECKSUM_COVERS = 8;
/** The census is alone in its table, which is created first: it never leaves this page. */
export const CENSUS_PAGE = 2;
export const PAGE_BYTES = 4_096;
const FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES;
const FRAMES_AT_ONCE = 256;

/**
 * The content of a write-ahead log, read without SQLite, which silently drops everything behind the first
 * damage.
 */
export interface WalScan {
  /** Whether any part could be a frame. */
  readonly isEmpty: boolean;
  /** Whether its header is intact. If not, SQLite ignores all of it. */
  readonly hasHeader: boolean;
  /** The number of the last transaction that SQLite would find; undefined when it would find none. */
  readonly lastSequence: number | undefined;
  /** The highest number of a transaction with any remnant in it, whether SQLite would find it or not. */
  readonly highestSequence: number;
  /** The log that it belongs to; undefined when nothing in it shows that. */
  readonly logId: string | undefined;
  /** Whether frames were started behind the last transaction that SQLite would find. */
  readonly hasTail: boolean;
}

const EMPTY: WalScan = {
  isEmpty: true,
  hasHeader: false,
  lastSequence: undefined,
  highestSequence: 0,
  logId: undefined,
  hasTail: false,
};

/**
 * @returns the content of the write-ahead log, or of an empty one when the file is missing. It is not
 * changed.
 */
export function scanWal(path: string): WalScan {
  if (!existsSync(path)) return EMPTY;
  const file = openSync(path, 'r');
  try {
    if (fstatSync(file).size < HEADER_BYTES + FRAME_BYTES) return EMPTY;
    return new Scanner(file).scan();
  } finally {
    closeSync(file);
  }
}

/** A checksum in the manner of SQLite: two sums over pairs of words. */
class Checksum {
  private readonly littleEndian: boolean;
  first = 0;
  second = 0;

  constructor(littleEndian: boolean) {
    this.littleEndian = littleEndian;
  }

  add(bytes: Buffer, from: number, to: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = from; at < to; at += 8) {
      this.first = (this.first + view.getUint32(at, this.littleEndian) + this.second) >>> 0;
      this.second = (this.second + view.getUint32(at + 4, this.littleEndian) + this.first) >>> 0;
    }
  }

  fits(bytes: Buffer, at: number): boolean {
    return bytes.readUInt32BE(at) === this.first && bytes.readUInt32BE(at + 4) === this.second;
  }
}

class Scanner {
  private readonly file: number;
  private readonly header = Buffer.alloc(HEADER_BYTES);
  private readonly checksum: Checksum;
  private readonly hasHeader: boolean;
  /** Whether all frames so far are intact. */
  private isUnbroken: boolean;
  /** The number of the transaction that is being read, and of the last complete one. */
  private sequence: number | undefined;
  private lastSequence: number | undefined;
  private highestSequence = 0;
  private logId: string | undefined;
  private hasTail = false;

  constructor(file: number) {
    this.file = file;
    readSync(file, this.header, 0, HEADER_BYTES, 0);
    const magic = this.header.readUInt32BE(0);
    this.checksum = new Checksum(magic === MAGIC_LITTLE_ENDIAN);
    this.checksum.add(this.header, 0, HEADER_CHECKSUM_AT);
    this.hasHeader =
      (magic === MAGIC_LITTLE_ENDIAN || magic === MAGIC_BIG_ENDIAN) &&
      this.header.readUInt32BE(PAGE_SIZE_AT) === PAGE_BYTES &&
      this.checksum.fits(this.header, HEADER_CHECKSUM_AT);
    this.isUnbroken = this.hasHeader;
  }

  scan(): WalScan {
    const frames = Buffer.alloc(FRAMES_AT_ONCE * FRAME_BYTES);
    let position = HEADER_BYTES;
    for (;;) {
      const bytes = readSync(this.file, frames, 0, frames.length, position);
      for (let at = 0; at < bytes; at += FRAME_BYTES) {
        this.frame(frames.subarray(at, Math.min(at + FRAME_BYTES, bytes)));
      }
      if (bytes < frames.length) break;
      position += bytes;
    }
    const { hasHeader, lastSequence, highestSequence, logId, hasTail } = this;
    return { isEmpty: false, hasHeader, lastSequence, highestSequence, logId, hasTail };
  }

  private frame(frame: Buffer): void {
    // Remnants from before the last checkpoint have another salt. Without the header all frames are examined.
    const isOfThisTurn =
      frame.length >= FRAME_HEADER_BYTES &&
      frame.compare(this.header, SALT_AT, SALT_AT + SALT_BYTES, FRAME_SALT_AT, FRAME_CHECKSUM_AT) === 0;
    if (this.hasHeader && !isOfThisTurn) {
      this.isUnbroken = false;
      return;
    }
    const census =
      frame.length >= FRAME_HEADER_BYTES && frame.readUInt32BE(0) === CENSUS_PAGE
        ? censusInPage(frame.subarray(FRAME_HEADER_BYTES))
        : undefined;
    if (census !== undefined) {
      this.highestSequence = Math.max(this.highestSequence, census.sequence);
      this.logId = census.logId;
    }
    if (this.isUnbroken) this.isUnbroken = this.follows(frame);
    this.hasTail = true;
    if (!this.isUnbroken) return;
    if (census !== undefined) this.sequence = census.sequence;
    if (frame.readUInt32BE(COMMIT_AT) === 0) return;
    this.lastSequence = this.sequence ?? this.lastSequence;
    this.hasTail = false;
  }

  /** Whether its checksum matches, which also depends on all earlier frames. */
  private follows(frame: Buffer): boolean {
    if (frame.length < FRAME_BYTES) return false;
    this.checksum.add(frame, 0, FRAME_CHECKSUM_COVERS);
    this.checksum.add(frame, FRAME_HEADER_BYTES, FRAME_BYTES);
    return this.checksum.fits(frame, FRAME_CHECKSUM_AT);
  }
}
