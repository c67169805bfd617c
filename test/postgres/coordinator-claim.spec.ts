import { once } from 'node:events';
import { cp, mkdtemp, rename, rm } from 'node:fs/promises';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import {
  type CoordinatorRun,
  PostgresResourceManager,
  type PostgresSettings,
  type Work,
} from '../../src/postgres/index.js';
import { ConnectionPool } from '../../src/postgres/connection/connection-pool.js';
import {
  type Banks,
  LeftBank,
  RightBank,
  balanceOf,
  openAccounts,
  startBanks,
} from '../support/postgres/bank.js';
import { again, someBranch, until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { OTHER_LOG_ID, idOf, runOf, tokenOf } from '../support/identity.js';

/** Runs of two logs. */
const ONE_LOG = runOf({ epoch: 7 });
const OTHER_LOG = runOf({ logId: OTHER_LOG_ID });

let server: PostgresServer;
let database: TestDatabase;
let managers: PostgresResourceManager[];
let proxy: TcpProxy;

beforeAll(async () => {
  server = await PostgresServer.start();
});

afterAll(() => server.stop());

beforeEach(async () => {
  database = await server.createDatabase();
  await openAccounts(database, 'ann');
  proxy = await TcpProxy.open({ host: '127.0.0.1', port: server.port });
  managers = [];
});

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(managers.map((manager) => manager.close()));
  await proxy.close();
});

/** A process of its own, as far as the database can tell. */
function manage(settings: PostgresSettings & { connection?: string } = {}): PostgresResourceManager {
  const manager = new PostgresResourceManager('bank', {
    connection: database.urlBy({ port: proxy.port }),
    claimWaitMs: 100,
    ...settings,
  });
  managers.push(manager);
  return manager;
}

async function started(run: CoordinatorRun, settings?: PostgresSettings): Promise<PostgresResourceManager> {
  const manager = manage(settings);
  await manager.start(run);
  return manager;
}

/** A start of the log of a run, so many starts later. */
function later(run: CoordinatorRun, starts: number): CoordinatorRun {
  return runOf({ ...run, epoch: run.epoch + starts, token: tokenOf(run.epoch + starts) });
}

function volatile(run: CoordinatorRun): CoordinatorRun {
  return { ...run, durable: false };
}

/** What a run is called in `pg_stat_activity`. */
function sessionOf({ name, logId, epoch }: CoordinatorRun): string {
  return `dtc ${name}.${logId}.${epoch.toString(36)}`;
}

let sequence = 0;
function branchOf(run: CoordinatorRun) {
  return someBranch({ transactionId: idOf(run.name, run.epoch, ++sequence, run.logId), run });
}

const takeTen: Work<unknown> = async (client) => {
  await client.query("UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'");
  return 'commit';
};

/** The sessions that hold a name. */
async function holders(): Promise<{ pid: number; application: string }[]> {
  const { rows } = await database.query<{ pid: number; application: string }>(
    `SELECT pid, application_name AS application FROM pg_stat_activity
      WHERE datname = current_database() AND application_name LIKE 'dtc shop.%'`,
  );
  return rows;
}

