import type { Logger } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { messageOf } from '../coordinator/gate/texts.js';
import type { ServerFacts } from './branch/session.js';
import type { ConnectionPools } from './connection/connection-pools.js';
import { PostgresStartUpError } from './errors.js';
import { GUARD_TABLE_SHAPE, type GuardTableShape, faultOf } from './guard/table-check.js';
import type { GuardTable } from './guard/table.js';
import type { ResolvedPostgresSettings } from './options.js';
import { rowsOf } from './connection/own-queries.js';
import { codeOf, remedyOf } from './sqlstate.js';

/** The findings on one pool, in one row. */
interface Server {
  readonly version: number;
  readonly slots: number;
  readonly inRecovery: boolean;
  readonly readOnly: boolean;
  readonly synchronousCommit: string;
  readonly isolation: string;
  readonly readOnlyDefault: string;
  readonly transactionTimeout: string;
  readonly isSuperuser: boolean;
  readonly fsync: string;
  readonly role: string;
  /** The assumed role besides that of the login, if there is one. */
  readonly setRole: string | null;
  readonly quotedRole: string;
  readonly database: string;
  /** These two identify a running server and its database, however they are reached. */
  readonly startedAt: string;
  readonly databaseOid: string;
  readonly guardOid: string | null;
  /** Its name with its schema, quoted. */
  readonly guardTable: string | null;
  readonly guard: GuardTableShape | null;
  readonly mayUseGuard: boolean | null;
}

/** `xid8` and `pg_current_xact_id()` exist from 13 on; versions before 14 are no longer supported. */
const OLDEST_VERSION = 140_000;

/** Participants that start at the same moment create the table one after the other. */
const CREATION_LOCK = 0x64_74_63;

/** As one value of JSON, so that no type parser of the application changes it. */
const INSPECT = `
  SELECT json_build_object(
    'version', current_setting('server_version_num')::int,
    'slots', current_setting('max_prepared_transactions')::int,
    'inRecovery', pg_is_in_recovery(),
    'readOnly', current_setting('transaction_read_only')::boolean,
    'synchronousCommit', current_setting('synchronous_commit'),
    'isolation', (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_isolation'),
    'readOnlyDefault', (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only'),
    'transactionTimeout', (SELECT coalesce(min(reset_val), '0') FROM pg_settings WHERE name = 'transaction_timeout'),
    'isSuperuser', (SELECT rolsuper FROM pg_roles WHERE rolname = session_user),
    'fsync', current_setting('fsync'),
    'role', current_user,
    'setRole', nullif(current_setting('role'), 'none'),
    'quotedRole', quote_ident(current_setting('role')),
    'database', current_database(),
    'startedAt', extract(epoch FROM pg_postmaster_start_time())::text,
    'databaseOid', (SELECT oid::text FROM pg_database WHERE datname = current_database()),
    'guardOid', guard::oid::text,
    'guardTable', (SELECT format('%I.%I', nspname, relname)
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = guard),
    'guard', (${GUARD_TABLE_SHAPE}),
    'mayUseGuard', has_table_privilege(guard, 'SELECT') AND has_table_privilege(guard, 'INSERT')
      AND has_table_privilege(guard, 'DELETE'))::text AS found
  FROM to_regclass($1) AS guard`;

/**
 * Checks that a database fits two-phase commit, in one round trip on each pool, and creates the guard table.
 *
 * @returns the server properties that branches need. The guard table has its schema from then on.
 * @throws PostgresStartUpError with the remedy.
 */
export class StartUpChecks {
  constructor(
    private readonly participant: string,
    private readonly connections: ConnectionPools,
    private readonly guard: GuardTable,
    private readonly settings: ResolvedPostgresSettings,
    private readonly logger: Logger,
  ) {}

  async run(): Promise<ServerFacts> {
    const { startTimeoutMs } = this.settings;
    const signal = AbortSignal.timeout(startTimeoutMs);
    try {
      let [completion, work] = await this.inspect(signal);
      this.checkServers(completion, work);
      if (completion.guardOid === null && work.guardOid === null) {
        await this.createGuardTable(signal, completion);
      }
      // Another participant may have created it after the first look.
      if (completion.guardOid === null || work.guardOid === null) {
        [completion, work] = await this.inspect(signal);
      }
      this.checkGuardTable(completion, work);
      this.warn([completion, work]);
      if (completion.guardTable !== null) this.guard.resolveTo(completion.guardTable);
      const { version, setRole, quotedRole, synchronousCommit, isSuperuser } = completion;
      const role = setRole === null ? 'NONE' : quotedRole;
      const { isolation, readOnlyDefault, transactionTimeout } = work;
      return {
        version,
        role,
        synchronousCommit,
        isSuperuser,
        isolation,
        readOnlyDefault,
        transactionTimeout,
      };
    } catch (error) {
      throw error instanceof PostgresStartUpError
        ? error
        : unreachable(this.participant, startTimeoutMs, error);
    }
  }

