import type { PreparedBranch } from '../coordinator/participant/participant.js';
import { type GidLimit, branchOf, makeGid } from '../sql/gid.js';
import { MariaDbBranchError } from './errors.js';

/** Tells the branches of this library from those of other programs on the server: "DTC" in ASCII. */
export const FORMAT_ID = 0x44_54_43;

/** X/Open XA gives each of the two parts so many bytes. */
const PART_BYTES = 64;

const invalid = (problem: string): MariaDbBranchError =>
  new MariaDbBranchError(
    'DTC_MARIADB_INVALID_XID',
    `This branch cannot be prepared in MariaDB: ${problem}. Choose a shorter or plainer branchId.`,
  );

const LIMIT: GidLimit = { database: 'MariaDB', maxBytes: 2 * PART_BYTES + 1, invalid };

/**
 * A branch at a MariaDB server. Its global id is `<transactionId>/<participant>/<branchId>`, as at every
 * database. The part before the first slash is the global part of the XA id, the rest is the branch part.
 */
export interface Xid {
  /** The global id, which is the key of the guard row. */
  readonly gid: string;
  /** The XA id in SQL. */
  readonly sql: string;
}

/**
 * @returns the XA id of a branch.
 * @throws MariaDbBranchError (`DTC_MARIADB_INVALID_XID`) when an id has other characters, or a part is too
 * long.
 */
export function xidOf(branch: PreparedBranch, participant: string): Xid {
  const gid = makeGid(branch, participant, LIMIT);
  const [global, branchPart] = partsOf(gid);
  for (const part of [global, branchPart]) {
    if (part.length <= PART_BYTES) continue;
    throw invalid(`"${part}" has ${part.length} bytes, and a part of an XA id has at most ${PART_BYTES}`);
  }
  return { gid, sql: xidSql(gid) };
}

/** @returns the XA id of a global id in SQL. Its characters were checked, so it needs no escapes. */
export function xidSql(gid: string): string {
  const [global, branchPart] = partsOf(gid);
  return `'${global}','${branchPart}',${FORMAT_ID}`;
}

/** A row of XA RECOVER. */
export interface RecoverRow {
  /** The numbers are strings where the connection has the option `bigNumberStrings`. */
  readonly formatID: number | string;
  readonly gtrid_length: number | string;
  readonly bqual_length: number | string;
  /** Both parts, one behind the other. Other programs may put any bytes in it. */
  readonly data: Buffer | string;
}

/** @returns the global id of a listed branch, or undefined when it does not belong to this participant. */
export function gidIn(row: RecoverRow, participant: string): string | undefined {
  const { id, isOurs } = listedOf(row);
  return isOurs && branchOf(id, participant) !== undefined ? id : undefined;
}

/**
 * @returns the id of a listed branch, and whether this library may have made it. The id of another program is
 * in hexadecimal, with its parts and its format as XA RECOVER lists them.
 */
export function listedOf(row: RecoverRow): { readonly id: string; readonly isOurs: boolean } {
  const data = Buffer.isBuffer(row.data) ? row.data : Buffer.from(row.data, 'latin1');
  const [global, branchPart] = [Number(row.gtrid_length), Number(row.bqual_length)];
  if (Number(row.formatID) === FORMAT_ID && data.length === global + branchPart)
    return { id: `${data.toString('latin1', 0, global)}/${data.toString('latin1', global)}`, isOurs: true };
  const parts = [data.subarray(0, global), data.subarray(global)].map((part) => `X'${part.toString('hex')}'`);
  return { id: `${parts.join(',')},${row.formatID}`, isOurs: false };
}

function partsOf(gid: string): [string, string] {
  const slash = gid.indexOf('/');
  return [gid.slice(0, slash), gid.slice(slash + 1)];
}
