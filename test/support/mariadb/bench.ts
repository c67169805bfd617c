import type { Connection, ResultSetHeader } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { Branch, Vote } from '../../../src/coordinator/index.js';
import { refuse } from '../../../src/coordinator/index.js';
import {
  type MariaDbOptions,
  MariaDbResourceManager,
  type MariaDbSettings,
} from '../../../src/mariadb/index.js';
import { type MariaDbDatabase, MariaDbServer } from './server.js';

/** The parts of MariaDB that the tests of one file use. */
export interface MariaDbBench {
  /** For all tests of the file. */
  readonly server: MariaDbServer;
  /** For one test. */
  readonly database: MariaDbDatabase;
  /** Makes a resource manager `bank`, as one process has it. It is closed after the test. */
  make(options?: MariaDbSettings | MariaDbOptions): MariaDbResourceManager;
  /** Makes one and starts it. */
  start(options?: MariaDbSettings | MariaDbOptions): Promise<MariaDbResourceManager>;
  /** Closes all of them now. */
  close(): Promise<void>;
}

/**
 * Sees that the tests of a file have a server, and each of them a database of its own with the given
 * accounts. After a test its resource managers are closed, and what they have left prepared is rolled back.
 */
export function useMariaDb(
  accounts: readonly string[] = ['ann', 'bob'],
  settings: Readonly<Record<string, string | number>> = {},
): MariaDbBench {
  let server: MariaDbServer | undefined;
  let database: MariaDbDatabase | undefined;
  const managers: MariaDbResourceManager[] = [];
  const bench: MariaDbBench = {
    get server() {
      return there(server);
    },
    get database() {
      return there(database);
    },
    make(options = {}) {
      const place = 'connection' in options ? {} : { connection: bench.database.url };
      const manager = new MariaDbResourceManager('bank', { ...place, ...options } as MariaDbOptions);
      managers.push(manager);
      return manager;
    },
    async start(options = {}) {
      const manager = bench.make(options);
      await manager.start();
      return manager;
    },
    async close() {
      await Promise.all(managers.splice(0).map((manager) => manager.close()));
    },
  };
  beforeAll(async () => {
    server = await MariaDbServer.start(settings);
  });
  afterAll(() => server?.stop());
  beforeEach(async () => {
    database = await bench.server.createDatabase();
    await openAccounts(database, ...accounts);
  });
  afterEach(async () => {
    await bench.close();
    await bench.server.rollBackAll();
  });
  return bench;
}

/** Sees that the tests of a file have a server, and one database together. */
export function useMariaDbServer(): { readonly server: MariaDbServer; readonly database: MariaDbDatabase } {
  let server: MariaDbServer | undefined;
  let database: MariaDbDatabase | undefined;
  beforeAll(async () => {
    server = await MariaDbServer.start();
    database = await server.createDatabase();
  });
  afterAll(() => server?.stop());
  return {
    get server() {
      return there(server);
    },
    get database() {
      return there(database);
    },
  };
}

/** Makes the table of a bank. @param names each gets 100. */
export async function openAccounts(database: MariaDbDatabase, ...names: string[]): Promise<void> {
  await database.query(
    'CREATE TABLE accounts (name varchar(64) PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0)) ENGINE=InnoDB',
  );
  if (names.length === 0) return;
  await database.query('INSERT INTO accounts VALUES ?', [names.map((name) => [name, 100])]);
}

export async function balanceOf(database: MariaDbDatabase, account: string): Promise<number | undefined> {
  const [row] = await database.query<{ balance: number }>('SELECT balance FROM accounts WHERE name = ?', [
    account,
  ]);
  return row?.balance;
}

/** The row of a branch in the guard table: how it ended. */
export async function endOf(database: MariaDbDatabase, gid: string): Promise<string | undefined> {
  const [row] = await database.query<{ state: string }>('SELECT state FROM dtc_branches WHERE gid = ?', [
    gid,
  ]);
  return row?.state;
}

/** Work that changes one account. */
export function posting(account: string, amount: number) {
  return async (connection: Connection, _branch?: Branch): Promise<Vote> => {
    const [{ affectedRows }] = await connection.query<ResultSetHeader>(
      'UPDATE accounts SET balance = balance + ? WHERE name = ? AND balance + ? >= 0',
      [amount, account, amount],
    );
    return affectedRows === 1 ? 'commit' : refuse('NO_FUNDS', 'there is not enough in the account');
  };
}

/** The global id of a branch of the bank. */
export function gidOf({ transactionId, branchId }: Pick<Branch, 'transactionId' | 'branchId'>): string {
  return `${transactionId}/bank/${branchId}`;
}

function there<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('There is no server yet: it is started before the first test');
  return value;
}
