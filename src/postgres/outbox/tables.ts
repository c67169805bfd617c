import type { PoolClient } from 'pg';
import { messageOf } from '../../coordinator/gate/texts.js';
import type { OutboxError } from '../../outbox/errors.js';
import { KEY_OF, OUTBOX_TABLES, type OutboxTable, unusableIn } from '../../sql/outbox-tables.js';
import { rowsOf } from '../connection/own-queries.js';
import { codeOf } from '../sqlstate.js';

/** Processes that start at the same moment create the tables one after the other. */
const CREATION_LOCK = 0x64_74_6f;
const PRIVILEGES = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] as const;
const unusable = unusableIn('PostgreSQL');

/** The columns of each table with their types. */
const COLUMNS: Readonly<Record<OutboxTable, readonly string[]>> = {
  dtc_outbox: [
    'attempts integer',
    'due_at timestamp with time zone',
    'id text',
    'key text',
    'last_error text',
    'payload text',
    'position bigint',
    'sent_at timestamp with time zone',
    'state text',
    'topic text',
    'transaction_id text',
    'written_at timestamp with time zone',
  ],
  dtc_outbox_keys: ['name text', 'used_at timestamp with time zone'],
};

type Standing = {
  /** The schema in which the tables are, or are to be; null when it is missing or may not be used. */
  readonly schema: string | null;
  readonly role: string;
  readonly is_standby: string;
};

type Shape = {
  readonly columns: string | null;
  readonly is_logged: string;
  readonly key: string | null;
  readonly may_use: string;
};

/** The tables of an outbox in one schema. */
export class OutboxTables {
  /** @param schema a plain name. @default the first of the search path */
  constructor(private readonly schema: string | undefined) {}

  /** The SQL that creates them. */
  get definition(): string {
    return definitionIn(this.schema);
  }

  /**
   * Finds the tables, makes them if they are missing and this is wanted, and checks whether they can be used.
   *
   * @returns the schema, quoted. @throws OutboxError with the SQL to run when they cannot be used.
   */
  async prepare(client: PoolClient, isWanted: boolean): Promise<string> {
    const before = await this.standing(client);
    if (before.is_standby === 'true') {
      throw unusable('the server is a standby, or accepts no writes', 'Connect to the primary');
    }
    const found = await this.find(client, before);
    // A table that is another one is not made by creating what is missing.
    for (const name of found) await this.check(client, name, before.schema!, before.role);
    if (found.length < OUTBOX_TABLES.length) await this.create(client, before, isWanted);
    const { schema, role } = await this.standing(client);
    if (schema === null) throw unusable('it has no schema that the role may use', 'Set the option `schema`');
    for (const name of OUTBOX_TABLES) await this.check(client, name, schema, role);
    return schema;
  }

  private async standing(client: PoolClient): Promise<Standing> {
    const [standing] = await rowsOf<Standing>(
      client,
      `SELECT (SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname = coalesce($1, current_schema())) AS schema,
        quote_ident(current_user) AS role,
        (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean)::text AS is_standby`,
      [this.schema ?? null],
    );
    return standing!;
  }

  private async find(client: PoolClient, { schema }: Standing): Promise<readonly OutboxTable[]> {
    const rows = await rowsOf<{ name: OutboxTable }>(
      client,
      `SELECT relname::text AS name FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
      WHERE quote_ident(nspname) = $1 AND relname = ANY ($2)`,
      [schema, OUTBOX_TABLES],
    );
    return rows.map(({ name }) => name);
  }

  private async create(client: PoolClient, standing: Standing, isWanted: boolean): Promise<void> {
    if (!isWanted) throw this.missing('and the option createTables is false', standing);
    try {
      await client.query(`BEGIN; SELECT pg_advisory_xact_lock(${CREATION_LOCK}); ${this.definition}; COMMIT`);
    } catch (error) {
      await client.query('ROLLBACK');
      if (codeOf(error) === undefined) throw error;
      const why = `and the role ${standing.role} could not create them (${messageOf(error)})`;
      throw this.missing(why, standing, error);
    }
  }

