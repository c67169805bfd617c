import type { Logger } from '@nestjs/common';
import type { PoolClient, QueryResult } from 'pg';
import type { Lanes } from './connections.js';
import { PostgresStartUpError } from './errors.js';
import type { GuardTable } from './guard-table.js';
import type { ResolvedPostgresSettings } from './options.js';
import { codeOf, mendOf } from './sqlstate.js';

/** What the checks find out, all in one row. */
interface Server {
  readonly version: number;
  readonly slots: number;
  readonly readOnly: boolean;
  readonly synchronousCommit: string;
  readonly fsync: string;
  readonly role: string;
  readonly database: string;
  readonly guardTable: string | null;
  readonly guardColumns: readonly string[];
  readonly mayUseGuard: boolean | null;
}

/** `xid8` and `pg_current_xact_id()` are there from 13; older than 14 is out of support. */
const OLDEST_VERSION = 140_000;

const GUARD_COLUMNS = ['gid', 'state', 'written_at', 'xid'];

/** Participants that start at the same moment create the table one after the other. */
const CREATION_LOCK = 0x64_74_63;

const INSPECT = `
  SELECT current_setting('server_version_num')::int AS version,
    current_setting('max_prepared_transactions')::int AS slots,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS "readOnly",
    current_setting('synchronous_commit') AS "synchronousCommit",
    current_setting('fsync') AS fsync,
    current_user AS role,
    current_database() AS database,
    guard::text AS "guardTable",
    ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = guard AND attnum > 0 AND NOT attisdropped
      ORDER BY attname) AS "guardColumns",
    has_table_privilege(guard, 'SELECT') AND has_table_privilege(guard, 'INSERT')
      AND has_table_privilege(guard, 'DELETE') AS "mayUseGuard"
  FROM to_regclass($1) AS guard`;

/**
 * Checks what two-phase commit needs of a database, in one round trip on each lane, and creates the guard table.
 *
 * @returns the version of the server, as `server_version_num` has it.
 * @throws PostgresStartUpError with what mends it.
 */
export class StartUpChecks {
  constructor(
    private readonly participant: string,
    private readonly lanes: Lanes,
    private readonly guard: GuardTable,
    private readonly settings: ResolvedPostgresSettings,
    private readonly logger: Logger,
  ) {}

  async run(): Promise<number> {
    const signal = AbortSignal.timeout(this.settings.startTimeoutMs);
    try {
      const inspect = async (client: PoolClient): Promise<Server> => {
        const { rows }: QueryResult<Server> = await client.query(INSPECT, [this.guard.name]);
        return rows[0]!;
      };
      const [server, other] = await Promise.all([
        this.lanes.completion.run(signal, inspect),
        this.lanes.work.run(signal, inspect),
      ]);
      this.checkServer(server);
      this.checkPools(server, other);
      if (server.guardTable === null) await this.createGuardTable(signal, server);
      else this.checkGuardTable(server);
      this.warn(server);
      return server.version;
    } catch (error) {
      throw error instanceof PostgresStartUpError ? error : this.unreachable(error);
    }
  }

  private checkServer({ version, slots, readOnly }: Server): void {
    if (version < OLDEST_VERSION) {
      throw this.failure(
        'DTC_POSTGRES_VERSION',
        `its version is ${Math.floor(version / 10_000)}`,
        'Use PostgreSQL 14 or later.',
      );
    }
    if (readOnly) {
      throw this.failure(
        'DTC_POSTGRES_READ_ONLY',
        'the server is a standby, or takes no writes by default',
        'Connect to the primary: for example with target_session_attrs, or by the name that follows a failover.',
      );
    }
    if (slots === 0) {
      throw this.failure(
        'DTC_POSTGRES_PREPARED_TRANSACTIONS_OFF',
        'max_prepared_transactions is 0, so that nothing can be prepared',
        'Run this as a superuser, with a number above all branches that may be prepared on the server at once, and ' +
          'restart the server: ALTER SYSTEM SET max_prepared_transactions = 200;',
      );
    }
  }

  private checkPools(completion: Server, work: Server): void {
    if (completion.role === work.role && completion.database === work.database) return;
    throw this.failure(
      'DTC_POSTGRES_POOLS_DIFFER',
      `its pool for work is ${work.role} in ${work.database}, and that for completion is ${completion.role} in ` +
        completion.database,
      'Only the role that prepared a branch can complete it, in the same database: give both pools one configuration.',
    );
  }

  private checkGuardTable({ guardColumns, mayUseGuard, role }: Server): void {
    const { name } = this.guard;
    if (GUARD_COLUMNS.some((column) => !guardColumns.includes(column))) {
      throw this.failure(
        'DTC_POSTGRES_GUARD_TABLE',
        `the table ${name} has the columns ${guardColumns.join(', ')}, and is another table`,
        `Choose another name with the option guardTable, or rename that table.`,
      );
    }
    if (mayUseGuard !== true) {
      throw this.failure(
        'DTC_POSTGRES_PRIVILEGES',
        `the role ${role} may not use the table ${name}`,
        `Run this as its owner: GRANT SELECT, INSERT, DELETE ON ${name} TO "${role}";`,
      );
    }
  }

  private async createGuardTable(signal: AbortSignal, { role }: Server): Promise<void> {
    const { name } = this.guard;
    const statements = this.guard.create();
    const sql = `${statements.join('; ')}; GRANT SELECT, INSERT, DELETE ON ${name} TO "${role}";`;
    if (!this.settings.createGuardTable) {
      throw this.failure('DTC_POSTGRES_GUARD_TABLE', `the table ${name} is missing`, `Run this: ${sql}`);
    }
    try {
      await this.lanes.completion.run(signal, (client) =>
        client.query([`SELECT pg_advisory_xact_lock(${CREATION_LOCK})`, ...statements].join('; ')),
      );
      this.logger.log(
        `Created the table ${name}, in which "${this.participant}" keeps how its branches ended`,
      );
    } catch (error) {
      throw this.failure(
        'DTC_POSTGRES_GUARD_TABLE',
        `the table ${name} is missing, and the role ${role} could not create it (${codeOf(error) ?? String(error)})`,
        `Run this as a role that may: ${sql}`,
        error,
      );
    }
  }

  /** What makes a one-phase commit, which is not prepared, less durable than its caller is told. */
  private warn({ synchronousCommit, fsync }: Server): void {
    if (synchronousCommit === 'off' || fsync === 'off') {
      this.logger.warn(
        `The database of "${this.participant}" has ${fsync === 'off' ? 'fsync' : 'synchronous_commit'} = off: ` +
          'when it crashes it may forget what was committed',
      );
    }
  }

  private unreachable(error: unknown): PostgresStartUpError {
    const message = error instanceof Error ? error.message : String(error);
    const code = codeOf(error);
    return this.failure(
      'DTC_POSTGRES_UNREACHABLE',
      `it cannot be reached, or does not answer within ${this.settings.startTimeoutMs} ms: ${message}` +
        (code === undefined || message.includes(code) ? '' : ` (${code})`),
      `${mendOf(error) ?? 'Check the connection string, and that the server is up'}.`,
      error,
    );
  }

  private failure(
    code: PostgresStartUpError['code'],
    problem: string,
    mend: string,
    cause?: unknown,
  ): PostgresStartUpError {
    return new PostgresStartUpError(code, this.participant, problem, mend, { cause });
  }
}
