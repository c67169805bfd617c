import { HEADS_AT_ONCE } from '../../outbox/due-messages.js';
import { DELETED_AT_ONCE, MOST_COUNTED } from '../../outbox/store.js';

/** The statements of an outbox, which name its tables with their schema. */
export interface OutboxStatements {
  readonly add: string;
  readonly addWithKey: string;
  readonly free: string;
  readonly heads: string;
  readonly take: string;
  readonly sent: string;
  readonly notSent: string;
  readonly count: string;
  readonly purge: string;
  readonly purgeKeys: string;
  readonly listDead: string;
  readonly requeue: string;
  readonly discard: string;
}

/** How long a key may be unused before its row is deleted. */
const KEY_IDLE = '1 hour';

const MESSAGE = `m.position::text, m.id, m.topic, m.key, m.payload, m.transaction_id, m.attempts::text,
  to_char(m.written_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS written_at`;

/** @param schema quoted. */
export function statementsIn(schema: string): OutboxStatements {
  const table = `${schema}.dtc_outbox`;
  const keys = `${schema}.dtc_outbox_keys`;
  const columns = 'id, topic, key, payload, transaction_id';
  return {
    add: `INSERT INTO ${table} (${columns}) VALUES ($1, $2, $3, $4, $5)`,
    // The position is drawn when the row of the key is locked, so that it grows in the order of the commits.
    addWithKey:
      `WITH locked AS (INSERT INTO ${keys} AS k (name, used_at) VALUES ($3, pg_catalog.now()) ` +
      `ON CONFLICT (name) DO UPDATE SET used_at = excluded.used_at RETURNING k.name) ` +
      `INSERT INTO ${table} (${columns}) SELECT $1, $2, locked.name, $4, $5 FROM locked`,
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
      FROM due WHERE m.position = due.position RETURNING ${MESSAGE}`,
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
        coalesce(extract(epoch FROM now() - min(written_at)) * 1000, 0)::text AS oldest_ms,
        (SELECT count(*) FROM (SELECT FROM ${table} WHERE state = 'dead' LIMIT ${MOST_COUNTED}) AS dead)::text AS dead
      FROM (
        (SELECT written_at FROM ${table} WHERE state = 'waiting' AND key IS NULL ORDER BY due_at LIMIT ${MOST_COUNTED})
        UNION ALL (SELECT written_at FROM ${table} WHERE state = 'waiting' AND key IS NOT NULL
          ORDER BY key, position LIMIT ${MOST_COUNTED})) AS waiting`,
    purge: `DELETE FROM ${table} WHERE position = ANY (ARRAY(SELECT position FROM ${table}
      WHERE state = 'sent' AND sent_at < now() - $1::float8 * interval '1 millisecond'
      ORDER BY sent_at LIMIT ${DELETED_AT_ONCE} FOR UPDATE SKIP LOCKED))`,
    // A row that a branch has locked, also a prepared one, is skipped.
    purgeKeys: `DELETE FROM ${keys} WHERE name = ANY (ARRAY(SELECT name FROM ${keys}
      WHERE used_at < now() - interval '${KEY_IDLE}' LIMIT ${DELETED_AT_ONCE} FOR UPDATE SKIP LOCKED))`,
    listDead: `SELECT ${MESSAGE}, coalesce(m.last_error, '') AS error FROM ${table} AS m WHERE m.state = 'dead'
      ORDER BY m.position LIMIT $1::int`,
    requeue: `UPDATE ${table} SET state = 'waiting', attempts = 0, due_at = now() WHERE state = 'dead' AND id = ANY ($1)`,
    discard: `DELETE FROM ${table} WHERE state = 'dead' AND id = ANY ($1)`,
  };
}
