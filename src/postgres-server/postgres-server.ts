import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Client } from 'pg';
import { PostgresServerError } from './postgres-server.error.js';
import {
  type Owner,
  type Programs,
  findOwner,
  findPrograms,
  outOfReach,
  run,
  runNow,
  runStart,
} from './programs.js';
import { ServerUsers } from './server-users.js';
import { whileNobodyElse } from './start-lock.js';
import { freePort } from './free-port.js';

const HOST = '127.0.0.1';
const USER = 'postgres';
/** Each of the three services has a branch in each of 300 concurrent orders. */
const MAX_PREPARED_TRANSACTIONS = 3 * 300;
/** Three members, each with 17 connections for each of its services and 3 for the log, and room for tools. */
const MAX_CONNECTIONS = 200;
/** The line of postmaster.pid with the port, from 0. */
const PORT_LINE = 3;

/**
 * A real PostgreSQL server out of a package, with its data in a folder. It is a process of its own, in a
 * session of its own: a signal to this process does not reach it. So it runs until its user has ended, and
 * also survives a SIGKILL of this process. The next start then finds it, and uses it.
 */
export class PostgresServer {
  private port = 0;
  private password = '';
  /** Whether the running process is known to be the server: its file alone may name any other process. */
  private isKnown = false;
  /** Whether it was already running, left behind by a killed process, or used by another one. */
  private wasRunning = false;

  private constructor(
    private readonly folder: string,
    private readonly programs: Programs,
    private readonly owner: Owner,
    private readonly users: ServerUsers,
  ) {}

  /**
   * @param folder of the data; it is created when it is missing.
   * @throws PostgresServerError when no server is available here.
   */
  static async find(folder: string): Promise<PostgresServer> {
    const programs = await findPrograms();
    const owner = findOwner();
    const path = resolve(folder);
    await makeFolder(path, owner);
    return new PostgresServer(path, programs, owner, ServerUsers.join(join(path, 'users')));
  }

  /**
   * Starts it unless it is running, and creates the missing databases. Processes that start in the folder at
   * the same moment do so one after the other.
   *
   * @throws PostgresServerError
   */
  start(databases: readonly string[]): Promise<void> {
    return whileNobodyElse(join(this.folder, 'starting'), () => this.startAlone(databases));
  }

  private async startAlone(databases: readonly string[]): Promise<void> {
    this.wasRunning = isRunning(this.programs, this.owner, this.cluster);
    if (!existsSync(this.cluster)) await this.makeCluster();
    this.password = await readFile(this.passwordFile, 'utf8');
    this.isKnown = !this.wasRunning;
    if (!this.wasRunning) await this.startProcess();
    this.port = await this.readPort();
    await this.createDatabases(databases);
  }

  /** Its address. */
  get address(): string {
    return `${HOST}:${this.port}`;
  }

  urlOf(database: string): string {
    return `postgres://${USER}:${this.password}@${this.address}/${database}`;
  }

  /**
   * Stops it unless another process uses it, and waits until it has stopped. This blocks, so it can be the
   * last action of a process. Prepared transactions stay.
   */
  stop(): void {
    this.users.leave(() => {
      if (!this.isKnown || !isRunning(this.programs, this.owner, this.cluster)) return;
      runNow(this.programs.pg_ctl, ['stop', '-D', this.cluster, '-m', 'fast', '-w'], this.owner);
    });
  }

  private get cluster(): string {
    return join(this.folder, 'cluster');
  }

  private get passwordFile(): string {
    return join(this.folder, 'password');
  }

  /** It is created beside its place, so that an interrupted creation is never taken for a complete one. */
  private async makeCluster(): Promise<void> {
    const unfinished = `${this.cluster}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished);
    await writeFile(this.passwordFile, randomBytes(18).toString('base64url'));
    await chmod(this.passwordFile, 0o600);
    for (const path of [unfinished, this.passwordFile]) {
      if (this.owner.uid !== undefined) await chown(path, this.owner.uid, this.owner.gid!);
    }
    const args = [
      ['--pgdata', unfinished],
      ['--username', USER, '--pwfile', this.passwordFile, '--auth', 'scram-sha-256'],
      ['--encoding', 'UTF8', '--locale', 'C'],
    ];
    await run(this.programs.initdb, args.flat(), this.owner);
    await rename(unfinished, this.cluster);
  }

  private async startProcess(): Promise<void> {
    const settings = {
      port: await freePort(),
      listen_addresses: HOST,
      unix_socket_directories: '',
      max_prepared_transactions: MAX_PREPARED_TRANSACTIONS,
      max_connections: MAX_CONNECTIONS,
    };
    const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
    const log = join(this.cluster, 'server.log');
    const linesBefore = await linesOf(log);
    const args = ['start', '-D', this.cluster, '-l', log, '-w', '-o', options.join(' ')];
    try {
      await runStart(this.programs.pg_ctl, args, this.owner);
    } catch (error) {
      // Lines of an earlier start do not describe the present problem.
      const lines = (await linesOf(log)).slice(linesBefore.length - 1);
      const fatal = lines.findLast((line) => line.includes('FATAL'));
      throw fatal === undefined
        ? error
        : new PostgresServerError(`${fatal} (more is in ${log})`, { cause: error });
    }
  }

  private get pidFile(): string {
    return join(this.cluster, 'postmaster.pid');
  }

  private async readPort(): Promise<number> {
    return Number((await linesOf(this.pidFile))[PORT_LINE]);
  }

  /** A file left by a crash of the machine may name the process of another program by now. */
  private async notAnswering(cause: Error): Promise<PostgresServerError> {
    const [pid] = await linesOf(this.pidFile);
    const problem = `${cause.message || 'nothing answers'} (at ${this.address})`;
    return new PostgresServerError(
      this.wasRunning
        ? `${this.pidFile} says that process ${pid} is the server, but: ${problem}. If that process is not a ` +
            'PostgreSQL server, delete that file and start again'
        : problem,
      { cause },
    );
  }

  private async createDatabases(names: readonly string[]): Promise<void> {
    const client = new Client({ connectionString: this.urlOf('postgres'), connectionTimeoutMillis: 5_000 });
    // The running or the next statement fails. Without a listener the process would end.
    client.on('error', () => {});
    try {
      await client.connect();
      this.isKnown = true;
      const { rows } = await client.query<{ datname: string }>('SELECT datname FROM pg_database');
      const existing = new Set(rows.map(({ datname }) => datname));
      for (const name of names) {
        if (!existing.has(name)) await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
      }
    } catch (error) {
      throw await this.notAnswering(error as Error);
    } finally {
      await client.end();
    }
  }
}

/** @returns the lines of a file, and one empty line when there is no such file. */
async function linesOf(file: string): Promise<string[]> {
  return existsSync(file) ? (await readFile(file, 'utf8')).split('\n') : [''];
}

function isRunning({ pg_ctl }: Programs, owner: Owner, cluster: string): boolean {
  return runNow(pg_ctl, ['status', '-D', cluster], owner);
}

/** Creates a folder that the owner of the server can reach, as far as this process can ensure that. */
async function makeFolder(folder: string, owner: Owner): Promise<void> {
  const outermost = await mkdir(folder, { recursive: true });
  if (owner.uid === undefined) return;
  if (outermost !== undefined) {
    for (let made = folder; made.startsWith(outermost); made = dirname(made)) await chmod(made, 0o755);
  }
  if (!runNow('test', ['-x', folder], owner)) throw outOfReach(folder, owner);
}
