import { DatabaseError } from 'pg';
import { messageOf } from '../../coordinator/gate/texts.js';
import { remedyOf } from '../sqlstate.js';
import { PostgresLogError } from './errors.js';
import type { LogSession } from './session.js';

/** The version of the tables. Later versions only add to them. */
const TABLES_VERSION = 1;
/** Earlier versions are out of support. */
const OLDEST_VERSION = 140_000;
/** Members that start at the same moment create the tables one after the other. */
const CREATION_LOCK = 0x64_74_63_6c;

/** The timeline of the server, in SQL. Right after a promotion the control file still shows the old one. */
export const TIMELINE = 'substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)';

const NAMES = [
  'version',
  'logs',
  'epochs',
  'members',
  'decisions',
  'outcomes',
  'reports',
  'audits',
  'request_keys',
  'registrations',
] as const;

/** @returns the SQL that creates the missing tables and columns. */
export function creationOf(schema: string): string {
  return `
CREATE SCHEMA IF NOT EXISTS ${schema};
CREATE TABLE IF NOT EXISTS ${schema}.version (version int PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ${schema}.logs (
  log int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, coordinator text NOT NULL UNIQUE, log_id text NOT NULL,
  format int NOT NULL, last_epoch int NOT NULL, last_revision bigint NOT NULL,
  system_identifier text NOT NULL, database_oid text NOT NULL);
CREATE TABLE IF NOT EXISTS ${schema}.epochs (
  log int, epoch int, token text NOT NULL, incarnation bigint NOT NULL, high_water bigint NOT NULL, purged bigint NOT NULL,
  taken_on text NOT NULL, checked_on text NOT NULL, first_format int NOT NULL, last_format int NOT NULL,
  fenced_by int, adopted_by int, settled boolean NOT NULL, PRIMARY KEY (log, epoch)) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS ${schema}.members (
  log int, epoch int, member text NOT NULL, address text, draining boolean NOT NULL, renewed_at timestamptz NOT NULL,
  PRIMARY KEY (log, epoch)) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS ${schema}.decisions (
  log int, epoch int, sequence bigint, format int NOT NULL, record bytea NOT NULL, PRIMARY KEY (log, epoch, sequence));
CREATE TABLE IF NOT EXISTS ${schema}.outcomes (
  log int, epoch int, sequence bigint, ended_at timestamptz NOT NULL, PRIMARY KEY (log, epoch, sequence));
CREATE TABLE IF NOT EXISTS ${schema}.reports (
  log int, epoch int, sequence bigint, branch text, format int NOT NULL, record bytea NOT NULL,
  PRIMARY KEY (log, epoch, sequence, branch));
CREATE TABLE IF NOT EXISTS ${schema}.audits (
  log int, place bigint GENERATED ALWAYS AS IDENTITY, epoch int NOT NULL, format int NOT NULL, record bytea NOT NULL,
  PRIMARY KEY (log, place));
CREATE TABLE IF NOT EXISTS ${schema}.request_keys (
  log int, key text, fingerprint text NOT NULL, epoch int NOT NULL, sequence bigint NOT NULL, PRIMARY KEY (log, key));
CREATE INDEX IF NOT EXISTS request_keys_of_transactions ON ${schema}.request_keys (log, epoch, sequence);
CREATE TABLE IF NOT EXISTS ${schema}.registrations (
  log int, name text, address text NOT NULL, details text NOT NULL, revision bigint NOT NULL, removed boolean NOT NULL,
  PRIMARY KEY (log, name));
INSERT INTO ${schema}.version SELECT ${TABLES_VERSION} WHERE NOT EXISTS (SELECT FROM ${schema}.version);`;
}

/** The properties of the server and its database that the log checks. */
export interface LogServer {
  readonly version: number;
  readonly inRecovery: boolean;
  readonly readOnly: boolean;
  readonly systemIdentifier: string;
  readonly databaseOid: string;
  readonly database: string;
  readonly role: string;
  readonly fsync: string;
  readonly missing: number;
  readonly forbidden: number;
}

