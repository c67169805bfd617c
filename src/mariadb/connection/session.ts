import { randomUUID } from 'node:crypto';
import type { PoolConnection, QueryOptions, ResultSetHeader, RowDataPacket } from 'mysql2/promise';

/** The connection below its promises. A pool keeps it, and wraps it anew at each use. */
type Core = PoolConnection['connection'];

/** The sender of statements in a session: the work of branches, or the library alone. */
export type SessionUse = 'branches' | 'library';

/**
 * Settings that must not depend on the defaults of a server. Without autocommit no write of the library would
 * be committed, and with chained completions a session would be in a transaction after each one. `mysql2`
 * escapes values with backslashes.
 */
const SETTINGS =
  'SET autocommit = 1, completion_type = NO_CHAIN, ' +
  "sql_mode = CONCAT_WS(',', REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', ''), 'STRICT_ALL_TABLES')";

/**
 * The same for sessions without work of the application, which has its own wishes. A claim must see all
 * holders of its name; the purge may see no row before it is committed, and compares times; and the calls of
 * the library have limits of their own.
 */
const OWN_SETTINGS = [
  "SET autocommit = 1, completion_type = NO_CHAIN, sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00', " +
    'sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = 0, max_statement_time = 0',
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE',
];

/** The variables that the server does not set again in a reset. */
interface Origin {
  readonly role: string | null;
  /** The length of the SQL that the server runs in a new session only. */
  readonly init: string;
}

/**
 * One connection and its session at the server. The session takes a user lock with the name of its mark, so
 * that another session can find it, and end it, without knowing its number: the server gives numbers out
 * again after a restart.
 */
export class Session {
  /** Random, and known before the server has heard of it. */
  readonly mark = `dtc ${randomUUID()}`;
  private readonly lost = new AbortController();
  private current: PoolConnection;
  private origin: Origin | undefined;

  constructor(
    connection: PoolConnection,
    private readonly use: SessionUse,
  ) {
    this.current = connection;
    const core: Core = connection.connection;
    const lose = (): void => this.lost.abort(new Error('The connection is lost.'));
    // Without a listener an error would end the process.
    core.on('error', lose);
    core.on('end', lose);
  }

  /** As the pool has given it out last. */
  get connection(): PoolConnection {
    return this.current;
  }

  /** Aborted when the connection is lost. */
  get over(): AbortSignal {
    return this.lost.signal;
  }

  givenOutAs(connection: PoolConnection): void {
    this.current = connection;
  }

  /** Makes the settings of a new session, before its first use. */
  async settle(): Promise<void> {
    if (this.origin !== undefined) return;
    await this.set();
    this.origin = await this.readOrigin();
  }

  /** Makes the settings again after a reset. @returns whether the session is as a new one. */
  async settleAgain(): Promise<boolean> {
    await this.set();
    const { role, init } = await this.readOrigin();
    return init === '0' && role === this.origin?.role;
  }

  /** A statement without rows. @throws (as a rejection) the error of the server or the connection. */
  async run(sql: string, values: readonly unknown[] = []): Promise<ResultSetHeader> {
    const [result] = await this.current.query<ResultSetHeader>(own(sql, values));
    return result;
  }

  /**
   * Several statements without rows, in one round trip. The first that fails ends it; those before it have
   * run.
   */
  async runAll(statements: readonly string[]): Promise<void> {
    await this.run(`BEGIN NOT ATOMIC ${statements.map((one) => `${one};`).join(' ')} END`);
  }

  /** @returns the rows of a query. */
  async rows<R>(sql: string, values: readonly unknown[] = []): Promise<R[]> {
    const [rows] = await this.current.query<RowDataPacket[]>(own(sql, values));
    return rows as R[];
  }

  /** @returns the account of its user in SQL, for a command that an administrator runs. */
  async account(): Promise<string> {
    const [row] = await this.rows<{ account: string }>('SELECT CURRENT_USER() AS account');
    const { account } = row!;
    const at = account.lastIndexOf('@');
    return [account.slice(0, at), account.slice(at + 1)].map((part) => this.current.escape(part)).join('@');
  }

  private async set(): Promise<void> {
    if (this.use === 'branches') await this.run(SETTINGS);
    else for (const statement of OWN_SETTINGS) await this.run(statement);
  }

  private async readOrigin(): Promise<Origin> {
    const [origin] = await this.rows<Origin>(
      'SELECT CURRENT_ROLE() AS role, CAST(IFNULL(LENGTH(@@init_connect), 0) AS CHAR) AS init LIMIT 1',
    );
    return origin!;
  }
}

/** The choices of the application for its own queries do not change ours. */
function own(sql: string, values: readonly unknown[]): QueryOptions {
  return {
    sql,
    values: [...values],
    rowsAsArray: false,
    nestTables: false,
    namedPlaceholders: false,
    typeCast: true,
  };
}