describe('The name of a coordinator', () => {
  it('is refused to a second process with a log of its own, for as long as the first lives', async () => {
    const first = await started(ONE_LOG);

    await expect(manage().start(OTHER_LOG)).rejects.toMatchObject({
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
      message: expect.stringContaining(sessionOf(ONE_LOG)) as string,
    });

    await first.close();
    await expect(manage().start(OTHER_LOG)).resolves.toBeUndefined();
  });

  it('is no longer asked for when it is given back meanwhile, and no connection stays outside its pool', async () => {
    await started(ONE_LOG);
    const [work, completion] = [0, 1].map(() => new Pool({ connectionString: database.url })) as [Pool, Pool];
    const second = new PostgresResourceManager('bank', { pools: { work, completion }, claimWaitMs: 50_000 });
    const starting = second.start(OTHER_LOG).catch((error: unknown) => error);
    await until('it waits for the name', async () => (await holders()).length === 2);
    await second.close();

    expect(await starting).toBeInstanceOf(Error);
    // It would wait for a connection that is not given back.
    await Promise.all([work.end(), completion.end()]);
  });

  it('is refused as well where only its branches have its name: nothing is prepared, nothing listed', async () => {
    await started(ONE_LOG);
    const second = manage();

    await expect(second.prepare(branchOf(OTHER_LOG), takeTen)).resolves.toMatchObject({
      vote: 'abort',
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
    });

    await expect(second.recover()).rejects.toMatchObject({ code: 'DTC_POSTGRES_COORDINATOR_IN_USE' });
    await expect(database.prepared()).resolves.toEqual([]);
  });

  it('is waited for where the session of a process that has gone lingers', async () => {
    const dead = await started(ONE_LOG);
    const start = manage({ claimWaitMs: 30_000 }).start(OTHER_LOG);
    await until('it waits', async () => (await holders()).length === 2);

    await dead.close();

    await expect(start).resolves.toBeUndefined();
  });

  it('is refused where another log has left branches prepared, until they are decided; its own are no matter', async () => {
    const dead = await started(ONE_LOG);
    const undecided = branchOf(ONE_LOG);
    await dead.prepare(undecided, takeTen);
    await dead.close();

    const error: unknown = await manage()
      .start(OTHER_LOG)
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'DTC_POSTGRES_OTHER_LOG' });
    expect(String(error)).toContain(`1, the oldest of them ${undecided.transactionId}/bank/b`);

    const next = await started(later(ONE_LOG, 1));
    await expect(next.recover()).resolves.toEqual([
      { transactionId: undecided.transactionId, branchId: 'b' },
    ]);
    await next.rollback(again(undecided));
    await next.close();
    await expect(manage().start(OTHER_LOG)).resolves.toBeUndefined();
  });

  it('may be shared by coordinators without a durable log, which take nothing for an orphan', async () => {
    const one = await started(volatile(ONE_LOG));
    const undecided = branchOf(ONE_LOG);
    await one.prepare(undecided, takeTen);
    const other = await started(volatile(OTHER_LOG));

    await expect(other.recover()).resolves.toHaveLength(1);
    await expect(manage().start(later(OTHER_LOG, 1))).rejects.toMatchObject({
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
    });
  });

  it('is claimed again when the session that held it is lost, and refused if another process has it by then', async () => {
    const first = await started(ONE_LOG);
    const lose = async (): Promise<void> => {
      const [holder] = await holders();
      await database.query('SELECT pg_terminate_backend($1, 5000)', [holder!.pid]);
    };
    await lose();
    await until('it is held again', async () => {
      await first.recover();
      return (await holders()).length === 1;
    });
    await expect(first.prepare(branchOf(ONE_LOG), async () => 'read-only')).resolves.toBe('read-only');

    // A machine that stands still notices nothing.
    proxy.rule = () => 'stall';
    await lose();
    const second = new PostgresResourceManager('bank', { connection: database.url, claimWaitMs: 100 });
    managers.push(second);
    await second.start(OTHER_LOG);
    proxy.cut();
    proxy.repair();

    await until('it is refused', async () => {
      const vote = await first.prepare(branchOf(ONE_LOG), takeTen).catch(() => undefined);
      return (vote as { code?: string } | undefined)?.code === 'DTC_POSTGRES_COORDINATOR_IN_USE';
    });
    await expect(database.prepared()).resolves.toEqual([]);
  });

  it('is claimed again when the connection is lost and the server has not noticed, so that no other process gets it', async () => {
    const clients = new Set<Socket>();
    const dropping = createServer((client) => {
      const upstream = connect({ host: '127.0.0.1', port: server.port });
      clients.add(client);
      upstream.pipe(client).on('error', () => {});
      // The server hears nothing of the end of the client.
      client.pipe(upstream, { end: false }).on('error', () => {});
      upstream.once('close', () => client.destroy());
    });
    dropping.listen(0, '127.0.0.1');
    await once(dropping, 'listening');
    const connection = database.urlBy({ port: (dropping.address() as AddressInfo).port });
    const first = manage({ connection });
    await first.start(ONE_LOG);
    const [lost] = await holders();

    for (const client of clients) client.destroy();
    await until('it is noticed here', () =>
      first.prepare(branchOf(ONE_LOG), takeTen).then(
        () => true,
        () => false,
      ),
    );

    const holding = await holders();
    expect(holding).toMatchObject([{ application: sessionOf(ONE_LOG) }]);
    expect(holding[0]!.pid).not.toBe(lost!.pid);
    await expect(manage().start(OTHER_LOG)).rejects.toMatchObject({
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
    });
    await first.close();
    dropping.close();
  });

  it('is claimed by another that works for the same run in this process, when the one that has it ends', async () => {
    const first = await started(ONE_LOG);
    const [held] = await holders();
    const second = await started(ONE_LOG);
    await expect(holders()).resolves.toEqual([held]);
    await expect(second.prepare(branchOf(ONE_LOG), async () => 'read-only')).resolves.toBe('read-only');
    await expect(holders()).resolves.toEqual([held]);

    await first.close();
    await expect(second.prepare(branchOf(ONE_LOG), async () => 'read-only')).resolves.toBe('read-only');

    await until('only it has it', async () => (await holders()).every(({ pid }) => pid !== held!.pid));
    await expect(holders()).resolves.toHaveLength(1);
    await expect(manage().start(OTHER_LOG)).rejects.toMatchObject({
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
    });
  });

  it('is claimed again when its session no longer answers', async () => {
    const manager = await started(ONE_LOG);
    const [silent] = await holders();
    proxy.rule = (data, direction) => (direction === 'up' && data.includes('SELECT 1\0') ? 'stall' : 'pass');

    await expect(manager.recover()).resolves.toEqual([]);

    const holding = await holders();
    expect(holding).toHaveLength(1);
    expect(holding[0]!.pid).not.toBe(silent!.pid);
  });

  it('keeps no branch waiting while another process has it: the refusal stands for a second', async () => {
    const other = await started(ONE_LOG);
    const manager = manage({ claimWaitMs: 60_000 });
    const inUse = { code: 'DTC_POSTGRES_COORDINATOR_IN_USE' };
    const prepare = (withinMs: number) => {
      const { transactionId, run } = branchOf(OTHER_LOG);
      return manager.prepare(someBranch({ transactionId, run, withinMs }), async () => 'read-only');
    };
    const begun = performance.now();
    await expect(prepare(60_000)).resolves.toMatchObject(inUse);
    expect(performance.now() - begun).toBeLessThan(10_000);
    await other.close();

    const connects = vi.spyOn(ConnectionPool.prototype, 'acquire');
    await expect(prepare(60_000)).resolves.toMatchObject(inUse);
    expect(connects).not.toHaveBeenCalled();

    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 1_000);
    await expect(prepare(60_000)).resolves.toBe('read-only');
  });

  it('is held for each participant: other participants and coordinators do not conflict', async () => {
    await started(ONE_LOG);
    const vault = new PostgresResourceManager('vault', { connection: database.url, claimWaitMs: 100 });
    managers.push(vault);
    await expect(vault.start(ONE_LOG)).resolves.toBeUndefined();
    await expect(manage().start(runOf({ name: 'shop-2', logId: OTHER_LOG_ID }))).resolves.toBeUndefined();
  });

  it('holds no connection back from completion', async () => {
    const manager = await started(ONE_LOG, { completionConnections: 1 });
    const done = branchOf(ONE_LOG);
    await manager.prepare(done, takeTen);
    await manager.commit(again(done));
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });
});