function inspectionOf(schema: string): string {
  return `
  WITH names AS (
    SELECT wanted, class.oid FROM unnest(ARRAY[${NAMES.map((name) => `'${name}'`).join(', ')}]) AS wanted
    LEFT JOIN (SELECT pg_class.oid, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
      WHERE nspname = '${schema}') AS class ON relname = wanted)
  SELECT json_build_object(
    'version', current_setting('server_version_num')::int,
    'inRecovery', pg_is_in_recovery(),
    'readOnly', current_setting('transaction_read_only')::boolean,
    'systemIdentifier', (SELECT system_identifier::text FROM pg_control_system()),
    'databaseOid', (SELECT oid::text FROM pg_database WHERE datname = current_database()),
    'database', current_database(),
    'role', current_user,
    'fsync', current_setting('fsync'),
    'missing', (SELECT count(*) FROM names WHERE oid IS NULL),
    'forbidden', (SELECT count(*) FROM names WHERE NOT (
      has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
      AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')))
      + (SELECT count(*) FROM pg_namespace WHERE nspname = '${schema}' AND NOT has_schema_privilege(oid, 'USAGE'))
    )::text AS found`;
}

/**
 * Checks that the server and its database fit, and creates the tables.
 *
 * @throws PostgresLogError with the command that fixes the problem.
 */
export async function checkServer(
  session: LogSession,
  schema: string,
  mayCreate: boolean,
): Promise<LogServer> {
  let server = await inspect(session, schema);
  if (server.version < OLDEST_VERSION) {
    throw new PostgresLogError(
      'DTC_LOG_SERVER_VERSION',
      `its version is ${Math.floor(server.version / 10_000)}`,
      'Use PostgreSQL 14 or later.',
    );
  }
  if (server.inRecovery || server.readOnly) {
    throw new PostgresLogError(
      'DTC_LOG_READ_ONLY',
      'the server is a standby, or takes no writes by default',
      'Connect to the primary, for example by the name that follows a failover; or run this as the owner of the database: ' +
        `ALTER DATABASE "${server.database}" RESET default_transaction_read_only;`,
    );
  }
  if (server.missing > 0) {
    await create(session, schema, mayCreate, server);
    server = await inspect(session, schema);
  }
  if (server.forbidden > 0 || server.missing > 0) {
    throw new PostgresLogError(
      'DTC_LOG_PRIVILEGES',
      `the role ${server.role} may not use the tables in the schema ${schema}`,
      `Run this as their owner: GRANT USAGE ON SCHEMA ${schema} TO "${server.role}"; ` +
        `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO "${server.role}";`,
    );
  }
  const [row] = await session.query<{ version: string }>(
    `SELECT max(version)::text AS version FROM ${schema}.version`,
  );
  if (row?.version !== String(TABLES_VERSION)) {
    throw new PostgresLogError(
      'DTC_LOG_TABLES',
      `the tables in the schema ${schema} are of version ${row?.version ?? 'none'}, and this library knows version ${TABLES_VERSION}`,
      'Start the version of the library that made them, or give this log a schema of its own.',
    );
  }
  return server;
}

async function inspect(session: LogSession, schema: string): Promise<LogServer> {
  const rows = await session.query<{ found: string }>(inspectionOf(schema));
  return JSON.parse(rows[0]!.found) as LogServer;
}

async function create(
  session: LogSession,
  schema: string,
  mayCreate: boolean,
  { role }: LogServer,
): Promise<void> {
  const sql = creationOf(schema);
  if (!mayCreate) {
    throw new PostgresLogError('DTC_LOG_TABLES', 'tables are missing', `Run this:${sql}`);
  }
  try {
    await session.query(`SELECT pg_catalog.pg_advisory_xact_lock(${CREATION_LOCK}); ${sql}`);
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    // If the server does not answer, nothing is known of the tables.
    if (!(cause instanceof DatabaseError)) throw error;
    throw new PostgresLogError(
      'DTC_LOG_TABLES',
      `tables are missing, and the role ${role} could not create them (${cause.code})`,
      `Run this as a role that may, then grant "${role}" their use:${sql}`,
      { cause: error },
    );
  }
}

/** @returns the error that stopped the checks of a start, with its remedy. */
export function unreachable(error: unknown): PostgresLogError {
  const { cause = error } = error as { cause?: unknown };
  return new PostgresLogError(
    'DTC_LOG_UNREACHABLE',
    `it cannot be reached, or does not answer in time: ${messageOf(error)}`,
    `${remedyOf(cause) ?? 'Check the connection string, and that the server is up'}.`,
    { cause: error },
  );
}
