import type { PreparedBranch } from '../coordinator/participant/participant.js';
import { type GidLimit, makeGid } from '../sql/gid.js';
import { PostgresBranchError } from './errors.js';

const LIMIT: GidLimit = {
  database: 'PostgreSQL',
  maxBytes: 199,
  invalid: (problem) =>
    new PostgresBranchError(
      'DTC_POSTGRES_INVALID_GID',
      `This branch cannot be prepared in PostgreSQL: ${problem}. Choose a shorter or plainer branchId.`,
    ),
};

/** The name of the participant in the global id of a row, as SQL. */
export const PARTICIPANT_IN_GID = `split_part(gid, '/', 2)`;

/**
 * The name of the coordinator in the global id of a row, as SQL: the part of the transaction id before its
 * first dot.
 */
export const COORDINATOR_IN_GID = `split_part(gid, '.', 1)`;

/**
 * @returns the global id of a branch at a PostgreSQL server.
 * @throws PostgresBranchError (`DTC_POSTGRES_INVALID_GID`) when an id has other characters, or the whole is
 * too long.
 */
export function gidOf(branch: PreparedBranch, participant: string): string {
  return makeGid(branch, participant, LIMIT);
}
