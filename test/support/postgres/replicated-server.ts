import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chown, copyFile, lchown, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Client, type QueryResult, type QueryResultRow } from 'pg';
import {
  type Owner,
  type Programs,
  findOwner,
  findPrograms,
  run,
} from '../../../src/postgres-server/programs.js';
import { freePort } from '../../../src/postgres-server/free-port.js';

const HOST = '127.0.0.1';
const USER = 'postgres';
const STANDBY = 'standby';
/** Far more than anything here takes, on a machine that is busy with other things. */
const PATIENCE_MS = 60_000;
const POLL_MS = 20;
/** The line of postmaster.pid with the state of the server, from 0. */
const STATUS_LINE = 7;
/** These belong to the process that uses a data folder, and not to the data. */
const OF_THE_PROCESS = new Set(['postmaster.pid', 'postmaster.opts', 'standby.signal']);

/** The settings of each server. */
const SETTINGS = {
  listen_addresses: HOST,
  unix_socket_directories: '',
  max_prepared_transactions: 300,
  max_connections: 200,
  // A killed process loses nothing of what it has written, so flushing would only make the tests slow.
  fsync: 'off',
  // The server keeps the write-ahead log that a copy needs until its standby has it.
  wal_keep_size: '256MB',
  // A standby whose server was restarted comes back soon: until then every write waits for it.
  wal_retrieve_retry_interval: '100ms',
};

/** How a server is ended: `fast` ends its sessions, `kill` gives it time for nothing, as a power cut does. */
export type ServerEnd = 'fast' | 'kill';

/** Whether each write waits until the standby has it. */
export type StandbyKind = 'synchronous' | 'asynchronous';

/**
 * A PostgreSQL server and a standby that follows it. The server can be ended and started again, and the
 * standby can be promoted in its place.
 */
export class ReplicatedServer {
  private readonly exiting = (): void => this.endAtOnce();
  private standby: ServerProcess | undefined;
  private kind: StandbyKind | undefined;
  /** The output of servers that have ended. */
  private readonly gone: string[] = [];

  private constructor(
    private readonly folder: string,
    private readonly programs: Programs,
    private readonly owner: Owner,
    private readonly settings: Readonly<Record<string, string | number>>,
    private primary: ServerProcess,
  ) {
    process.on('exit', this.exiting);
  }

  /** Starts a server. There is no standby yet. */
  static async start(
    settings: Readonly<Record<string, string | number>> = {},
    name = 'replicated-',
  ): Promise<ReplicatedServer> {
    const [programs, owner] = [await findPrograms(), findOwner()];
    const folder = await mkdtemp(join(tmpdir(), name));
    if (owner.uid !== undefined) await chown(folder, owner.uid, owner.gid!);
    const data = join(folder, randomBytes(4).toString('hex'));
    const args = [
      '--pgdata',
      data,
      '--username',
      USER,
      '--auth',
      'trust',
      '--encoding',
      'UTF8',
      '--locale',
      'C',
    ];
    await run(programs.initdb, [...args, '--no-sync', '--wal-segsize=1'], owner);
    const primary = new ServerProcess(data, programs, owner, { ...SETTINGS, ...settings });
    const server = new ReplicatedServer(folder, programs, owner, settings, primary);
    await primary.start();
    return server;
  }

  /** The port of the server that takes writes. */
  get port(): number {
    return this.primary.port;
  }

  /** Whether the standby has everything that was acknowledged, now and from now on. */
  get hasStandby(): boolean {
    return this.standby !== undefined && this.kind === 'synchronous';
  }

  url(database: string, port = this.port): string {
    return `postgres://${USER}@${HOST}:${port}/${database}`;
  }

  query<R extends QueryResultRow>(
    database: string,
    sql: string,
    values?: unknown[],
  ): Promise<QueryResult<R>> {
    return this.primary.query<R>(database, sql, values);
  }

