import type { PoolClient } from 'pg';
import { rowsOf } from '../connection/own-queries.js';
import { PostgresStartUpError } from '../errors.js';

/** Replicas that start at the same moment create the tables one after the other. */
const CREATION_LOCK = 0x64_74_64;
const PRIVILEGES = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] as const;
/** Who cannot use its database, for the text of an error. */
const SUBJECT = 'the guard of the host';
const MISSING_TABLE = '42P01';
const NOT_ALLOWED = '42501';

type Standing = {
  readonly is_there: string;
  readonly may_use: string;
  readonly role: string;
};

/** The tables of a host's guard in one schema. */
export class GuardTables {
  /** The beginning of their names, in SQL. */
  readonly prefix: string;
  private readonly names: readonly string[];

  /** @param schema a plain name. @default the first of the search path */
  constructor(private readonly schema: string | undefined) {
    this.prefix = schema === undefined ? 'dtc_host' : `"${schema}".dtc_host`;
    this.names = ['branches', 'runs', 'marks'].map((name) => `${this.prefix}_${name}`);
  }

  /** The SQL that creates them. */
  get definition(): string {
    const { prefix, schema } = this;
    return [
      ...(schema === undefined ? [] : [`CREATE SCHEMA IF NOT EXISTS "${schema}"`]),
      `CREATE TABLE IF NOT EXISTS ${prefix}_branches (
        participant text COLLATE "C" NOT NULL, transaction_id text COLLATE "C" NOT NULL, branch_id text COLLATE "C" NOT NULL,
        log_id text COLLATE "C" NOT NULL, epoch int NOT NULL, sequence bigint NOT NULL,
        record text NOT NULL, is_over boolean NOT NULL, version bigserial NOT NULL, held_until timestamptz NOT NULL,
        PRIMARY KEY (participant, transaction_id, branch_id))`,
      `CREATE INDEX IF NOT EXISTS dtc_host_open ON ${prefix}_branches (participant, transaction_id, branch_id) WHERE NOT is_over`,
      `CREATE TABLE IF NOT EXISTS ${prefix}_runs (
        log_id text COLLATE "C" NOT NULL, epoch int NOT NULL, token text NOT NULL, PRIMARY KEY (log_id, epoch))`,
      `CREATE TABLE IF NOT EXISTS ${prefix}_marks (
        log_id text COLLATE "C" NOT NULL, epoch int NOT NULL, sequence bigint NOT NULL, PRIMARY KEY (log_id, epoch))`,
    ].join(';\n');
  }

  /**
   * Makes them, if one is missing and this is wanted.
   *
   * @throws PostgresStartUpError with the SQL to run when they are missing and cannot be made, or the role
   * may not use them.
   */
  async prepare(client: PoolClient, isWanted: boolean): Promise<void> {
    let standing = await this.standing(client);
    if (standing.is_there === 'false') {
      if (!isWanted) throw this.missing('and the option createTables is false', standing);
      await this.create(client, standing);
      standing = await this.standing(client);
    }
    if (standing.may_use === 'true') return;
    throw new PostgresStartUpError(
      'DTC_POSTGRES_PRIVILEGES',
      SUBJECT,
      `the role ${standing.role} may not read and write its tables`,
      `Run this as their owner: ${this.grants(standing.role)};`,
    );
  }

  private async create(client: PoolClient, standing: Standing): Promise<void> {
    try {
      await client.query(`BEGIN; SELECT pg_advisory_xact_lock(${CREATION_LOCK}); ${this.definition}; COMMIT`);
    } catch (error) {
      await client.query('ROLLBACK');
      const { code, message } = error as { readonly code?: unknown; readonly message: string };
      if (code !== NOT_ALLOWED) throw error;
      throw this.missing(`and the role ${standing.role} may not create them (${message})`, standing, error);
    }
  }

  private missing(why: string, { role }: Standing, cause?: unknown): PostgresStartUpError {
    return new PostgresStartUpError(
      'DTC_POSTGRES_SCHEMA',
      SUBJECT,
      `its tables ${this.names.join(', ')} are missing, ${why}`,
      `Run this as a role that may create them:\n${this.definition};\n${this.grants(role)};`,
      cause === undefined ? undefined : { cause },
    );
  }

  /** @param role quoted. */
  private grants(role: string): string {
    return [
      ...(this.schema === undefined ? [] : [`GRANT USAGE ON SCHEMA "${this.schema}" TO ${role}`]),
      `GRANT ${PRIVILEGES.join(', ')} ON ${this.names.join(', ')} TO ${role}`,
      `GRANT USAGE ON SEQUENCE ${this.prefix}_branches_version_seq TO ${role}`,
    ].join(';\n');
  }

  private async standing(client: PoolClient): Promise<Standing> {
    const all = (condition: (name: string) => string): string => this.names.map(condition).join(' AND ');
    const found = await this.oneOf(
      client,
      `SELECT (${all((name) => `to_regclass('${name}') IS NOT NULL`)})::text AS is_there, 'false' AS may_use,
        quote_ident(current_user) AS role`,
    );
    if (found.is_there === 'false') return found;
    const privileges = PRIVILEGES.map((privilege) =>
      all((name) => `has_table_privilege('${name}', '${privilege}')`),
    );
    return this.oneOf(
      client,
      `SELECT 'true' AS is_there, quote_ident(current_user) AS role,
        (${privileges.join(' AND ')} AND has_sequence_privilege('${this.prefix}_branches_version_seq', 'USAGE'))::text AS may_use`,
    );
  }

  /** A schema that the role may not look into has no tables for it. */
  private async oneOf(client: PoolClient, text: string): Promise<Standing> {
    try {
      const [standing] = await rowsOf<Standing>(client, text);
      return standing!;
    } catch (error) {
      const { code } = error as { readonly code?: unknown };
      if (code !== NOT_ALLOWED && code !== MISSING_TABLE) throw error;
      const [standing] = await rowsOf<Standing>(
        client,
        `SELECT 'false' AS is_there, 'false' AS may_use, quote_ident(current_user) AS role`,
      );
      return standing!;
    }
  }
}
