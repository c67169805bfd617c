import { errorMeanings } from '../sql/error-meanings.js';
import { type ErrorRow, LOST, OPERATOR, means, refusedAs } from '../sql/meaning.js';

/** The codes of refusals that the database causes. @publicApi */
export type MariaDbRefusalCode =
  | 'ROLLED_BACK'
  | 'WORK_FAILED'
  | 'CONSTRAINT_VIOLATED'
  | 'DATA_REJECTED'
  | 'RAISED'
  | 'SERIALIZATION_FAILURE'
  | 'DEADLOCK'
  | 'LOCK_TIMEOUT'
  | 'TIMEOUT'
  | 'DISK_FULL'
  | 'NO_CONNECTION'
  | 'CANNOT_BE_PREPARED';

type Row = ErrorRow<MariaDbRefusalCode>;

const rejected = (name: string): Row =>
  refusedAs(name, 'DATA_REJECTED', 'the database does not accept these values');
const violated = (name: string): Row =>
  refusedAs(name, 'CONSTRAINT_VIOLATED', 'a constraint would be violated');
const ended = (name: string, code: MariaDbRefusalCode, reason: string): Row => ({
  name,
  // Where the server has already rolled the branch back, its guard row tells whether that is right.
  means: means('failed', 'refused', 'refused', 'not-found', 'not-found'),
  refusal: { code, reason },
});
const gone = (name: string): Row => ({ name, means: LOST });
const needsOperator = (name: string, remedy: string): Row => ({ name, means: OPERATOR, remedy });

/**
 * The relevant error numbers, by phase. A number without a row is `failed` before XA PREPARE, `unknown` after
 * it, and tried again in completion.
 */
