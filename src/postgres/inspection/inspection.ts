import type { PoolClient } from 'pg';
import {
  type DatabaseInspection,
  type DatabaseSession,
  type LockHolder,
  type LockWait,
  MAX_LISTED,
  type PreparedTransaction,
} from '../../coordinator/participant/participant.js';
import { partsOf, quoted } from '../../sql/gid.js';
import { type TextRow, resultsOf, rowsOf } from '../connection/own-queries.js';
import { conflict } from './lock-modes.js';

/** Each statement may take so long at the server, in milliseconds. */
const STATEMENT_MS = 2_000;

/** A search path of its own: the names of tables are then shown with their schema. */
const BEGIN = `BEGIN READ ONLY; SET LOCAL statement_timeout = ${STATEMENT_MS}; SET LOCAL search_path = pg_catalog, pg_temp`;

const PLACE = `
  SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' ||
      extract(epoch FROM pg_postmaster_start_time())::text || '/' ||
      (SELECT oid FROM pg_database WHERE datname = current_database())::text AS place,
    current_setting('server_version') AS version, current_database()::text AS database`;

const PREPARED = `
  SELECT gid, owner::text AS owner, database::text AS database,
    round(extract(epoch FROM clock_timestamp() - prepared) * 1000)::bigint::text AS "ageMs",
    count(*) OVER ()::text AS total
  FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared, gid LIMIT ${MAX_LISTED}`;

/**
 * The sessions that wait in this database. `pg_blocking_pids` has a zero for a prepared transaction. The
 * locks say which one it is: it holds the lock on its own transaction id, and all its locks have the same
 * virtual transaction and no session.
 */
const WAITS = `
  WITH locks AS MATERIALIZED (SELECT * FROM pg_locks),
  prepared AS MATERIALIZED (
    SELECT p.gid, l.virtualtransaction FROM pg_prepared_xacts p JOIN locks l
      ON l.transactionid = p.transaction AND l.locktype = 'transactionid' AND l.granted AND l.pid IS NULL)
  SELECT w.pid::text AS pid, a.usename::text AS user, a.application_name AS application, a.state, w.mode, w.locktype,
    round(extract(epoch FROM clock_timestamp() - w.waitstart) * 1000)::bigint::text AS "waitMs",
    CASE WHEN w.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      THEN w.relation::regclass::text END AS relation,
    array_to_json(pg_blocking_pids(w.pid))::text AS blocking,
    (SELECT json_agg(json_build_array(p.gid, h.mode) ORDER BY p.gid)
      FROM locks h JOIN prepared p ON p.virtualtransaction = h.virtualtransaction
      WHERE h.granted AND h.pid IS NULL AND h.locktype = w.locktype
        AND (h.database, h.relation, h.page, h.tuple, h.virtualxid, h.transactionid, h.classid, h.objid, h.objsubid)
          IS NOT DISTINCT FROM
          (w.database, w.relation, w.page, w.tuple, w.virtualxid, w.transactionid, w.classid, w.objid, w.objsubid))::text
      AS prepared,
    count(*) OVER ()::text AS total
  FROM locks w JOIN pg_stat_activity a ON a.pid = w.pid
  WHERE NOT w.granted AND a.datname = current_database()
  ORDER BY w.waitstart NULLS LAST, w.pid LIMIT ${MAX_LISTED}`;

const SESSIONS = `
  SELECT pid::text AS pid, usename::text AS user, application_name AS application, state
  FROM pg_stat_activity WHERE pid = ANY ($1::int[])`;

type SessionRow = {
  readonly pid: string;
  readonly user: string | null;
  readonly application: string | null;
  readonly state: string | null;
};

type WaitRow = SessionRow & {
  readonly mode: string;
  readonly locktype: string;
  readonly waitMs: string | null;
  readonly relation: string | null;
  readonly blocking: string;
  readonly prepared: string | null;
  readonly total: string;
};

type PreparedRow = {
  readonly gid: string;
  readonly owner: string;
  readonly database: string;
  readonly ageMs: string;
  readonly total: string;
};

