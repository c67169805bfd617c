import type { PreparedBranch } from '../coordinator/index.js';
import { PostgresBranchError } from './errors.js';

/** PostgreSQL takes fewer than this many bytes in a global id. */
const GID_LIMIT_BYTES = 200;

/** What may stand in each part: nothing that SQL could take for anything else, and no slash, which parts them. */
const PART = /^[A-Za-z0-9._:-]+$/;

/**
 * The global id under which PostgreSQL keeps a prepared branch: `<transactionId>/<participant>/<branchId>`. A global id
 * is unique for the whole server and not for one database, so the name of the participant belongs in it. It cannot be
 * a bind parameter; hence the strict character set.
 *
 * @param participant the name of the participant.
 * @throws PostgresBranchError (`DTC_POSTGRES_INVALID_GID`) when an id has other characters, or the whole is too long.
 */
export function gidOf({ transactionId, branchId }: PreparedBranch, participant: string): string {
  const parts = { transactionId, participant, branchId };
  for (const [name, part] of Object.entries(parts)) {
    if (typeof part === 'string' && PART.test(part)) continue;
    throw invalid(`${name} ${JSON.stringify(part)} has characters other than A-Z a-z 0-9 . _ : -, or none`);
  }
  const gid = `${transactionId}/${participant}/${branchId}`;
  if (gid.length >= GID_LIMIT_BYTES) {
    throw invalid(`${gid.length} bytes are too many for a global id, which PostgreSQL limits to 199`);
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

/** @returns the name of the coordinator that made a transaction id. */
export function coordinatorOf(transactionId: string): string {
  const end = transactionId.indexOf('.');
  return end === -1 ? transactionId : transactionId.slice(0, end);
}

/** @returns a global id as SQL: its characters were checked, so there is nothing in it to escape. */
export function quoted(gid: string): string {
  return `'${gid}'`;
}

function invalid(problem: string): PostgresBranchError {
  return new PostgresBranchError(
    'DTC_POSTGRES_INVALID_GID',
    `This branch cannot be prepared in PostgreSQL: ${problem}. Choose a shorter or plainer branchId.`,
  );
}
