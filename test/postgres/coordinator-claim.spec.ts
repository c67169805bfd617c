import { once } from 'node:events';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import { LmdbDecisionLog } from '../../src/coordinator/log/lmdb/index.js';
import {
  type CoordinatorRun,
  PostgresResourceManager,
  type PostgresSettings,
  type Work,
} from '../../src/resource-managers/postgres/index.js';
import { Lane } from '../../src/resource-managers/postgres/lane.js';
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

/** The first claims of two logs, made a minute apart, in quarters of a microsecond. */
const [ONE_LOG, OTHER_LOG] = [7_000_000_000_000_000, 7_000_000_240_000_000];

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

function runOf(epoch: number, durable = true): CoordinatorRun {
  return { name: 'shop', epoch, durable };
}

let sequence = 0;
function branchOf(epoch: number) {
  return someBranch({ transactionId: `shop.${epoch.toString(36)}.${++sequence}` });
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
    const first = await started(runOf(ONE_LOG));

    await expect(manage().start(runOf(OTHER_LOG))).rejects.toMatchObject({
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
      message: expect.stringContaining(`dtc shop.${ONE_LOG.toString(36)}`) as string,
    });

    await first.close();
    await expect(manage().start(runOf(OTHER_LOG))).resolves.toBeUndefined();
  });

  it('is no longer asked for when it is given back meanwhile, and no connection stays outside its pool', async () => {
    await started(runOf(ONE_LOG));
    const [work, completion] = [0, 1].map(() => new Pool({ connectionString: database.url })) as [Pool, Pool];
    const second = new PostgresResourceManager('bank', { pools: { work, completion }, claimWaitMs: 50_000 });
    const starting = second.start(runOf(OTHER_LOG)).catch((error: unknown) => error);
    await until('it waits for the name', async () => (await holders()).length === 2);
    await second.close();

    expect(await starting).toBeInstanceOf(Error);
    // It would wait for a connection that is not given back.
    await Promise.all([work.end(), completion.end()]);
  });

  it('is refused as well where only its branches tell who it is: nothing is prepared, nothing listed', async () => {
    await started(runOf(ONE_LOG));
    const second = manage();

    await expect(second.prepare(branchOf(OTHER_LOG), takeTen)).resolves.toMatchObject({
      vote: 'abort',
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
    });

    await expect(second.recover()).rejects.toMatchObject({ code: 'DTC_POSTGRES_COORDINATOR_IN_USE' });
    await expect(database.prepared()).resolves.toEqual([]);
  });

  it('goes over at once to the next run of the same log, though the session of the dead one lingers', async () => {
    const dead = await started(runOf(ONE_LOG));
    const [lingering] = await holders();

    await manage({ claimWaitMs: 60_000 }).start(runOf(ONE_LOG + 1));

    const [holder, ...more] = await holders();
    expect(more).toEqual([]);
    expect(holder).toMatchObject({ application: `dtc shop.${(ONE_LOG + 1).toString(36)}` });
    expect(holder!.pid).not.toBe(lingering!.pid);
    await expect(dead.prepare(branchOf(ONE_LOG), takeTen)).resolves.toMatchObject({
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
    });
  });

  it('is waited for where the session of a process that has gone lingers', async () => {
    const dead = await started(runOf(ONE_LOG));
    const start = manage({ claimWaitMs: 30_000 }).start(runOf(OTHER_LOG));
    await until('it waits', async () => {
      const { rowCount } = await database.query(
        "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted",
      );
      return rowCount === 1;
    });

    await dead.close();

    await expect(start).resolves.toBeUndefined();
  });

  it('is refused where another log has left branches prepared, until they are decided; its own are no matter', async () => {
    const dead = await started(runOf(ONE_LOG));
    const undecided = branchOf(ONE_LOG);
    await dead.prepare(undecided, takeTen);
    await dead.close();

    const error: unknown = await manage()
      .start(runOf(OTHER_LOG))
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'DTC_POSTGRES_OTHER_LOG' });
    expect(String(error)).toContain(`1, the oldest of them ${undecided.transactionId}/bank/b`);

    const next = await started(runOf(ONE_LOG + 1));
    await expect(next.recover()).resolves.toEqual([
      { transactionId: undecided.transactionId, branchId: 'b' },
    ]);
    await next.rollback(again(undecided));
    await next.close();
    await expect(manage().start(runOf(OTHER_LOG))).resolves.toBeUndefined();
  });

  it('is refused to a log that is older than what was done under it, as one from a backup is', async () => {
    const latest = await started(runOf(ONE_LOG + 5));
    const done = branchOf(ONE_LOG + 5);
    await latest.prepare(done, takeTen);
    await latest.commit(again(done));
    await latest.close();

    for (const epoch of [ONE_LOG + 4, ONE_LOG + 5]) {
      await expect(manage().start(runOf(epoch))).rejects.toMatchObject({
        code: 'DTC_POSTGRES_OTHER_LOG',
        message: expect.stringContaining(`${done.transactionId}/bank/b is of a later start`) as string,
      });
    }
    await expect(manage().start(runOf(ONE_LOG + 6))).resolves.toBeUndefined();
  });

  it('keeps what other logs have prepared from a coordinator that would take it for its orphans', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    const other = await started(runOf(OTHER_LOG));
    const theirs = branchOf(OTHER_LOG);
    await other.prepare(theirs, takeTen);
    await other.close();
    // Which log it has is found out too late to stop the start.
    const manager = manage();
    await expect(manager.prepare(branchOf(ONE_LOG), async () => 'read-only')).resolves.toBe('read-only');

    await expect(manager.recover()).resolves.toEqual([]);

    expect(warn).toHaveBeenCalledWith(expect.stringContaining('1 branches that were prepared under another'));
    await expect(database.prepared()).resolves.toHaveLength(1);
  });

  it('may be shared by coordinators without a durable log, which take nothing for an orphan', async () => {
    const one = await started(runOf(ONE_LOG, false));
    const undecided = branchOf(ONE_LOG);
    await one.prepare(undecided, takeTen);
    const other = await started(runOf(OTHER_LOG, false));

    await expect(other.recover()).resolves.toHaveLength(1);
    await expect(manage().start(runOf(OTHER_LOG + 1))).rejects.toMatchObject({
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
    });
  });

  it('is claimed anew when the session that held it is lost, and refused if somebody else has it by then', async () => {
    const first = await started(runOf(ONE_LOG));
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
    await second.start(runOf(OTHER_LOG));
    proxy.cut();
    proxy.mend();

    await until('it is refused', async () => {
      const vote = await first.prepare(branchOf(ONE_LOG), takeTen).catch(() => undefined);
      return (vote as { code?: string } | undefined)?.code === 'DTC_POSTGRES_COORDINATOR_IN_USE';
    });
    await expect(database.prepared()).resolves.toEqual([]);
  });

  it('is claimed anew where the connection is lost and the server has not noticed, so that nobody else gets it', async () => {
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
    await first.start(runOf(ONE_LOG));
    const [lost] = await holders();

    for (const client of clients) client.destroy();
    await until('it is noticed here', () =>
      first.prepare(branchOf(ONE_LOG), takeTen).then(
        () => true,
        () => false,
      ),
    );

    const holding = await holders();
    expect(holding).toMatchObject([{ application: `dtc shop.${ONE_LOG.toString(36)}` }]);
    expect(holding[0]!.pid).not.toBe(lost!.pid);
    await expect(manage().start(runOf(OTHER_LOG))).rejects.toMatchObject({
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
    });
    await first.close();
    dropping.close();
  });

  it('is claimed by another that works for the same run in this process, when the one that has it ends', async () => {
    const first = await started(runOf(ONE_LOG));
    const [held] = await holders();
    const second = await started(runOf(ONE_LOG));
    await expect(holders()).resolves.toEqual([held]);
    await expect(second.prepare(branchOf(ONE_LOG), async () => 'read-only')).resolves.toBe('read-only');
    await expect(holders()).resolves.toEqual([held]);

    await first.close();
    await expect(second.prepare(branchOf(ONE_LOG), async () => 'read-only')).resolves.toBe('read-only');

    await until('only it has it', async () => (await holders()).every(({ pid }) => pid !== held!.pid));
    await expect(holders()).resolves.toHaveLength(1);
    await expect(manage().start(runOf(OTHER_LOG))).rejects.toMatchObject({
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
    });
  });

  it('is claimed anew when its session gives no answer any more', async () => {
    const manager = await started(runOf(ONE_LOG));
    const [silent] = await holders();
    proxy.rule = (data, direction) => (direction === 'up' && data.includes('SELECT 1\0') ? 'stall' : 'pass');

    await expect(manager.recover()).resolves.toEqual([]);

    const holding = await holders();
    expect(holding).toHaveLength(1);
    expect(holding[0]!.pid).not.toBe(silent!.pid);
  });

  it('keeps no branch waiting while another process has it: the refusal stands for a second', async () => {
    const other = await started(runOf(ONE_LOG));
    const manager = manage({ claimWaitMs: 60_000 });
    const inUse = { code: 'DTC_POSTGRES_COORDINATOR_IN_USE' };
    const prepare = (withinMs: number) => {
      const { transactionId } = branchOf(OTHER_LOG);
      return manager.prepare(someBranch({ transactionId, withinMs }), async () => 'read-only');
    };
    const begun = performance.now();
    await expect(prepare(60_000)).resolves.toMatchObject(inUse);
    expect(performance.now() - begun).toBeLessThan(10_000);
    await other.close();

    const connects = vi.spyOn(Lane.prototype, 'acquire');
    await expect(prepare(60_000)).resolves.toMatchObject(inUse);
    expect(connects).not.toHaveBeenCalled();

    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 1_000);
    await expect(prepare(60_000)).resolves.toBe('read-only');
  });

  it("is held for each participant: others, and other coordinators, are in nobody's way", async () => {
    await started(runOf(ONE_LOG));
    const vault = new PostgresResourceManager('vault', { connection: database.url, claimWaitMs: 100 });
    managers.push(vault);
    await expect(vault.start(runOf(ONE_LOG))).resolves.toBeUndefined();
    await expect(
      manage().start({ name: 'shop-2', epoch: OTHER_LOG, durable: true }),
    ).resolves.toBeUndefined();
  });

  it('holds no connection back from completion', async () => {
    const manager = await started(runOf(ONE_LOG), { completionConnections: 1 });
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
    folders = await Promise.all([1, 2].map(() => mkdtemp(join(tmpdir(), 'decisions-'))));
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
        log: new LmdbDecisionLog({ path: folder }),
        orphanSafetyMs: 1,
        recoveryIntervalMs: 20,
        shutdownGraceMs: 200,
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

  it('with a log each: the second does not start, and what the first has in doubt is whole', async () => {
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
});