/**
 * Looks at what is prepared in the database of a session, and at who waits for whom, in one transaction that
 * reads only.
 *
 * @throws the error of the server, also when a statement takes too long.
 */
export async function inspect(client: PoolClient): Promise<DatabaseInspection> {
  const results = await resultsOf(client, [BEGIN, PLACE, PREPARED, WAITS].join(';'));
  const [[place] = [], prepared = [], waiting = []] = results.slice(-3).map(({ rows }) => rows);
  const { version, database } = place!;
  const waits = waiting as unknown as WaitRow[];
  const sessions = await sessionsOf(client, waits);
  await client.query('COMMIT');
  return {
    place: place!['place']!,
    title: `PostgreSQL ${version!.split(' ', 1)[0]!}, database "${database!}"`,
    prepared: (prepared as unknown as PreparedRow[]).map(preparedOf),
    preparedTotal: Number(prepared[0]?.['total'] ?? 0),
    waits: waits.map((wait) => waitOf(wait, sessions)),
    waitsTotal: Number(waits[0]?.total ?? 0),
    notes: [],
  };
}

/** @returns the sessions that hold what others wait for, by their number. */
async function sessionsOf(
  client: PoolClient,
  waits: readonly WaitRow[],
): Promise<ReadonlyMap<number, DatabaseSession>> {
  const holders = new Set(waits.flatMap(({ blocking }) => JSON.parse(blocking) as number[]));
  holders.delete(0);
  if (holders.size === 0) return new Map();
  const rows = await rowsOf<SessionRow & TextRow>(client, SESSIONS, [[...holders]]);
  return new Map(rows.map((row) => [Number(row.pid), sessionOf(row)]));
}

function preparedOf({ gid, owner, database, ageMs }: PreparedRow): PreparedTransaction {
  const branch = partsOf(gid);
  return {
    id: gid,
    branch: branch ?? null,
    ageMs: Math.max(0, Number(ageMs)),
    owner,
    database,
    // PostgreSQL detaches it from its session at once.
    session: null,
    statements:
      branch === undefined
        ? null
        : {
            commit: `COMMIT PREPARED ${quoted(gid)};`,
            rollback: `ROLLBACK PREPARED ${quoted(gid)};`,
            how: `In database "${database}", as role "${owner}" or a superuser, outside of a transaction.`,
          },
  };
}

function waitOf(wait: WaitRow, sessions: ReadonlyMap<number, DatabaseSession>): LockWait {
  const pids = JSON.parse(wait.blocking) as number[];
  const blockedBy: LockHolder[] = [];
  for (const pid of new Set(pids)) {
    // One that has gone since is shown by its number.
    const unknown = { id: pid, user: null, application: null, state: null };
    if (pid !== 0) blockedBy.push({ session: sessions.get(pid) ?? unknown, prepared: null });
  }
  if (pids.includes(0)) {
    const held = JSON.parse(wait.prepared ?? '[]') as [gid: string, mode: string][];
    const holding = new Set(held.filter(([, mode]) => conflict(wait.mode, mode)).map(([gid]) => gid));
    for (const gid of holding) blockedBy.push({ session: null, prepared: gid });
    if (holding.size === 0) blockedBy.push({ session: null, prepared: null });
  }
  return {
    session: sessionOf(wait),
    waitMs: wait.waitMs === null ? null : Math.max(0, Number(wait.waitMs)),
    lock: `${wait.mode} on ${thing(wait)}`,
    blockedBy,
  };
}

/** The locked object. A session that waits for a row waits for the transaction that has changed it. */
function thing({ locktype, relation }: WaitRow): string {
  if (locktype === 'transactionid')
    return 'a row: it waits for the end of the transaction that has changed it';
  if (locktype === 'relation') return `table ${relation ?? 'of another database'}`;
  return relation === null ? locktype : `${locktype} of ${relation}`;
}

function sessionOf({ pid, user, application, state }: SessionRow): DatabaseSession {
  return { id: Number(pid), user, application: application === '' ? null : application, state };
}
