import type { PostgresServer, TestDatabase } from '../support/postgres/server.js';
import { COORDINATOR, PARTICIPANTS, type ParticipantName, PRICE } from './messages.js';

/** Items and accounts, by number from 0. */
export const ITEMS = 200;
const AMOUNT = 1_000_000;
/** The one to which the last of them may pay. */
const ACCOUNTS_BESIDE_IT = 1;

/** The contents of the databases of the services, read directly and not through the members. */
export class Books {
  private constructor(
    readonly server: PostgresServer,
    readonly databases: Readonly<Record<ParticipantName, TestDatabase>>,
    private readonly rows: number,
  ) {}

  /**
   * Makes the three databases, with stock and money.
   *
   * @param items how many items, and how many accounts, orders are about.
   */
  static async open(server: PostgresServer, items: number = ITEMS): Promise<Books> {
    const rows = items + ACCOUNTS_BESIDE_IT;
    const [stock, payment, shipping] = [
      await server.createDatabase(),
      await server.createDatabase(),
      await server.createDatabase(),
    ];
    for (const [database, amount] of [
      [stock, AMOUNT],
      [payment, AMOUNT],
      [shipping, 0],
    ] as const) {
      await database.query(`
        CREATE TABLE amounts (id int PRIMARY KEY, amount int NOT NULL CHECK (amount >= 0));
        CREATE TABLE markers (transaction_id text PRIMARY KEY, key text NOT NULL, amount int NOT NULL)`);
      await database.query('INSERT INTO amounts SELECT id, $1 FROM generate_series(0, $2) AS id', [
        amount,
        rows - 1,
      ]);
    }
    return new Books(server, { stock, payment, shipping }, rows);
  }

  /** @returns the sums that are wrong. */
  async faults(): Promise<string[]> {
    const wrong: string[] = [];
    const all = this.rows * AMOUNT;
    const sums = await Promise.all(
      PARTICIPANTS.map(async (name) => {
        const { rows } = await this.databases[name].query<{ amounts: number; markers: number }>(
          `SELECT (SELECT sum(amount)::float8 FROM amounts) AS amounts,
            (SELECT coalesce(sum(amount), 0)::float8 FROM markers) AS markers`,
        );
        return rows[0]!;
      }),
    );
    const [stock, payment, shipping] = sums as [Sums, Sums, Sums];
    const said = JSON.stringify({ stock, payment, shipping });
    if (stock.amounts + stock.markers !== all) wrong.push(`stock does not add up: ${said}`);
    if (payment.amounts + payment.markers !== all) wrong.push(`money does not add up: ${said}`);
    if (shipping.amounts !== stock.markers) wrong.push(`not everything taken was shipped: ${said}`);
    if (payment.markers !== stock.markers * PRICE) wrong.push(`not everything taken was paid: ${said}`);
    return wrong;
  }

  /** @returns the transactions that have changed each database, by the key of their order. */
  async markers(keys: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>[]> {
    return Promise.all(
      PARTICIPANTS.map(async (name) => {
        const { rows } = await this.databases[name].query<{ key: string; ids: string[] }>(
          'SELECT key, array_agg(transaction_id) AS ids FROM markers WHERE key = ANY ($1) GROUP BY key',
          [keys],
        );
        return new Map(rows.map(({ key, ids }) => [key, ids]));
      }),
    );
  }

  /** @returns the branches of the coordinator that are prepared. */
  async prepared(): Promise<string[]> {
    const { rows } = await this.server.query<{ gid: string }>(
      'postgres',
      'SELECT gid FROM pg_prepared_xacts WHERE starts_with(gid, $1)',
      [`${COORDINATOR}.`],
    );
    return rows.map(({ gid }) => gid);
  }

  /** @returns how many sessions there are of runs of members that are over. */
  async sessionsBesides(runs: readonly string[]): Promise<number> {
    const { rows } = await this.server.query<{ count: number }>(
      'postgres',
      `SELECT count(*)::int AS count FROM pg_stat_activity
       WHERE application_name LIKE 'member %' AND application_name <> ALL ($1)`,
      [runs],
    );
    return rows[0]!.count;
  }
}

interface Sums {
  readonly amounts: number;
  readonly markers: number;
}
