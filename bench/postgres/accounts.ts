import type { PostgresServer, TestDatabase } from '../../test/support/postgres/server.js';
import { seededRandom } from '../framework/statistics.js';

/** Accounts in each of the three databases. */
export const COLD_ROWS = 100_000;
/** The number of accounts in use when many transactions want the same ones. */
export const HOT_ROWS = 10;

/** The work of each transaction in each of the three databases, for every contender. */
export const UPDATE = 'UPDATE accounts SET balance = balance + 1 WHERE id = $1';

/** How many accounts of each database are used. */
export type RowCounts = readonly [number, number, number];

/** One account in each database. */
export type Accounts = readonly [number, number, number];

/** @returns how many rows are in use, if this number of databases has few of them. */
export function rowCounts(hotDatabases: 0 | 1 | 3): RowCounts {
  const others = hotDatabases === 3 ? HOT_ROWS : COLD_ROWS;
  return [hotDatabases === 0 ? COLD_ROWS : HOT_ROWS, others, others];
}

/** @returns a function that draws the accounts of each transaction. The same seed gives the same accounts. */
export function accountsDrawn(seed: number, [first, second, third]: RowCounts): () => Accounts {
  const random = seededRandom(seed);
  const oneOf = (rows: number): number => 1 + Math.floor(random() * rows);
  return () => [oneOf(first), oneOf(second), oneOf(third)];
}

/** No database has this account, so a participant refuses it. */
export const NO_ACCOUNT = 0;

/**
 * @returns a function that draws an account that does not exist, in the first database, for a share of the
 * transactions.
 */
export function someRefused(draw: () => Accounts, seed: number, share: number): () => Accounts {
  if (share === 0) return draw;
  const random = seededRandom(seed + 1);
  return () => {
    const [first, second, third] = draw();
    return [random() < share ? NO_ACCOUNT : first, second, third];
  };
}

/** Three databases, each with the same accounts at zero. */
export async function openDatabases(server: PostgresServer): Promise<TestDatabase[]> {
  const databases: TestDatabase[] = [];
  for (let number = 0; number < 3; number++) {
    const database = await server.createDatabase();
    await database.query('CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)');
    await database.query('INSERT INTO accounts SELECT id, 0 FROM generate_series(1, $1) AS id', [COLD_ROWS]);
    await database.query('VACUUM ANALYZE accounts');
    databases.push(database);
  }
  return databases;
}

/**
 * Checks the data that all contenders have left.
 *
 * @param transactions how many were committed.
 * @throws Error when one of them did not change each database exactly once, or a branch is still prepared.
 */
export async function checkWhole(databases: readonly TestDatabase[], transactions: number): Promise<void> {
  for (const database of databases) {
    const { rows } = await database.query<{ sum: string }>('SELECT sum(balance) FROM accounts');
    const sum = Number(rows[0]!.sum);
    if (sum !== transactions) {
      throw new Error(
        `${database.name} has ${sum} updates of ${transactions} transactions that were committed`,
      );
    }
    const prepared = await database.prepared();
    if (prepared.length > 0) throw new Error(`branches are still prepared: ${prepared.join(', ')}`);
  }
}
