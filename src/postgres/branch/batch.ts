import { DatabaseError, type PoolClient, type QueryConfig, type QueryResult } from 'pg';
import type { Branch, Vote } from '../../coordinator/index.js';
import { type Ending, preparation, rollBack } from './ending.js';
import { forgetStatements, textsOf } from './session.js';
import { type BranchWork, NO_SUCH_STATEMENT, type Work, endedByWork } from './work.js';
import { type BurstAnswer, isPlain, makeBurst, sendBurst, takesBursts } from '../connection/burst.js';
import { quoted } from '../../sql/gid.js';
import type { StatementName } from '../connection/prepared-texts.js';
import { spoil } from '../connection/spoiled.js';
import { codeOf } from '../sqlstate.js';
import { TransactionTags } from './transaction-watch.js';

/** What the text of a statement has that may take an advisory lock for the session. */
const ADVISORY = /advisory/i;

/** SQLSTATE `feature_not_supported`, of a prepared statement whose columns are others than when it was prepared. */
const PLAN_OUTDATED = '0A000';

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
  await work.look(client);
  let sent = await send(work, client, gid, branch, batch, ending);
  if (isStale(client, sent) && (await rollBack(client))) {
    branch.signal.throwIfAborted();
    sent = await send(work, client, gid, branch, batch, ending);
  }
  const { answer, done } = sent;
  const seen = new TransactionTags();
  for (const tag of answer.tags) if (tag !== undefined) seen.see(tag);
  if (seen.isSpoiling) spoil(client);
  if (seen.isDoubtful) throw endedByWork(client);
  if ('error' in answer) {
    const { error } = answer;
    // Only what the server says is a no. What goes wrong on this side, as a row that cannot be read, may hide a yes.
    if (!(error instanceof DatabaseError)) throw error;
    if (done < 0) return work.notBegun(client, gid, error, ending);
    return work.failed(client, error, ending, sent.mayLock);
  }
  const vote = await sent.vote();
  if (vote !== 'commit') return vote;
  // It is prepared, and a throw has it rolled back.
  if (answer.tags.includes(undefined)) throw new TypeError('A batch has an empty statement.');
  return voteOf(client, gid, batch, answer.results);
}

/** A branch that was sent as a whole, and what came of it. */
interface Sent {
  readonly answer: BurstAnswer;
  /** How many statements of the work were done; negative where the transaction was not even opened. */
  readonly done: number;
  /** Whether the one after them was prepared before. */
  readonly wasThere: boolean;
  readonly mayLock: boolean;
  /** What the end says that was sent behind the statements. */
  readonly vote: () => Promise<Vote>;
}

/** Sends a branch as a whole, and keeps in mind which of its statements are prepared in the session by then. */
async function send(
  work: BranchWork,
  client: PoolClient,
  gid: string,
  branch: Branch,
  { statements }: Batch,
  ending: Ending,
): Promise<Sent> {
  const texts = textsOf(client);
  /** Those that are made in this very burst. */
  const made = new Map<string, StatementName>();
  const queries = statements.map(({ text, values, name }) => {
    const again = made.get(text);
    const as =
      again === undefined && work.preparesStatements ? texts.nameOf(text, name !== undefined) : again;
    if (as?.isThere === false) made.set(text, { name: as.name, isThere: true });
    return { text, values: values as unknown[] | undefined, as };
  });
  const begin = work.begin(gid, 'BEGIN', branch.deadline);
  const mayLock = statements.some(({ text }) => ADVISORY.test(text));
  // A value that cannot be sent throws here: the end must not be sent without what it ends.
  const burst = makeBurst([...begin, ...queries]);
  const readying = work.ready(client, branch.deadline, false);
  const { stream } = client.connection;
  stream.cork();
  const sending = sendBurst(client, burst);
  const end = work.endings.send(client, ending, mayLock);
  stream.uncork();
  const [readied, answer] = await Promise.all([Promise.allSettled([readying]), sending, end.answer]);
  const done = answer.tags.length - begin.length;
  for (const [index, { text, as }] of queries.slice(0, Math.max(0, done + 1)).entries()) {
    if (as === undefined || as.isThere) continue;
    if (index < done || ('error' in answer && hasRun(answer.error))) texts.prepared(text, as.name);
    else texts.failed(text);
  }
  if (readied[0].status === 'rejected') throw readied[0].reason;
  const wasThere = queries[done]?.as?.isThere === true && !made.has(queries[done].text);
  return { answer, done, wasThere, mayLock, vote: () => work.endings.vote(client, ending, end) };
}

/** Whether the error shows that its statement was parsed, and more: it met another transaction, or a constraint. */
function hasRun(error: unknown): boolean {
  return /^(?:23...|40...|55P03)$/.test(codeOf(error) ?? '');
}

/**
 * Whether a statement that was prepared before is not there any more, or does not fit its table any more. Then nothing is
 * wrong with the branch, and the statements are prepared anew.
 */
function isStale(client: PoolClient, { answer, done, wasThere }: Sent): boolean {
  if (!('error' in answer)) return false;
  const code = codeOf(answer.error);
  if (code !== NO_SUCH_STATEMENT && code !== PLAN_OUTDATED) return false;
  if (wasThere) textsOf(client).clear();
  // With the statement of the guard row all of them are gone.
  else if (done === -1 && code === NO_SUCH_STATEMENT) forgetStatements(client);
  else return false;
  return true;
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
