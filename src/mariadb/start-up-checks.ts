import { randomUUID } from 'node:crypto';
import type { Logger } from '@nestjs/common';
import { messageOf } from '../coordinator/gate/texts.js';
import type { ConnectionPools } from './connection/connection-pools.js';
import type { Session } from './connection/session.js';
import { errnoOf, isDenied, remedyOf } from './errno.js';
import { MariaDbStartUpError } from './errors.js';
import { faultOf, shapeOf } from './guard/table-check.js';
import type { GuardTable } from './guard/table.js';
import type { ResolvedMariaDbSettings } from './options.js';

/** From here on the server keeps a prepared branch whose session ends, and any session may end it. */
const OLDEST_VERSION = [10, 5] as const;

/** Needed privileges on the guard table. */
const PRIVILEGES = 'SELECT, INSERT, DELETE';

/** The variables of the server that matter. One that a server does not know is left out. */
interface Variables {
  readonly version?: string;
  readonly read_only?: string;
  readonly wsrep_on?: string;
  readonly innodb_flush_log_at_trx_commit?: string;
  readonly log_bin?: string;
  readonly binlog_format?: string;
  readonly sync_binlog?: string;
}
const NAMES: readonly (keyof Variables)[] = [
  'version',
  'read_only',
  'wsrep_on',
  'innodb_flush_log_at_trx_commit',
  'log_bin',
  'binlog_format',
  'sync_binlog',
];

/** The findings of the checks. */
export interface ServerFacts {
  /** The database of a new session. */
  readonly database: string;
}

/**
 * Checks that a database fits two-phase commit, and creates the guard table.
 *
 * @throws MariaDbStartUpError with the remedy.
 */
export class StartUpChecks {
  constructor(
    private readonly participant: string,
    private readonly connections: ConnectionPools,
    private readonly guard: GuardTable,
    private readonly settings: ResolvedMariaDbSettings,
    private readonly logger: Logger,
  ) {}

  /** @returns the facts that branches need. From then on the guard table has its database. */
  async run(): Promise<ServerFacts> {
    const { startTimeoutMs } = this.settings;
    const signal = AbortSignal.timeout(startTimeoutMs);
    try {
      return await this.connections.completion.run(signal, async (session) => {
        await this.checkServer(session);
        const database = await this.databaseOf(session);
        this.guard.resolveTo(database);
        await this.checkGuardTable(session, database);
        return { database };
      });
    } catch (error) {
      throw error instanceof MariaDbStartUpError
        ? error
        : unreachable(this.participant, startTimeoutMs, error);
    }
  }

  private async checkServer(session: Session): Promise<void> {
    const rows = await session.rows<{ Variable_name: keyof Variables; Value: string }>(
      'SHOW GLOBAL VARIABLES WHERE Variable_name IN (?)',
      [NAMES],
    );
    const variables: Variables = Object.fromEntries(rows.map((row) => [row.Variable_name, row.Value]));
    this.checkVersion(variables.version ?? '');
    if (variables.read_only === 'ON') {
      throw this.failure(
        'DTC_MARIADB_READ_ONLY',
        'the server is a replica, or accepts no writes (read_only)',
        'Connect to the primary, or run this as an administrator: SET GLOBAL read_only = OFF;',
      );
    }
    if (variables.wsrep_on === 'ON') {
      throw this.failure(
        'DTC_MARIADB_XA_UNSUPPORTED',
        'the server is a member of a Galera cluster, which has no XA transactions',
        'Use a server that replicates otherwise, or keep these data out of distributed transactions.',
      );
    }
    if (variables.log_bin === 'ON' && variables.binlog_format === 'STATEMENT') {
      throw this.failure(
        'DTC_MARIADB_XA_UNSUPPORTED',
        'the server writes statements to its binary log (binlog_format = STATEMENT), and refuses changes at READ COMMITTED then',
        'Run this as an administrator, and set it in the configuration of the server: SET GLOBAL binlog_format = MIXED;',
      );
    }
    try {
      await session.rows('XA RECOVER');
    } catch (error) {
      if (!isDenied(error)) throw error;
      throw this.failure(
        'DTC_MARIADB_PRIVILEGES',
        `its user may not list prepared branches (${errnoOf(error) ?? String(error)})`,
        'Grant it what XA RECOVER needs on this server.',
        error,
      );
    }
    this.warn(variables);
  }

  private checkVersion(version: string): void {
    const [, major = '0', minor = '0'] = /(\d+)\.(\d+)\./.exec(version) ?? [];
    const isMariaDb = /mariadb/i.test(version);
    const isOld =
      Number(major) < OLDEST_VERSION[0] ||
      (Number(major) === OLDEST_VERSION[0] && Number(minor) < OLDEST_VERSION[1]);
    if (isMariaDb && !isOld) return;
    const needed = `MariaDB ${OLDEST_VERSION.join('.')} or later`;
    if (isMariaDb) {
      throw this.failure('DTC_MARIADB_VERSION', `its version is ${version}`, `Use ${needed}.`);
    }
    throw this.failure(
      'DTC_MARIADB_VERSION',
      `the server is ${version || 'of an unknown version'}, which is not MariaDB. MySQL ends and limits branches by other rules, and has ` +
        'not been run with this library',
      `Use ${needed}, or leave the data of this server out of distributed transactions. docs/mariadb.md lists the differences.`,
    );
  }

