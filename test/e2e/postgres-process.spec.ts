import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Outcome, type TransactionManager, branch } from '../../src/client/index.js';
import { branchKey } from '../../src/host/index.js';
import { clientOf } from '../client/support.js';
import { Books, ledgerOf } from '../remote/support/ledger.js';
import { TOKEN, startHost } from '../remote/support/services.js';
import { CALLER } from '../server/support.js';
import { until } from '../support/postgres/branches.js';
import { PostgresServer } from '../support/postgres/server.js';

const ROOT = join(import.meta.dirname, '../..');
// Inside the project, so that the packages are found from there.
const BUILD = join(ROOT, 'build', `e2e-postgres-${process.pid}`);
/** What a run compiles the next one need not: most of a start is that. */
const COMPILE_CACHE = join(BUILD, 'compiled');

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; stderr: string }>;
}

beforeAll(() => {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const args = [tsc, '-p', 'scripts/crash-demo/tsconfig.json', '--outDir', BUILD];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) throw new Error(`The application was not built: ${stdout}`);
});

afterAll(() => rm(BUILD, { recursive: true, force: true }));

function run(program: string, folder: string, environment: NodeJS.ProcessEnv = {}): Run {
  const child = spawn(process.execPath, [join(BUILD, program)], {
    cwd: folder,
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: COMPILE_CACHE, PORT: '0', ...environment },
    // A group of its own, as a terminal gives to what it starts.
    detached: true,
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stderr }));
  return { child, ended };
}

/**
 * Ctrl+C at a terminal, or another signal of it: it reaches the program and all that the program has started
 * in its group.
 */
function signalGroup({ child }: Run, signal: NodeJS.Signals = 'SIGINT'): void {
  process.kill(-child.pid!, signal);
}

/** Asks until the outcome is known. A request that may have been carried out is sent again with its key. */
async function untilKnown(client: TransactionManager, key: string): Promise<Outcome> {
  const branches = ['stock', 'payment'].map((name) => branch(name, { amount: 1, key }));
  for (;;) {
    try {
      const outcome = await client.run({ key, branches });
      if (outcome.status !== 'pending') return outcome;
    } catch (error) {
      const { code, status } = error as { readonly code: string; readonly status?: number };
      const mayHelp =
        status === 503 || code === 'DTC_OUTCOME_UNKNOWN' || code === 'DTC_COORDINATOR_UNREACHABLE';
      if (!mayHelp) throw error;
    }
  }
}

