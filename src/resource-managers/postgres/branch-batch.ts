import type { PoolClient, QueryConfig, QueryResult } from 'pg';
import type { Branch, Vote } from '../../coordinator/index.js';
import { type BranchWork, type Work, endedByWork, judge, preparation } from './branch-work.js';
import { quoted } from './gid.js';
import { meaningOf, refusalOf } from './sqlstate.js';
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
 * vote is yes. A statement that fails makes the server refuse all that follow it, and the prepare is a rollback.
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
  if (!client.pipeline) return work.perform(client, gid, branch, workOf(batch), preparation(gid));
  // What is no statement would stop the sending half-way, with the begin on its way already.
  if (batch.statements.some((statement) => typeof statement?.text !== 'string')) {
    throw new TypeError('A batch has something among its statements that is none: each needs a `text`.');
  }
  const { sql, tag } = preparation(gid);
  const queries = [work.begin(gid, branch.deadline), ...batch.statements, sql];
  const watch = new TransactionWatch(client);
  const { stream } = client.connection;
  stream.cork();
  const sent = queries.map((query) => client.query(query as QueryConfig));
  stream.uncork();
  const answers = await Promise.allSettled(sent);
  watch.stop();
  const begin = answers.shift()!;
  const end = answers.pop()!;
  if (begin.status === 'rejected') return work.notBegun(client, gid, begin.reason);

  if (watch.wasDoubtfulBefore(end)) throw endedByWork(client);
  const failed = answers.find((answer) => answer.status === 'rejected');
  const ended = await judge(sent.at(-1)!, tag);
  if (failed !== undefined) {
    // A statement that never left, as its values cannot be sent, has not kept the rest from being prepared.
    if (ended === 'commit') await rollBackPrepared(client, gid);
    if (meaningOf(failed.reason, 'work') === 'refused') return refusalOf(failed.reason);
    throw failed.reason;
  }
  if (ended !== 'commit') return ended;

  const results = answers.map((answer) => (answer as PromiseFulfilledResult<QueryResult>).value);
  try {
    const vote = batch.vote(results);
    if (vote !== 'commit') await rollBackPrepared(client, gid);
    return vote;
  } catch (error) {
    await rollBackPrepared(client, gid);
    throw error;
  }
}

async function rollBackPrepared(client: PoolClient, gid: string): Promise<void> {
  await client.query(`ROLLBACK PREPARED ${quoted(gid)}`);
}
