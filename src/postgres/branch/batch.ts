import { Client, DatabaseError, type PoolClient, Query, type QueryConfig, type QueryResult } from 'pg';
import {
  type Branch,
  type Vote,
  expiringVoteIn,
  isForCommit,
} from '../../coordinator/participant/participant.js';
import { rowsOf } from '../connection/own-queries.js';
import { throwIfCutShort, waitsCutShort } from '../connection/replication.js';
import { sendScript } from '../connection/script.js';
import { quoted } from '../../sql/gid.js';
import { codeOf } from '../sqlstate.js';
import { type BatchText, ONCE, isPlain, textOfBatch } from './batch-text.js';
import { type Ending, preparation, rollBack } from './ending.js';
import { forgetStatements, textsOf } from './session.js';
import { type BranchWork, NO_SUCH_STATEMENT, type Work } from './work.js';

/** Matches a statement that may take an advisory lock for the session. */
const ADVISORY = /advisory/i;

/**
 * SQLSTATE `feature_not_supported`: the columns of a prepared statement have changed since it was prepared.
 */
const PLAN_OUTDATED = '0A000';

/** The SQLSTATEs with which PostgreSQL may refuse to prepare a statement that it would run by itself. */
const NOT_PREPARED = /^(?:42|0A|26)/;

/** The work of a branch as statements that do not depend on each other's results. @publicApi */
export interface Batch {
  readonly statements: readonly QueryConfig[];
  /**
   * The vote, from the results of the statements in order. If it is no, the prepared branch is rolled back.
   */
  readonly vote: (results: readonly QueryResult[]) => Vote;
}

/** The same work as statements sent one by one, for use when the vote must come before the end. */
export function workOf<P>(batch: Batch): Work<P> {
  return async (client) => {
    const results: QueryResult[] = [];
    for (const statement of batch.statements) results.push(await client.query(statement));
    return batch.vote(results);
  };
}

/**
 * Prepares a branch in one round trip: everything from BEGIN to PREPARE TRANSACTION is one query, in the
 * expectation that the vote is yes.
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
    throw new TypeError('An element of the batch is not a statement: each needs a `text`.');
  }
  const ending: Ending = { ...preparation(gid), isBeforeVote: true };
  const oneByOne = (): Promise<Vote> => work.perform(client, gid, branch, workOf(batch), ending);
  // A client of another copy of `pg` does not accept our query.
  if (!(client instanceof Client) || !statements.every(isPlain)) return oneByOne();
  const looking = work.look(client);
  if (looking !== undefined) await looking;
  for (let attempt = 1; ; attempt++) {
    const text = textOfBatch(statements, textsOf(client), work.preparesStatements);
    if (text === undefined) return oneByOne();
    const sent = await send(work, client, branch, ending, text, statements);
    if (sent.results !== undefined) return voteOf(client, gid, batch, text, sent.results);
    // Only an answer of the server is a no. An error on this side, such as a row that cannot be read, may
    // hide a yes.
    if (!(sent.error instanceof DatabaseError)) throw sent.error;
    const next = await afterError(work, client, gid, text, sent.error);
    if (typeof next === 'object') return next.vote;
    if (next === 'is final' || attempt === MOST_ATTEMPTS) {
      return work.failed(client, sent.error, ending, sent.mayLock);
    }
    branch.signal.throwIfAborted();
    if (next === 'one by one') return oneByOne();
  }
}

/** A prepared statement may be gone or out of date: then the batch is sent again. */
const MOST_ATTEMPTS = 2;

/** A branch that was sent as a whole, and its result. */
interface Sent {
  /** The results of all statements; undefined when one has failed. */
  readonly results?: readonly QueryResult[] | undefined;
  readonly error?: unknown;
  readonly mayLock: boolean;
}