describe('Callers of two members in processes of their own, over a log in PostgreSQL', () => {
  it('fault 32: get a true answer to each key, also when a member is killed, and no key is done twice', async () => {
    const server = await PostgresServer.start();
    const folder = await mkdtemp(join(tmpdir(), 'members-'));
    const log = await server.createDatabase();
    const books = [new Books(), new Books()];
    const keyOf = new Map<string, string>();
    for (const { scripts } of books) {
      scripts.prepare = (prepared) => {
        keyOf.set(branchKey(prepared), (prepared.payload as { key: string }).key);
      };
    }
    const hosts = await Promise.all(
      ['stock', 'payment'].map((name, index) => startHost([ledgerOf(name, books[index]!)])),
    );
    const runs = [1, 2].map((number) =>
      run('src/main-coordinator.js', folder, {
        DECISION_LOG: 'postgres',
        DECISION_LOG_URL: log.url,
        DTC_NAME: 'shop',
        DTC_MEMBER_NAME: `member-${number}`,
        DTC_LEASE_MS: '1000',
        DTC_RECOVERY_INTERVAL_MS: '100',
        CALLER_TOKENS: `${CALLER.name}:${CALLER.token}`,
        COORDINATOR_TOKEN: TOKEN,
        PARTICIPANTS: `stock=${hosts[0]!.address},payment=${hosts[1]!.address}`,
      }),
    );
    try {
      const urls = await Promise.all(runs.map((started) => listeningAt(started)));
      const members = urls.map((url) => `${url}/dtc`);
      const options = { attemptTimeoutMs: 3_000, giveUpAfterMs: 30_000 };
      // Each prefers another member, and goes to the other one after a failure.
      const clients = [clientOf(members, options), clientOf(members.toReversed(), options)];
      const keys = Array.from({ length: 60 }, (_, index) => `order-${index}`);
      let answers = 0;
      const told = await Promise.all(
        keys.map(async (key, index) => {
          // Some are asked for by both at the same time.
          const asking = index % 3 === 0 ? clients : [clients[index % 2]!];
          const outcomes = await Promise.all(asking.map((client) => untilKnown(client, key)));
          if (++answers === 10) runs[0]!.child.kill('SIGKILL');
          return outcomes;
        }),
      );
      expect((await runs[0]!.ended).code).toBeNull();
      await until('nothing is prepared', () => books.every(({ prepared }) => prepared.size === 0));

      const committed = books.map((book) => {
        const byKey = new Map<string, string[]>();
        for (const done of book.committed.keys()) {
          const key = keyOf.get(done)!;
          byKey.set(key, [...(byKey.get(key) ?? []), done.split('/')[0]!]);
        }
        return byKey;
      });
      for (const [index, key] of keys.entries()) {
        const done = committed.map((byKey) => byKey.get(key) ?? []);
        const ids = told[index]!.filter(({ status }) => status === 'committed').map(
          ({ transactionId }) => transactionId,
        );
        expect([key, done[0]!.length, done[1]!.length]).toEqual([
          key,
          Math.min(1, ids.length),
          Math.min(1, ids.length),
        ]);
        expect(new Set([...done.flat(), ...ids]).size).toBe(Math.min(1, ids.length));
      }
      expect(told.flat().filter(({ status }) => status === 'committed').length).toBeGreaterThan(20);
      for (const client of clients) client.onApplicationShutdown();
    } finally {
      for (const { child } of runs) child.kill('SIGKILL');
      await Promise.all([...runs.map(({ ended }) => ended), ...hosts.map(({ app }) => app.close())]);
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('The application that brings its own PostgreSQL', () => {
  let folder: string;
  const runs: Run[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shop-'));
    // As root, the server runs as another user, which must be able to enter the folder.
    await chmod(folder, 0o755);
  });

  afterEach(async () => {
    for (const { child } of runs.splice(0)) child.kill('SIGKILL');
    const pid = await postmaster();
    if (pid !== undefined) process.kill(pid, 'SIGQUIT');
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });

  function start(environment: NodeJS.ProcessEnv = {}): Run {
    const started = run('src/main-postgres.js', folder, environment);
    runs.push(started);
    return started;
  }

  /** @returns the shop and its databases, once it says where they are. */
  async function listening({ child }: Run): Promise<Shop> {
    let url = '';
    for await (const line of createInterface({ input: child.stdout! })) {
      const { msg } = JSON.parse(line) as { msg: string };
      url = /Listening on (http:\/\/[\d.:]+)/.exec(msg)?.[1] ?? url;
      const [, address] = /PostgreSQL is at ([\d.:]+)/.exec(msg) ?? [];
      if (address === undefined) continue;
      child.stdout!.resume();
      const password = await readFile(join(folder, 'data/postgres/password'), 'utf8');
      return new Shop(url, `postgres://postgres:${password}@${address}`);
    }
    throw new Error('The application ended before it listened.');
  }

  /** @returns the process id of the server, or undefined when there is none. */
  async function postmaster(): Promise<number | undefined> {
    const file = join(folder, 'data/postgres/cluster/postmaster.pid');
    if (!existsSync(file)) return undefined;
    return Number((await readFile(file, 'utf8')).split('\n')[0]);
  }

  it('starts, and ends by SIGTERM with code 0 and no process left', async () => {
    const first = start();
    const shop = await listening(first);
    const { status } = await shop.order('key-1');
    const pid = await postmaster();

    first.child.kill('SIGTERM');

    expect(status).toBe(201);
    expect(pid).toBeGreaterThan(1);
    expect(await first.ended).toEqual({ code: 0, stderr: '' });
    // The server removes the file as the last thing that it does.
    expect(await postmaster()).toBeUndefined();
    expect(await readdir(join(folder, 'data'))).toEqual(['decisions', 'postgres']);
  });

  it('fault 49: continues after SIGKILL with the same server; the same key charges once', async () => {
    const first = start();
    const shop = await listening(first);
    const answer = await shop.order('key-1');
    const pid = await postmaster();
    first.child.kill('SIGKILL');
    await first.ended;

    const second = start();
    const again = await listening(second);
    // The commit is delivered once more where the kill came before the log noted its end: until then it is
    // pending.
    await until('the order is settled', async () => (await again.order('key-1')).status === 201);

    expect(await postmaster()).toBe(pid);
    expect(await again.order('key-1')).toEqual(answer);
    expect(await again.spent()).toBe(5_990);
    expect(await again.prepared()).toBe(0);
    signalGroup(second);
    expect(await second.ended).toEqual({ code: 0, stderr: '' });
    expect(await postmaster()).toBeUndefined();
  });

  it('fault 49: killed among 20 orders, and again, ends with each of them charged once', async () => {
    const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`);
    const settings = { DTC_RECOVERY_INTERVAL_MS: '100', DTC_ORPHAN_SAFETY_MS: '500' };
    for (let kill = 0; kill < 2; kill++) {
      const killed = start(settings);
      const shop = await listening(killed);
      const orders = keys.map((key) => shop.order(key).catch(() => undefined));
      // The first answer says that others are under way.
      await Promise.race(orders);
      killed.child.kill('SIGKILL');
      await Promise.all([...orders, killed.ended]);
    }

    const last = start(settings);
    const shop = await listening(last);
    for (const key of keys) {
      await until(`${key} is placed`, async () => (await shop.order(key)).status === 201);
    }

    await until('nothing is prepared', async () => (await shop.prepared()) === 0);
    expect(await shop.spent()).toBe(keys.length * 5_990);
    last.child.kill('SIGTERM');
    expect(await last.ended).toEqual({ code: 0, stderr: '' });
  });

  it('fault 63: under 200 connections that keep ordering answers no 5xx but 503, and continues to commit', async () => {
    const shop = await listening(start());
    await shop.replenish();
    const end = performance.now() + 4_000;
    const counts = new Map<number, number>();
    let lastConfirmed = 0;
    const keepOrdering = async (): Promise<void> => {
      while (performance.now() < end) {
        const { status, retryAfter } = await shop.orderSomething();
        counts.set(status, (counts.get(status) ?? 0) + 1);
        if (status === 201) lastConfirmed = performance.now();
        if (status === 503) expect(Number(retryAfter)).toBeGreaterThanOrEqual(1);
      }
    };
    await Promise.all(Array.from({ length: 200 }, keepOrdering));

    const confirmed = counts.get(201) ?? 0;
    expect([...counts.keys()].filter((status) => ![201, 503].includes(status))).toEqual([]);
    expect(confirmed).toBeGreaterThan(50);
    // The last to be answered began before the end, so that it was under way at the end.
    expect(lastConfirmed).toBeGreaterThan(end);
    await until('nothing is stalled', async () => (await shop.stalled()) === 0);
    await until('nothing is prepared', async () => (await shop.prepared()) === 0);
  });

  it('does not start twice in one folder, and leaves the server to the first', async () => {
    const first = start();
    const shop = await listening(first);

    const second = await start().ended;

    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(
      /^The application did not start: [^\n]*data\/decisions\/coordinator[^\n]*\n$/,
    );
    expect((await shop.order('key-1')).status).toBe(201);
    first.child.kill('SIGTERM');
    expect((await first.ended).code).toBe(0);
  });

  it.each<[string, NodeJS.Signals]>([
    ['Ctrl+C is pressed', 'SIGINT'],
    ['the terminal is closed', 'SIGHUP'],
  ])('leaves no process when %s while it starts', async (_, signal) => {
    const early = start();
    await until('it has begun', () => existsSync(join(folder, 'data/postgres')));

    signalGroup(early, signal);

    expect(await early.ended).toEqual({ code: 0, stderr: '' });
    expect(await postmaster()).toBeUndefined();
    // The server was made, so that the next start finds it.
    expect(existsSync(join(folder, 'data/postgres/cluster'))).toBe(true);
  });

  it.each<[string, NodeJS.Signals]>([
    ['Ctrl+C is pressed', 'SIGINT'],
    ['the terminal is closed', 'SIGHUP'],
  ])('leaves neither a process nor a file when %s while a demo starts', async (_, signal) => {
    const demo = run('scripts/crash-demo/run.js', folder, { TMPDIR: folder });
    runs.push(demo);
    const files = (): Promise<string[]> => readdir(folder);
    await until('it has begun', async () => (await files()).some((name) => name.startsWith('crash-demo-')));
    const [own] = await files();
    await until('it makes its server', () => existsSync(join(folder, own!, 'postgres')));

    signalGroup(demo, signal);

    expect(await demo.ended).toEqual({ code: 1, stderr: '' });
    expect(await files()).toEqual([]);
  });

  it('reports in one line the problems of the environment, and starts nothing', async () => {
    for (const environment of [
      { ORDER_DATABASE_URL: 'postgres://127.0.0.1/orders' },
      { DECISION_LOG: 'paper' },
      { DTC_TIMEOUT: '5' },
    ]) {
      const { code, stderr } = await start(environment).ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(/^The application did not start: The environment cannot be used: [^\n]*\n$/);
    }
    expect(existsSync(join(folder, 'data'))).toBe(false);
  });

  it('reports in one line that a given database does not answer', async () => {
    const url = 'postgres://nobody:secret@127.0.0.1:1/none';
    const { code, stderr } = await start({
      ORDER_DATABASE_URL: url,
      INVENTORY_DATABASE_URL: url,
      PAYMENT_DATABASE_URL: url,
    }).ended;

    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^The application did not start: "\w+" cannot use its PostgreSQL database: [^\n]*\n$/,
    );
    expect(stderr).not.toContain('secret');
    expect(existsSync(join(folder, 'data/postgres'))).toBe(false);
  });
});

describe('The application whose decisions are in PostgreSQL', () => {
  let server: PostgresServer;
  const runs: Run[] = [];

  beforeAll(async () => {
    server = await PostgresServer.start({ max_prepared_transactions: 900 });
  });

  afterAll(async () => {
    for (const { child } of runs.splice(0)) child.kill('SIGKILL');
    await server.stop();
  });

  it('fault 49: killed among 20 orders, is taken over by its next start, and each order is charged once', async () => {
    for (const name of ['orders', 'inventory', 'payments', 'decisions']) {
      await server.query('postgres', `CREATE DATABASE ${name}`);
    }
    const urlOf = (name: string): string => server.database(name).url;
    const start = async (): Promise<{ run: Run; shop: Shop }> => {
      const started = run('src/main-postgres.js', BUILD, {
        ORDER_DATABASE_URL: urlOf('orders'),
        INVENTORY_DATABASE_URL: urlOf('inventory'),
        PAYMENT_DATABASE_URL: urlOf('payments'),
        DECISION_LOG: 'postgres',
        DECISION_LOG_URL: urlOf('decisions'),
        DTC_LEASE_MS: '2000',
        DTC_RECOVERY_INTERVAL_MS: '100',
      });
      runs.push(started);
      const url = await listeningAt(started);
      return { run: started, shop: new Shop(url, urlOf('postgres').replace(/\/postgres$/, '')) };
    };
    const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`);
    const killed = await start();
    const orders = keys.map((key) => killed.shop.order(key).catch(() => undefined));
    // The first answer says that others are under way.
    await Promise.race(orders);
    killed.run.child.kill('SIGKILL');
    await Promise.all([...orders, killed.run.ended]);

    const { run: last, shop } = await start();
    for (const key of keys) {
      await until(`${key} is placed`, async () => (await shop.order(key)).status === 201);
    }
    await until('nothing is prepared', async () => (await shop.prepared()) === 0);
    expect(await shop.spent()).toBe(keys.length * 5_990);
    // Transactions under way may have ended before their epoch is adopted.
    await until('the epoch of the killed one is adopted', async () => {
      const dead = 'SELECT FROM dtc_log.epochs WHERE epoch = 1 AND fenced_by IS NOT NULL';
      return (await server.query('decisions', dead)).rows.length === 1;
    });
    // A stop leaves to the next start what is not delivered yet.
    await until('every decision is delivered', async () => {
      return (await server.query('decisions', 'SELECT FROM dtc_log.decisions')).rows.length === 0;
    });
    last.child.kill('SIGTERM');
    expect(await last.ended).toEqual({ code: 0, stderr: '' });
    const { rows } = await server.query<{ epoch: number; fenced_by: number }>(
      'decisions',
      'SELECT epoch, fenced_by FROM dtc_log.epochs ORDER BY epoch',
    );
    expect(rows).toEqual([
      { epoch: 1, fenced_by: 2 },
      { epoch: 2, fenced_by: 2 },
    ]);
    expect((await server.query('decisions', 'SELECT FROM dtc_log.decisions')).rows).toEqual([]);
  });
});

describe('Three members of the application on one machine', () => {
  const CLUSTER = 'src/main-cluster.js';
  let server: PostgresServer;
  let databases: NodeJS.ProcessEnv;
  const runs: Run[] = [];

  beforeAll(async () => {
    server = await PostgresServer.start({ max_prepared_transactions: 900, max_connections: 200 });
    for (const name of ['orders', 'inventory', 'payments', 'decisions']) {
      await server.query('postgres', `CREATE DATABASE ${name}`);
    }
    databases = {
      ORDER_DATABASE_URL: server.database('orders').url,
      INVENTORY_DATABASE_URL: server.database('inventory').url,
      PAYMENT_DATABASE_URL: server.database('payments').url,
      DECISION_LOG_URL: server.database('decisions').url,
      DTC_LEASE_MS: '2000',
    };
  });

  afterAll(async () => {
    for (const { child } of runs.splice(0)) child.kill('SIGKILL');
    await server.stop();
  });

  it('answer one key with one order, report a member that is killed, and stop one after the other', async () => {
    const cluster = run(CLUSTER, BUILD, databases);
    runs.push(cluster);
    const said: string[] = [];
    const lines = createInterface({ input: cluster.child.stdout! }).on('line', (line) => {
      const { msg, member } = JSON.parse(line) as { msg: string; member: string };
      if (member === 'cluster') said.push(msg);
    });
    const told = async (pattern: RegExp, times = 1): Promise<string> => {
      for (;;) {
        const found = said.filter((line) => pattern.test(line));
        if (found.length >= times) return found.at(-1)!;
        await once(lines, 'line');
      }
    };

    await told(/^3 members are running$/);
    const [first, second, third] = await Promise.all(
      [1, 2, 3].map(async (number) => {
        const line = await told(new RegExp(`^member-${number} listens on `));
        return { url: /http:\S+/.exec(line)![0], pid: Number(/process (\d+)/.exec(line)![1]) };
      }),
    );
    const shopAt = (member?: { url: string }): Shop =>
      new Shop(member!.url, server.database('postgres').url.replace(/\/postgres$/, ''));
    const answer = await shopAt(first).order('key-1');
    expect(answer.status).toBe(201);
    expect(await shopAt(third).order('key-1')).toEqual(answer);

    process.kill(second!.pid, 'SIGKILL');
    expect(await told(/^member-2 was ended/)).toMatch(/by SIGKILL\. Another member takes over .*"start 2"/);
    cluster.child.stdin!.write('start 2\n');
    await told(/^member-2 listens on /, 2);
    expect(await shopAt(second).order('key-1')).toEqual(answer);

    signalGroup(cluster);
    expect(await cluster.ended).toEqual({ code: 0, stderr: '' });
    expect(said.slice(-3)).toEqual([1, 2, 3].map((number) => `member-${number} has stopped cleanly`));
    const { rows } = await server.query('decisions', 'SELECT FROM dtc_log.epochs WHERE fenced_by IS NULL');
    expect(rows).toEqual([]);
  });

  it('name every port that is in use, and start nothing', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const folder = await mkdtemp(join(tmpdir(), 'shop-'));
    try {
      const cluster = run(CLUSTER, folder, { PORT: String(port) });
      const lines: string[] = [];
      for await (const line of createInterface({ input: cluster.child.stdout! })) lines.push(line);
      const { code, stderr } = await cluster.ended;
      expect(code).toBe(1);
      expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
        { level: 60, code: 'EADDRINUSE', msg: stderr.trim(), member: 'cluster' },
      ]);
      expect(stderr).toMatch(
        new RegExp(
          `^The cluster did not start: Ports? ${port}\\b.* in use \\(EADDRINUSE\\)\\. Stop .* set PORT to the first of 3 .*\n$`,
        ),
      );
      expect(existsSync(join(folder, 'data'))).toBe(false);
    } finally {
      taken.close();
      await rm(folder, { recursive: true });
    }
  });
});

