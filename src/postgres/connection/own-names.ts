import { randomBytes } from 'node:crypto';

/**
 * A part of every name that the library uses in the session of a branch: for a savepoint or a prepared
 * statement. It is random for each process, so that the work cannot use the same name.
 */
export const OWN_MARK = randomBytes(8).toString('hex');
