import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { Client } from 'pg';
import { PostgresServerError } from './postgres-server.error.js';
import { type Owner, type Programs, findOwner, findPrograms, outOfReach, run } from './programs.js';

const HOST = '127.0.0.1';
const USER = 'postgres';
/** Far more than one application has transactions at the same time. */
const MAX_PREPARED_TRANSACTIONS = 200;
/** Which line of postmaster.pid has the port, from 0. */
const PORT_LINE = 3;

/**
 * A real PostgreSQL server out of a package, with its data in a folder. It is a process of its own, in a session of its own:
 * a signal to this process does not reach it, so that it is there until whoever uses it has ended, and also outlives a
 * SIGKILL. The next start finds it then, and goes on with it.
 */
export class PostgresServer {
  private port = 0;
  private password = '';

  private constructor(
    private readonly folder: string,
    private readonly programs: Programs,
    private readonly owner: Owner,
    /** Whether it was running already, left behind by a process that was killed, or used by another one. */
    readonly wasRunning: boolean,
  ) {}

  /**
   * @param folder of the data; it is made when it is not there.
   * @throws PostgresServerError when there is no server to be had here.
   */
  static async find(folder: string): Promise<PostgresServer> {
    const programs = await findPrograms();
    const owner = findOwner();
    const path = resolve(folder);
    const wasRunning = isRunning(programs, owner, clusterOf(path));
    return new PostgresServer(path, programs, owner, wasRunning);
  }

  /**
   * Starts it unless it is running, and creates the databases that are missing.
   *
   * @throws PostgresServerError
   */
  async start(databases: readonly string[]): Promise<void> {
    if (!existsSync(this.cluster)) await this.makeCluster();
    this.password = await readFile(this.passwordFile, 'utf8');
    if (!this.wasRunning) await this.startProcess();
    this.port = await this.readPort();
    await this.createDatabases(databases);
  }

  /** Where it listens. */
  get address(): string {
    return `${HOST}:${this.port}`;
  }

  urlOf(database: string): string {
    return `postgres://${USER}:${this.password}@${this.address}/${database}`;
  }

  /**
   * Stops it, and waits until it has stopped. Nothing else happens meanwhile, so this can be the last thing that a process
   * does. Prepared transactions stay.
   */
  stop(): void {
    if (!isRunning(this.programs, this.owner, this.cluster)) return;
    spawnSync(this.programs.pg_ctl, ['stop', '-D', this.cluster, '-m', 'fast', '-w'], {
      ...this.owner,
      cwd: '/',
      stdio: 'ignore',
    });
  }

  private get cluster(): string {
    return clusterOf(this.folder);
  }

  private get passwordFile(): string {
    return join(this.folder, 'password');
  }

  /** It is made beside its place, so that one whose making was interrupted is never taken for a whole one. */
  private async makeCluster(): Promise<void> {
    const unfinished = `${this.cluster}.unfinished`;
    await makeFolder(this.folder, this.owner);
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
    };
    const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
    const log = join(this.cluster, 'server.log');
    const args = ['start', '-D', this.cluster, '-l', log, '-w', '-o', options.join(' ')];
    try {
      await run(this.programs.pg_ctl, args, this.owner);
    } catch (error) {
      const lines = existsSync(log) ? (await readFile(log, 'utf8')).split('\n') : [];
      const fatal = lines.findLast((line) => line.includes('FATAL'));
      throw fatal === undefined
        ? error
        : new PostgresServerError(`${fatal} (more is in ${log})`, { cause: error });
    }
  }

  private async readPort(): Promise<number> {
    const lines = (await readFile(join(this.cluster, 'postmaster.pid'), 'utf8')).split('\n');
    return Number(lines[PORT_LINE]);
  }

  private async createDatabases(names: readonly string[]): Promise<void> {
    const client = new Client({ connectionString: this.urlOf('postgres'), connectionTimeoutMillis: 5_000 });
    try {
      await client.connect();
      const { rows } = await client.query<{ datname: string }>('SELECT datname FROM pg_database');
      const existing = new Set(rows.map(({ datname }) => datname));
      for (const name of names) {
        if (!existing.has(name)) await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
      }
    } catch (cause) {
      throw new PostgresServerError(`${(cause as Error).message} (at ${this.address})`, { cause });
    } finally {
      await client.end();
    }
  }
}

function clusterOf(folder: string): string {
  return join(folder, 'cluster');
}

function isRunning({ pg_ctl }: Programs, owner: Owner, cluster: string): boolean {
  const { status } = spawnSync(pg_ctl, ['status', '-D', cluster], { ...owner, cwd: '/', stdio: 'ignore' });
  return status === 0;
}

/** Makes a folder that the owner of the server gets to, as far as that is in our hands. */
async function makeFolder(folder: string, owner: Owner): Promise<void> {
  const outermost = await mkdir(folder, { recursive: true });
  if (owner.uid === undefined) return;
  if (outermost !== undefined) {
    for (let made = folder; made.startsWith(outermost); made = dirname(made)) await chmod(made, 0o755);
  }
  if (spawnSync('test', ['-x', folder], { ...owner, cwd: '/' }).status !== 0) throw outOfReach(folder, owner);
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
