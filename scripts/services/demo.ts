import { rmSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDatabasesOfMembers } from '../../src/postgres-server/start-databases.js';
import keepTemporaryFiles from '../../test/temporary-files.js';
import { Story } from '../failover-demo/story.js';
import { ServicesDemo } from './services-demo.js';

/**
 * The shop as services, of which some are killed in the middle of orders: a service between the decision and its commit, a coordinator
 * between the decision and its completion, and two services while orders are placed and cancelled.
 *
 *     npm run demo:services -- [--short]
 *
 * It ends with code 0 only if every order is complete and paid once, or left no trace, and every answer was true. `--short` has fewer
 * orders and a shorter lease.
 */
/** Limits for a slow machine: a start takes some ten seconds, and the rest less than half a minute. */
const START_LIMIT_MS = 300_000;
const LIMIT_MS = 480_000;
const SHORT = { leaseMs: 2_000, orders: 6 };
const LONG = { leaseMs: 5_000, orders: 12 };

let demo: ServicesDemo | undefined;
const unknown = process.argv.slice(2).filter((argument) => argument !== '--short');
if (unknown.length > 0) endWith(`${unknown[0]} is no option. The only option is --short.`);

const story = new Story((line) => process.stdout.write(`${line}\n`));
// Processes lose their power here, and the machine does not: so the databases may be in memory.
const isInMemory = (await keepTemporaryFiles()) !== undefined;
const folder = await mkdtemp(join(tmpdir(), 'services-demo-'));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
let limit = endAfter(START_LIMIT_MS);

// PostgreSQL may have to run as another user, who has to get there.
await chmod(folder, 0o755);
try {
  story.begin('A shop of three services, each with a database of its own');
  story.add('Order, inventory and payment are processes, and so are a gateway and two coordinators.');
  story.add('An order is written down, its goods leave the stock, and it is paid: all of it, or nothing.');
  story.tell('PostgreSQL and the six processes are starting. This takes some seconds.');
  const { environment } = await startDatabasesOfMembers(join(folder, 'postgres')).finally(() => {
    // What is asked for first is done first: by then the server has stopped.
    process.once('exit', () => rmSync(isInMemory ? tmpdir() : folder, { recursive: true, force: true }));
  });
  process.prependOnceListener('exit', () => demo?.kill());
  demo = new ServicesDemo(environment, folder, process.argv.includes('--short') ? SHORT : LONG, story);
  await demo.start();
  clearTimeout(limit);
  limit = endAfter(LIMIT_MS);
  const problems = await demo.run();
  for (const problem of problems) story.tell(`WRONG: ${problem}`);
  if (problems.length > 0)
    endWith('not every order is complete, or not every answer was true. Please report it.');
  story.tell('Every order is complete and paid once, or left no trace, and every answer was true.');
} catch (error) {
  endWith((error as Error).message);
}
process.exit(0);

function endAfter(ms: number): NodeJS.Timeout {
  return setTimeout(() => endWith(`this has not ended within ${ms / 1_000} s: ${story.scene}`), ms).unref();
}

function endWith(reason: string): never {
  const lines = demo?.lastLines.map((line) => `  ${line}\n`) ?? [];
  if (lines.length > 0) process.stdout.write(`\nThe last warnings of the processes:\n${lines.join('')}`);
  process.stdout.write(`\nFAILED: ${reason}\n`);
  process.exit(1);
}