  private inspect(signal: AbortSignal): Promise<[Server, Server]> {
    const look = async (client: PoolClient): Promise<Server> => {
      const rows = await rowsOf<{ found: string }>(client, INSPECT, [this.guard.name]);
      return JSON.parse(rows[0]!.found) as Server;
    };
    return Promise.all([
      this.connections.completion.run(signal, look),
      this.connections.work.run(signal, look),
    ]);
  }

  private checkServers(completion: Server, work: Server): void {
    for (const { version, inRecovery, slots } of [completion, work]) {
      if (version < OLDEST_VERSION) {
        throw this.failure(
          'DTC_POSTGRES_VERSION',
          `its version is ${Math.floor(version / 10_000)}`,
          'Use PostgreSQL 14 or later.',
        );
      }
      // A session of the pool for work may be read-only for branches: their transactions set READ WRITE.
      if (inRecovery || completion.readOnly) {
        throw this.failure(
          'DTC_POSTGRES_READ_ONLY',
          'the server is a standby, or accepts no writes by default',
          'Connect to the primary: for example with target_session_attrs, or by the name that follows a failover.',
        );
      }
      if (slots === 0) {
        throw this.failure(
          'DTC_POSTGRES_PREPARED_TRANSACTIONS_OFF',
          'max_prepared_transactions is 0, so no branch can be prepared',
          'Run this as a superuser, with a number above the most branches that are prepared on the server at once, and ' +
            'restart the server: ALTER SYSTEM SET max_prepared_transactions = 200;',
        );
      }
    }
    if (completion.startedAt !== work.startedAt || completion.databaseOid !== work.databaseOid) {
      throw this.differ(
        `its pool for work leads to ${work.database} on one server, and that for completion to ${completion.database}, ` +
          'which is another database or on another server',
      );
    }
    if (completion.role !== work.role) {
      throw this.differ(
        `its pool for work logs in as ${work.role}, and that for completion as ${completion.role}`,
      );
    }
  }

  private checkGuardTable(completion: Server, work: Server): void {
    const { name } = this.guard;
    if (completion.guardOid !== work.guardOid) {
      throw this.differ(`its two pools find different tables under the name ${name}, or only one finds any`);
    }
    const fault = completion.guard && faultOf(name, completion.guard);
    if (fault) throw this.failure('DTC_POSTGRES_GUARD_TABLE', fault.problem, fault.remedy);
    if (completion.mayUseGuard !== true || work.mayUseGuard !== true) {
      const { role } = completion;
      throw this.failure(
        'DTC_POSTGRES_PRIVILEGES',
        `the role ${role} may not use the table ${name}`,
        `Run this as its owner: GRANT SELECT, INSERT, DELETE ON ${name} TO "${role}";`,
      );
    }
  }

  private differ(problem: string): PostgresStartUpError {
    return this.failure(
      'DTC_POSTGRES_POOLS_DIFFER',
      problem,
      'Only the role that prepared a branch can complete it, in the same database, and both pools need one guard ' +
        'table: give them one configuration.',
    );
  }

  private async createGuardTable(signal: AbortSignal, { role }: Server): Promise<void> {
    const { name } = this.guard;
    const create = this.guard.create();
    const sql = `${create}; GRANT SELECT, INSERT, DELETE ON ${name} TO "${role}";`;
    if (!this.settings.createGuardTable) {
      throw this.failure('DTC_POSTGRES_GUARD_TABLE', `the table ${name} is missing`, `Run this: ${sql}`);
    }
    try {
      await this.connections.completion.run(signal, (client) =>
        client.query(`SELECT pg_advisory_xact_lock(${CREATION_LOCK}); ${create}`),
      );
      this.logger.log(
        `Created the table ${name}, in which "${this.participant}" records how its branches ended`,
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

  /** Warns of settings that make a commit less durable than its caller is told. */
  private warn(servers: readonly Server[]): void {
    if (servers.every(({ fsync }) => fsync !== 'off')) return;
    this.logger.warn(`The database of "${this.participant}" has fsync = off: it may lose commits in a crash`);
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

/** @returns an error with the reason that prevented the checks. */
export function unreachable(
  participant: string,
  startTimeoutMs: number,
  error: unknown,
): PostgresStartUpError {
  const message = messageOf(error);
  const code = codeOf(error);
  return new PostgresStartUpError(
    'DTC_POSTGRES_UNREACHABLE',
    participant,
    `it cannot be reached, or does not answer within ${startTimeoutMs} ms: ${message}` +
      (code === undefined || message.includes(code) ? '' : ` (${code})`),
    `${remedyOf(error) ?? 'Check the connection string, and that the server is up'}.`,
    { cause: error },
  );
}