/** @returns the address of the shop, once it says that it listens. */
async function listeningAt({ child }: Run): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const { msg } = JSON.parse(line) as { msg: string };
    const [, url] = /Listening on (http:\/\/[\d.:]+)/.exec(msg) ?? [];
    if (url === undefined) continue;
    child.stdout!.resume();
    return url;
  }
  throw new Error('The application ended before it listened.');
}

/** The application and its databases, from outside. */
class Shop {
  constructor(
    private readonly url: string,
    private readonly server: string,
  ) {}

  /** Orders a keyboard. */
  async order(key: string): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${this.url}/orders`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
      body: JSON.stringify({ customerId: 'alice', items: [{ sku: 'keyboard', quantity: 1 }] }),
    });
    return { status: response.status, body: await response.json() };
  }

  /** There are money and cables for more orders than a machine can take in a few seconds. */
  async replenish(): Promise<void> {
    await this.query('payments', 'UPDATE accounts SET balance = 1000000000');
    await this.query('inventory', 'UPDATE stock SET on_hand = 1000000');
  }

  /** Orders a cable, as one of many. */
  async orderSomething(): Promise<{ status: number; retryAfter: string | null }> {
    const response = await fetch(`${this.url}/orders`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ customerId: 'alice', items: [{ sku: 'usb-cable', quantity: 1 }] }),
    });
    await response.arrayBuffer();
    return { status: response.status, retryAfter: response.headers.get('retry-after') };
  }

  /** @returns how many transactions have stalled. */
  async stalled(): Promise<number> {
    const metrics = await (await fetch(`${this.url}/metrics`)).text();
    return Number(/^dtc_transactions_stalled (\d+)$/m.exec(metrics)?.[1]);
  }

  /** In cents. */
  spent(): Promise<number> {
    return this.number(`SELECT 500000 - balance AS n FROM accounts WHERE customer_id = 'alice'`);
  }

  prepared(): Promise<number> {
    return this.number('SELECT count(*) AS n FROM pg_prepared_xacts');
  }

  private async number(sql: string): Promise<number> {
    return Number((await this.query<{ n: string }>('payments', sql))[0]?.n);
  }

  private async query<T extends object>(database: string, sql: string): Promise<T[]> {
    const client = new Client({ connectionString: `${this.server}/${database}` });
    await client.connect();
    try {
      return (await client.query<T>(sql)).rows;
    } finally {
      await client.end();
    }
  }
}
