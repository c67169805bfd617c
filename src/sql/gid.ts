import type { PreparedBranch } from '../coordinator/participant/participant.js';

/** The characters of each part: none that has a meaning in SQL, and no slash, which separates the parts. */
const PART = /^[A-Za-z0-9._:-]+$/;

/** A whole global id. No part has a slash, so it is one of three good parts if and only if it matches. */
const WHOLE = /^[A-Za-z0-9._:-]+\/[A-Za-z0-9._:-]+\/[A-Za-z0-9._:-]+$/;

/** The limits of a database for a global id. */
export interface GidLimit {
  /** The name of the database, for the error. */
  readonly database: string;
  /** The longest global id. */
  readonly maxBytes: number;
  /** @returns the error for ids that make no valid global id. */
  readonly invalid: (problem: string) => Error;
}

/**
 * The global id under which a database stores a prepared branch: `<transactionId>/<participant>/<branchId>`.
 * A global id is unique on the whole server, not only in one database, so it includes the name of the
 * participant. It cannot be a bind parameter; hence the strict character set.
 *
 * @param participant the name of the participant.
 * @throws the error of `limit.invalid`, when an id has other characters, or the whole is too long.
 */
export function makeGid(
  { transactionId, branchId }: PreparedBranch,
  participant: string,
  { database, maxBytes, invalid }: GidLimit,
): string {
  const areTexts =
    typeof transactionId === 'string' && typeof participant === 'string' && typeof branchId === 'string';
  const gid = areTexts ? `${transactionId}/${participant}/${branchId}` : '';
  if (!WHOLE.test(gid)) throw invalid(problemOf({ transactionId, participant, branchId }));
  if (gid.length > maxBytes) {
    throw invalid(
      `${gid.length} bytes are too many for a global id, which ${database} limits to ${maxBytes}`,
    );
  }
  return gid;
}

function problemOf(parts: Readonly<Record<string, unknown>>): string {
  const bad = Object.entries(parts).find(([, part]) => typeof part !== 'string' || !PART.test(part));
  const [name, part] = bad!;
  if (typeof part !== 'string')
    return `${name} is ${part === null ? 'null' : typeof part} instead of a string`;
  return `${name} ${JSON.stringify(part)} has characters other than A-Z a-z 0-9 . _ : -, or none`;
}

/**
 * @returns the branch of a global id, or undefined when it belongs to another participant or another program,
 * or is malformed.
 */
export function branchOf(gid: string, participant: string): PreparedBranch | undefined {
  const [transactionId = '', name, branchId = '', ...more] = gid.split('/');
  if (name !== participant || more.length > 0) return undefined;
  return PART.test(transactionId) && PART.test(branchId) ? { transactionId, branchId } : undefined;
}

/** @returns the parts of a global id, or undefined when this library has not made it, or it is malformed. */
export function partsOf(gid: string): (PreparedBranch & { readonly participant: string }) | undefined {
  const [, participant = ''] = gid.split('/', 2);
  const branch = PART.test(participant) ? branchOf(gid, participant) : undefined;
  return branch && { ...branch, participant };
}

/** @returns the id of the transaction in a global id that has one. */
export function transactionOf(gid: string): string {
  return gid.slice(0, gid.indexOf('/'));
}

/** @returns a global id as SQL. Its characters were checked, so it needs no escapes. */
export function quoted(gid: string): string {
  return `'${gid}'`;
}
