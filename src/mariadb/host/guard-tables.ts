import type { Session } from '../connection/session.js';
import { messageOf } from '../../coordinator/gate/texts.js';
import { errnoOf, isDenied } from '../errno.js';
import { MariaDbStartUpError } from '../errors.js';
import { ASCII_BINARY, keyFaultOf, shapeOf } from '../guard/table-check.js';

const MISSING_TABLE = 1146;
/** Who cannot use its database, for the text of an error. */
const SUBJECT = 'the guard of the host';

const ASCII = (length: number): string =>
  `varchar(${length}) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL`;
/** Neither case nor a space at the end makes two names the same. */
const TEXT = 'varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL';

/** The SQL that creates the tables of a host's guard, one statement each. */
export const GUARD_TABLES: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS dtc_host_branches (
  participant ${TEXT}, transaction_id ${ASCII(64)}, branch_id ${TEXT},
  log_id ${ASCII(32)}, epoch int unsigned NOT NULL, sequence bigint NOT NULL,
  record longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, is_over tinyint NOT NULL,
  version bigint NOT NULL, held_until datetime(3) NOT NULL,
  PRIMARY KEY (participant, transaction_id, branch_id), KEY dtc_host_open (is_over, participant)) ENGINE=InnoDB`,
  `CREATE TABLE IF NOT EXISTS dtc_host_runs (
  log_id ${ASCII(32)}, epoch int unsigned NOT NULL, token ${ASCII(64)}, PRIMARY KEY (log_id, epoch)) ENGINE=InnoDB`,
  `CREATE TABLE IF NOT EXISTS dtc_host_marks (
  log_id ${ASCII(32)}, epoch int unsigned NOT NULL, sequence bigint NOT NULL, PRIMARY KEY (log_id, epoch)) ENGINE=InnoDB`,
];

const NAMES = ['dtc_host_branches', 'dtc_host_runs', 'dtc_host_marks'] as const;

const RUN_KEY = { key: ['log_id', 'epoch'], collations: { log_id: ASCII_BINARY } };
const KEYS = {
  dtc_host_branches: {
    key: ['participant', 'transaction_id', 'branch_id'],
    collations: {
      participant: ['utf8mb4_nopad_bin'],
      transaction_id: ASCII_BINARY,
      branch_id: ['utf8mb4_nopad_bin'],
      log_id: ASCII_BINARY,
    },
  },
  dtc_host_runs: RUN_KEY,
  dtc_host_marks: RUN_KEY,
} as const;

/**
 * Makes the tables, if one is missing and this is wanted, and tries whether they can be used.
 *
 * @throws MariaDbStartUpError with the SQL to run when they are missing and cannot be made, or the user may
 * not use them.
 */
export async function prepareGuardTables(session: Session, isWanted: boolean): Promise<void> {
  if (!(await areUsable(session))) {
    await create(session, isWanted);
    await areUsable(session);
  }
  await checkKeys(session);
}

/** Names that differ in case, or in a space at the end, must not share a row. */
async function checkKeys(session: Session): Promise<void> {
  const [current] = await session.rows<{ name: string | null }>('SELECT DATABASE() AS name');
  for (const name of NAMES) {
    const shape = await shapeOf(session, current?.name ?? '', name);
    const { key, collations } = KEYS[name];
    const fault = shape && keyFaultOf(name, shape, key, collations);
    if (fault) throw new MariaDbStartUpError('DTC_MARIADB_GUARD_TABLE', SUBJECT, fault.problem, fault.remedy);
  }
}

/** @returns false when a table is missing. */
async function areUsable(session: Session): Promise<boolean> {
  await session.run('START TRANSACTION');
  try {
    for (const name of NAMES) {
      await session.rows(`SELECT log_id FROM ${name} WHERE log_id = '' FOR UPDATE`);
      await session.run(`UPDATE ${name} SET epoch = 0 WHERE log_id = ''`);
      await session.run(`DELETE FROM ${name} WHERE log_id = ''`);
      // No row: only the privilege is tried.
      await session.run(`INSERT INTO ${name} SELECT * FROM ${name} WHERE log_id = ''`);
    }
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === MISSING_TABLE) return false;
    if (errno === undefined) throw error;
    if (!isDenied(error)) {
      throw new MariaDbStartUpError(
        'DTC_MARIADB_GUARD_TABLE',
        SUBJECT,
        `its tables ${NAMES.join(', ')} cannot be read and written: ${messageOf(error)} (${errno})`,
        'Make them usable, and start again.',
        { cause: error },
      );
    }
    throw new MariaDbStartUpError(
      'DTC_MARIADB_PRIVILEGES',
      SUBJECT,
      `its user may not read and write its tables (${errno})`,
      `Run this as an administrator: ${await grants(session)}`,
      { cause: error },
    );
  } finally {
    await session.run('ROLLBACK').catch(() => {});
  }
}

async function create(session: Session, isWanted: boolean): Promise<void> {
  if (!isWanted) throw await missing(session, 'and the option createTables is false');
  try {
    for (const statement of GUARD_TABLES) await session.run(statement);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    throw await missing(session, `and its user may not create them (${errno})`, error);
  }
}

async function missing(session: Session, why: string, cause?: unknown): Promise<MariaDbStartUpError> {
  return new MariaDbStartUpError(
    'DTC_MARIADB_GUARD_TABLE',
    SUBJECT,
    `its tables ${NAMES.join(', ')} are missing, ${why}`,
    `Run this as a user that may create them: ${GUARD_TABLES.join('; ')}; ${await grants(session)}`,
    { cause },
  );
}

async function grants(session: Session): Promise<string> {
  const account = await session.account();
  return NAMES.map((name) => `GRANT SELECT, INSERT, UPDATE, DELETE ON ${name} TO ${account};`).join(' ');
}
