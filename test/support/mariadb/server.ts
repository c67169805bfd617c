import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Connection, createConnection } from 'mysql2/promise';

export const HOST = '127.0.0.1';

/** Where Debian keeps the SQL that makes the tables of a server. */
const SYSTEM_TABLES = ['mysql_system_tables.sql', 'mysql_system_tables_data.sql'].map((name) =>
  join('/usr/share/mysql', name),
);
const START_MS = 30_000;

/** @returns whether MariaDB is installed. If it is missing, this is told, and its tests are left out. */
export function hasMariaDb(): boolean {
  const found = spawnSync('mariadbd', ['--version']).status === 0;
  if (!found) {
    console.warn('mariadbd is not installed, so its tests are left out: apt-get install mariadb-server');
  }
  return found;
}

/** A database of a test server. */
export interface MariaDbDatabase {
  readonly name: string;
  readonly url: string;
  /** The URL through a proxy, or as another user. */
  readonly urlBy: (by: { readonly port?: number; readonly user?: string }) => string;
  /** Runs SQL on the connection of an administrator. @returns the rows. */
  query<R = Record<string, unknown>>(sql: string, values?: unknown[]): Promise<R[]>;
  /** Opens a connection. It is closed with the server. */
  connect(): Promise<Connection>;
}

/** A row of XA RECOVER, as text. */
export interface Recovered {
  readonly format: number;
  readonly id: string;
}

/**
 * A real MariaDB server for the tests of one file: fresh, on a free port, and gone without a trace
 * afterwards.
 */
export class MariaDbServer {
  private databases = 0;
  private running: ChildProcess | undefined;
  private readonly connections = new Set<Connection>();

  private constructor(
    private readonly folder: string,
    readonly port: number,
    private readonly settings: readonly string[],
  ) {}

  /**
   * @param settings of the server, such as `innodb-lock-wait-timeout`.
   * @param parent of the folder with its files.
   */
  static async start(
    settings: Readonly<Record<string, string | number>> = {},
    parent = tmpdir(),
  ): Promise<MariaDbServer> {
    const folder = mkdtempSync(join(parent, 'mariadb-'));
    const given = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    const server = new MariaDbServer(folder, await freePort(), given);
    try {
      await server.initialise();
      await server.run();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  async stop(): Promise<void> {
    for (const connection of this.connections) connection.destroy();
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Ends the server without giving it time for anything, as a power cut does. */
  async kill(): Promise<void> {
    const { running } = this;
    this.running = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exit = once(running, 'exit');
    running.kill('SIGKILL');
    await exit;
  }

  /** Starts it again after {@link kill}, with all that it had made durable. */
  async restart(): Promise<void> {
    await this.run();
  }

  /** @returns a new, empty database. */
  async createDatabase(): Promise<MariaDbDatabase> {
    const name = `test_${++this.databases}`;
    await this.database('mysql').query(`CREATE DATABASE ${name}`);
    return this.database(name);
  }

  database(name: string): MariaDbDatabase {
    const urlBy: MariaDbDatabase['urlBy'] = ({ port = this.port, user = 'root' }) =>
      `mysql://${user}:${user === 'root' ? '' : 'password'}@${HOST}:${port}/${name}`;
    const connect = async (): Promise<Connection> => {
      const connection = await createConnection(urlBy({}));
      connection.on('error', () => {});
      this.connections.add(connection);
      return connection;
    };
    return {
      name,
      url: urlBy({}),
      urlBy,
      connect,
      query: async <R>(sql: string, values?: unknown[]) => {
        const connection = await connect();
        try {
          const [rows] = await connection.query(sql, values);
          return rows as R[];
        } finally {
          this.connections.delete(connection);
          await connection.end();
        }
      },
    };
  }

  /** A user that may log in with the password of all. */
  async createUser(name: string, grants: string): Promise<void> {
    const { query } = this.admin;
    await query(`CREATE USER ${name}@'${HOST}' IDENTIFIED BY 'password'`);
    await query(`GRANT ${grants} TO ${name}@'${HOST}'`);
  }

  /** All that is prepared at the server. */
  async prepared(): Promise<Recovered[]> {
    const rows = await this.database('mysql').query<{ formatID: number; data: Buffer }>('XA RECOVER');
    return rows.map(({ formatID, data }) => ({ format: formatID, id: data.toString('latin1') }));
  }

  /** Rolls back all that is prepared, once the sessions that have prepared it are gone. */
  async rollBackAll(): Promise<void> {
    const { query } = this.admin;
    const rows = await query<{ data: string }>("XA RECOVER FORMAT='SQL'");
    const ended = Promise.all(
      rows.map(async ({ data }) => {
        for (let attempt = 0; ; attempt++) {
          try {
            await query(`XA ROLLBACK ${data}`);
            return;
          } catch (error) {
            if (attempt === 100) throw error;
            await wait(10);
          }
        }
      }),
    );
    await ended;
  }

  private get admin(): { readonly query: <R>(sql: string) => Promise<R[]> } {
    const database = this.database('mysql');
    return { query: (sql) => database.query(sql) };
  }

  private get options(): string[] {
    return [
      '--no-defaults',
      `--datadir=${join(this.folder, 'data')}`,
      // At its start a server removes the temporary tables that it finds there, those of others too.
      `--tmpdir=${this.folder}`,
      `--user=${process.getuid?.() === 0 ? 'root' : ''}`,
      '--innodb-buffer-pool-size=8M',
      '--innodb-log-file-size=4M',
      // A killed process loses nothing of what it has written, so that flushing would only make the tests
      // slow.
      '--innodb-flush-method=nosync',
      '--skip-name-resolve',
      '--character-set-server=utf8mb4',
      '--performance-schema=off',
      ...this.settings,
    ];
  }

  private async initialise(): Promise<void> {
    await mkdir(join(this.folder, 'data', 'mysql'), { recursive: true });
    const child = spawn('mariadbd', [...this.options, '--bootstrap'], {
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    const exit = once(child, 'close');
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stdin.end(
      [
        'create database if not exists mysql;',
        'use mysql;',
        ...SYSTEM_TABLES.map((file) => readFileSync(file, 'utf8')),
        "DELETE FROM global_priv WHERE User='';",
        '',
      ].join('\n'),
    );
    const [code] = (await exit) as [number | null];
    if (code !== 0) throw new Error(`mariadbd cannot make its tables: it has ended with ${code}.\n${output}`);
  }

  private async run(): Promise<void> {
    const child = spawn(
      'mariadbd',
      [
        ...this.options,
        `--port=${this.port}`,
        `--bind-address=${HOST}`,
        `--socket=${join(this.folder, 's')}`,
        `--pid-file=${join(this.folder, 'pid')}`,
      ],
      { stdio: 'ignore' },
    );
    this.running = child;
    const since = performance.now();
    for (;;) {
      try {
        await this.database('mysql').query('SELECT 1');
        return;
      } catch (error) {
        if (child.exitCode !== null)
          throw new Error(`mariadbd has ended with ${child.exitCode}.`, { cause: error });
        if (performance.now() - since > START_MS) {
          throw new Error('mariadbd does not start.', { cause: error });
        }
        await wait(20);
      }
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
