import { DatabaseError, type PoolClient, type QueryConfig, type QueryResult } from 'pg';
import type { Branch, Vote } from '../../coordinator/index.js';
import { type BranchWork, type Work, endedByWork, judge, preparation } from './branch-work.js';
import { isPlain, sendBurst, takesBursts } from './burst.js';
import { quoted } from './gid.js';
import { TransactionWatch } from './transaction-watch.js';

/** The work of a branch as statements that need no look at each other's results. @publicApi */
export interface Batch {
  readonly statements: readonly QueryConfig[];
  /** The vote, by the results of the statements in their order. What was prepared is rolled back if it is no. */
  readonly vote: (results: readonly QueryResult[]) => Vote;
}

/** The same as work that is done statement by statement, for where its vote has to come before the end. */
export function workOf<P>(batch: Batch): Work<P> {
  return async (client) => {
    const results: QueryResult[] = [];
    for (const statement of batch.statements) results.push(await client.query(statement));
    return batch.vote(results);
  };
}

/**
 * Prepares a branch in one round trip: everything from BEGIN to PREPARE TRANSACTION is sent at once, on the hope that the
 * vote is yes.
 *
 * @returns as {@link BranchWork.perform}.
 */
export async function prepareBatch(
  work: BranchWork,
  client: PoolClient,
  gid: string,
  branch: Branch,
  batch: Batch,
): Promise<Vote> {
  const { statements } = batch;
  if (statements.some((statement) => typeof statement?.text !== 'string')) {
    throw new TypeError('A batch has something among its statements that is none: each needs a `text`.');
  }
  const ending = preparation(gid);
  if (!takesBursts(client) || !statements.every(isPlain)) {
    return work.perform(client, gid, branch, workOf(batch), ending);
  }
  const begin = work.begin(gid, branch.deadline);
  const watch = new TransactionWatch(client);
  const answer = await sendBurst(client, [...begin, ...statements, ending.sql]).finally(() => watch.stop());
  if ('error' in answer) {
    const { error, done } = answer;
    const isPrepared = done > begin.length + statements.length;
    if (isPrepared ? watch.wasDoubtfulBeforeEnd : watch.isDoubtful) throw endedByWork(client);
    // Only what the server says is a no. What goes wrong on this side, as a row that cannot be read, may hide a yes.
    if (isPrepared || !(error instanceof DatabaseError)) throw error;
    if (done < begin.length) return work.notBegun(client, gid, error);
    if (done < begin.length + statements.length) return work.failed(client, error, ending);
    return judge(Promise.reject(error), ending.tag);
  }
  const { results } = answer;
  if (watch.wasDoubtfulBeforeEnd) throw endedByWork(client);
  const vote = await judge(Promise.resolve(results.at(-1)!), ending.tag);
  if (vote !== 'commit') return vote;
  // It is prepared, and a throw has it rolled back.
  if (results.length !== begin.length + statements.length + 1)
    throw new TypeError('A batch has an empty statement.');
  return voteOf(client, gid, batch, results.slice(begin.length, -1));
}

/** It is prepared already, so that a vote which is no commit rolls it back. */
async function voteOf(
  client: PoolClient,
  gid: string,
  batch: Batch,
  results: readonly QueryResult[],
): Promise<Vote> {
  let vote: Vote | undefined;
  try {
    vote = batch.vote(results);
    return vote;
  } finally {
    if (vote !== 'commit') await client.query(`ROLLBACK PREPARED ${quoted(gid)}`);
  }
}
