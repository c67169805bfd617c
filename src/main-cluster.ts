import { randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type ClusterServer, clusterTextOf } from './cluster/announcement.js';
import { Cluster, type MemberSettings } from './cluster/cluster.js';
import { MemberNotStartedError } from './cluster/member-process.js';
import { ClusterOutput } from './cluster/output.js';
import { PortsInUseError, portsOf } from './cluster/ports.js';
import { readConfiguration } from './configuration.js';
import { namesDatabases, startDatabasesOfMembers } from './postgres-server/start-databases.js';
import { reasonNotStarted } from './reason-not-started.js';

const FOLDER = 'data/cluster';
const COUNT = 3;
const HIGHEST_FIRST_PORT = 65_535 - COUNT + 1;

const SOME_DATABASE = 'postgres://127.0.0.1/checked-later';
/** They stand for the databases while the rest of the environment is checked. */
const SOME_DATABASES = {
  ORDER_DATABASE_URL: SOME_DATABASE,
  INVENTORY_DATABASE_URL: SOME_DATABASE,
  PAYMENT_DATABASE_URL: SOME_DATABASE,
  DECISION_LOG_URL: SOME_DATABASE,
};

// A terminal that is closed must not end the members without a stop.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
const output = new ClusterOutput(process.stdout, process.stdout.isTTY);
let cluster: Cluster | undefined;
let isToEnd = false;

/** The first signal stops the members one after the other. The second one ends them at once. */
const end = (): void => {
  if (isToEnd) cluster?.kill();
  else void cluster?.stop();
  isToEnd = true;
};
process.on('SIGTERM', end).on('SIGINT', end).on('SIGHUP', end);

process.exitCode = await run();
// PostgreSQL stops as the last action of this process.
process.exit();

async function run(): Promise<number> {
  try {
    await start();
  } catch (error) {
    await cluster?.stop();
    if (isToEnd) return 0;
    const line = `The cluster did not start: ${reasonOf(error)}`;
    process.stderr.write(`${line}\n`);
    output.failed(line, (error as { readonly code?: unknown } | null | undefined)?.code);
    return 1;
  }
  if (isToEnd) await cluster?.stop();
  await cluster?.allEnded;
  if (isToEnd) return 0;
  process.stderr.write(
    'Every member has ended. Start the cluster again: it continues with what they have left.\n',
  );
  return 1;
}

/** Problems of the environment are reported before anything is started. */
async function start(): Promise<void> {
  const isGiven = namesDatabases(process.env);
  const shared = withMemberTokens({ DTC_NAME: 'shop', ...process.env, DECISION_LOG: 'postgres' });
  const { host, port } = readConfiguration(isGiven ? shared : withDatabases(shared, SOME_DATABASES));
  if (port > HIGHEST_FIRST_PORT) {
    throw new Error(`PORT: must be at most ${HIGHEST_FIRST_PORT}, as ${COUNT} members have a port each`);
  }
  const ports = await portsOf(port, COUNT, host);
  const started = isGiven ? undefined : await startDatabasesOfMembers(FOLDER);
  if (isToEnd) return;
  const environment = started === undefined ? shared : withDatabases(shared, started.environment);
  const members = ports.map((each, index) => memberAt(index + 1, host, each, environment));
  cluster = new Cluster(join(import.meta.dirname, 'main-member.js'), members, output);
  await cluster.start();
  if (isToEnd) return;
  takeCommands(cluster);
  announce(cluster, started && { address: started.server.address, folder: FOLDER });
}

/** A log that was named has precedence over the one of the started server. */
function withDatabases(
  shared: NodeJS.ProcessEnv,
  databases: Readonly<Record<string, string>>,
): NodeJS.ProcessEnv {
  const { DECISION_LOG_URL: log, ...services } = databases;
  const namesLog = ['DECISION_LOG_URL', 'DECISION_LOG_URL_FILE'].some((name) => shared[name] !== undefined);
  return { ...shared, ...services, ...(!namesLog && { DECISION_LOG_URL: log }) };
}

/** The members ask each other with a token that only they have. */
function withMemberTokens(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = ['MEMBER_TOKENS', 'MEMBER_TOKENS_FILE'];
  if (names.some((name) => environment[name] !== undefined)) return environment;
  return { ...environment, MEMBER_TOKENS: randomBytes(24).toString('base64url') };
}

function memberAt(number: number, host: string, port: number, shared: NodeJS.ProcessEnv): MemberSettings {
  const name = `member-${number}`;
  return {
    name,
    environment: {
      ...shared,
      PORT: String(port),
      DTC_MEMBER_NAME: name,
      DTC_MEMBER_ADDRESS: `http://${reachable(host)}:${port}`,
    },
  };
}

/**
 * The members of one machine reach each other at the address on which they listen, or at that of the machine
 * itself.
 */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return isIPv6(host) ? `[${host}]` : host;
}

function takeCommands(of: Cluster): void {
  createInterface({ input: process.stdin }).on('line', (line) => void of.command(line));
}

function announce({ running }: Cluster, server: ClusterServer | undefined): void {
  if (process.stdout.isTTY) process.stdout.write(clusterTextOf(running, server));
  else output.say(`${running.length} members are running`);
}

function reasonOf(error: unknown): string {
  const isOwn = error instanceof PortsInUseError || error instanceof MemberNotStartedError;
  return isOwn ? error.message : reasonNotStarted(error);
}
