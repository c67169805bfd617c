import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import {
  type PostgresOptions,
  PostgresResourceManager,
  type PostgresSettings,
} from '../../../src/postgres/index.js';
import { openAccounts } from './bank.js';
import { PostgresServer, type TestDatabase } from './server.js';

export interface PostgresBenchOptions {
  /** Roles that may log in, besides the owner. @default none */
  readonly roles?: readonly string[];
  /** Accounts that each database has. @default none */
  readonly accounts?: readonly string[];
}

/** The parts of PostgreSQL that the tests of one file use. */
export interface PostgresBench {
  /** For all tests of the file. */
  readonly server: PostgresServer;
  /** For one test. */
  readonly database: TestDatabase;
  /** Makes a resource manager `bank`, as one process has it. It is closed after the test. */
  make(options?: PostgresSettings | PostgresOptions): PostgresResourceManager;
  /** Makes one whose branches come one after the other on the same connection, and starts it. */
  start(options?: PostgresSettings | PostgresOptions): Promise<PostgresResourceManager>;
  /** Those that the test has made by itself are closed after it as well. */
  closeLater(...managers: readonly PostgresResourceManager[]): void;
  /** Closes all of them now. */
  close(): Promise<void>;
}

/**
 * Sees that the tests of a file have a server, and each of them a database of its own. After a test its
 * resource managers are closed, and what they have left prepared is rolled back.
 */
export function usePostgres({ roles = [], accounts = [] }: PostgresBenchOptions = {}): PostgresBench {
  let server: PostgresServer | undefined;
  let database: TestDatabase | undefined;
  const managers: PostgresResourceManager[] = [];
  const bench: PostgresBench = {
    get server() {
      return there(server);
    },
    get database() {
      return there(database);
    },
    make(options = {}) {
      const place = 'connection' in options || 'pools' in options ? {} : { connection: bench.database.url };
      const manager = new PostgresResourceManager('bank', { ...place, ...options } as PostgresOptions);
      bench.closeLater(manager);
      return manager;
    },
    async start(options = {}) {
      const manager = bench.make({ workConnections: 1, ...options });
      await manager.start();
      return manager;
    },
    closeLater(...others) {
      managers.push(...others);
    },
    async close() {
      await Promise.all(managers.splice(0).map((manager) => manager.close()));
    },
  };

  beforeAll(async () => {
    server = await PostgresServer.start();
    for (const role of roles) await server.createRole(role);
  });
  afterAll(() => server?.stop());
  beforeEach(async () => {
    database = await bench.server.createDatabase();
    if (accounts.length > 0) await openAccounts(database, ...accounts);
  });
  afterEach(async () => {
    await bench.close();
    for (const gid of await bench.database.prepared())
      await bench.database.query(`ROLLBACK PREPARED '${gid}'`);
  });
  return bench;
}

function there<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('There is no server yet: it is started before the first test');
  return value;
}
