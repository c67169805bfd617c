import type { PoolClient } from 'pg';
import { messageOf } from '../../coordinator/gate/texts.js';
import { HeuristicError } from '../../coordinator/participant/participant.js';
import { PostgresBranchError } from '../errors.js';
import { PARTICIPANT_IN_GID } from '../gid.js';
import { quoted } from '../../sql/gid.js';
import type { BranchEnd } from '../../sql/guard.js';
import type { GuardTable } from '../guard/table.js';
import { rowsOf } from '../connection/own-queries.js';
import { REPLICATED_WRITE, throwIfCutShort, waitsCutShort } from '../connection/replication.js';
import { codeOf, meaningOf, remedyOf } from '../sqlstate.js';

/**
 * Commits a prepared branch; repeats are harmless.
 *
 * @throws HeuristicError when the branch has ended otherwise, or its end is unknown. After any other error of
 * the database another attempt may succeed.
 */
export async function commitPrepared(client: PoolClient, gid: string, guard: GuardTable): Promise<void> {
  const sql = `COMMIT PREPARED ${quoted(gid)}`;
  const before = waitsCutShort(client);
  try {
    await client.query(sql);
    throwIfCutShort(client, before, sql);
    return;
  } catch (error) {
    if (meaningOf(error, 'commit') !== 'not-found') throw error;
  }
  switch (await guard.read(client, gid)) {
    case 'committed':
      // An earlier attempt has committed it, and its wait for the standbys may have been interrupted.
      await client.query(REPLICATED_WRITE);
      throwIfCutShort(client, before, sql);
      return;
    case 'rolled-back':
      throw new HeuristicError('rollback', `${gid} received a commit, but it is rolled back in PostgreSQL`);
    case undefined:
      throw new HeuristicError(
        'hazard',
        `${gid} received a commit, but PostgreSQL has neither the prepared transaction nor its row in ` +
          `${guard.table}: it was rolled back by hand, or the database was restored from a backup`,
      );
  }
}

/**
 * Rolls a branch back, prepared or not, and leaves a tombstone, so that no later prepare can succeed. The
 * tombstone is the proof: it cannot be written while the branch is prepared, or about to be.
 *
 * @throws as {@link commitPrepared}; also when a running prepare does not end within `waitMs`.
 */
export async function rollBackPrepared(
  client: PoolClient,
  gid: string,
  guard: GuardTable,
  waitMs: number,
): Promise<void> {
  const ended = client.query(`ROLLBACK PREPARED ${quoted(gid)}`).catch((error: unknown) => {
    if (meaningOf(error, 'rollback') !== 'not-found') throw error;
  });
  if (!client.pipeline) await ended;
  const [ending, end] = await Promise.allSettled([ended, leaveTombstone(client, gid, guard, waitMs)]);
  if (ending.status === 'rejected') throw ending.reason;
  if (end.status === 'rejected') throw end.reason;
  if (end.value === 'committed') {
    throw new HeuristicError('commit', `${gid} received a rollback, but it is committed in PostgreSQL`);
  }
}

/** @returns the final end of the branch: rolled back, unless it was committed before. */
export async function leaveTombstone(
  client: PoolClient,
  gid: string,
  guard: GuardTable,
  waitMs: number,
): Promise<BranchEnd> {
  const before = waitsCutShort(client);
  const end = await guard.leaveTombstone(client, gid, waitMs);
  throwIfCutShort(client, before, `The end of ${gid}`);
  if (end === undefined)
    throw new Error(`${guard.table} has no row of ${gid}, although one was just written`);
  return end;
}

/** @returns whether the branch is prepared in this database, as of a moment ago. */
export async function isPrepared(client: PoolClient, gid: string): Promise<boolean> {
  const rows = await rowsOf(
    client,
    'SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE gid OPERATOR(pg_catalog.=) $1 ' +
      'AND database OPERATOR(pg_catalog.=) pg_catalog.current_database()',
    [gid],
  );
  return rows.length === 1;
}

/** @returns the global ids of a participant's prepared branches in this database. */
export async function preparedOf(client: PoolClient, participant: string): Promise<string[]> {
  const rows = await rowsOf<{ gid: string }>(
    client,
    `SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND ${PARTICIPANT_IN_GID} = $1`,
    [participant],
  );
  return rows.map(({ gid }) => gid);
}

/** @returns an error with the attempted action, its meaning and the remedy. */
export function completionFailed(sql: string, error: unknown): PostgresBranchError {
  const sqlstate = codeOf(error);
  const message = messageOf(error);
  const remedy = remedyOf(error);
  return new PostgresBranchError(
    'DTC_POSTGRES_COMPLETION_FAILED',
    `${sql} failed: ${message}${sqlstate === undefined ? '' : ` (${sqlstate})`}.` +
      (remedy === undefined ? '' : ` ${remedy}, or run it there by hand.`),
    sqlstate,
    { cause: error },
  );
}
