import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { MemberNotStartedError } from '../../src/cluster/member-process.js';
import { PortsInUseError, portsOf } from '../../src/cluster/ports.js';
import { namesDatabases, startDatabasesOfMembers } from '../../src/postgres-server/start-databases.js';
import { reasonNotStarted } from '../../src/reason-not-started.js';
import { shopTextOf } from './announcement.js';
import { Fleet } from './fleet.js';
import { FleetOutput } from './output.js';
import { NAMES, type ProcessName, type ProcessPlan, planOf, startOrderOf, stopOrderOf } from './plan.js';
import { untilReady } from './ready.js';
import { makeTokens, tokenIn } from './tokens.js';

/** Starts samples/services with two coordinators: see samples/services/README.md. */
const FOLDER = 'data/services';
const TOKENS = join(FOLDER, 'tokens');
const HIGHEST_FIRST_PORT = 65_535 - NAMES.length + 1;
const RESTART_AFTER_MS = 1_000;
/** Compiled with the dashboard. */
const COORDINATOR = join(import.meta.dirname, '../../../dist/main-coordinator.js');

// A terminal that is closed must not end the processes without a stop.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
const output = new FleetOutput(process.stdout, process.stdout.isTTY);
const toEnd = new AbortController();
let fleet: Fleet | undefined;

/**
 * The first signal stops the processes. Those that others need stop last. The second signal ends them at
 * once.
 */
const end = (): void => {
  if (toEnd.signal.aborted) fleet?.kill();
  toEnd.abort();
};
process.on('SIGTERM', end).on('SIGINT', end).on('SIGHUP', end);

process.exitCode = await run();
// PostgreSQL stops as the last action of this process.
process.exit();

async function run(): Promise<number> {
  let problem: string | undefined;
  try {
    await start();
    problem = await Promise.race([ended(), fleet?.failed]);
  } catch (error) {
    problem = `The shop did not start: ${reasonOf(error)}`;
  }
  const isWanted = toEnd.signal.aborted;
  await fleet?.stop();
  if (isWanted || problem === undefined) return 0;
  process.stderr.write(`${problem}\n`);
  return 1;
}

async function start(): Promise<void> {
  const host = process.env['HOST'] ?? '127.0.0.1';
  const ports = await portsOf(firstPort(), NAMES.length, host);
  const started = namesDatabases(process.env)
    ? undefined
    : await startDatabasesOfMembers(join(FOLDER, 'postgres'));
  const databases = (started?.environment ?? process.env) as Readonly<Record<string, string>>;
  makeTokens(TOKENS);
  const plans = planOf({ host, ports, databases, tokens: TOKENS, coordinator: COORDINATOR });
  fleet = new Fleet(startOrderOf(plans), stopOrderOf(plans), output, RESTART_AFTER_MS);
  if (toEnd.signal.aborted) return;
  await fleet.start();
  const coordinators = [plans['coordinator-1'].url, plans['coordinator-2'].url];
  await untilReady(coordinators, tokenIn(TOKENS, 'gateway/caller'), toEnd.signal);
  if (toEnd.signal.aborted) return;
  takeCommands(fleet);
  announce(plans, started?.server.address);
}

function firstPort(): number {
  const port = Number(process.env['PORT'] ?? 3_000);
  if (Number.isInteger(port) && port >= 0 && port <= HIGHEST_FIRST_PORT) return port;
  throw new Error(
    `PORT: must be a whole number from 0 to ${HIGHEST_FIRST_PORT}, as ${NAMES.length} processes have a port each`,
  );
}

function takeCommands(of: Fleet): void {
  createInterface({ input: process.stdin }).on('line', (line) => void of.command(line));
}

function announce(plans: Readonly<Record<ProcessName, ProcessPlan>>, server: string | undefined): void {
  if (!process.stdout.isTTY) {
    output.say(`${NAMES.length} processes are running, the gateway on ${plans.gateway.url}`);
    return;
  }
  const postgres =
    server === undefined
      ? 'as the variables name it'
      : `${server}, its data and the password of postgres are in ${FOLDER}/postgres`;
  process.stdout.write(shopTextOf(plans, postgres, FOLDER));
}

function ended(): Promise<undefined> {
  return new Promise((resolve) => {
    if (toEnd.signal.aborted) resolve(undefined);
    else toEnd.signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

function reasonOf(error: unknown): string {
  const isOwn = error instanceof PortsInUseError || error instanceof MemberNotStartedError;
  return isOwn ? error.message : reasonNotStarted(error);
}
