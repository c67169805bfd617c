import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitRecord } from '../../src/coordinator/index.js';
import { readBody } from '../../src/coordinator/log/record-body.js';
import { COMMITS } from '../../src/coordinator/log/record-shapes.js';
import { LogFiles } from '../../src/sqlite/log-files.js';
import { openStored } from '../../src/sqlite/stored-log.js';
import type { PostgresServer, TestDatabase } from '../support/postgres/server.js';
import { NAME } from './application/application.module.js';
import { StockBooks } from './stock-books.js';

const ACCOUNTS = 20;
const BALANCE = 1_000;
/** Within the last page of the last write. */
const TORN_BYTES = 100;
/** The format of a write-ahead log of SQLite: https://www.sqlite.org/fileformat2.html#the_write_ahead_log */
const WAL = { headerBytes: 32, saltAt: 16, saltBytes: 8, frameSaltAt: 8, frameBytes: 24 + 4_096 };

/** Prepared all the time, and none of the coordinator's business: other names, or ids that are none. */
const FOREIGN = [
  `${NAME}-2.1.1/payer/payer`,
  `${NAME}er.1.1/payer/payer`,
  `${NAME}.-1.1/payer/payer`,
  `${NAME}.1.1`,
  'shop.1.1/payer/payer',
];

/** The accounts of one side, by number. */
export function accountOf(number: number): string {
  return `account-${number % ACCOUNTS}`;
}

/** The contents of the databases and the log, read directly and not through the application. */
export class Books {
  private constructor(
    private readonly server: PostgresServer,
    readonly databases: readonly [TestDatabase, TestDatabase, TestDatabase],
    /** Undefined where MariaDB is not installed: then transfers have three branches. */
    readonly stock: StockBooks | undefined,
  ) {}

  /** Makes the three databases, with money in each. */
  static async open(server: PostgresServer): Promise<Books> {
    const [payers, payees, house] = [
      await server.createDatabase(),
      await server.createDatabase(),
      await server.createDatabase(),
    ];
    const names = Array.from({ length: ACCOUNTS }, (_, number) => accountOf(number));
    for (const database of [payers, payees, house]) {
      await database.query(`
        CREATE TABLE accounts (name text PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0));
        CREATE TABLE markers (transaction_id text PRIMARY KEY, key text UNIQUE, amount int NOT NULL);
        CREATE TABLE delivered (number serial PRIMARY KEY, transfer text NOT NULL);
        CREATE TABLE decisions (branch text PRIMARY KEY, outcome text NOT NULL);
        CREATE TABLE holds (branch text PRIMARY KEY, transaction_id text NOT NULL, branch_id text NOT NULL)`);
      await database.query('INSERT INTO accounts SELECT unnest($1::text[]), $2', [names, BALANCE]);
    }
    for (const gid of FOREIGN) {
      await payers.query(
        `BEGIN; INSERT INTO markers VALUES ('foreign ${gid}', 'foreign ${gid}', 0); PREPARE TRANSACTION '${gid}'`,
      );
    }
    return new Books(server, [payers, payees, house], await StockBooks.open(names));
  }

  /** The total at the start, which must never change. */
  readonly money = 3 * ACCOUNTS * BALANCE;

  /** @returns the money in the three databases. */
  async total(): Promise<number> {
    let total = 0;
    for (const database of this.databases) {
      const { rows } = await database.query<{ sum: number }>('SELECT sum(balance)::int AS sum FROM accounts');
      total += rows[0]!.sum;
    }
    return total;
  }

  /** @returns the transaction of each transfer whose marker is there, by its key, in each database. */
  async markers(keys: readonly string[]): Promise<ReadonlyMap<string, string>[]> {
    const ofStock = this.stock === undefined ? [] : [await this.stock.markers(keys)];
    const others = await Promise.all(
      this.databases.map(async (database) => {
        const { rows } = await database.query<{ key: string; id: string }>(
          'SELECT key, transaction_id AS id FROM markers WHERE key = ANY ($1)',
          [keys],
        );
        return new Map(rows.map(({ key, id }) => [key, id]));
      }),
    );
    return [...others, ...ofStock];
  }