  private async databaseOf(session: Session): Promise<string> {
    const [row] = await session.rows<{ name: string | null }>('SELECT DATABASE() AS name');
    if (row !== undefined && row.name !== null) return row.name;
    throw this.failure(
      'DTC_MARIADB_NO_DATABASE',
      'its connection names no database',
      'Add the name of the database to the URL, or the option `database` to the configuration.',
    );
  }

  private async checkGuardTable(session: Session, current: string): Promise<void> {
    const [first = '', second] = this.guard.name.split('.');
    const [database, table] = second === undefined ? [current, first] : [first, second];
    let shape = await shapeOf(session, database, table);
    if (shape === undefined) {
      await this.createGuardTable(session);
      shape = await shapeOf(session, database, table);
    }
    const { table: name } = this.guard;
    const fault = shape && faultOf(name, shape);
    if (fault) throw this.failure('DTC_MARIADB_GUARD_TABLE', fault.problem, fault.remedy);
    await this.checkPrivileges(session);
  }

  /** A user sees a table on which it has any privilege, so each is tried. Nothing of it stays. */
  private async checkPrivileges(session: Session): Promise<void> {
    const { table } = this.guard;
    const gid = `check ${randomUUID()}`;
    await session.run('START TRANSACTION');
    try {
      await session.run(`INSERT INTO ${table} (gid, state) VALUES (?, 'rolled-back')`, [gid]);
      await session.rows(`SELECT state FROM ${table} WHERE gid = ? LOCK IN SHARE MODE`, [gid]);
      await session.run(`DELETE FROM ${table} WHERE gid = ?`, [gid]);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      if (!isDenied(error)) {
        throw this.failure(
          'DTC_MARIADB_GUARD_TABLE',
          `the table ${table} cannot be written: ${messageOf(error)} (${errno})`,
          'Make it writable, and start again.',
          error,
        );
      }
      throw this.failure(
        'DTC_MARIADB_PRIVILEGES',
        `its user may not use the table ${table} (${errno})`,
        `Run this as an administrator: GRANT ${PRIVILEGES} ON ${table} TO ${await session.account()};`,
        error,
      );
    } finally {
      // Without its connection the server has rolled it back.
      if (!session.over.aborted) await session.run('ROLLBACK');
    }
  }

  private async createGuardTable(session: Session): Promise<void> {
    const { table } = this.guard;
    const sql = `${this.guard.create()}; GRANT ${PRIVILEGES} ON ${table} TO ${await session.account()};`;
    if (!this.settings.createGuardTable) {
      throw this.failure('DTC_MARIADB_GUARD_TABLE', `the table ${table} is missing`, `Run this: ${sql}`);
    }
    try {
      await session.run(this.guard.create());
    } catch (error) {
      throw this.failure(
        'DTC_MARIADB_GUARD_TABLE',
        `the table ${table} is missing, and its user could not create it (${errnoOf(error) ?? String(error)})`,
        `Run this as a user that may: ${sql}`,
        error,
      );
    }
    this.logger.log(
      `Created the table ${table}, in which "${this.participant}" records how its branches ended`,
    );
  }

  /** Warns of settings that make a commit less durable than its caller is told. */
  private warn(variables: Variables): void {
    const weak = [
      // With 3 the server flushes at the same moment, and once more.
      ...(['1', '3'].includes(variables.innodb_flush_log_at_trx_commit ?? '')
        ? []
        : [`innodb_flush_log_at_trx_commit = ${variables.innodb_flush_log_at_trx_commit}`]),
      ...(variables.log_bin === 'ON' && variables.sync_binlog !== '1'
        ? [`sync_binlog = ${variables.sync_binlog}`]
        : []),
    ];
    if (weak.length === 0) return;
    this.logger.warn(
      `The database of "${this.participant}" has ${weak.join(' and ')}: it may lose commits and prepared branches in a crash`,
    );
  }

  private failure(
    code: MariaDbStartUpError['code'],
    problem: string,
    remedy: string,
    cause?: unknown,
  ): MariaDbStartUpError {
    return new MariaDbStartUpError(code, this.participant, problem, remedy, { cause });
  }
}

/** @returns an error with the reason that prevented the checks. */
export function unreachable(
  participant: string,
  startTimeoutMs: number,
  error: unknown,
): MariaDbStartUpError {
  const errno = errnoOf(error);
  return new MariaDbStartUpError(
    'DTC_MARIADB_UNREACHABLE',
    participant,
    `it cannot be reached, or does not answer within ${startTimeoutMs} ms: ${messageOf(error)}` +
      (errno === undefined ? '' : ` (${errno})`),
    `${remedyOf(error) ?? 'Check the connection, and that the server is up'}.`,
    { cause: error },
  );
}
