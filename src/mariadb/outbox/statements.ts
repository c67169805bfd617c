import { HEADS_AT_ONCE } from '../../outbox/due-messages.js';
import { DELETED_AT_ONCE, MOST_COUNTED } from '../../outbox/store.js';
import { quoteName } from '../guard/table.js';

/** The statements of an outbox, which name its tables with their database. */
export interface OutboxStatements {
  readonly lockKey: string;
  readonly add: string;
  readonly free: string;
  readonly heads: string;
  readonly lock: string;
  readonly take: string;
  readonly sent: string;
  readonly notSent: string;
  readonly count: string;
  readonly purge: string;
  readonly idleKeys: string;
  readonly lockKeys: string;
  readonly purgeKeys: string;
  readonly listDead: string;
  readonly requeue: string;
  readonly discard: string;
}

/** How long a key may be unused before its row is deleted. */
const KEY_IDLE = '1 HOUR';
const NOW = 'UTC_TIMESTAMP(3)';

const MESSAGE = `CAST(m.position AS CHAR) AS position, m.id, m.topic, m.message_key, m.payload, m.transaction_id,
  CAST(m.attempts AS CHAR) AS attempts, DATE_FORMAT(m.written_at, '%Y-%m-%dT%H:%i:%s.%f') AS written_at`;

/** @param database unquoted. */
export function statementsIn(database: string): OutboxStatements {
  const table = `${quoteName(database)}.dtc_outbox`;
  const keys = `${quoteName(database)}.dtc_outbox_keys`;
  return {
    // The branch holds this row until it is completed. A position that is drawn after it grows in the order of the commits.
    lockKey: `INSERT INTO ${keys} (name, used_at) VALUES (?, ${NOW}) ON DUPLICATE KEY UPDATE used_at = VALUES(used_at)`,
    add: `INSERT INTO ${table} (id, topic, message_key, payload, transaction_id, written_at, due_at)
      VALUES (?, ?, ?, ?, ?, ${NOW}, ${NOW})`,
    free: `SELECT CAST(position AS CHAR) AS position FROM ${table}
      WHERE state = 'waiting' AND message_key IS NULL AND due_at <= ${NOW} ORDER BY due_at LIMIT ?`,
    // From key to key in the index, whatever waits behind the first message of each.
    heads: `SELECT h.message_key, CAST(h.position AS CHAR) AS position, CAST(m.due_at <= ${NOW} AS CHAR) AS is_due
      FROM (SELECT message_key, MIN(position) AS position FROM ${table} WHERE state = 'waiting' AND message_key > ?
        GROUP BY message_key ORDER BY message_key LIMIT ${HEADS_AT_ONCE}) AS h
      JOIN ${table} AS m ON m.position = h.position ORDER BY h.message_key`,
    // A view of the data is no moment here: it may show a commit and miss the one before. So each message is looked at again,
    // in a view that is made after its commit was seen.
    lock: `SELECT ${MESSAGE} FROM ${table} AS m WHERE m.position IN (?) AND m.state = 'waiting' AND m.due_at <= ${NOW}
      AND (m.message_key IS NULL OR m.position = (SELECT MIN(head.position) FROM ${table} AS head
        WHERE head.state = 'waiting' AND head.message_key = m.message_key)) FOR UPDATE SKIP LOCKED`,
    take: `UPDATE ${table} SET attempts = attempts + 1, due_at = ${NOW} + INTERVAL ? MICROSECOND WHERE position IN (?)`,
    // Sent is sent, whichever attempt has done it.
    sent: `UPDATE ${table} SET state = 'sent', sent_at = ${NOW}, last_error = NULL WHERE position IN (?) AND state <> 'sent'`,
    notSent: `UPDATE ${table} SET attempts = attempts - ?, state = ?, due_at = ${NOW} + INTERVAL ? MICROSECOND,
      last_error = COALESCE(?, last_error) WHERE position = ? AND attempts = ? AND state = 'waiting'`,
    count: `SELECT CAST(LEAST(COUNT(*), ${MOST_COUNTED}) AS CHAR) AS waiting,
      CAST(COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(w.written_at), ${NOW}), 0) AS CHAR) AS oldest_us,
      CAST((SELECT COUNT(*) FROM (SELECT 1 FROM ${table} WHERE state = 'dead' LIMIT ${MOST_COUNTED}) AS d) AS CHAR) AS dead
      FROM ((SELECT written_at FROM ${table} WHERE state = 'waiting' AND message_key IS NULL ORDER BY due_at LIMIT ${MOST_COUNTED})
        UNION ALL (SELECT written_at FROM ${table} WHERE state = 'waiting' AND message_key > ''
          ORDER BY message_key, position LIMIT ${MOST_COUNTED})) AS w`,
    purge: `DELETE FROM ${table} WHERE state = 'sent' AND sent_at < ${NOW} - INTERVAL ? MICROSECOND
      ORDER BY sent_at LIMIT ${DELETED_AT_ONCE}`,
    idleKeys: `SELECT name FROM ${keys} WHERE used_at < ${NOW} - INTERVAL ${KEY_IDLE} LIMIT ${DELETED_AT_ONCE}`,
    // A row that a branch has locked, also a prepared one, is skipped.
    lockKeys: `SELECT name FROM ${keys} WHERE name IN (?) AND used_at < ${NOW} - INTERVAL ${KEY_IDLE} FOR UPDATE SKIP LOCKED`,
    purgeKeys: `DELETE FROM ${keys} WHERE name IN (?)`,
    listDead: `SELECT ${MESSAGE}, COALESCE(m.last_error, '') AS error FROM ${table} AS m WHERE m.state = 'dead'
      ORDER BY m.position LIMIT ?`,
    requeue: `UPDATE ${table} SET state = 'waiting', attempts = 0, due_at = ${NOW} WHERE state = 'dead' AND id IN (?)`,
    discard: `DELETE FROM ${table} WHERE state = 'dead' AND id IN (?)`,
  };
}
