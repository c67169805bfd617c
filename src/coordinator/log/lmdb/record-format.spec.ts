import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { DamagedLogError, UnknownLogFormatError } from '../log-errors.js';
import { FORMAT_VERSION, decodeRecord, encodeRecord } from './record-format.js';

/** A record whose checksum fits, whatever it holds. */
function sealed(body: Buffer, version = FORMAT_VERSION): Buffer {
  const record = Buffer.alloc(5 + body.length);
  record.writeUInt8(version, 0);
  record.writeUInt32LE(crc32(body), 1);
  body.copy(record, 5);
  return record;
}

describe('The format of a record', () => {
  it('gives back what was written', () => {
    const value = { id: 'shop.1.1', at: new Date(0), amount: 12n };
    expect(decodeRecord('commit/shop.1.1', encodeRecord(value))).toEqual(value);
  });

  it.each([
    ['is empty', Buffer.alloc(0)],
    ['ends in the checksum', encodeRecord({ id: 1 }).subarray(0, 4)],
    ['ends behind the checksum', sealed(Buffer.alloc(0))],
    ['was sealed over what is no value', sealed(Buffer.from('no value'))],
  ])('a record is damaged that %s', (_, record) => {
    expect(() => decodeRecord('commit/shop.1.1', record)).toThrow(DamagedLogError);
    expect(() => decodeRecord('commit/shop.1.1', record)).toThrow(/commit\/shop\.1\.1/);
  });

  it('a record is damaged in which any one bit is not as it was written, but for the version', () => {
    const record = encodeRecord({ id: 'shop.1.1' });
    for (let bit = 8; bit < record.length * 8; bit++) {
      const changed = Buffer.from(record);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => decodeRecord('key', changed), `bit ${bit}`).toThrow(DamagedLogError);
    }
  });

  it('a record of another version is not damaged, and not read', () => {
    const other = sealed(encodeRecord({ id: 1 }).subarray(5), FORMAT_VERSION + 1);
    expect(() => decodeRecord('key', other)).toThrow(UnknownLogFormatError);
  });
});