describe('Two applications of one name on the same databases', () => {
  let folders: string[];
  let other: TestDatabase;
  const running = new Set<Banks>();

  beforeEach(async () => {
    other = await server.createDatabase();
    await openAccounts(other, 'ann');
    folders = await Promise.all([1, 2, 3].map(() => mkdtemp(join(tmpdir(), 'decisions-'))));
  });

  afterEach(async () => {
    for (const banks of running) await banks.application.close();
    running.clear();
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  });

  async function start(folder: string): Promise<Banks> {
    const banks = await startBanks({
      left: { connection: database.url, claimWaitMs: 100 },
      right: { connection: other.url, claimWaitMs: 100 },
      coordinator: {
        name: 'shop',
        log: new SqliteDecisionLog({ path: folder }),
        orphanSafetyMs: 1,
        recoveryIntervalMs: 20,
        shutdownGraceMs: 200,
        // One holds its vote back until another application has tried to start, which may take long on a busy
        // machine.
        timeoutMs: 60_000,
        prepareTimeoutMs: 60_000,
      },
    });
    running.add(banks);
    return banks;
  }

  function transfer({ transactions }: Banks): Promise<Outcome> {
    return transactions.run({
      branches: [
        branch(LeftBank, { account: 'ann', amount: -10 }),
        branch(RightBank, { account: 'ann', amount: 10 }),
      ],
    });
  }

  it('with a log each: the second does not start, and branches in doubt of the first are unharmed', async () => {
    const first = await start(folders[0]!);
    let letGo!: () => void;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    first.right.afterWork = () => held;
    const outcome = transfer(first);
    await until('the left is prepared', async () => (await database.prepared()).length === 1);

    await expect(start(folders[1]!)).rejects.toMatchObject({ code: 'DTC_POSTGRES_COORDINATOR_IN_USE' });

    letGo();
    await expect(outcome).resolves.toMatchObject({ status: 'committed' });
    expect([await balanceOf(database, 'ann'), await balanceOf(other, 'ann')]).toEqual([90, 110]);
  });

  it('with one log, one after the other: the second starts, also when the log was moved', async () => {
    const first = await start(folders[0]!);
    await transfer(first);
    await first.application.close();
    running.delete(first);
    await rm(folders[1]!, { recursive: true });
    await rename(folders[0]!, folders[1]!);

    await expect(transfer(await start(folders[1]!))).resolves.toMatchObject({ status: 'committed' });
  });

  it('with copies of one log: refused beside the original, and after it', async () => {
    const seed = await start(folders[0]!);
    await seed.application.close();
    running.delete(seed);
    const first = folders[2]!;
    await cp(folders[0]!, first, { recursive: true });
    // An application whose start was refused keeps its log until its process ends, so each has a copy.
    const copy = async (): Promise<Banks> => {
      const folder = await mkdtemp(join(tmpdir(), 'decisions-'));
      folders.push(folder);
      await cp(first, folder, { recursive: true });
      return start(folder);
    };
    const original = await start(folders[0]!);

    await expect(copy()).rejects.toMatchObject({ code: 'DTC_POSTGRES_COORDINATOR_IN_USE' });
    await expect(transfer(original)).resolves.toMatchObject({ status: 'committed' });
    await original.application.close();
    running.delete(original);

    for (let attempt = 0; attempt < 2; attempt++)
      await expect(copy()).rejects.toMatchObject({ code: 'DTC_LOG_COPIED' });
    await expect(transfer(await start(folders[0]!))).resolves.toMatchObject({ status: 'committed' });
    expect([await balanceOf(database, 'ann'), await balanceOf(other, 'ann')]).toEqual([80, 120]);
  });
});
