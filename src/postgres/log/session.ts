import type { ClientConfig } from 'pg';
import { within } from '../../coordinator/within.js';
import { awaitReplicas } from '../connection/replication.js';
import { OwnClient, cut } from '../connection/own-client.js';
import { type TextRow, rowsOf } from '../connection/own-queries.js';
import { identify, sessionOf, SINCE, type ServerSession } from '../connection/server-session.js';

/** After this silence of a connection the operating system asks whether the other end is still there. */
const KEEP_ALIVE_AFTER_MS = 10_000;
/** How long a connection may take to say goodbye. */
const GOODBYE_MS = 1_000;
/**
 * The most sessions of lost connections that the next connection ends at the server. Older ones end by
 * themselves.
 */
const MAX_LEFT = 20;

/**
 * The settings on which the statements of the log rely, whatever the defaults of the role and the database
 * are.
 */
const SETTINGS = `
  SET default_transaction_isolation = 'read committed'; SET search_path = pg_catalog; SET bytea_output = 'hex';
  SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0`;

/** A statement was sent, and its result is not known. */
export class UnknownResultError extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(`What became of a write to the decision log is not known: ${reason}`, options);
    this.name = 'UnknownResultError';
  }
}

/** One session of the log at the server. */
export class LogSession {
  /** Set when the connection is lost or given up: the session then sends nothing more. */
  isLost = false;
  private warnings = 0;

  private constructor(
    private readonly client: OwnClient,
    private readonly statementMs: number,
  ) {
    client.on('error', () => this.lose());
    client.on('end', () => this.lose());
    // At the level of messages that is set below, the server sends no notice but warnings.
    client.on('notice', () => this.warnings++);
  }

  static async open(config: ClientConfig, connectMs: number, statementMs: number): Promise<LogSession> {
    const client = new OwnClient(config);
    const session = new LogSession(client, statementMs);
    try {
      const opening = async (): Promise<void> => {
        await client.connect();
        await awaitReplicas(client);
        await client.query(SETTINGS);
        await identify(client);
      };
      await within(connectMs, opening(), () => {
        throw new Error(`PostgreSQL has not answered within ${connectMs} ms`);
      });
      return session;
    } catch (error) {
      session.giveUp();
      throw error;
    }
  }

  /** The number of the session at the server. */
  get identity(): ServerSession | undefined {
    return sessionOf(this.client);
  }

  /**
   * Runs one statement, or several that are one transaction. If it is late, it is given up together with its
   * connection, and not cancelled: the server would report success for a cancelled write that was only
   * waiting for a standby.
   *
   * @param name the server keeps the parsed and planned statement under this name, as long as the connection
   * lasts.
   * @throws UnknownResultError when the result is not known: no answer, an error, or a warning.
   */
  async query<R extends TextRow>(text: string, values?: readonly unknown[], name?: string): Promise<R[]> {
    const before = this.warnings;
    let rows: R[];
    try {
      const { statementMs } = this;
      rows = await within(statementMs, rowsOf<R>(this.client, text, values, name), () => {
        throw new Error(`no answer within ${statementMs} ms`);
      });
    } catch (error) {
      this.giveUp();
      throw new UnknownResultError(error instanceof Error ? error.message : String(error), { cause: error });
    }
    if (this.warnings !== before) {
      throw new UnknownResultError(
        'the server has warned. Where the wait for a synchronous standby was cut short, look whether the standbys in ' +
          'synchronous_standby_names are up',
      );
    }
    return rows;
  }

  /** Runs several statements in one transaction. Any error rolls it back. */
  async transaction<T>(work: () => Promise<T>): Promise<T> {
    await this.query('BEGIN');
    let result: T;
    try {
      result = await work();
    } catch (error) {
      if (!this.isLost) await this.query('ROLLBACK');
      throw error;
    }
    await this.query('COMMIT');
    return result;
  }