  private missing(why: string, { schema, role }: Standing, cause?: unknown): OutboxError {
    return unusable(
      `its tables ${OUTBOX_TABLES.join(' and ')} are missing, ${why}`,
      `Run this as a role that may create them:\n${this.definition};\n${grants(schema ?? this.schema, role)}`,
      cause,
    );
  }

  private async check(client: PoolClient, name: OutboxTable, schema: string, role: string) {
    const [shape] = await rowsOf<Shape>(
      client,
      `SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attname)::text AS columns,
        bool_and(relkind = 'r' AND relpersistence = 'p')::text AS is_logged,
        (SELECT string_agg(attname::text, ',') FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
          WHERE indrelid = $1::regclass AND indisprimary AND indimmediate) AS key,
        ($2 = '' OR (SELECT bool_and(has_table_privilege($1, privilege)) FROM unnest($3::text[]) AS privilege))::text AS may_use
      FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
      WHERE pg_class.oid = $1::regclass`,
      [`${schema}.${name}`, role, PRIVILEGES],
    );
    const { columns, is_logged, key, may_use } = shape!;
    const wanted = COLUMNS[name];
    const missing = wanted.filter((column) => !(columns ?? '').split(', ').includes(column));
    if (missing.length > 0) {
      throw unusable(
        `the table ${schema}.${name} lacks the columns ${missing.join(', ')}, and is another table`,
        'Choose another schema with the option `schema`, or rename that table',
      );
    }
    const column = KEY_OF[name];
    if (key !== column) {
      throw unusable(
        `the table ${schema}.${name} has no primary key of ${column}, so that messages could lose their order`,
        `Run this as its owner: ALTER TABLE ${schema}.${name} ADD PRIMARY KEY (${column});`,
      );
    }
    if (is_logged !== 'true') {
      throw unusable(
        `the table ${schema}.${name} is unlogged or partitioned, so that a crash of the server could empty it`,
        `Run this as its owner: ALTER TABLE ${schema}.${name} SET LOGGED;`,
      );
    }
    if (may_use !== 'true') {
      throw unusable(
        `the role ${role} may not read and write its tables`,
        `Run this as their owner: ${grants(schema, role)}`,
      );
    }
  }
}

/** @param schema a plain name. */
function definitionIn(schema: string | undefined): string {
  const prefix = schema === undefined ? '' : `"${schema}".`;
  return [
    ...(schema === undefined ? [] : [`CREATE SCHEMA IF NOT EXISTS "${schema}"`]),
    `CREATE TABLE IF NOT EXISTS ${prefix}dtc_outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL, topic text NOT NULL, key text COLLATE "C",
  payload text NOT NULL, transaction_id text NOT NULL, written_at timestamptz NOT NULL DEFAULT now(),
  state text NOT NULL DEFAULT 'waiting', attempts int NOT NULL DEFAULT 0, due_at timestamptz NOT NULL DEFAULT now(),
  sent_at timestamptz, last_error text)`,
    `CREATE INDEX IF NOT EXISTS dtc_outbox_due ON ${prefix}dtc_outbox (due_at) WHERE state = 'waiting' AND key IS NULL`,
    `CREATE INDEX IF NOT EXISTS dtc_outbox_order ON ${prefix}dtc_outbox (key, position) WHERE state = 'waiting' AND key IS NOT NULL`,
    `CREATE INDEX IF NOT EXISTS dtc_outbox_sent ON ${prefix}dtc_outbox (sent_at) WHERE state = 'sent'`,
    `CREATE INDEX IF NOT EXISTS dtc_outbox_dead ON ${prefix}dtc_outbox (position) WHERE state = 'dead'`,
    `CREATE TABLE IF NOT EXISTS ${prefix}dtc_outbox_keys (
  name text COLLATE "C" PRIMARY KEY, used_at timestamptz NOT NULL)`,
  ].join(';\n');
}

/** @param schema quoted, if it needs that. @param role quoted. */
function grants(schema: string | undefined, role: string): string {
  const tables = OUTBOX_TABLES.map((name) => (schema === undefined ? name : `${schema}.${name}`)).join(', ');
  return [
    ...(schema === undefined ? [] : [`GRANT USAGE ON SCHEMA ${schema} TO ${role}`]),
    `GRANT ${PRIVILEGES.join(', ')} ON ${tables} TO ${role};`,
  ].join(';\n');
}