export const ERROR_NUMBERS: Readonly<Record<number, Row>> = {
  1020: refusedAs('ER_CHECKREAD', 'SERIALIZATION_FAILURE', 'a row has changed since the branch read it'),
  1021: refusedAs('ER_DISK_FULL', 'DISK_FULL', 'the disk of the database is full'),
  1022: violated('ER_DUP_KEY'),
  1040: gone('ER_CON_COUNT_ERROR'),
  1044: needsOperator('ER_DBACCESS_DENIED_ERROR', 'Grant the user of the participant its database'),
  1045: needsOperator('ER_ACCESS_DENIED_ERROR', 'Correct the credentials of the participant'),
  1048: violated('ER_BAD_NULL_ERROR'),
  1049: needsOperator('ER_BAD_DB_ERROR', 'Restore the database, or connect the participant to the right one'),
  1053: gone('ER_SERVER_SHUTDOWN'),
  1062: {
    name: 'ER_DUP_ENTRY',
    means: means('exists', 'refused', 'refused', 'retry', 'retry'),
    refusal: { code: 'CONSTRAINT_VIOLATED', reason: 'a unique constraint would be violated' },
  },
  1114: refusedAs('ER_RECORD_FILE_FULL', 'DISK_FULL', 'the disk, or the tablespace, is full'),
  1142: needsOperator('ER_TABLEACCESS_DENIED_ERROR', 'Grant the user of the participant its tables'),
  1146: needsOperator(
    'ER_NO_SUCH_TABLE',
    'Restore the table, or connect the participant to the right database',
  ),
  1203: gone('ER_TOO_MANY_USER_CONNECTIONS'),
  1205: {
    name: 'ER_LOCK_WAIT_TIMEOUT',
    means: means('held', 'refused', 'refused', 'retry', 'retry'),
    refusal: { code: 'LOCK_TIMEOUT', reason: 'it waited too long for a lock of another transaction' },
  },
  1213: ended('ER_LOCK_DEADLOCK', 'DEADLOCK', 'it was in a deadlock with a concurrent transaction'),
  1264: rejected('ER_WARN_DATA_OUT_OF_RANGE'),
  1265: rejected('WARN_DATA_TRUNCATED'),
  1292: rejected('ER_TRUNCATED_WRONG_VALUE'),
  1317: gone('ER_QUERY_INTERRUPTED'),
  1364: violated('ER_NO_DEFAULT_FOR_FIELD'),
  1366: rejected('ER_TRUNCATED_WRONG_VALUE_FOR_FIELD'),
  1397: {
    name: 'ER_XAER_NOTA',
    means: means('failed', 'failed', 'unknown', 'not-found', 'not-found'),
  },
  1399: {
    name: 'ER_XAER_RMFAIL',
    means: means('failed', 'refused', 'refused', 'retry', 'retry'),
    refusal: {
      code: 'CANNOT_BE_PREPARED',
      reason:
        'the work used a statement that would end its transaction, such as one that changes the schema, or went on after an error that had ' +
        'rolled all of it back, such as a deadlock',
    },
  },
  1400: gone('ER_XAER_OUTSIDE'),
  1401: gone('ER_XAER_RMERR'),
  1402: ended('ER_XA_RBROLLBACK', 'WORK_FAILED', 'the database has rolled the branch back'),
  1406: rejected('ER_DATA_TOO_LONG'),
  1440: {
    name: 'ER_XAER_DUPID',
    means: means('held', 'failed', 'unknown', 'retry', 'retry'),
  },
  1451: violated('ER_ROW_IS_REFERENCED_2'),
  1452: violated('ER_NO_REFERENCED_ROW_2'),
  1613: ended('ER_XA_RBTIMEOUT', 'LOCK_TIMEOUT', 'the database has rolled the branch back after a time-out'),
  1614: ended('ER_XA_RBDEADLOCK', 'DEADLOCK', 'it was in a deadlock with a concurrent transaction'),
  1637: gone('ER_TOO_MANY_CONCURRENT_TRXS'),
  1644: refusedAs('ER_SIGNAL_EXCEPTION', 'RAISED', 'a procedure or trigger of the database refused'),
  1690: rejected('ER_DATA_OUT_OF_RANGE'),
  1792: gone('ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION'),
  1927: gone('ER_CONNECTION_KILLED'),
  1969: {
    name: 'ER_STATEMENT_TIMEOUT',
    means: means('held', 'refused', 'refused', 'retry', 'retry'),
    refusal: { code: 'TIMEOUT', reason: 'a statement took longer than the branch may last' },
  },
  1290: needsOperator(
    'ER_OPTION_PREVENTS_STATEMENT',
    'Connect the participant to a server that accepts writes',
  ),
  3024: {
    name: 'ER_QUERY_TIMEOUT (MySQL)',
    means: means('held', 'refused', 'refused', 'retry', 'retry'),
    refusal: { code: 'TIMEOUT', reason: 'a statement took longer than the branch may last' },
  },
  3572: refusedAs(
    'ER_LOCK_NOWAIT (MySQL)',
    'LOCK_TIMEOUT',
    'another transaction holds a lock that it did not wait for',
  ),
  3819: violated('ER_CHECK_CONSTRAINT_VIOLATED (MySQL)'),
  4025: violated('ER_CONSTRAINT_FAILED'),
};

/** ER_SIGNAL_EXCEPTION. */
const RAISED = 1644;

const MEANINGS = errorMeanings<MariaDbRefusalCode>({
  rowOf: (error) => ERROR_NUMBERS[errnoOf(error) ?? 0],
  codeOf: errnoOf,
  raisedText: (error) =>
    errnoOf(error) === RAISED ? (error as { sqlMessage?: string }).sqlMessage : undefined,
});
export const { meaningOf, refusalOf, remedyOf, databaseErrorIn } = MEANINGS;

/**
 * The numbers that `mysql2` gives errors of its own are negative, and those of the operating system as well.
 */
export function errnoOf(error: unknown): number | undefined {
  const errno = (error as { errno?: unknown } | null | undefined)?.errno;
  return typeof errno === 'number' && errno > 0 ? errno : undefined;
}

/**
 * ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR,
 * ER_SPECIFIC_ACCESS_DENIED_ERROR.
 */
const DENIED: ReadonlySet<number | undefined> = new Set([1044, 1142, 1143, 1227]);

/** Whether the user lacks a privilege: a GRANT fixes that, and nothing else. */
export function isDenied(error: unknown): boolean {
  return DENIED.has(errnoOf(error));
}

/**
 * Whether the same transaction may succeed if it is tried again, because the request itself was correct: it
 * conflicted with another transaction, or the database lacked a resource.
 *
 * @param code the code of a refusal, as an aborted outcome has it.
 * @publicApi
 */
export function isTemporaryMariaDbRefusal(code: string | undefined): boolean {
  return MEANINGS.isTemporary(code);
}
