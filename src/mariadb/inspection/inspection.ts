import {
  type DatabaseInspection,
  type DatabaseSession,
  type LockHolder,
  type LockWait,
  MAX_LISTED,
  type PreparedTransaction,
} from '../../coordinator/participant/participant.js';
import { partsOf } from '../../sql/gid.js';
import type { Session } from '../connection/session.js';
import { errnoOf } from '../errno.js';
import { type RecoverRow, listedOf, xidSql } from '../gid.js';
import type { GuardTable } from '../guard/table.js';

/** Each statement may take so long at the server, in seconds. */
const STATEMENT_S = 2;

const LIMITED = `SET STATEMENT max_statement_time = ${STATEMENT_S} FOR`;

/** ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR and ER_SPECIFIC_ACCESS_DENIED_ERROR. */
const DENIED: ReadonlySet<number | undefined> = new Set([1044, 1142, 1227]);

/**
 * A session of a participant has a user lock with the name of its mark, so the server knows the session by
 * the mark.
 */
const GUARD = (table: string): string => `${LIMITED}
  SELECT gid, CAST(TIMESTAMPDIFF(MICROSECOND, written_at, NOW(3)) DIV 1000 AS CHAR) AS ageMs,
    CAST(IS_USED_LOCK(session_mark) AS CHAR) AS session
  FROM ${table} WHERE gid IN (?)`;

const WAITS = `${LIMITED}
  SELECT CAST(waiting.trx_mysql_thread_id AS CHAR) AS session, wanted.lock_mode AS mode, wanted.lock_type AS type,
    wanted.lock_table AS locked, CAST(TIMESTAMPDIFF(SECOND, waiting.trx_wait_started, NOW()) * 1000 AS CHAR) AS waitMs,
    CAST(holding.trx_mysql_thread_id AS CHAR) AS holder
  FROM information_schema.INNODB_LOCK_WAITS AS pair
  JOIN information_schema.INNODB_TRX AS waiting ON waiting.trx_id = pair.requesting_trx_id
  JOIN information_schema.INNODB_TRX AS holding ON holding.trx_id = pair.blocking_trx_id
  LEFT JOIN information_schema.INNODB_LOCKS AS wanted ON wanted.lock_id = pair.requested_lock_id
  ORDER BY waiting.trx_wait_started, session, holder LIMIT ${4 * MAX_LISTED}`;

const SESSIONS = `${LIMITED}
  SELECT CAST(ID AS CHAR) AS id, USER AS user, COMMAND AS command
  FROM information_schema.PROCESSLIST WHERE ID IN (?)`;

interface GuardRow {
  readonly gid: string;
  readonly ageMs: string | null;
  readonly session: string | null;
}

interface WaitRow {
  readonly session: string;
  readonly mode: string | null;
  readonly type: string | null;
  readonly locked: string | null;
  readonly waitMs: string | null;
  /** Zero for a prepared transaction without a session. */
  readonly holder: string;
}

/**
 * Looks at what is prepared at the server, and at who waits for whom, as far as the rights of the user allow.
 *
 * @throws the error of the server, also when a statement takes too long.
 */
export async function inspect(session: Session, guard: GuardTable): Promise<DatabaseInspection> {
  const [server] = await session.rows<{ place: string; version: string }>(
    `SELECT CONCAT(@@hostname, ':', @@port, '/', @@server_id, '/', @@datadir) AS place, VERSION() AS version`,
  );
  const rows = await session.rows<RecoverRow>('XA RECOVER');
  const all = rows.map((row) => preparedOf(row));
  const known = await guardRowsOf(
    session,
    guard,
    all.filter(({ branch }) => branch !== null).map(({ id }) => id),
  );
  const prepared = all
    .map((one) => withGuard(one, known.get(one.id)))
    .toSorted((one, other) => (other.ageMs ?? Infinity) - (one.ageMs ?? Infinity));
  const { waits, notes } = await waitsOf(session, prepared);
  return {
    place: server!.place,
    title: `MariaDB ${server!.version.split('-', 1)[0]!}, all databases of the server`,
    prepared: prepared.slice(0, MAX_LISTED),
    preparedTotal: prepared.length,
    waits: waits.slice(0, MAX_LISTED),
    waitsTotal: waits.length,
    notes,
  };
}

