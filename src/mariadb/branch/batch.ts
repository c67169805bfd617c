import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import type { Vote } from '../../coordinator/participant/participant.js';
import type { Work } from './work.js';

/** A statement of a batch. @publicApi */
export interface BatchStatement {
  readonly sql: string;
  readonly values?: readonly unknown[];
}

/** The result of a statement of a batch: its rows, or how many it has changed. @publicApi */
export type BatchResult = RowDataPacket[] | ResultSetHeader;

/** The work of a branch as statements that do not depend on each other's results. @publicApi */
export interface Batch {
  readonly statements: readonly BatchStatement[];
  /** The vote, from the results of the statements in order. */
  readonly vote: (results: readonly BatchResult[]) => Vote;
}

/** The same work as statements sent one by one: `mysql2` sends the next when the previous one is answered. */
export function workOf<P>({ statements, vote }: Batch): Work<P> {
  return async (connection) => {
    const results: BatchResult[] = [];
    for (const statement of statements) {
      if (typeof statement?.sql !== 'string') {
        throw new TypeError('An element of the batch is not a statement: each needs a `sql`.');
      }
      const [result] = await connection.query<RowDataPacket[] | ResultSetHeader>(statement.sql, [
        ...(statement.values ?? []),
      ]);
      results.push(result);
    }
    return vote(results);
  };
}
