import type { PreparedBranch } from '../coordinator/index.js';

/** What may stand in each part: nothing that SQL could take for anything else, and no slash, which parts them. */
const PART = /^[A-Za-z0-9._:-]+$/;

/** What a database takes for a global id. */
export interface GidLimit {
  /** The name of the database, for the error. */
  readonly database: string;
  /** The longest global id. */
  readonly maxBytes: number;
  /** @returns the error for ids that make no global id. */
  readonly invalid: (problem: string) => Error;
}

/**
 * The global id under which a database keeps a prepared branch: `<transactionId>/<participant>/<branchId>`. A global id
 * is unique for the whole server and not for one database, so the name of the participant belongs in it. It cannot be
 * a bind parameter; hence the strict character set.
 *
 * @param participant the name of the participant.
 * @throws what `limit.invalid` makes, when an id has other characters, or the whole is too long.
 */
export function makeGid(
  { transactionId, branchId }: PreparedBranch,
  participant: string,
  { database, maxBytes, invalid }: GidLimit,
): string {
  const parts = { transactionId, participant, branchId };
  for (const [name, part] of Object.entries(parts)) {
    if (typeof part === 'string' && PART.test(part)) continue;
    throw invalid(`${name} ${JSON.stringify(part)} has characters other than A-Z a-z 0-9 . _ : -, or none`);
  }
  const gid = `${transactionId}/${participant}/${branchId}`;
  if (gid.length > maxBytes) {
    throw invalid(
      `${gid.length} bytes are too many for a global id, which ${database} limits to ${maxBytes}`,
    );
  }
  return gid;
}

/**
 * @returns the branch that a global id names, or undefined when it is not one of this participant: another
 * participant's, another program's, or malformed.
 */
export function branchOf(gid: string, participant: string): PreparedBranch | undefined {
  const [transactionId = '', name, branchId = '', ...more] = gid.split('/');
  if (name !== participant || more.length > 0) return undefined;
  return PART.test(transactionId) && PART.test(branchId) ? { transactionId, branchId } : undefined;
}

/** @returns the id of the transaction in a global id that has one. */
export function transactionOf(gid: string): string {
  return gid.slice(0, gid.indexOf('/'));
}

/** @returns a global id as SQL: its characters were checked, so there is nothing in it to escape. */
export function quoted(gid: string): string {
  return `'${gid}'`;
}