/** Sends a branch as one query, and remembers which of its statements are then prepared in the session. */
async function send(
  work: BranchWork,
  client: PoolClient,
  branch: Branch,
  ending: Ending,
  text: BatchText,
  statements: readonly QueryConfig[],
): Promise<Sent> {
  const mayLock = statements.some((statement) => ADVISORY.test(statement.text));
  const begin = work.begin(ending.gid, 'BEGIN', branch, false);
  const readying = work.ready(client, branch.deadline, false);
  if (readying !== undefined && !client.pipeline) await readying;
  const end = work.endings.scriptOf(client, ending, mayLock);
  const waits = waitsCutShort(client);
  const answering = ask(client, [...begin, ...text.statements, ...end.statements].join('; '));
  const readied = readying === undefined ? undefined : Promise.allSettled([readying]);
  const answer = await answering;
  throwIfCutShort(client, waits, ending.sql);
  const [readiness] = readied === undefined ? [] : await readied;
  if (readiness?.status === 'rejected') throw readiness.reason;
  if (answer.results !== undefined) {
    for (const [one, name] of text.made) textsOf(client).prepared(one, name);
    work.endings.undone(client);
    const own = begin.length + end.statements.length;
    // The branch is prepared, and an error rolls it back.
    if (answer.results.length !== own + text.statements.length) {
      throw new TypeError('A batch has an empty statement.');
    }
    return { ...answer, mayLock, results: answer.results.slice(begin.length, -end.statements.length) };
  }
  return { ...answer, mayLock };
}

/** For a query with several statements, `pg` delivers no results after an error. */
function ask(client: PoolClient, text: string): Promise<Pick<Sent, 'results' | 'error'>> {
  return new Promise((resolve) => {
    const query = new Query(text, (error: Error | undefined, results: QueryResult | QueryResult[]) => {
      resolve(error ? { error } : { results: Array.isArray(results) ? results : [results] });
    });
    client.query(query);
  });
}

/**
 * Rolls a failed batch back, and finds the cause: the guard row of an earlier call, an error of the work, a
 * statement that could not be prepared, or a prepared statement that is no longer usable. In the last two
 * cases the branch itself is not at fault. No row tells that the guard row was written: it would cost each
 * branch more than this costs one that fails.
 *
 * @returns with a vote, that of an earlier call.
 * @throws the error when the branch is, or may be, prepared: the results that its vote needs are lost.
 */
async function afterError(
  work: BranchWork,
  client: PoolClient,
  gid: string,
  text: BatchText,
  error: unknown,
): Promise<{ readonly vote: Vote } | 'is final' | 'again' | 'one by one'> {
  const code = codeOf(error) ?? '';
  if (!(await rollBack(client))) throw error;
  if (text.usesOnce) await sendScript(client, `DEALLOCATE "${ONCE}"`);
  const vote = await work.voteBefore(client, gid, error);
  if (vote === 'again') {
    // If the statement of the guard row is gone, all of them are.
    forgetStatements(client);
    return vote;
  }
  if (vote !== undefined) return { vote };
  const texts = textsOf(client);
  if (text.made.size > 0) {
    const there = await preparedOf(client, [...text.made.values()]);
    let missing: string | undefined;
    for (const [one, name] of text.made) {
      if (there.has(name)) texts.prepared(one, name);
      else missing ??= one;
    }
    // They are prepared one after the other, each before its first use.
    if (missing !== undefined && NOT_PREPARED.test(code)) texts.failed(missing);
  }
  if (text.usesKept && (code === NO_SUCH_STATEMENT || code === PLAN_OUTDATED)) {
    texts.clear();
    return 'again';
  }
  return (text.made.size > 0 || text.usesOnce) && NOT_PREPARED.test(code) ? 'one by one' : 'is final';
}

async function preparedOf(client: PoolClient, names: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await rowsOf<{ name: string }>(
    client,
    'SELECT name FROM pg_catalog.pg_prepared_statements WHERE name OPERATOR(pg_catalog.=) ANY ($1::text[])',
    [names],
  );
  return new Set(rows.map(({ name }) => name));
}

/** It is already prepared, so any vote other than commit rolls it back. */
async function voteOf(
  client: PoolClient,
  gid: string,
  batch: Batch,
  text: BatchText,
  results: readonly QueryResult[],
): Promise<Vote> {
  let vote: Vote | undefined;
  try {
    const given = batch.vote(text.at.map((index) => results[index]!));
    vote = expiringVoteIn(given) ?? given;
    return vote;
  } finally {
    if (vote === undefined || !isForCommit(vote)) await client.query(`ROLLBACK PREPARED ${quoted(gid)}`);
  }
}