  /**
   * Makes a standby from a copy of the server. When it resolves, each write waits for a standby that is
   * synchronous.
   */
  async addStandby(kind: StandbyKind = 'synchronous'): Promise<void> {
    if (this.standby !== undefined) throw new Error('There is a standby already.');
    const { primary } = this;
    const data = join(this.folder, randomBytes(4).toString('hex'));
    await this.copy(primary, data);
    const standby = new ServerProcess(data, this.programs, this.owner, { ...SETTINGS, ...this.settings });
    try {
      await standby.start();
      if (kind === 'synchronous') {
        await primary.query('postgres', `ALTER SYSTEM SET synchronous_standby_names = '${STANDBY}'`);
        await primary.query('postgres', 'SELECT pg_reload_conf()');
      }
      await until('the standby follows', async () => {
        const { rows } = await primary.query(
          'postgres',
          `SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '${kind === 'synchronous' ? 'sync' : 'async'}'`,
        );
        return rows.length === 1;
      });
      // Commits wait from the moment on at which the checkpointer has read the setting, as it does before
      // each checkpoint.
      await primary.query('postgres', 'CHECKPOINT');
      // Writes from before the first wait are at the standby too when a later write has waited.
      await primary.query('postgres', "SELECT pg_logical_emit_message(true, 'standby', '')");
    } catch (error) {
      await standby.end('kill');
      throw error;
    }
    this.standby = standby;
    this.kind = kind;
  }

  /** From now on the standby gets nothing more: later writes are lost when it takes over. */
  async cutStandbyOff(): Promise<void> {
    const { standby } = this;
    if (standby === undefined) throw new Error('There is no standby.');
    await standby.query('postgres', "ALTER SYSTEM SET primary_conninfo = ''");
    await standby.query('postgres', 'SELECT pg_reload_conf()');
    await until('the standby follows no more', async () => {
      const { rows } = await this.primary.query('postgres', 'SELECT FROM pg_stat_replication');
      return rows.length === 0;
    });
  }

  /** Ends the server that takes writes. The standby goes on to wait for it. */
  async end(how: ServerEnd): Promise<void> {
    await this.primary.end(how);
  }

  /** Starts it again after {@link end}, with all that it had made durable. */
  async startAgain(): Promise<void> {
    await this.primary.start();
  }

  /**
   * Kills the server, and promotes the standby in its place. From then on {@link port} is another one, and
   * there is no standby.
   *
   * @param lost hears that the server is dead, before the standby is promoted.
   */
  async failOver(lost: () => void = () => {}): Promise<void> {
    const { standby } = this;
    if (standby === undefined) throw new Error('There is no standby to promote.');
    await this.primary.end('kill');
    lost();
    this.standby = undefined;
    await standby.promote();
    await rm(this.primary.data, { recursive: true, force: true });
    this.gone.push(this.primary.lines);
    this.primary = standby;
  }

  /** The output of the servers. */
  get lines(): string {
    return [...this.gone, this.primary.lines, this.standby?.lines ?? ''].join('\n--- the next server\n');
  }

  async stop(): Promise<void> {
    process.off('exit', this.exiting);
    await this.standby?.end('kill');
    await this.primary.end('kill');
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }

  private endAtOnce(): void {
    this.primary.endAtOnce();
    this.standby?.endAtOnce();
  }

  private async copy(primary: ServerProcess, data: string): Promise<void> {
    const client = await primary.connect('postgres');
    try {
      await client.query("SELECT pg_backup_start('standby', true)");
      await this.copyFolder(primary.data, data);
      const { rows } = await client.query<{ labelfile: string }>(
        'SELECT labelfile FROM pg_backup_stop(false)',
      );
      const following = `primary_conninfo = 'host=${HOST} port=${primary.port} user=${USER} application_name=${STANDBY}'\n`;
      await this.write(join(data, 'backup_label'), rows[0]!.labelfile);
      await this.write(join(data, 'postgresql.auto.conf'), following);
      await this.write(join(data, 'standby.signal'), '');
    } finally {
      await client.end();
    }
  }

