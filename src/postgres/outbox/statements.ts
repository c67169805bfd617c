import { HEADS_AT_ONCE } from '../../outbox/due-messages.js';
import { DELETED_AT_ONCE, MOST_COUNTED } from '../../outbox/store.js';
import { KEY_IDLE, type OutboxStatements } from '../../sql/outbox-statements.js';

/** The statements of an outbox in PostgreSQL. */
export interface PostgresOutboxStatements extends OutboxStatements {
  readonly add: string;
  readonly addWithKey: string;
  readonly lockKey: string;
  readonly take: string;
  readonly sent: string;
  readonly notSent: string;
  readonly purgeKeys: string;
  readonly requeueFree: string;
  readonly requeueKeyed: string;
}

const HEADER = `m.position::text, m.id, m.topic, m.key, m.transaction_id, m.attempts::text,
  to_char(m.written_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS written_at`;
const ERROR = `coalesce(m.last_error, '') AS error`;
/** Since when it waits: of a message that is sent again, since the operator's order. */
const SINCE = 'coalesce(sent_at, written_at) AS since';

/** @param schema quoted. */
export function statementsIn(schema: string): PostgresOutboxStatements {
  const table = `${schema}.dtc_outbox`;
  const keys = `${schema}.dtc_outbox_keys`;
  const columns = 'id, topic, key, payload, transaction_id';
  const onceLocked = 'ON CONFLICT (name) DO UPDATE SET used_at = excluded.used_at';
  return {
    add: `INSERT INTO ${table} (${columns}) VALUES ($1, $2, $3, $4, $5)`,
    // The position is drawn when the row of the key is locked, so that it grows in the order of the commits.
    addWithKey:
      `WITH locked AS (INSERT INTO ${keys} AS k (name, used_at) VALUES ($3, pg_catalog.now()) ` +
      `${onceLocked} RETURNING k.name) INSERT INTO ${table} (${columns}) SELECT $1, $2, locked.name, $4, $5 FROM locked`,
    lockKey: `INSERT INTO ${keys} (name, used_at) VALUES ($1, pg_catalog.now()) ${onceLocked}`,
    // now() and not the clock, which no index could be searched by.
    free: `SELECT position::text FROM ${table} WHERE state = 'waiting' AND key IS NULL AND due_at <= now()
      ORDER BY due_at LIMIT $1::int`,
    // From key to key in the index, whatever waits behind the first message of each. Positions of a key grow in the order of its
    // commits, so a snapshot with a message has every earlier one.
    heads: `WITH RECURSIVE head AS (
        (SELECT key, position, due_at, 1 AS number FROM ${table}
          WHERE state = 'waiting' AND key IS NOT NULL AND key > $1 ORDER BY key, position LIMIT 1)
        UNION ALL
        SELECT next.key, next.position, next.due_at, head.number + 1 FROM head CROSS JOIN LATERAL (
          SELECT key, position, due_at FROM ${table} AS m
          WHERE m.state = 'waiting' AND m.key IS NOT NULL AND m.key > head.key ORDER BY m.key, m.position LIMIT 1) AS next
        WHERE head.number < ${HEADS_AT_ONCE})
      SELECT key, position::text, (due_at <= now())::text AS is_due FROM head ORDER BY number`,
    take: `WITH due AS MATERIALIZED (
        SELECT m.position FROM ${table} AS m WHERE m.position = ANY ($1::bigint[]) AND m.state = 'waiting' AND m.due_at <= now()
        FOR UPDATE OF m SKIP LOCKED)
      UPDATE ${table} AS m SET attempts = m.attempts + 1, due_at = clock_timestamp() + $2::float8 * interval '1 millisecond'
      FROM due WHERE m.position = due.position RETURNING ${HEADER}, m.payload`,
    // Sent is sent, whichever attempt has done it.
    sent: `UPDATE ${table} SET state = 'sent', sent_at = clock_timestamp(), last_error = NULL
      WHERE position = ANY ($1::bigint[]) AND state <> 'sent'`,
    notSent: `UPDATE ${table} AS m SET state = CASE WHEN r.is_dead THEN 'dead' ELSE m.state END,
        attempts = m.attempts - r.uncounted, due_at = clock_timestamp() + r.pause_ms * interval '1 millisecond',
        last_error = coalesce(r.error, m.last_error)
      FROM unnest($1::bigint[], $2::int[], $3::boolean[], $4::int[], $5::float8[], $6::text[])
        AS r (position, attempt, is_dead, uncounted, pause_ms, error)
      WHERE m.position = r.position AND m.attempts = r.attempt AND m.state = 'waiting'`,
    count: `SELECT least(count(*), ${MOST_COUNTED})::text AS waiting,
        coalesce(extract(epoch FROM now() - min(since)) * 1000, 0)::text AS oldest_ms,
        (SELECT count(*) FROM (SELECT FROM ${table} WHERE state = 'dead' LIMIT ${MOST_COUNTED}) AS dead)::text AS dead
      FROM (
        (SELECT ${SINCE} FROM ${table} WHERE state = 'waiting' AND key IS NULL ORDER BY due_at LIMIT ${MOST_COUNTED})
        UNION ALL (SELECT ${SINCE} FROM ${table} WHERE state = 'waiting' AND key IS NOT NULL
          ORDER BY key, position LIMIT ${MOST_COUNTED})) AS waiting`,
    purge: `DELETE FROM ${table} WHERE position = ANY (ARRAY(SELECT position FROM ${table}
      WHERE state = 'sent' AND sent_at < now() - $1::float8 * interval '1 millisecond'
      ORDER BY sent_at LIMIT ${DELETED_AT_ONCE} FOR UPDATE SKIP LOCKED))`,
    // A row that a branch has locked, also a prepared one, is skipped.
    purgeKeys: `DELETE FROM ${keys} WHERE name = ANY (ARRAY(SELECT name FROM ${keys}
      WHERE used_at < now() - interval '${KEY_IDLE}' LIMIT ${DELETED_AT_ONCE} FOR UPDATE SKIP LOCKED))`,
    listDead: `SELECT ${HEADER}, ${ERROR} FROM ${table} AS m WHERE m.state = 'dead' AND m.position > $1::bigint
      ORDER BY m.position LIMIT $2::int`,
    findDead: `SELECT ${HEADER}, ${ERROR}, m.payload FROM ${table} AS m WHERE m.state = 'dead' AND m.id = $1 LIMIT 1`,
    deadKeys: `SELECT DISTINCT key FROM ${table} WHERE state = 'dead' AND key IS NOT NULL AND id = ANY ($1)`,
    requeueFree: `UPDATE ${table} SET position = DEFAULT, state = 'waiting', attempts = 0, due_at = now(), sent_at = now()
      WHERE state = 'dead' AND key IS NULL AND id = ANY ($1)`,
    // The new row has a position behind all of its key that are committed. The lock on the key keeps others from committing meanwhile.
    requeueKeyed: `WITH gone AS (DELETE FROM ${table} WHERE state = 'dead' AND key = $2 AND id = ANY ($1) RETURNING *)
      INSERT INTO ${table} (${columns}, written_at, sent_at, last_error)
      SELECT ${columns}, written_at, now(), last_error FROM gone ORDER BY position`,
    discard: `DELETE FROM ${table} WHERE state = 'dead' AND id = ANY ($1)`,
  };
}
