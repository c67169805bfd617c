import { HEADS_AT_ONCE } from '../../outbox/due-messages.js';
import { DELETED_AT_ONCE, MOST_COUNTED } from '../../outbox/store.js';
import { KEY_IDLE, type OutboxStatements } from '../../sql/outbox-statements.js';
import { quoteName } from '../guard/table.js';

/** The statements of an outbox in MariaDB. */
export interface MariaDbOutboxStatements extends OutboxStatements {
  readonly add: string;
  readonly lockKey: string;
  readonly lockKeyNow: string;
  readonly lock: string;
  readonly take: string;
  readonly sent: string;
  readonly notSent: string;
  readonly idleKeys: string;
  readonly lockKeys: string;
  readonly purgeKeys: string;
  readonly deadFree: string;
  readonly deadOfKey: string;
  readonly requeue: string;
  readonly drop: string;
}

const NOW = 'UTC_TIMESTAMP(3)';

const HEADER = `CAST(m.position AS CHAR) AS position, m.id, m.topic, m.message_key AS \`key\`, m.transaction_id,
  CONCAT(LEFT(DATE_FORMAT(m.written_at, '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z') AS written_at`;
const DEAD = `${HEADER}, CAST(m.attempts AS CHAR) AS attempts, COALESCE(m.last_error, '') AS error`;

/** Since when it waits: of a message that is sent again, since the operator's order. */
const SINCE = 'COALESCE(sent_at, written_at) AS since';

/** Takes milliseconds. */
const INTERVAL = 'INTERVAL ? * 1000 MICROSECOND';

