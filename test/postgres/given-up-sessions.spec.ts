import { kill } from 'node:process';
import { Logger } from '@nestjs/common';
import { Client, Pool, type PoolClient } from 'pg';
import {
  type MockInstance,
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  vi,
} from 'vitest';
import { type PostgresOptions, PostgresResourceManager, type Work } from '../../src/postgres/index.js';
import { closePool, watchPool } from '../../src/postgres/connection/close-pool.js';
import type { GivenUpSessions } from '../../src/postgres/connection/given-up-sessions.js';
import { ConnectionPool } from '../../src/postgres/connection/connection-pool.js';
import { identify } from '../../src/postgres/connection/server-session.js';
import { balanceOf, openAccounts } from '../support/postgres/bank.js';
import { runOf } from '../support/identity.js';
import { type TestBranch, again, someBranch, until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';
import { standby } from '../support/postgres/standby.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const WORK_CONNECTIONS = 2;
const COMPLETION_CONNECTIONS = 2;
/** One of them holds the claim. */
const POOL = COMPLETION_CONNECTIONS + 1;

const ACCOUNTS = Array.from({ length: 8 }, (_, number) => `a${number}`);

/** Takes ten from an account. */
const take =
  (account: string): Work<unknown> =>
  async (client) => {
    await client.query('UPDATE accounts SET balance = balance - 10 WHERE name = $1', [account]);
    return 'commit';
  };

let server: PostgresServer;
let database: TestDatabase;
let managers: PostgresResourceManager[];
/** What looks on: its own writes wait for no standby. */
let observer: Client;

beforeAll(async () => {
  server = await PostgresServer.start();
  observer = new Client(server.database('postgres').url);
  await observer.connect();
});

afterAll(async () => {
  await observer.end();
  await server.stop();
});

beforeEach(async () => {
  database = await server.createDatabase();
  await openAccounts(database, ...ACCOUNTS);
  managers = [];
});

afterEach(async () => {
  for (const { pid } of await sessions()) resume(pid);
  await standby(server, '');
  await Promise.all(managers.map((manager) => manager.close()));
  for (const gid of await database.prepared()) await database.query(`ROLLBACK PREPARED '${gid}'`);
});

async function manage(
  settings: Partial<PostgresOptions> = {},
  name = 'bank',
): Promise<PostgresResourceManager> {
  const sizes = { workConnections: WORK_CONNECTIONS, completionConnections: COMPLETION_CONNECTIONS };
  const manager = new PostgresResourceManager(name, {
    ...('pools' in settings ? {} : { connection: database.url, ...sizes }),
    ...settings,
  } as PostgresOptions);
  managers.push(manager);
  await manager.start(runOf({ name: 'shop' }));
  return manager;
}

async function prepareAll(manager: PostgresResourceManager): Promise<TestBranch[]> {
  const branches = ACCOUNTS.map(() => someBranch());
  for (const [number, branch] of branches.entries()) {
    await expect(manager.prepare(branch, take(ACCOUNTS[number]!))).resolves.toBe('commit');
  }
  return branches;
}

/** The sessions of the database that are not the test's own. */
async function sessions(): Promise<{ pid: number; wait: string | null }[]> {
  const { rows } = await observer.query<{ pid: number; wait: string | null }>(
    `SELECT pid, wait_event AS wait FROM pg_stat_activity
     WHERE datname = $1 AND backend_type = 'client backend' AND application_name LIKE 'dtc%'`,
    [database.name],
  );
  return rows;
}

const waiting = async (): Promise<number[]> =>
  (await sessions()).filter(({ wait }) => wait === 'SyncRep').map(({ pid }) => pid);

/** What the server has at most for each pool: twice its connections; and one that ends the others. */
const most = (pool: number): number => 2 * pool + 1;

describe('while a standby does not answer', () => {
  it('sessions of completions that time out are ended at the server, and none is left afterwards', async () => {
    const manager = await manage();
    const branches = await prepareAll(manager);
    await standby(server, 'ghost');

    let seen = 0;
    let ended = 0;
    const known = new Set<number>();
    // A busy machine ends few in each round, and the test sees only those that are there between two rounds.
    for (let attempt = 1; attempt <= 30 && ended <= 5; attempt++) {
      await Promise.all(
        branches.map(async (branch, number) => {
          const call = again(branch, attempt);
          setTimeout(() => call.abort(), 80 + 20 * number);
          await expect(manager.commit(call)).rejects.toMatchObject({
            code: 'DTC_POSTGRES_COMPLETION_FAILED',
          });
        }),
      );
      const now = await sessions();
      seen = Math.max(seen, now.length);
      for (const { pid } of now) known.add(pid);
      ended = known.size - now.length;
    }
    // The pool for work has at most two connections, and gives none up here.
    expect(seen).toBeLessThanOrEqual(most(POOL) + 2);
    expect(ended).toBeGreaterThan(5);
    await until('the server has none that waits', async () => (await waiting()).length === 0);
    await until('none is counted', () => manager.sessionsLeft === 0);

    await standby(server, '');
    for (const branch of branches) await manager.commit(again(branch, 9));
    for (const account of ACCOUNTS) await expect(balanceOf(database, account)).resolves.toBe(90);
  });

  it('those of prepares and of rollbacks are ended as well', async () => {
    const manager = await manage();
    // The name is claimed before there is a standby to wait for.
    await prepareAll(manager);
    for (const gid of await database.prepared()) await database.query(`ROLLBACK PREPARED '${gid}'`);
    await standby(server, 'ghost');
    for (let turn = 0; turn < 4; turn++) {
      const branch = someBranch();
      setTimeout(() => branch.abort(), 100);
      await expect(manager.prepare(branch, take('a0'))).rejects.toThrow();
      const rollback = again(branch);
      setTimeout(() => rollback.abort(), 100);
      await expect(manager.rollback(rollback)).rejects.toThrow();
    }
    await until('the server has none that waits', async () => (await waiting()).length === 0);
    await until('none is counted', () => manager.sessionsLeft === 0);
  });

  it('no more connections are opened when sessions cannot be ended; it goes on when they are gone', async () => {
    const manager = await manage();
    const branches = await prepareAll(manager);
    await standby(server, 'ghost');

    const stopped = new Set<number>();
    const causes: unknown[] = [];
    let seen = 0;
    for (let attempt = 1; attempt <= 3; attempt++) {
      for (const branch of branches) {
        const call = again(branch, attempt);
        const failed = manager.commit(call).catch((error: unknown) => causes.push((error as Error).cause));
        await until('it waits, or has failed', async () => {
          const pids = (await waiting()).filter((pid) => !stopped.has(pid));
          for (const pid of pids) stopped.add(pid);
          // A stopped session does not hear that it is to end.
          for (const pid of pids) kill(pid, 'SIGSTOP');
          return pids.length > 0 || causes.length > 0;
        });
        call.abort();
        await failed;
        causes.splice(0, causes.length - 1);
        seen = Math.max(seen, (await sessions()).length);
        if (String((causes[0] as { code?: string }).code) === 'DTC_POSTGRES_SESSIONS_LEFT') break;
        causes.length = 0;
      }
      if (causes.length > 0) break;
    }
    expect(causes).toMatchObject([{ code: 'DTC_POSTGRES_SESSIONS_LEFT' }]);
    expect(manager.sessionsLeft).toBe(POOL);
    expect(stopped.size).toBe(POOL);
    expect(seen).toBeLessThanOrEqual(most(POOL) + 2);

    for (const pid of stopped) resume(pid);
    await until('all are gone', () => manager.sessionsLeft === 0);
    await until('the server has none that waits', async () => (await waiting()).length === 0);
    await standby(server, '');
    for (const branch of branches) await manager.commit(again(branch, 9));
    for (const account of ACCOUNTS) await expect(balanceOf(database, account)).resolves.toBe(90);
  });

  it('a pool that is closed leaves no session', async () => {
    const connections = new ConnectionPool(pool(2), new Logger());
    await standby(server, 'ghost');
    const write = connections
      .run(AbortSignal.timeout(20_000), (client) => client.query('CREATE TABLE late ()'))
      .catch((error: unknown) => error);
    await until('it waits', async () => (await waiting()).length === 1);

    await closePool(connections.pool, 50);

    expect(await write).toBeInstanceOf(Error);
    await until('none is left', async () => (await sessions()).length === 0);
  });
});

it('a session that has the number of one that was given up is left alone', async () => {
  const pool = new Pool({ connectionString: database.url, application_name: 'dtc pool', max: 2 });
  const givenUp = watchPool(pool, () => undefined);
  givenUp.enter();
  const [given, other] = [await pool.connect(), await pool.connect()];
  const { rows } = await other.query<{ pid: string }>('SELECT pg_backend_pid()::text AS pid');
  const answer = { rows: [{ pid: rows[0]!.pid, since: '1700000000.25' }] };
  Object.assign(given, { query: () => Promise.resolve(answer) });
  await identify(given);
  givenUp.add(given);
  expect(givenUp.count).toBe(1);
  given.release(true);
  await until('it is gone', () => givenUp.count === 0);

  await expect(other.query('SELECT 1 AS one')).resolves.toMatchObject({ rows: [{ one: 1 }] });
  other.release();
  await closePool(pool);
});

describe('a session that does not end', () => {
  let pool: Pool;
  let looks: MockInstance;
  let other: PoolClient;
  let pid: number;
  let givenUp: GivenUpSessions;

  beforeEach(async () => {
    looks = vi.spyOn(Client.prototype, 'query');
    pool = new Pool({ connectionString: database.url, application_name: 'dtc pool', max: 2 });
    givenUp = watchPool(pool, () => undefined);
    givenUp.enter();
    const given = await pool.connect();
    other = await pool.connect();
    await identify(given);
    pid = (await given.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]!.pid;
    kill(pid, 'SIGSTOP');
    givenUp.add(given);
    given.release(true);
  });

  afterEach(async () => {
    looks.mockRestore();
    resume(pid);
    await closePool(pool);
  });

  const textOf = (query: unknown): string => String((query as { text?: unknown }).text ?? query);

  it('is looked for at growing intervals, however busy its pool is', async () => {
    for (let cycle = 0; cycle < 500; cycle++) {
      other.release();
      other = await pool.connect();
      await other.query('SELECT 1');
    }
    other.release();
    expect(givenUp.count).toBe(1);
    // After six the intervals are as long as they get, a second.
    const count = looks.mock.calls.filter(([query]) => textOf(query).includes('pg_terminate_backend')).length;
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(25);
  });

  it('is ended for a user of the pool that enters while the last one leaves', async () => {
    other.release();
    const leaving = givenUp.leave();
    givenUp.enter();
    await leaving;
    expect(givenUp.count).toBe(1);
    resume(pid);
    await until('it is gone', () => givenUp.count === 0);
  });
});

describe('while sessions of work cannot be ended', () => {
  const stopped: number[] = [];

  afterEach(() => {
    for (const pid of stopped.splice(0)) resume(pid);
  });

  /**
   * Gives up one session for each connection that the pool for work has; none of them hears that it is to
   * end.
   */
  async function giveUpAll(manager: PostgresResourceManager): Promise<void> {
    for (const account of ACCOUNTS.slice(0, WORK_CONNECTIONS)) {
      const branch = someBranch();
      const call = manager.prepare(branch, async (client) => {
        await take(account)(client, branch);
        const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        stopped.push(rows[0]!.pid);
        kill(rows[0]!.pid, 'SIGSTOP');
        await client.query('SELECT 1');
        return 'commit';
      });
      const failed = call.catch((error: unknown) => error);
      const known = stopped.length;
      await until('it is stopped', () => stopped.length > known);
      branch.abort();
      await expect(failed).resolves.toBeInstanceOf(Error);
    }
    await until('all are given up', () => manager.sessionsLeft === WORK_CONNECTIONS);
  }

  it('a prepare is refused before anything is done; it is prepared when they are gone', async () => {
    const manager = await manage();
    await giveUpAll(manager);
    let ran = 0;
    const count: Work<unknown> = async () => (ran++, 'commit');

    await expect(manager.prepare(someBranch(), count)).resolves.toMatchObject({
      vote: 'abort',
      code: 'NO_CONNECTION',
      reason: expect.stringMatching(/sessions whose calls have timed out/) as string,
      overloaded: true,
    });
    expect(ran).toBe(0);
    expect((await sessions()).length).toBeLessThanOrEqual(WORK_CONNECTIONS + POOL + 1);

    for (const pid of stopped) resume(pid);
    await until('all are gone', () => manager.sessionsLeft === 0);
    const branch = someBranch();
    await expect(manager.prepare(branch, take('a7'))).resolves.toBe('commit');
    await manager.rollback(again(branch));
  });

  it('a call that is given up while it waits for room has its own reason, and waits no longer', async () => {
    const manager = await manage();
    await giveUpAll(manager);
    const branch = someBranch();
    const call = manager.prepare(branch, take('a7'));
    setTimeout(() => branch.abort(), 50);
    await expect(call).rejects.toThrow('the caller has gone');
  });

  it('participants that share pools share the remaining connections; others are not delayed', async () => {
    const pools = { work: pool(WORK_CONNECTIONS), completion: pool(POOL) };
    const [first, second] = [await manage({ pools }), await manage({ pools }, 'vault')];
    const apart = await manage({}, 'safe');
    await giveUpAll(first);

    expect(second.sessionsLeft).toBe(WORK_CONNECTIONS);
    await expect(second.prepare(someBranch(), take('a7'))).resolves.toMatchObject({ code: 'NO_CONNECTION' });
    expect(apart.sessionsLeft).toBe(0);
    const branch = someBranch();
    await expect(apart.prepare(branch, take('a7'))).resolves.toBe('commit');
    await apart.rollback(again(branch));

    await first.close();
    // The second still has them ended.
    for (const pid of stopped) resume(pid);
    await until('all are gone', () => second.sessionsLeft === 0);
    await second.close();
    await Promise.all([pools.work.end(), pools.completion.end()]);
  });

  it('a manager closes in time, and leaves neither a connection nor a timer', async () => {
    const before = resources();
    const manager = await manage();
    await giveUpAll(manager);
    const start = performance.now();
    await manager.close();
    // Two seconds for the goodbye, one for what is left, and what a busy machine takes.
    expect(performance.now() - start).toBeLessThan(8_000);
    await until('nothing is left open', () => resources() <= before);
    await until('the server has none but the stopped', async () => {
      return (await sessions()).every(({ pid }) => stopped.includes(pid));
    });
  });
});

/** Has a stopped session go on, if it is there still. */
function resume(pid: number): void {
  try {
    kill(pid, 'SIGCONT');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** What keeps this process alive, of the kinds that a pool uses. */
function resources(): number {
  const kinds = new Set(['Timeout', 'TCPSocketWrap']);
  return process.getActiveResourcesInfo().filter((kind) => kinds.has(kind)).length;
}

function pool(max: number): Pool {
  return new Pool({ connectionString: database.url, application_name: 'dtc shared', max });
}

describe('a new connection', () => {
  let proxy: TcpProxy;

  beforeEach(async () => {
    proxy = await TcpProxy.open({ host: '127.0.0.1', port: server.port });
  });

  afterEach(() => proxy.close());

  function connectionPool(): ConnectionPool {
    const config = { connectionString: database.urlBy({ port: proxy.port }), application_name: 'dtc pool' };
    return new ConnectionPool(new Pool(config), new Logger());
  }

  const asksWho = (data: Buffer): boolean => data.includes('pg_backend_pid');

  it('whose session the server does not report is an error of the task, which does not start', async () => {
    const work = connectionPool();
    let ran = 0;
    const task = async (): Promise<number> => ++ran;
    proxy.rule = (data) => (asksWho(data) ? 'cut' : 'pass');

    await expect(work.run(AbortSignal.timeout(5_000), task)).rejects.toThrow(/Connection terminated/);
    expect(ran).toBe(0);
    expect(work.pool.totalCount).toBe(0);

    proxy.rule = () => 'pass';
    await expect(work.run(AbortSignal.timeout(5_000), task)).resolves.toBe(1);
    await work.close();
  });

  it('that does not answer is closed when its caller waits no longer', async () => {
    const work = connectionPool();
    let ran = 0;
    proxy.rule = (data) => (asksWho(data) ? 'stall' : 'pass');

    await expect(work.run(AbortSignal.timeout(200), () => Promise.resolve(++ran))).rejects.toThrow(/timeout/);

    expect(ran).toBe(0);
    await until('it is closed', () => proxy.connections === 0);
    expect(work.pool.totalCount).toBe(0);
    await work.close();
  });
});
