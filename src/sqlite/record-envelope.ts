import { hash } from 'node:crypto';
import { DIGEST_BYTES, FORMAT_VERSION, LOG_ID_BYTES } from './census.ts';

// The checksum comes first and covers all the rest: the version, the id of the log, the row, the length of
// the key, the key, the body.
const VERSION_AT = DIGEST_BYTES;
const LOG_ID_AT = VERSION_AT + 1;
const ROW_AT = LOG_ID_AT + LOG_ID_BYTES;
const KEY_LENGTH_AT = ROW_AT + 6;
const KEY_AT = KEY_LENGTH_AT + 4;
const ROW_BYTES = 6;

/** A record as it is stored. */
export interface Sealed {
  readonly value: Buffer;
  /** The checksum, which the census counts, in hexadecimal digits. */
  readonly digest: string;
}

/** The content of an envelope. */
export interface Opened {
  readonly key: string;
  readonly body: Buffer;
  readonly digest: string;
}

/** The problem of a stored record: a text, or its unknown version. */
export type Problem = { readonly damage: string } | { readonly version: number };

/**
 * Puts a record into its envelope. The checksum is a SHA-256: any damage changes it, equal records in
 * different places have different ones, and it costs a microsecond or two.
 */
export function seal(logId: string, row: number, key: string, body: Uint8Array): Sealed {
  const keyBytes = Buffer.byteLength(key);
  const value = Buffer.allocUnsafe(KEY_AT + keyBytes + body.length);
  value.writeUInt8(FORMAT_VERSION, VERSION_AT);
  value.write(logId, LOG_ID_AT, LOG_ID_BYTES, 'latin1');
  value.writeUIntLE(row, ROW_AT, ROW_BYTES);
  value.writeUInt32LE(keyBytes, KEY_LENGTH_AT);
  value.write(key, KEY_AT, keyBytes, 'utf8');
  value.set(body, KEY_AT + keyBytes);
  const digest = digestOf(value);
  value.write(digest, 0, 'hex');
  return { value, digest };
}

/** @returns the content of the envelope in a row, or its problem. */
export function open(logId: string, row: number, stored: Uint8Array): Problem | Opened {
  const value = Buffer.from(stored.buffer, stored.byteOffset, stored.length);
  if (value.length < KEY_AT) return { damage: 'it is too short' };
  const digest = value.toString('hex', 0, DIGEST_BYTES);
  // Without a valid checksum, the version itself may be damaged.
  if (digestOf(value) !== digest) return { damage: 'its checksum does not match' };
  const version = value.readUInt8(VERSION_AT);
  if (version !== FORMAT_VERSION) return { version };
  const found = value.toString('latin1', LOG_ID_AT, ROW_AT);
  if (found !== logId) return { damage: `it belongs to the log ${found}, but this is the log ${logId}` };
  if (value.readUIntLE(ROW_AT, ROW_BYTES) !== row) return { damage: 'it was stored in another row' };
  const bodyAt = KEY_AT + value.readUInt32LE(KEY_LENGTH_AT);
  return { key: value.toString('utf8', KEY_AT, bodyAt), body: value.subarray(bodyAt), digest };
}

function digestOf(value: Buffer): string {
  return hash('sha256', value.subarray(DIGEST_BYTES), 'hex');
}
