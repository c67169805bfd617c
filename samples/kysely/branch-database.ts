import { Kysely, PostgresDialect, type PostgresPoolClient } from 'kysely';
import type { ClientBase } from 'pg';

/**
 * Kysely within the transaction of a branch: it takes the client of the branch for a pool of one connection. Queries are
 * built and run as usual; `transaction()` is not to be used, as the transaction is open already.
 *
 * @typeParam DB the tables, as Kysely wants them described.
 */
export function databaseOf<DB>(client: ClientBase): Kysely<DB> {
  const pool = {
    connect: () => Promise.resolve(client as unknown as PostgresPoolClient),
    end: () => Promise.resolve(),
  };
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
}
