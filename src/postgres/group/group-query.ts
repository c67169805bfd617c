import { type PoolClient, Query, type QueryResult } from 'pg';
import { MEMBER_MARK } from '../branch/session.js';

/** The column of the row that says that the group has the lock against those of other coordinators. */
export const LOCK_MARK = `${MEMBER_MARK}_lock`;

/** The column beside it: when the members' work began, in milliseconds after the transaction has begun. */
export const WORK_MARK = `${MEMBER_MARK}_work`;

/** The result of the work of some members, sent as one query. */
export interface GroupAnswer {
  /** The results of all statements; undefined when one has failed. */
  readonly results?: readonly QueryResult[] | undefined;
  readonly error?: unknown;
  /** Whether the first row of all has come: that of the guard, if the query has opened the transaction. */
  readonly hasBegun: boolean;
  readonly isLocked: boolean;
  /** When the work of the members began, if this query has opened the transaction; as {@link doneAtMs}. */
  readonly startedAtMs: number | undefined;
  /**
   * For each member whose work is done: when it was done, in milliseconds after the transaction has begun.
   */
  readonly doneAtMs: readonly number[];
}

/** Sends it. `pg` delivers rows as they come, and no results after an error. */
export function askGroup(client: PoolClient, text: string): Promise<GroupAnswer> {
  return new Promise((resolve) => {
    const doneAtMs: number[] = [];
    let hasBegun = false;
    let isLocked = false;
    let startedAtMs: number | undefined;
    const query = new Query(text, (error: Error | undefined, results: QueryResult | QueryResult[]) => {
      resolve({
        ...(error ? { error } : { results: [results].flat() }),
        hasBegun,
        isLocked,
        startedAtMs,
        doneAtMs,
      });
    });
    query.on('row', (row: Readonly<Record<string, unknown>>) => {
      hasBegun = true;
      if (MEMBER_MARK in row) doneAtMs.push(Number(row[MEMBER_MARK]));
      else if (LOCK_MARK in row) {
        isLocked = true;
        startedAtMs = Number(row[WORK_MARK]);
      }
    });
    client.query(query);
  });
}

/** Whether a transaction is open, be it one that has failed. */
export function isInTransaction(client: PoolClient): boolean {
  const status = client.getTransactionStatus();
  return status === 'T' || status === 'E';
}