  /**
   * @returns the transfers of which a message was received, in the order of the first time, and those whose
   * message waits still.
   */
  async messages(
    keys: readonly string[],
  ): Promise<{ readonly received: string[]; readonly waiting: number }> {
    const payees = this.databases[1];
    const { rows } = await payees.query<{ transfer: string }>(
      'SELECT transfer FROM delivered WHERE transfer = ANY ($1) GROUP BY transfer ORDER BY min(number)',
      [keys],
    );
    const { rows: left } = await payees.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM dtc_outbox WHERE sent_at IS NULL',
    );
    return { received: rows.map(({ transfer }) => transfer), waiting: left[0]!.count };
  }

  /** @returns the transfers that have written a message, in the order of their positions. */
  async written(keys: readonly string[]): Promise<string[]> {
    const { rows } = await this.databases[1].query<{ transfer: string }>(
      "SELECT payload::json ->> 'transfer' AS transfer FROM dtc_outbox WHERE payload::json ->> 'transfer' = ANY ($1) ORDER BY position",
      [keys],
    );
    return rows.map(({ transfer }) => transfer);
  }

  /** @returns in how many databases of the banks each of these transactions has left its marker. */
  async markersOf(ids: readonly string[]): Promise<number[]> {
    const counts = new Map<string, number>();
    for (const database of this.databases) {
      const { rows } = await database.query<{ id: string }>(
        'SELECT transaction_id AS id FROM markers WHERE transaction_id = ANY ($1)',
        [ids],
      );
      for (const { id } of rows) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    return ids.map((id) => counts.get(id) ?? 0);
  }

  /** @returns the branches of the coordinator that are prepared still, and the sessions of earlier runs. */
  async unfinished(run: string): Promise<{ readonly prepared: string[]; readonly sessions: number }> {
    const { rows } = await this.server.query<{ prepared: string[]; sessions: number }>(
      'postgres',
      `SELECT ARRAY(SELECT gid FROM pg_prepared_xacts WHERE gid LIKE '${NAME}.%') AS prepared,
        (SELECT count(*)::int FROM pg_stat_activity
          WHERE application_name LIKE 'run %' AND application_name <> $1) AS sessions`,
      [run],
    );
    const { prepared, sessions } = rows[0]!;
    const ofStock = (await this.stock?.prepared()) ?? [];
    const { rows: holds } = await this.databases[2].query<{ branch: string }>('SELECT branch FROM holds');
    const held = holds.map(({ branch }) => `the hold of ${branch}`);
    return {
      prepared: [...prepared.filter((gid) => !FOREIGN.includes(gid)), ...ofStock, ...held],
      sessions,
    };
  }

  /** @returns those of the foreign branches that are not there any more. */
  async touched(): Promise<string[]> {
    const prepared = await this.databases[0].prepared();
    return FOREIGN.filter((gid) => !prepared.includes(gid));
  }
}

/**
 * @returns the keys that a log holds besides its starts: open decisions, and reports that were not forgotten.
 * It is read from a copy, since the application holds it; one that was made in the middle of a write holds
 * something.
 */
export function openRecords(logPath: string): string[] {
  const keys: string[] = [];
  try {
    readCopy(logPath, (key) => keys.push(key));
    return keys.filter((key) => !key.startsWith('start/'));
  } catch (error) {
    return [`the log as it was copied: ${String(error)}`];
  }
}

/**
 * @returns the ids of the members of each group whose decision a log holds, while no application has it open.
 */
export function groupsIn(logPath: string): string[][] {
  const groups: string[][] = [];
  readCopy(logPath, (key, body) => {
    if (!key.startsWith(COMMITS)) return;
    const { members } = readBody(key, body) as CommitRecord;
    if (members !== undefined) groups.push(members.map(({ id }) => id));
  });
  return groups;
}

/**
 * Destroys the end of the record of a group in a log, and what was written later, as a crash does in the
 * middle of that write: then the tail of the log, which is written after the flush, is not yet as far either.
 */
export function tearGroupRecord(logPath: string): void {
  const { wal, tail } = new LogFiles(join(logPath, NAME));
  rmSync(tail, { force: true });
  const bytes = readFileSync(wal);
  const salt = bytes.subarray(WAL.saltAt, WAL.saltAt + WAL.saltBytes);
  // Behind the last write there may be frames of an earlier round, which has another salt.
  let end = WAL.headerBytes;
  while (bytes.subarray(end + WAL.frameSaltAt, end + WAL.frameSaltAt + WAL.saltBytes).equals(salt))
    end += WAL.frameBytes;
  for (; end > WAL.headerBytes && groupsIn(logPath).length > 0; end -= WAL.frameBytes)
    writeFileSync(wal, bytes.fill(0, end - TORN_BYTES));
}

function readCopy(logPath: string, found: (key: string, body: Buffer) => void): void {
  const folder = join(logPath, NAME);
  if (!existsSync(join(folder, 'claimed'))) return;
  const copy = mkdtempSync(join(tmpdir(), 'log-copy-'));
  try {
    for (const name of readdirSync(folder)) {
      if (name.startsWith('decisions') || name === 'claimed')
        copyFileSync(join(folder, name), join(copy, name));
    }
    const files = new LogFiles(copy);
    const { database, lock } = openStored(files, found);
    files.closeUnchanged(() => database.close());
    lock.release();
  } finally {
    rmSync(copy, { recursive: true });
  }
}
