import { messageOf } from '../../coordinator/gate/texts.js';
import type { OutboxError } from '../../outbox/errors.js';
import { KEY_OF, OUTBOX_TABLES, type OutboxTable, unusableIn } from '../../sql/outbox-tables.js';
import type { Session } from '../connection/session.js';
import { errnoOf } from '../errno.js';
import { keyFaultOf, shapeOf } from '../guard/table-check.js';

const unusable = unusableIn('MariaDB');
const MISSING_TABLE = 1146;
/** SKIP LOCKED. */
const OLDEST_VERSION = [10, 6] as const;

/** The values of read_only, in different versions, of a server that accepts writes. */
const WRITABLE: ReadonlySet<string> = new Set(['0', 'OFF']);

/** Neither case nor a space at the end makes two keys the same. */
const BINARY = 'utf8mb4_nopad_bin';
const NAME = `varchar(200) CHARACTER SET utf8mb4 COLLATE ${BINARY}`;
const ASCII = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;

/** The SQL that creates the tables of an outbox, one statement each. */
export const DEFINITIONS: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS dtc_outbox (
  position bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, id ${ASCII(36)} NOT NULL, topic ${NAME} NOT NULL, message_key ${NAME} NULL,
  payload longtext CHARACTER SET utf8mb4 COLLATE ${BINARY} NOT NULL, transaction_id ${ASCII(64)} NOT NULL,
  written_at datetime(3) NOT NULL, state ${ASCII(7)} NOT NULL DEFAULT 'waiting', attempts int NOT NULL DEFAULT 0,
  due_at datetime(3) NOT NULL, sent_at datetime(3) NULL, last_error text CHARACTER SET utf8mb4 NULL,
  KEY dtc_outbox_due (state, message_key, due_at), KEY dtc_outbox_order (state, message_key, position),
  KEY dtc_outbox_sent (state, sent_at)) ENGINE=InnoDB`,
  `CREATE TABLE IF NOT EXISTS dtc_outbox_keys (
  name ${NAME} NOT NULL PRIMARY KEY, used_at datetime(3) NOT NULL) ENGINE=InnoDB`,
];

const COLUMNS = {
  dtc_outbox: [
    'position',
    'id',
    'topic',
    'message_key',
    'payload',
    'transaction_id',
    'written_at',
    'state',
    'attempts',
    'due_at',
    'sent_at',
    'last_error',
  ],
  dtc_outbox_keys: ['name', 'used_at'],
} as const;

/**
 * Makes the tables, if one is missing and this is wanted, and checks whether they can be used.
 *
 * @returns the database, unquoted. @throws OutboxError with the SQL to run when they cannot be used.
 */
export async function prepareOutboxTables(session: Session, isWanted: boolean): Promise<string> {
  const [row] = await session.rows<{ name: string | null; version: string; readOnly: string }>(
    'SELECT DATABASE() AS name, VERSION() AS version, CAST(@@read_only AS CHAR) AS readOnly',
  );
  const { name, version, readOnly } = row!;
  if (name === null) throw unusable('the connection names no database', 'Name it in the URL');
  if (!WRITABLE.has(readOnly))
    throw unusable('the server is read-only, as a replica is', 'Connect to the primary');
  if (!isRecent(version)) {
    throw unusable(
      `the server has version ${version}, in which relays would wait for each other`,
      `Use MariaDB ${OLDEST_VERSION.join('.')} or later`,
    );
  }
  if (!(await areUsable(session))) {
    await create(session, isWanted);
    await areUsable(session);
  }
  for (const table of OUTBOX_TABLES) await check(session, name, table);
  return name;
}

function isRecent(version: string): boolean {
  const [, major = '0', minor = '0'] = /(\d+)\.(\d+)\./.exec(version) ?? [];
  const [oldestMajor, oldestMinor] = OLDEST_VERSION;
  return Number(major) > oldestMajor || (Number(major) === oldestMajor && Number(minor) >= oldestMinor);
}

async function check(session: Session, database: string, table: OutboxTable): Promise<void> {
  const shape = await shapeOf(session, database, table);
  if (shape === undefined) throw await missing(session, 'or its user may not see them');
  const names = new Set(shape.columns.map(({ name }) => name));
  const absent = COLUMNS[table].filter((name) => !names.has(name));
  if (absent.length > 0) {
    throw unusable(
      `the table ${table} lacks the columns ${absent.join(', ')}, and is another table`,
      'Rename that table',
    );
  }
  const text = table === 'dtc_outbox' ? 'message_key' : 'name';
  const fault = keyFaultOf(table, shape, [KEY_OF[table]], { [text]: [BINARY] });
  if (fault !== undefined) throw unusable(fault.problem, fault.remedy);
}

/** @returns false when a table is missing. */
async function areUsable(session: Session): Promise<boolean> {
  await session.run('START TRANSACTION');
  try {
    // No row: only the privileges are tried.
    for (const name of OUTBOX_TABLES) {
      await session.rows(`SELECT 1 FROM ${name} WHERE 1 = 0 FOR UPDATE`);
      await session.run(`INSERT INTO ${name} SELECT * FROM ${name} WHERE 1 = 0`);
      const column = name === 'dtc_outbox' ? 'state' : 'used_at';
      await session.run(`UPDATE ${name} SET ${column} = ${column} WHERE 1 = 0`);
      await session.run(`DELETE FROM ${name} WHERE 1 = 0`);
    }
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === MISSING_TABLE) return false;
    if (errno === undefined) throw error;
    // Without privileges the server does not say whether a table is there.
    throw unusable(
      `its user may not read and write its tables ${OUTBOX_TABLES.join(' and ')}, or they are missing (${errno}: ${messageOf(error)})`,
      await toRun(session),
      error,
    );
  } finally {
    await session.run('ROLLBACK').catch(() => {});
  }
}

async function create(session: Session, isWanted: boolean): Promise<void> {
  if (!isWanted) throw await missing(session, 'and the option createTables is false');
  try {
    for (const statement of DEFINITIONS) await session.run(statement);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    throw await missing(session, `and its user could not create them (${errno}: ${messageOf(error)})`, error);
  }
}

async function missing(session: Session, why: string, cause?: unknown): Promise<OutboxError> {
  return unusable(
    `its tables ${OUTBOX_TABLES.join(' and ')} are missing, ${why}`,
    await toRun(session),
    cause,
  );
}

async function toRun(session: Session): Promise<string> {
  const account = await session.account();
  const grants = OUTBOX_TABLES.map(
    (name) => `GRANT SELECT, INSERT, UPDATE, DELETE ON ${name} TO ${account};`,
  );
  return `Run this as a user that may create them:\n${DEFINITIONS.join(';\n')};\n${grants.join('\n')}`;
}
