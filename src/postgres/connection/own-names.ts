import { randomBytes } from 'node:crypto';

/**
 * A part of every name that the library gives to something in the session of a branch: a savepoint, a prepared statement.
 * It is random for each process, so that the work cannot give the same name to something of its own and take its place.
 */
export const OWN_MARK = randomBytes(8).toString('hex');
