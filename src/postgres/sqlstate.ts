import { errorMeanings } from '../sql/error-meanings.js';
import { type ErrorRow, LOST, OPERATOR, REFUSED, means, refusedAs } from '../sql/meaning.js';

/** The codes of refusals that the database causes. @publicApi */
export type PostgresRefusalCode =
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
  | 'NO_PREPARED_SLOT'
  | 'NO_CONNECTION'
  | 'PREPARED_TRANSACTIONS_OFF'
  | 'GID_IN_USE'
  | 'GID_INVALID'
  | 'CANNOT_BE_PREPARED';

type Row = ErrorRow<PostgresRefusalCode>;

/**
 * The relevant SQLSTATEs, by phase. A class, of two characters, stands for all of its codes without a row of
 * their own. A code without any row is `failed` before PREPARE TRANSACTION, `unknown` after it, and tried
 * again in completion.
 */
export const SQLSTATES: Readonly<Record<string, Row>> = {
  '08': { name: 'connection_exception', means: LOST },
  '0A000': {
    name: 'feature_not_supported',
    means: means('failed', 'failed', 'refused', 'operator', 'operator'),
    refusal: {
      code: 'CANNOT_BE_PREPARED',
      reason:
        'the work used something that a prepared transaction must not: temporary objects, LISTEN, NOTIFY, a held cursor',
    },
    remedy: 'It was prepared in another database: connect the participant to that database',
  },
  '22': refusedAs('data_exception', 'DATA_REJECTED', 'the database does not accept these values'),
  '22023': {
    name: 'invalid_parameter_value',
    means: REFUSED,
    refusal: {
      code: 'GID_INVALID',
      reason: 'the database does not accept a value, or the global id of the branch',
    },
  },
  '23': refusedAs('integrity_constraint_violation', 'CONSTRAINT_VIOLATED', 'a constraint would be violated'),
  '23505': {
    name: 'unique_violation',
    means: means('exists', 'refused', 'refused', 'retry', 'retry'),
    refusal: { code: 'CONSTRAINT_VIOLATED', reason: 'a unique constraint would be violated' },
  },
  '25001': { name: 'active_sql_transaction', means: LOST },
  '25P02': {
    name: 'in_failed_sql_transaction',
    means: means('failed', 'failed', 'refused', 'retry', 'retry'),
    refusal: {
      code: 'WORK_FAILED',
      reason: 'a statement of the work failed, although the work did not report it',
    },
  },
  '25006': { name: 'read_only_sql_transaction', means: LOST },
  '25P04': { name: 'transaction_timeout', means: LOST },
  '28': {
    name: 'invalid_authorization_specification',
    means: OPERATOR,
    remedy: 'Correct the credentials of the participant, or the rules in pg_hba.conf',
  },
  '3D000': {
    name: 'invalid_catalog_name',
    means: OPERATOR,
    remedy: 'Restore the database, or connect the participant to the database that has the branch',
  },
  '40001': refusedAs(
    'serialization_failure',
    'SERIALIZATION_FAILURE',
    'it conflicts with a concurrent transaction',
  ),
  '40P01': refusedAs('deadlock_detected', 'DEADLOCK', 'it was in a deadlock with a concurrent transaction'),
  '42501': {
    name: 'insufficient_privilege',
    means: OPERATOR,
    remedy: 'Another role has prepared it: connect the participant with that role',
  },
  '42704': {
    name: 'undefined_object',
    means: means('failed', 'failed', 'unknown', 'not-found', 'not-found'),
  },
  '42710': {
    name: 'duplicate_object',
    means: means('failed', 'failed', 'refused', 'retry', 'retry'),
    refusal: { code: 'GID_IN_USE', reason: 'the server has another prepared transaction of this global id' },
  },
  '53': { name: 'insufficient_resources', means: LOST },
  '53100': refusedAs('disk_full', 'DISK_FULL', 'the disk of the database is full'),
  '53200': {
    name: 'out_of_memory',
    means: REFUSED,
    refusal: {
      code: 'NO_PREPARED_SLOT',
      reason: 'the server has no memory, or no slot of max_prepared_transactions, left',
    },
  },
  '53300': { name: 'too_many_connections', means: LOST },
  '55000': {
    name: 'object_not_in_prerequisite_state',
    means: means('failed', 'failed', 'refused', 'retry', 'retry'),
    refusal: {
      code: 'PREPARED_TRANSACTIONS_OFF',
      reason:
        'the server has prepared transactions switched off: set max_prepared_transactions and restart it',
    },
  },
  '55P03': {
    name: 'lock_not_available',
    means: means('held', 'refused', 'refused', 'retry', 'retry'),
    refusal: { code: 'LOCK_TIMEOUT', reason: 'a lock that it needs was not free in time' },
  },
  '57014': refusedAs('query_canceled', 'TIMEOUT', 'it was cancelled, or took too long'),
  '57P01': { name: 'admin_shutdown', means: LOST },
  '57P02': { name: 'crash_shutdown', means: LOST },
  '57P03': { name: 'cannot_connect_now', means: LOST },
  '57P05': { name: 'idle_session_timeout', means: LOST },
  '58': { name: 'system_error', means: LOST },
  P0001: refusedAs('raise_exception', 'RAISED', 'a function or trigger of the database refused'),
  XX: { name: 'internal_error', means: LOST },
};

/** Connection errors of the operating system. None is ever an answer of the database. */
export const ERRNOS: Readonly<Record<string, Row>> = Object.fromEntries(
  [
    'EACCES',
    'EAI_AGAIN',
    'ECONNABORTED',
    'ECONNREFUSED',
    'ECONNRESET',
    'EHOSTDOWN',
    'EHOSTUNREACH',
    'EMFILE',
    'ENETDOWN',
    'ENETUNREACH',
    'ENOENT',
    'ENOTFOUND',
    'EPIPE',
    'ETIMEDOUT',
  ].map((name) => [name, { name, means: LOST }]),
);

/** SQLSTATE `raise_exception`. */
const RAISED = 'P0001';

const MEANINGS = errorMeanings<PostgresRefusalCode>({
  rowOf,
  codeOf,
  raisedText: (error) => (codeOf(error) === RAISED ? (error as { message?: string }).message : undefined),
  detailOf: (error) => (error as { constraint?: string }).constraint,
  overloads: ['NO_PREPARED_SLOT'],
});
export const { meaningOf, refusalOf, remedyOf, databaseErrorIn } = MEANINGS;

/** @returns the SQLSTATE or errno of an error, or undefined when it has neither. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/**
 * Whether the same transaction may succeed if it is tried again, because the request itself was correct: it
 * conflicted with another transaction, or the database lacked a resource.
 *
 * @param code the code of a refusal, as an aborted outcome has it.
 * @publicApi
 */
export function isTemporaryRefusal(code: string | undefined): boolean {
  return MEANINGS.isTemporary(code);
}

function rowOf(error: unknown): Row | undefined {
  const code = codeOf(error);
  if (code === undefined) return undefined;
  if (!/^[0-9A-Z]{5}$/.test(code)) return ownRow(ERRNOS, code);
  return ownRow(SQLSTATES, code) ?? ownRow(SQLSTATES, code.slice(0, 2)) ?? ownRow(ERRNOS, code);
}

function ownRow(table: Readonly<Record<string, Row>>, key: string): Row | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