  /** A file may be deleted while the folder is copied: the log of the server then has what it held. */
  private async copyFolder(from: string, to: string): Promise<void> {
    await mkdir(to, { mode: 0o700 });
    await this.own(to);
    for (const entry of await readdir(from, { withFileTypes: true })) {
      if (OF_THE_PROCESS.has(entry.name)) continue;
      const [source, target] = [join(from, entry.name), join(to, entry.name)];
      try {
        if (entry.isDirectory()) await this.copyFolder(source, target);
        else {
          await copyFile(source, target);
          await this.own(target);
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }

  private async write(path: string, text: string): Promise<void> {
    await writeFile(path, text);
    await this.own(path);
  }

  private async own(path: string): Promise<void> {
    if (this.owner.uid !== undefined) await lchown(path, this.owner.uid, this.owner.gid!);
  }
}

/** One server process over a data folder. */
class ServerProcess {
  port = 0;
  private child: ChildProcess | undefined;
  private exited: Promise<unknown> = Promise.resolve();
  private output = '';

  constructor(
    readonly data: string,
    private readonly programs: Programs,
    private readonly owner: Owner,
    private readonly settings: Readonly<Record<string, string | number>>,
  ) {}

  async start(): Promise<void> {
    if (this.port === 0) this.port = await freePort();
    const all = { ...this.settings, port: this.port };
    const args = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const end = performance.now() + PATIENCE_MS;
    // Sessions of a killed server end when they notice it, and until then the folder is in use.
    while (!(await this.attempt(['-D', this.data, ...args]))) {
      if (performance.now() > end) throw new Error(`The server does not start: ${this.output}`);
      await pause(POLL_MS * 5);
    }
  }

  /** @returns whether it runs; false when it has ended again. */
  private async attempt(args: readonly string[]): Promise<boolean> {
    const child = spawn(this.programs.postgres, args, {
      ...this.owner,
      cwd: '/',
      // A signal that a terminal sends to this process is not for the server.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    let isOver = false;
    this.exited = once(child, 'exit').finally(() => {
      isOver = true;
      this.child = undefined;
    });
    this.exited.catch(() => {});
    await until('the server takes connections', async () => isOver || (await this.isReady(child.pid!)));
    return !isOver;
  }

  /** As pg_ctl finds it out. */
  private async isReady(pid: number): Promise<boolean> {
    const text = await readFile(join(this.data, 'postmaster.pid'), 'utf8').catch(() => '');
    const lines = text.split('\n').map((line) => line.trim());
    return lines[0] === String(pid) && ['ready', 'standby'].includes(lines[STATUS_LINE] ?? '');
  }

  async end(how: ServerEnd): Promise<void> {
    this.child?.kill(how === 'kill' ? 'SIGKILL' : 'SIGINT');
    await this.exited;
  }

  /** For the end of this process. */
  endAtOnce(): void {
    this.child?.kill('SIGQUIT');
  }

  async promote(): Promise<void> {
    const { rows } = await this.query<{ done: boolean }>('postgres', 'SELECT pg_promote(true, 60) AS done');
    if (rows[0]?.done !== true) throw new Error('The standby was not promoted.');
  }

  get lines(): string {
    return this.output;
  }

  async connect(database: string): Promise<Client> {
    const client = new Client({ host: HOST, port: this.port, user: USER, database });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  async query<R extends QueryResultRow>(
    database: string,
    sql: string,
    values?: unknown[],
  ): Promise<QueryResult<R>> {
    const client = await this.connect(database);
    try {
      return await client.query<R>(sql, values);
    } finally {
      await client.end();
    }
  }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`This has not happened: ${what}.`);
    await pause(POLL_MS);
  }
}
