import type { CoordinatorRun } from '../../coordinator/participant/participant.js';
import type { KnownRun } from '../../sql/claim.js';
import type { ClaimSession } from './session.js';
import { PostgresStartUpError } from '../errors.js';
import type { ResolvedPostgresSettings } from '../options.js';
import { codeOf } from '../sqlstate.js';

/** Participants that start at the same moment create the table one after the other. */
const CREATION_LOCK = 0x64_74_63;

/**
 * The columns, with their types. The first three are the key: one row for each log that a name was used with.
 */
const COLUMNS = {
  coordinator: 'text',
  participant: 'text',
  log_id: 'text',
  epoch: 'bigint',
  token: 'text',
  started_at: 'timestamp with time zone',
} as const;
const KEY = ['coordinator', 'participant', 'log_id'] as const;

/** The table in the catalogue of the database. */
interface Found {
  /** Its name with its schema, quoted; null when it is missing. */
  readonly table: string | null;
  readonly role: string;
  readonly isPermanent: boolean | null;
  readonly columns: Readonly<Record<string, string>> | null;
  readonly hasKey: boolean | null;
  readonly mayUse: boolean | null;
}

const INSPECT = `
  SELECT json_build_object(
    'role', quote_ident(current_user),
    'table', (SELECT format('%I.%I', nspname, relname)
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = runs),
    'isPermanent', (SELECT relkind = 'r' AND relpersistence = 'p' FROM pg_class WHERE oid = runs),
    'columns', (SELECT json_object_agg(attname, format_type(atttypid, atttypmod))
      FROM pg_attribute WHERE attrelid = runs AND attnum > 0 AND NOT attisdropped),
    'hasKey', EXISTS (SELECT FROM pg_index WHERE indrelid = runs AND indisunique AND indimmediate AND indisvalid
      AND indpred IS NULL AND indnkeyatts = ${KEY.length}
      AND ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = runs AND attnum = ANY (indkey)) @> $2::text[]),
    'mayUse', has_table_privilege(runs, 'SELECT') AND has_table_privilege(runs, 'INSERT')
      AND has_table_privilege(runs, 'UPDATE'))::text AS found
  FROM to_regclass($1) AS runs`;

/**
 * The table of the runs that a database has accepted: for each coordinator, participant and decision log the
 * latest start of that log. A log that does not know this start was copied, or restored from a backup.
 */
export class RunTable {
  /** Its name in SQL, once it was found. */
  private found: string | undefined;

  constructor(
    private readonly participant: string,
    private readonly settings: Pick<ResolvedPostgresSettings, 'runTable' | 'guardTable' | 'createGuardTable'>,
  ) {}

  /**
   * The configured name. Without a schema, the table is in the schema of the guard table, if that has one.
   */
  get name(): string {
    const { runTable, guardTable } = this.settings;
    const [schema, table] = guardTable.split('.');
    return runTable.includes('.') || table === undefined ? runTable : `${schema}.${runTable}`;
  }

  /**
   * Finds the table, and creates it when it is missing.
   *
   * @throws PostgresStartUpError (`DTC_POSTGRES_RUN_TABLE`, `DTC_POSTGRES_PRIVILEGES`) with what fixes it.
   */
  async find(session: ClaimSession, signal: AbortSignal): Promise<void> {
    if (this.found !== undefined) return;
    let found = await this.inspect(session, signal);
    if (found.table === null) {
      await this.create(session, signal, found.role);
      found = await this.inspect(session, signal);
    }
    this.check(found);
    this.found = found.table!;
  }

  /** @returns the latest accepted start of this log, if there was one. */
  async latest(
    session: ClaimSession,
    { name, logId }: CoordinatorRun,
    signal: AbortSignal,
  ): Promise<KnownRun | undefined> {
    const [row] = await session.query<{ epoch: string; token: string }>(
      signal,
      `SELECT epoch::text AS epoch, token FROM ${this.found} WHERE coordinator = $1 AND participant = $2 AND log_id = $3`,
      [name, this.participant, logId],
    );
    return row && { epoch: Number(row.epoch), token: row.token };
  }