/** @param database unquoted. @param lockWaitSeconds how long a message that is sent again waits for its key; 0: not at all. */
export function statementsIn(database: string, lockWaitSeconds: 0 | 1): MariaDbOutboxStatements {
  const table = `${quoteName(database)}.dtc_outbox`;
  const keys = `${quoteName(database)}.dtc_outbox_keys`;
  // The branch holds this row until it is completed. A position that is drawn after it grows in the order of the commits. The value
  // changes in any case: a prepared branch that has changed nothing of the row loses its lock when the server is killed.
  const lockKey = `INSERT INTO ${keys} (name, used_at) VALUES (?, ${NOW})
      ON DUPLICATE KEY UPDATE used_at = GREATEST(VALUES(used_at), used_at + INTERVAL 1000 MICROSECOND)`;
  return {
    lockKey,
    lockKeyNow: `SET STATEMENT innodb_lock_wait_timeout = ${lockWaitSeconds} FOR ${lockKey}`,
    add: `INSERT INTO ${table} (id, topic, message_key, payload, transaction_id, written_at, due_at)
      VALUES (?, ?, ?, ?, ?, ${NOW}, ${NOW})`,
    free: `SELECT CAST(position AS CHAR) AS position FROM ${table}
      WHERE state = 'waiting' AND message_key IS NULL AND due_at <= ${NOW} ORDER BY due_at LIMIT ?`,
    // Goes from key to key in the index, however many messages wait behind the first one of each key.
    heads: `SELECT h.message_key AS \`key\`, CAST(h.position AS CHAR) AS position, IF(m.due_at <= ${NOW}, 'true', 'false') AS is_due
      FROM (SELECT message_key, MIN(position) AS position FROM ${table} WHERE state = 'waiting' AND message_key > ?
        GROUP BY message_key ORDER BY message_key LIMIT ${HEADS_AT_ONCE}) AS h
      JOIN ${table} AS m ON m.position = h.position ORDER BY h.message_key`,
    // A view of the data is no moment here: it may show a commit and miss the one before. So each message is looked at again,
    // in a view that is made after its commit was seen.
    lock: `SELECT ${HEADER}, CAST(m.attempts + 1 AS CHAR) AS attempts, m.payload FROM ${table} AS m WHERE m.position IN (?) AND m.state = 'waiting' AND m.due_at <= ${NOW}
      AND (m.message_key IS NULL OR m.position = (SELECT MIN(head.position) FROM ${table} AS head
        WHERE head.state = 'waiting' AND head.message_key = m.message_key)) FOR UPDATE SKIP LOCKED`,
    take: `UPDATE ${table} SET attempts = attempts + 1, due_at = ${NOW} + ${INTERVAL} WHERE position IN (?)`,
    // Sent is sent, whichever attempt has done it.
    sent: `UPDATE ${table} SET state = 'sent', sent_at = ${NOW}, last_error = NULL WHERE position IN (?) AND state <> 'sent'`,
    notSent: `UPDATE ${table} SET attempts = attempts - ?, state = ?, due_at = ${NOW} + ${INTERVAL},
      last_error = COALESCE(?, last_error) WHERE position = ? AND attempts = ? AND state = 'waiting'`,
    count: `SELECT CAST(LEAST(COUNT(*), ${MOST_COUNTED}) AS CHAR) AS waiting,
      CAST(COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(w.since), ${NOW}), 0) / 1000 AS CHAR) AS oldest_ms,
      CAST((SELECT COUNT(*) FROM (SELECT 1 FROM ${table} WHERE state = 'dead' LIMIT ${MOST_COUNTED}) AS d) AS CHAR) AS dead
      FROM ((SELECT ${SINCE} FROM ${table} WHERE state = 'waiting' AND message_key IS NULL ORDER BY due_at LIMIT ${MOST_COUNTED})
        UNION ALL (SELECT ${SINCE} FROM ${table} WHERE state = 'waiting' AND message_key > ''
          ORDER BY message_key, position LIMIT ${MOST_COUNTED})) AS w`,
    purge: `DELETE FROM ${table} WHERE state = 'sent' AND sent_at < ${NOW} - ${INTERVAL}
      ORDER BY sent_at LIMIT ${DELETED_AT_ONCE}`,
    idleKeys: `SELECT name FROM ${keys} WHERE used_at < ${NOW} - INTERVAL ${KEY_IDLE} LIMIT ${DELETED_AT_ONCE}`,
    // A row that a branch has locked, also a prepared one, is skipped.
    lockKeys: `SELECT name FROM ${keys} WHERE name IN (?) AND used_at < ${NOW} - INTERVAL ${KEY_IDLE} FOR UPDATE SKIP LOCKED`,
    purgeKeys: `DELETE FROM ${keys} WHERE name IN (?)`,
    listDead: `SELECT ${DEAD} FROM ${table} AS m WHERE m.state = 'dead' AND m.position > ? ORDER BY m.position LIMIT ?`,
    findDead: `SELECT ${DEAD}, m.payload FROM ${table} AS m WHERE m.state = 'dead' AND m.id = ? LIMIT 1`,
    deadKeys: `SELECT DISTINCT message_key AS \`key\` FROM ${table}
      WHERE state = 'dead' AND message_key IS NOT NULL AND id IN (?)`,
    deadFree: `SELECT CAST(position AS CHAR) AS position FROM ${table}
      WHERE state = 'dead' AND message_key IS NULL AND id IN (?) FOR UPDATE`,
    // They stay locked until their copies are committed: an order of another operator, or a relay, changes none of them meanwhile.
    deadOfKey: `SELECT CAST(position AS CHAR) AS position FROM ${table}
      WHERE state = 'dead' AND id IN (?) AND message_key = ? FOR UPDATE`,
    // The new row has a position behind all of its key that are committed. The lock on the key keeps others from committing meanwhile.
    requeue: `INSERT INTO ${table} (id, topic, message_key, payload, transaction_id, written_at, due_at, sent_at, last_error)
      SELECT id, topic, message_key, payload, transaction_id, written_at, ${NOW}, ${NOW}, last_error FROM ${table}
      WHERE position IN (?) ORDER BY position`,
    drop: `DELETE FROM ${table} WHERE position IN (?)`,
    discard: `DELETE FROM ${table} WHERE state = 'dead' AND id IN (?)`,
  };
}
