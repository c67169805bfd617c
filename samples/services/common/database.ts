import {
  Logger,
  type OnApplicationShutdown,
  type OnModuleInit,
  ServiceUnavailableException,
} from '@nestjs/common';
import { Pool, type QueryResultRow } from 'pg';

/** Two replicas that start at the same moment make the tables one after the other. */
const CREATION_LOCK = 7_001;

/** The database of one service, for reads. The participant has connections of its own for the work of transactions. */
export class Database implements OnModuleInit, OnApplicationShutdown {
  private readonly pool: Pool;

  /**
   * @param url of the database.
   * @param tables the SQL that creates missing tables and rows. It must not wait for a row: a branch in doubt may hold it, and
   * ends only when this service runs. A service of yours has migrations instead.
   */
  constructor(
    readonly url: string,
    private readonly tables: string,
  ) {
    this.pool = new Pool({
      connectionString: url,
      max: 4,
      connectionTimeoutMillis: 2_000,
      query_timeout: 2_000,
    });
    this.pool.on('error', ({ message }) =>
      new Logger(Database.name).warn(`A connection was lost: ${message}`),
    );
  }

  async onModuleInit(): Promise<void> {
    await this.pool.query(`BEGIN; SELECT pg_advisory_xact_lock(${CREATION_LOCK}); ${this.tables}; COMMIT`);
  }

  /** @returns the rows, as they are committed. @throws ServiceUnavailableException when the database does not give them. */
  async query<R extends QueryResultRow>(sql: string, values: readonly unknown[]): Promise<R[]> {
    try {
      return (await this.pool.query<R>(sql, [...values])).rows;
    } catch (cause) {
      throw new ServiceUnavailableException(`The database: ${(cause as Error).message}`, { cause });
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.pool.end();
  }
}
