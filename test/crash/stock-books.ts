import { type MariaDbDatabase, MariaDbServer, hasMariaDb } from '../support/mariadb/server.js';

const PIECES = 100_000;

/** The contents of the database in MariaDB, read directly and not through the application. */
export class StockBooks {
  private constructor(
    readonly server: MariaDbServer,
    readonly database: MariaDbDatabase,
  ) {}

  /**
   * Starts a server with a database that has pieces under each name.
   *
   * @returns undefined where MariaDB is not installed.
   */
  static async open(names: readonly string[]): Promise<StockBooks | undefined> {
    if (!hasMariaDb()) return undefined;
    const server = await MariaDbServer.start();
    const database = await server.createDatabase();
    await database.query(
      'CREATE TABLE stock (name varchar(64) PRIMARY KEY, available int NOT NULL) ENGINE=InnoDB',
    );
    await database.query(
      'CREATE TABLE markers (transaction_id varchar(64) PRIMARY KEY, name varchar(64) UNIQUE) ENGINE=InnoDB',
    );
    await database.query('INSERT INTO stock VALUES ?', [names.map((name) => [name, PIECES])]);
    return new StockBooks(server, database);
  }

  /** @returns how many pieces are gone without a marker, or the other way round. */
  async missing(): Promise<number> {
    const [row] = await this.database.query<{ missing: string }>(
      `SELECT CAST((SELECT COUNT(*) * ${PIECES} - SUM(available) FROM stock) - (SELECT COUNT(*) FROM markers) AS CHAR) AS missing`,
    );
    return Number(row!.missing);
  }

  /** @returns the transaction of each transfer whose marker is there, by its key. */
  async markers(keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await this.database.query<{ name: string; id: string }>(
      'SELECT name, transaction_id AS id FROM markers WHERE name IN (?)',
      [keys.length > 0 ? keys : ['none']],
    );
    return new Map(rows.map(({ name, id }) => [name, id]));
  }

  /** @returns the branches that are prepared still. */
  async prepared(): Promise<string[]> {
    return (await this.server.prepared()).map(({ id }) => id);
  }
}