  /**
   * Lets a run in, in place of the latest before it, unless a later one is in. The lock on the name is held
   * meanwhile.
   */
  async register(session: ClaimSession, run: CoordinatorRun, signal: AbortSignal): Promise<void> {
    const { name, logId, epoch, token } = run;
    await session.query(
      signal,
      `INSERT INTO ${this.found} AS known (coordinator, participant, log_id, epoch, token) VALUES ($1, $2, $3, $4, $5) ` +
        `ON CONFLICT (${KEY.join(', ')}) DO UPDATE SET epoch = EXCLUDED.epoch, token = EXCLUDED.token, started_at = now() ` +
        'WHERE known.epoch < EXCLUDED.epoch',
      [name, this.participant, logId, epoch, token],
    );
  }

  /** @returns the SQL that creates the table. */
  createSql(): string {
    return (
      `CREATE TABLE IF NOT EXISTS ${this.name} (` +
      `coordinator text COLLATE "C" NOT NULL, participant text COLLATE "C" NOT NULL, log_id text COLLATE "C" NOT NULL, ` +
      `epoch bigint NOT NULL, token text NOT NULL, started_at timestamptz NOT NULL DEFAULT now(), ` +
      `PRIMARY KEY (${KEY.join(', ')}))`
    );
  }

  private async inspect(session: ClaimSession, signal: AbortSignal): Promise<Found> {
    const [row] = await session.query<{ found: string }>(signal, INSPECT, [this.name, `{${KEY.join(',')}}`]);
    return JSON.parse(row!.found) as Found;
  }

  private async create(session: ClaimSession, signal: AbortSignal, role: string): Promise<void> {
    const sql = `${this.createSql()}; GRANT SELECT, INSERT, UPDATE ON ${this.name} TO ${role};`;
    if (!this.settings.createGuardTable) {
      throw this.failure('DTC_POSTGRES_RUN_TABLE', `the table ${this.name} is missing`, `Run this: ${sql}`);
    }
    try {
      // Without parameters two statements are one query, and one transaction.
      await session.query(signal, `SELECT pg_advisory_xact_lock(${CREATION_LOCK}); ${this.createSql()}`);
    } catch (error) {
      throw this.failure(
        'DTC_POSTGRES_RUN_TABLE',
        `the table ${this.name} is missing, and the role ${role} could not create it (${codeOf(error) ?? String(error)})`,
        `Run this as a role that may: ${sql}`,
        error,
      );
    }
  }

  private check({ table, role, isPermanent, columns, hasKey, mayUse }: Found): void {
    const wrong = Object.entries(COLUMNS).find(([column, type]) => columns?.[column] !== type);
    if (table === null || wrong !== undefined || isPermanent !== true || hasKey !== true) {
      const what =
        wrong === undefined
          ? `an ordinary table that survives a crash, with the key (${KEY.join(', ')})`
          : `a table with the column ${wrong[0]} of type ${wrong[1]}`;
      throw this.failure(
        'DTC_POSTGRES_RUN_TABLE',
        `${this.name} is not ${what}`,
        `Rename it, or choose another name with the option runTable, and let this be run: ${this.createSql()};`,
      );
    }
    if (mayUse !== true) {
      throw this.failure(
        'DTC_POSTGRES_PRIVILEGES',
        `the role ${role} may not use the table ${table}`,
        `Run this as its owner: GRANT SELECT, INSERT, UPDATE ON ${table} TO ${role};`,
      );
    }
  }

  private failure(
    code: PostgresStartUpError['code'],
    problem: string,
    remedy: string,
    cause?: unknown,
  ): PostgresStartUpError {
    return new PostgresStartUpError(code, this.participant, problem, remedy, { cause });
  }
}