function preparedOf(row: RecoverRow): PreparedTransaction {
  const { id, isOurs } = listedOf(row);
  const branch = isOurs ? (partsOf(id) ?? null) : null;
  return {
    id,
    branch,
    ageMs: null,
    owner: null,
    database: null,
    session: null,
    statements: branch && {
      commit: `XA COMMIT ${xidSql(id)};`,
      rollback: `XA ROLLBACK ${xidSql(id)};`,
      how: 'As any user, once no session holds it any more.',
    },
  };
}

function withGuard(prepared: PreparedTransaction, row: GuardRow | undefined): PreparedTransaction {
  if (row === undefined) return prepared;
  const session = row.session === null ? null : Number(row.session);
  return {
    ...prepared,
    ageMs: row.ageMs === null ? null : Math.max(0, Number(row.ageMs)),
    session,
    statements:
      prepared.statements && session !== null
        ? {
            ...prepared.statements,
            how: `Session ${session} still holds it: end that first, with KILL ${session};`,
          }
        : prepared.statements,
  };
}

/**
 * The rows of the guard table that the prepared transactions have written: no other transaction can see them.
 */
async function guardRowsOf(
  session: Session,
  guard: GuardTable,
  gids: readonly string[],
): Promise<ReadonlyMap<string, GuardRow>> {
  if (gids.length === 0) return new Map();
  await session.run('SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED');
  const rows = await session.rows<GuardRow>(GUARD(guard.table), [gids.slice(0, MAX_LISTED)]);
  return new Map(rows.map((row) => [row.gid, row]));
}

async function waitsOf(
  session: Session,
  prepared: readonly PreparedTransaction[],
): Promise<{ readonly waits: readonly LockWait[]; readonly notes: readonly string[] }> {
  let pairs: readonly WaitRow[];
  try {
    pairs = await session.rows<WaitRow>(WAITS);
  } catch (error) {
    if (!DENIED.has(errnoOf(error))) throw error;
    const note = `Who waits for whom is not shown: GRANT PROCESS ON *.* TO ${await session.account()};`;
    return { waits: [], notes: [note] };
  }
  const sessions = await sessionsOf(session, pairs);
  const sessionOf = (id: string): DatabaseSession =>
    sessions.get(Number(id)) ?? { id: Number(id), user: null, application: null, state: null };
  const waits = new Map<string, LockWait & { readonly blockedBy: LockHolder[] }>();
  for (const { session: waiting, mode, type, locked, waitMs, holder } of pairs) {
    const thing = type === 'RECORD' ? `a row of ${locked ?? 'a table'}` : `table ${locked ?? ''}`;
    const wait = waits.get(waiting) ?? {
      session: sessionOf(waiting),
      waitMs: waitMs === null ? null : Number(waitMs),
      lock: `${mode ?? 'lock'} on ${thing}`,
      blockedBy: [],
    };
    waits.set(waiting, wait);
    // The server does not say which prepared transaction it is, once no session holds it.
    const held = prepared.find((one) => one.session !== null && one.session === Number(holder));
    wait.blockedBy.push(
      holder === '0'
        ? { session: null, prepared: null }
        : { session: sessionOf(holder), prepared: held?.id ?? null },
    );
  }
  return { waits: [...waits.values()], notes: [] };
}

async function sessionsOf(
  session: Session,
  pairs: readonly WaitRow[],
): Promise<ReadonlyMap<number, DatabaseSession>> {
  const ids = new Set(pairs.flatMap(({ session: waiting, holder }) => [Number(waiting), Number(holder)]));
  ids.delete(0);
  if (ids.size === 0) return new Map();
  const rows = await session.rows<{ id: string; user: string; command: string }>(SESSIONS, [[...ids]]);
  return new Map(
    rows.map(({ id, user, command }) => [
      Number(id),
      { id: Number(id), user, application: null, state: command.toLowerCase() },
    ]),
  );
}
