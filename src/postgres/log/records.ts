import type { AuditEntry, CommitRecord, HeuristicRecord } from '../../coordinator/log/decision-log.js';
import { DamagedLogError, RecordRefusedError } from '../../coordinator/log/log-errors.js';
import { originOf } from '../../coordinator/protocol/index.js';
import { messageOf } from '../../coordinator/gate/texts.js';
import { encodeBody, proveReadable, readBody } from '../../coordinator/log/record-body.js';
import { AUDITS, COMMITS, REPORTS } from '../../coordinator/log/record-shapes.js';
import type { FormatRange } from '../../coordinator/log/shared-log.js';

/** The formats of records that this version reads. */
export const FORMATS: FormatRange = { first: 1, last: 1 };

/** Far more than a payload should have, and few enough that many records fit into one statement. */
const MAX_RECORD_BYTES = 4 * 1024 * 1024;

/** A record as a table holds it. */
export interface StoredRow {
  readonly format: string;
  /** Hexadecimal digits after `\x`. */
  readonly record: string;
}

/** @throws RecordRefusedError when it is too large, or could not be read back. */
function encode(name: string, kind: string, record: object, payloads: readonly unknown[] = []): Buffer {
  let body: Uint8Array;
  try {
    body = encodeBody(kind, record, payloads);
    proveReadable(kind, body);
  } catch (error) {
    throw new RecordRefusedError(name, messageOf(error));
  }
  if (body.length > MAX_RECORD_BYTES)
    throw new RecordRefusedError(
      name,
      `it has ${body.length} bytes, and at most ${MAX_RECORD_BYTES} are taken`,
    );
  return Buffer.from(body.buffer, body.byteOffset, body.length);
}

export function encodeCommit(record: CommitRecord): Buffer {
  const payloads = record.branches.map(({ payload }) => payload);
  return encode(record.id, COMMITS, record, payloads);
}

export function encodeReport(report: HeuristicRecord): Buffer {
  return encode(`${report.id}/${report.branchId}`, REPORTS, report);
}

export function encodeAudit(entry: AuditEntry): Buffer {
  return encode(`audit entry ${entry.number}`, AUDITS, entry);
}

function decode(name: string, kind: string, { format, record }: StoredRow): unknown {
  if (Number(format) < FORMATS.first || Number(format) > FORMATS.last)
    throw new DamagedLogError(name, `it is of format ${format}, which this version does not read`);
  try {
    return readBody(kind, Buffer.from(record.slice(2), 'hex'));
  } catch (error) {
    throw new DamagedLogError(name, messageOf(error));
  }
}

/** @throws DamagedLogError when it cannot be read. Abort may then not be presumed for its epoch. */
export function decodeCommit(name: string, row: StoredRow): CommitRecord {
  return decode(name, COMMITS, row) as CommitRecord;
}

/** @throws DamagedLogError as {@link decodeCommit} does. */
export function decodeReport(name: string, row: StoredRow): HeuristicRecord {
  return decode(name, REPORTS, row) as HeuristicRecord;
}

/** @throws DamagedLogError as {@link decodeCommit} does. */
export function decodeAudit(name: string, row: StoredRow): AuditEntry {
  return decode(name, AUDITS, row) as AuditEntry;
}

/** The place of a transaction in the tables of the log. */
export interface Place {
  readonly epoch: number;
  readonly sequence: number;
}

/** @returns the place of a transaction of this log; undefined for any other id. */
export function placeOf(id: string, coordinator: string, logId: string): Place | undefined {
  const origin = originOf(id);
  if (origin?.name !== coordinator || origin.logId !== logId) return undefined;
  return { epoch: origin.epoch, sequence: Number(id.slice(id.lastIndexOf('.') + 1)) };
}
