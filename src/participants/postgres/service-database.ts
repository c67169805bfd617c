import { HttpStatus, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { Pool, type PoolClient, type QueryResultRow } from 'pg';
import { ProblemException } from '../../operations/problem/problem.js';
import { closePool, watchPool } from '../../postgres/connection/close-pool.js';
import type { PostgresParticipantOptions } from '../../postgres/index.js';
import { schemaNotCreated } from './schema-not-created.js';

const READ_CONNECTIONS = 4;
/** How long an HTTP request waits for a connection, and for its answer. */
const READ_TIMEOUT_MS = 2_000;

/**
 * How long an order waits for a lock of another one. If two orders wait for each other in different
 * databases, which no database can detect, one must give up. Its customer is told to try again, so it should
 * be early.
 */
const LOCK_TIMEOUT_MS = 400;

/** Processes that start at the same moment create the tables one after the other. */
const CREATION_LOCK = 0x73_68_6f_70;

/** The tables of a service. */
export interface Schema {
  /** If this table exists, so do the others. */
  readonly table: string;
  /** Creates and fills the tables. */
  readonly statements: readonly { readonly text: string; readonly values?: readonly unknown[] }[];
}

/**
 * The database of one service, for everything outside transactions: reads over HTTP, and the tables. The
 * branches of transactions have connections of their own, so that reads do not delay a commit.
 */
export class ServiceDatabase implements OnApplicationShutdown {
  private readonly pool: Pool;

  /**
   * @param service its name in messages.
   * @param url its location: `postgres://user:password@host:port/database`.
   */
  constructor(
    private readonly service: string,
    private readonly url: string,
  ) {
    const logger = new Logger('PostgreSQL');
    this.pool = new Pool({
      connectionString: url,
      application_name: `shop ${service}`,
      max: READ_CONNECTIONS,
      connectionTimeoutMillis: READ_TIMEOUT_MS,
      query_timeout: READ_TIMEOUT_MS,
    });
    watchPool(this.pool, ({ message }) => logger.warn(`A connection of ${service} was lost: ${message}`));
  }

  /**
   * The options of the participant that works here. Orders that arrive at the same time share what they cost.
   */
  get participantOptions(): PostgresParticipantOptions {
    return { connection: this.url, lockTimeoutMs: LOCK_TIMEOUT_MS, grouped: true };
  }

  /**
   * @returns the rows, as they are committed.
   * @throws ProblemException 503 when the database does not answer. Errors that it answers are thrown
   * unchanged.
   */
  async query<R extends QueryResultRow>(sql: string, values: readonly unknown[]): Promise<R[]> {
    try {
      return (await this.pool.query<R>(sql, [...values])).rows;
    } catch (error) {
      throw isAnswer(error) ? error : this.unavailable(error);
    }
  }

  /**
   * Tries a statement, and undoes it.
   *
   * @param lockTimeoutMs how long it waits for locks of other transactions, prepared ones included.
   * @returns whether it would change any row.
   * @throws as {@link query}; 55P03 when the wait was too long.
   */
  async attempt(sql: string, values: readonly unknown[], lockTimeoutMs: number): Promise<boolean> {
    try {
      return await this.inTransaction(async (client) => {
        await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
        const { rowCount } = await client.query(sql, [...values]);
        await client.query('ROLLBACK');
        return rowCount !== 0;
      });
    } catch (error) {
      throw isAnswer(error) ? error : this.unavailable(error);
    }
  }

  /**
   * Creates the tables unless they exist. The role needs the right to do so only when they are missing.
   *
   * @throws PostgresStartUpError (`DTC_POSTGRES_SCHEMA`) with the remedy.
   */
  async createSchema({ table, statements }: Schema): Promise<void> {
    try {
      if (await this.hasTable(table)) return;
      await this.inTransaction(async (client) => {
        await client.query('SELECT pg_advisory_xact_lock($1)', [CREATION_LOCK]);
        if (!(await this.hasTable(table))) {
          for (const { text, values = [] } of statements) await client.query(text, [...values]);
        }
        await client.query('COMMIT');
      });
    } catch (error) {
      throw schemaNotCreated(this.service, this.url, error);
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await closePool(this.pool);
  }

  /**
   * @param task ends the transaction. If it throws, its connection is destroyed, and the transaction with it.
   */
  private async inTransaction<T>(task: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    let ended = false;
    try {
      await client.query('BEGIN');
      const result = await task(client);
      ended = true;
      return result;
    } finally {
      client.release(!ended);
    }
  }

  private async hasTable(table: string): Promise<boolean> {
    const [row] = await this.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [
      table,
    ]);
    return row?.found === true;
  }

  private unavailable(cause: unknown): ProblemException {
    const problem = new ProblemException({
      status: HttpStatus.SERVICE_UNAVAILABLE,
      code: 'DTC_PARTICIPANT_FAILED',
      detail: `The database of ${this.service} does not answer. Ask again later.`,
      participant: this.service,
    });
    problem.cause = cause;
    return problem;
  }
}

/**
 * Whether the server has answered this, with a code of five characters. The end of a session is not an
 * answer.
 */
function isAnswer(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^(08|53|57)/.test(code);
}