  giveUp(): void {
    this.lose();
    cut(this.client);
    this.client.end().catch(() => {});
  }

  async close(): Promise<void> {
    if (this.isLost) return;
    this.isLost = true;
    await within(
      GOODBYE_MS,
      this.client.end().catch(() => {}),
      () => undefined,
    );
    cut(this.client);
  }

  private lose(): void {
    this.isLost = true;
  }
}

const END_LEFT = `
  SELECT pg_catalog.pg_terminate_backend(pid)::text FROM pg_catalog.pg_stat_activity
  WHERE pid OPERATOR(pg_catalog.=) $1::int AND ${SINCE} OPERATOR(pg_catalog.=) $2::text`;

/** How the log makes its connections. */
export interface LogConnectionSettings {
  readonly connectMs: number;
  readonly statementMs: number;
}

/**
 * One connection for one kind of work. Tasks wait for their turn, and a lost connection is replaced by a new
 * one.
 */
export class LogConnection {
  private session: LogSession | undefined;
  private tail: Promise<unknown> = Promise.resolve();
  private waiting = 0;
  /** Sessions of lost connections, which may still be at work at the server. */
  private readonly left: ServerSession[] = [];
  private isClosed = false;

  /**
   * @param opened is called on each new connection, before anything else.
   * @param limit the most tasks that wait for their turn.
   */
  constructor(
    private readonly config: ClientConfig,
    private readonly settings: LogConnectionSettings,
    private readonly opened: (session: LogSession) => Promise<void> = () => Promise.resolve(),
    private readonly limit = 10_000,
  ) {}

  /** Runs a task after those that came before it. */
  run<T>(task: (session: LogSession) => Promise<T>): Promise<T> {
    if (this.isClosed) return Promise.reject(new Error('The decision log is closed.'));
    if (this.waiting >= this.limit) {
      return Promise.reject(new Error(`${this.limit} tasks wait for the decision log already`));
    }
    this.waiting++;
    const turn = this.tail.then(async () => {
      this.waiting--;
      if (this.isClosed) throw new Error('The decision log is closed.');
      return task(await this.connected());
    });
    this.tail = turn.catch(() => {});
    return turn;
  }

  /**
   * Closes the connection, if there is one, after the task that is under way. The next task opens a new one.
   */
  async renew(): Promise<void> {
    await this.tail;
    const { session } = this;
    this.session = undefined;
    await session?.close();
  }

  /**
   * Refuses every further task, and those that wait for their turn.
   *
   * @returns a promise that resolves when the connection is closed.
   */
  async close(): Promise<void> {
    this.isClosed = true;
    await this.tail;
    await this.session?.close();
    this.session = undefined;
  }

  /**
   * As {@link close}, but it also gives up the task that is under way: that task only reads, and may take
   * long.
   */
  async closeAtOnce(): Promise<void> {
    this.isClosed = true;
    this.session?.giveUp();
    await this.close();
  }

  private async connected(): Promise<LogSession> {
    if (this.session !== undefined && !this.session.isLost) return this.session;
    const { identity } = this.session ?? {};
    if (identity !== undefined) this.left.push(identity);
    if (this.left.length > MAX_LEFT) this.left.shift();
    this.session = undefined;
    const { connectMs, statementMs } = this.settings;
    const session = await LogSession.open(this.config, connectMs, statementMs);
    this.session = session;
    try {
      if (this.isClosed) throw new Error('The decision log is closed.');
      // They may hold locks that the new connection needs.
      for (const { pid, since } of this.left.splice(0)) await session.query(END_LEFT, [pid, since]);
      await this.opened(session);
    } catch (error) {
      session.giveUp();
      throw error;
    }
    return session;
  }
}

/** @returns the configuration of a client of the log. */
export function clientConfigOf(connection: string | ClientConfig): ClientConfig {
  return {
    application_name: 'dtc log',
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    ...(typeof connection === 'string' ? { connectionString: connection } : connection),
  };
}
