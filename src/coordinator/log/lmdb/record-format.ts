import { deserialize, serialize } from 'node:v8';
import { crc32 } from 'node:zlib';
import { DamagedLogError, UnknownLogFormatError } from '../log-errors.js';

/** The version of the format, the first byte of every record. */
export const FORMAT_VERSION = 1;
const HEADER_BYTES = 5;

/**
 * Writes a value as one record: the version of the format, a checksum, and the value in the format of V8, which keeps
 * whatever a structured clone keeps, dates and big integers as well.
 *
 * @throws DataCloneError when the value holds what cannot be kept, such as a function.
 */
export function encodeRecord(value: object): Buffer {
  const body = serialize(value);
  const record = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  record.writeUInt8(FORMAT_VERSION, 0);
  record.writeUInt32LE(crc32(body), 1);
  body.copy(record, HEADER_BYTES);
  return record;
}

/**
 * @param key of the record, for the error.
 * @throws UnknownLogFormatError when the record was written by a version that this one does not know.
 * @throws DamagedLogError when it is not as it was written.
 */
export function decodeRecord(key: string, record: Buffer): unknown {
  if (record.length < HEADER_BYTES) throw new DamagedLogError(key, 'it is too short');
  const version = record.readUInt8(0);
  const body = record.subarray(HEADER_BYTES);
  // The checksum is the first thing that every version has: without it the version may be the damage.
  if (crc32(body) !== record.readUInt32LE(1)) throw new DamagedLogError(key, 'its checksum does not fit');
  if (version !== FORMAT_VERSION) throw new UnknownLogFormatError(version, FORMAT_VERSION);
  try {
    return deserialize(body);
  } catch (error) {
    throw new DamagedLogError(key, `it cannot be read (${(error as Error).message})`);
  }
}
