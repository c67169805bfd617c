import { AsyncLocalStorage } from 'node:async_hooks';
import { drizzle } from 'drizzle-orm/mysql2';
import createKnex, { type Knex } from 'knex';
import { Kysely, MysqlDialect, type MysqlPoolConnection } from 'kysely';
import mysql from 'mysql2';
import type { Connection } from 'mysql2/promise';
import type { DataSource, QueryRunner } from 'typeorm';

/** Drizzle in the transaction of a branch. */
export function drizzleOf(connection: Connection) {
  return drizzle({ client: connection });
}

/** Knex without a pool: give each query the connection of its branch, as `knex('stock').connection(connection)`. */
export const knex: Knex = createKnex({ client: 'mysql2' });

/** Kysely in the transaction of a branch: a pool that has no connection but that of the branch. */
export function kyselyOf<DB>(connection: Connection): Kysely<DB> {
  const one = connection as unknown as MysqlPoolConnection;
  const dialect = new MysqlDialect({
    pool: { getConnection: (given) => given(undefined, one), end: (ended) => ended(undefined) },
  });
  return new Kysely<DB>({ dialect });
}

const connectionOfBranch = new AsyncLocalStorage<Connection>();

/** The option `driver` of a data source of TypeORM: a query runner that connects for a branch gets its connection. */
export const typeOrmDriver = {
  ...mysql,
  createPool: (options: mysql.PoolOptions): mysql.Pool => {
    const pool = mysql.createPool(options);
    const connect = pool.getConnection.bind(pool);
    pool.getConnection = (given) => {
      const connection = connectionOfBranch.getStore();
      if (connection === undefined) return connect(given);
      const lent = { promise: () => connection, listeners: () => [connection], release: () => {} };
      given(null, lent as unknown as mysql.PoolConnection);
    };
    return pool;
  },
};

/** A query runner in the transaction of a branch. Its release leaves the connection to the branch. */
export async function queryRunnerOf(dataSource: DataSource, connection: Connection): Promise<QueryRunner> {
  const runner = dataSource.createQueryRunner();
  await connectionOfBranch.run(connection, () => runner.connect());
  return runner;
}
