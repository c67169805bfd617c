import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { PostgresServer, type TestDatabase } from './postgres/server.js';

/** Where the services of an application keep what is theirs. */
export interface Storage {
  readonly name: string;
  /**
   * Whether what an open transaction holds can be seen by others. In PostgreSQL it is locked, and invisible.
   */
  readonly showsHoldings: boolean;
  /** Makes room for the services of one application: everything as it is at the first start. */
  open(): Promise<Room>;
}

/** The storage of one application. Another one that starts in it finds what was left there. */
export interface Room {
  /** The environment by which an application uses it. */
  readonly environment: NodeJS.ProcessEnv;
  /** In the order order, inventory, payment; none in memory. */
  readonly databases: readonly TestDatabase[];
  /** Removes it. */
  remove(): Promise<void>;
}

const memory: Storage = {
  name: 'in memory',
  showsHoldings: true,
  open: () => Promise.resolve({ environment: {}, databases: [], remove: () => Promise.resolve() }),
};

type Databases = readonly [TestDatabase, TestDatabase, TestDatabase];

/**
 * Databases on a server of its own, which is started when the first one is wanted, and stopped after the last
 * test of the file that calls this.
 */
export function inPostgres(): Storage {
  let server: Promise<PostgresServer> | undefined;
  /** No longer used. Creating new ones takes longer than most tests. */
  const emptied: Databases[] = [];
  afterAll(async () => {
    await (await server)?.stop();
  });
  return {
    name: 'in PostgreSQL',
    showsHoldings: false,
    open: async () => {
      // As many as the server has that the application brings.
      server ??= PostgresServer.start({ max_prepared_transactions: 900 });
      const databases = emptied.pop() ?? (await createDatabases(await server));
      const [order, inventory, payment] = databases;
      const folder = await mkdtemp(join(tmpdir(), 'decisions-'));
      return {
        databases,
        environment: {
          ORDER_DATABASE_URL: order.url,
          INVENTORY_DATABASE_URL: inventory.url,
          PAYMENT_DATABASE_URL: payment.url,
          DECISION_LOG_PATH: folder,
          // Far more than a real database takes, on a slow machine with other work.
          DTC_TIMEOUT_MS: '20000',
          DTC_PREPARE_TIMEOUT_MS: '10000',
          DTC_COMPLETION_TIMEOUT_MS: '5000',
        },
        remove: async () => {
          await rm(folder, { recursive: true, force: true });
          await Promise.all(databases.map(empty));
          emptied.push(databases);
        },
      };
    },
  };
}

/** Every kind of storage, for the tests of one file. */
export function everyStorage(): readonly [Storage, Storage] {
  return [memory, inPostgres()];
}

async function empty(database: TestDatabase): Promise<void> {
  for (const gid of await database.prepared()) await database.query(`ROLLBACK PREPARED '${gid}'`);
  await database.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
}

async function createDatabases(server: PostgresServer): Promise<Databases> {
  return [await server.createDatabase(), await server.createDatabase(), await server.createDatabase()];
}
