import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Broker } from './rig.js';
import { freePort } from '../../../src/postgres-server/free-port.js';

/** Without the wrapper of Debian, which changes the user and the folder. */
const RABBITMQ = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const START_MS = 150_000;

interface Program {
  readonly command: string;
  readonly args: readonly string[];
  /** Where it answers when it has started. */
  readonly port: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** The paths of what a server needs for TLS. */
export interface PathsOfTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** One server of this machine, in a folder of its own, at a free port of the loopback interface. */
class LocalBroker implements Broker {
  private running: ChildProcess[] = [];

  constructor(
    readonly port: number,
    private readonly folder: string,
    /** The processes that run, the server last. */
    private readonly programs: readonly Program[],
  ) {}

  async start(): Promise<void> {
    process.once('exit', this.kill);
    // One after the other: a server that finds no epmd starts one that outlives it.
    for (const program of this.programs) await this.run(program);
  }

  private async run({ command, args, env, port }: Program): Promise<void> {
    // A group of its own: a server that is a script has children.
    const options = {
      cwd: this.folder,
      env: { ...process.env, ...env },
      stdio: 'ignore',
      detached: true,
    } as const;
    const child = spawn(command, args, options);
    this.running.push(child);
    const since = performance.now();
    while (!(await answersAt(port))) {
      if (child.exitCode !== null) throw new Error(`${command} has ended with ${child.exitCode}.`);
      if (performance.now() - since > START_MS) throw new Error(`${command} does not start.`);
      await wait(20);
    }
  }

  /** As if its machine had failed: nothing is said to its clients. */
  async stop(): Promise<void> {
    process.off('exit', this.kill);
    const ended = this.running.filter(isAlive).map((child) => once(child, 'exit'));
    this.kill();
    await Promise.all(ended);
    this.running = [];
    // The server of a script is no child of this process: it may take a moment longer.
    while (await answersAt(this.port)) await wait(20);
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private readonly kill = (): void => {
    for (const { pid } of this.running.filter(isAlive)) process.kill(-pid!, 'SIGKILL');
  };
}

function answersAt(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, '127.0.0.1');
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}

function isAlive({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null;
}

/** @returns whether a program is installed. A broker that is missing is told, and its tests are left out. */
export function isInstalled(name: 'nats-server' | 'redis-server' | 'rabbitmq-server'): boolean {
  const found =
    name === 'rabbitmq-server' ? existsSync(RABBITMQ) : spawnSync(name, ['--version']).status === 0;
  if (!found) {
    console.warn(`${name} is not installed, so its tests are left out: apt-get install ${name}`);
  }
  return found;
}

function newFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `${name}-`));
}

/** @param more further arguments. */
export async function natsServer(more: readonly string[] = []): Promise<Broker> {
  const port = await freePort();
  const args = ['--addr', '127.0.0.1', '--port', String(port), ...more];
  return new LocalBroker(port, newFolder('nats'), [{ command: 'nats-server', args, port }]);
}

/** @param tls the paths of its certificate and its key. @default it speaks no TLS */
export async function redisServer(tls?: PathsOfTls): Promise<Broker> {
  const port = await freePort();
  const listening = tls === undefined ? ['--port', String(port)] : secureRedis(port, tls);
  const args = ['--bind', '127.0.0.1', ...listening, '--save', '', '--appendonly', 'no'];
  return new LocalBroker(port, newFolder('redis'), [{ command: 'redis-server', args, port }]);
}

/**
 * It meets no other one: its name, its ports, its cookie and its folders are its own.
 *
 * @param tls the paths of its certificate and its key. @default it speaks no TLS
 */
export async function rabbitMq(tls?: PathsOfTls): Promise<Broker> {
  const [port, distribution, epmd] = [await freePort(), await freePort(), await freePort()];
  const folder = newFolder('rabbitmq');
  const plugins = join(folder, 'enabled_plugins');
  writeFileSync(plugins, '[].');
  const configuration = join(folder, 'rabbitmq.conf');
  if (tls !== undefined) writeFileSync(configuration, secureRabbitMq(port, tls));
  const env = {
    HOME: folder,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(epmd),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'no-environment.conf'),
    RABBITMQ_CONFIG_FILE: tls === undefined ? join(folder, 'no-configuration') : configuration,
    RABBITMQ_ENABLED_PLUGINS_FILE: plugins,
    RABBITMQ_NODENAME: `dtc-${port}@localhost`,
    // They would open a port without TLS.
    ...(tls === undefined && { RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1', RABBITMQ_NODE_PORT: String(port) }),
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
  };
  return new LocalBroker(port, folder, [
    // In the foreground, so that it ends with the test.
    { command: 'epmd', args: [], env, port: epmd },
    { command: RABBITMQ, args: [], env, port },
  ]);
}

function secureRedis(port: number, { ca, cert, key }: PathsOfTls): readonly string[] {
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca];
  return ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', ...files];
}

function secureRabbitMq(port: number, { ca, cert, key }: PathsOfTls): string {
  return [
    'listeners.tcp = none',
    `listeners.ssl.default = 127.0.0.1:${port}`,
    `ssl_options.cacertfile = ${ca}`,
    `ssl_options.certfile = ${cert}`,
    `ssl_options.keyfile = ${key}`,
    'ssl_options.verify = verify_none',
    'ssl_options.fail_if_no_peer_cert = false',
    '',
  ].join('\n');
}
