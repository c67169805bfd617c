import { getEventListeners } from 'node:events';
import { createRequire } from 'node:module';
import { Logger } from '@nestjs/common';
import { Client, Pool } from 'pg';
import { describe, expect, it } from 'vitest';
import type { Vote } from '../../src/coordinator/index.js';
import { PostgresResourceManager, type Work } from '../../src/postgres/index.js';
import { openPools } from '../../src/postgres/connection/connection-pools.js';
import { postgresSettingsSchema } from '../../src/postgres/options.js';
import { balanceOf } from '../support/postgres/bank.js';
import { again, someBranch, until } from '../support/postgres/branches.js';
import { gidOf, takeTen, useProxiedPostgres } from '../support/postgres/proxied.js';

const bench = useProxiedPostgres({ accounts: ['ann', 'bob'] });

describe('connections', () => {
  it('that are lost while they are idle do no harm', async () => {
    const manager = await bench.manage();
    const look = (): Promise<Vote> => manager.prepare(someBranch(), async () => 'read-only');
    await look();
    bench.proxy.cut();
    await until('all are lost', () => bench.proxy.connections === 0);
    bench.proxy.repair();

    // A connection is lost some time before its user can notice.
    await until('the pool has noticed', () =>
      look().then(
        () => true,
        () => false,
      ),
    );
    await expect(look()).resolves.toBe('read-only');
  });

  it.each(['is cancelled', 'throws', 'begins in vain'])(
    'are kept when their work %s, once its rollback is acknowledged',
    async (how) => {
      const manager = await bench.manage({ workConnections: 1, lockTimeoutMs: 50 });
      const pids: (number | undefined)[] = [];
      const note = async (client: Parameters<Work<unknown>>[0]): Promise<void> => {
        const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        pids.push(rows[0]?.pid);
      };
      const look: Work<unknown> = async (client) => {
        await note(client);
        return 'read-only';
      };
      await manager.prepare(someBranch(), look);
      const branch = someBranch();
      const blocker = new Client(bench.database.url);
      await blocker.connect();
      if (how === 'begins in vain') {
        await blocker.query(
          `BEGIN; INSERT INTO dtc_branches (gid, state) VALUES ('${gidOf(branch)}', 'committed')`,
        );
      }

      const failing = manager.prepare(branch, async (client) => {
        if (how === 'throws') throw new TypeError('a mistake');
        const sleep = client.query('SELECT pg_sleep(60)');
        setTimeout(() => branch.abort(), 50);
        await sleep;
        return 'commit';
      });
      await expect(failing).rejects.toThrow();
      await manager.prepare(someBranch(), look);

      expect(pids[1]).toBe(pids[0]);
      await blocker.end();
    },
  );

  it.each(['succeeds', 'fails', 'is given up while it works', 'is given up while it waits'])(
    'leave no listener at the signal of a call that %s, and run nothing for it any more',
    async (how) => {
      const connections = openPools(
        bench.database.url,
        postgresSettingsSchema.parse({ workConnections: 1 }),
        'bank',
        new Logger('PostgreSQL'),
      );
      const pool = connections.work;
      const controller = new AbortController();
      const { signal } = controller;
      const [mayEnd, runs] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const before = how.endsWith('waits')
        ? pool.run(new AbortController().signal, () => mayEnd.promise)
        : Promise.resolve();
      let hasRun = false;
      const call = pool.run(signal, async (client) => {
        hasRun = true;
        runs.resolve();
        if (how.endsWith('works')) await client.query('SELECT pg_sleep(60)');
        if (how === 'fails') throw new TypeError('a mistake');
      });
      const ended = Promise.allSettled([call]);
      expect(getEventListeners(signal, 'abort')).toHaveLength(1);
      if (how.endsWith('works')) await runs.promise;
      if (how.startsWith('is given up')) controller.abort();
      const [{ status }] = await ended;
      mayEnd.resolve();
      await before;
      expect(getEventListeners(signal, 'abort')).toEqual([]);
      expect(status).toBe(how === 'succeeds' ? 'fulfilled' : 'rejected');
      // Each of them gives its connection back.
      await pool.run(new AbortController().signal, (client) => client.query('SELECT 1'));
      expect(hasRun).toBe(!how.endsWith('waits'));
      await connections.close();
    },
  );

  it('are cut at the end when the server does not answer, and delay no caller', async () => {
    const manager = await bench.manage();
    let isSent = false;
    bench.proxy.rule = (data, direction) => {
      isSent ||= data.includes('PREPARE TRANSACTION');
      return isSent && direction === 'down' ? 'stall' : 'pass';
    };
    manager.prepare(someBranch(), takeTen).catch(() => {});
    await until('it hangs', () => bench.proxy.stalled > 0);
    bench.proxy.rule = () => 'stall';

    await expect(manager.close()).resolves.toBeUndefined();

    await until('all are cut', () => bench.proxy.connections === 0);
  });

  it('are not held by a purge that hangs at the end', async () => {
    const manager = await bench.manage();
    await manager.rollback(someBranch());
    bench.proxy.rule = (data) => (data.includes('pg_current_snapshot') ? 'stall' : 'pass');
    const purged = manager.purgeGuardTable();
    await until('it hangs', () => bench.proxy.stalled > 0);

    await manager.close();

    await expect(purged).resolves.toBe(0);
  });

  it('are not awaited by a branch whose caller has gone', async () => {
    const manager = await bench.manage({ workConnections: 1 });
    let letGo: (() => void) | undefined;
    const blocker = manager.prepare(someBranch(), async () => {
      await new Promise<void>((resolve) => {
        letGo = resolve;
      });
      return 'read-only';
    });
    const waiting = someBranch();
    const prepared = manager.prepare(waiting, takeTen);
    waiting.abort();
    await expect(prepared).rejects.toThrow('the caller has gone');

    await until('the blocker is at work', () => letGo !== undefined);
    letGo!();
    await expect(blocker).resolves.toBe('read-only');
    await expect(manager.prepare(someBranch(), async () => 'read-only')).resolves.toBe('read-only');
  });

  it('on which a completion hangs are cut when its time is up, so that the next has one', async () => {
    const manager = await bench.manage({ completionConnections: 1 });
    const [hanging, next] = [someBranch(), someBranch()];
    await manager.prepare(hanging, takeTen);
    let isSent = false;
    bench.proxy.rule = (data) => {
      if (!data.includes('COMMIT PREPARED')) return 'pass';
      isSent = true;
      return 'stall';
    };
    const attempt = again(hanging);
    const committed = manager.commit(attempt);
    committed.catch(() => {});
    await until('it hangs', () => isSent);
    attempt.abort();
    await expect(committed).rejects.toMatchObject({ code: 'DTC_POSTGRES_COMPLETION_FAILED' });
    await until('it is cut', () => bench.proxy.stalled === 0);

    bench.proxy.repair();
    await manager.rollback(again(next));
    await manager.commit(again(hanging, 2));
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });

  it('may come from pools of the application, which stay open', async () => {
    const pools = {
      work: new Pool({ connectionString: bench.database.url }),
      completion: new Pool({ connectionString: bench.database.url }),
    };
    const manager = new PostgresResourceManager('bank', { pools });
    const branch = someBranch();
    await expect(manager.prepare(branch, takeTen)).resolves.toBe('commit');
    await manager.commit(again(branch));
    await manager.close();

    await expect(pools.work.query('SELECT 1')).resolves.toMatchObject({ rowCount: 1 });
    expect(pools.work.idleCount).toBe(pools.work.totalCount);
    await Promise.all([pools.work.end(), pools.completion.end()]);
  });
});

describe('pools of the application', () => {
  it('may be of another copy of pg, and pipelined', async () => {
    const require = createRequire(import.meta.url);
    const ours = Object.entries(require.cache).filter(([path]) => /[/\\]node_modules[/\\]pg[/\\]/.test(path));
    for (const [path] of ours) delete require.cache[path];
    const other = require('pg') as { Pool: typeof Pool; Client: typeof Client };
    for (const [path, module] of ours) require.cache[path] = module;
    expect(other.Client).not.toBe(Client);
    const config = { connectionString: bench.database.url, pipeline: true };
    const pools = { work: new other.Pool(config), completion: new other.Pool(config) };
    const manager = new PostgresResourceManager('bank', { pools });
    const branch = someBranch();
    const text = "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'";

    await expect(
      manager.prepareBatch(branch, { statements: [{ text }], vote: () => 'commit' }),
    ).resolves.toBe('commit');

    await manager.commit(again(branch));
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
    await manager.close();
    await Promise.all([pools.work.end(), pools.completion.end()]);
  });

  it('are not needed to learn soon of a connection that is dead', async () => {
    const connections = openPools(
      bench.database.url,
      postgresSettingsSchema.parse({}),
      'bank',
      new Logger('PostgreSQL'),
    );
    for (const { pool } of [connections.work, connections.completion]) {
      expect(pool.options).toMatchObject({ keepAlive: true, keepAliveInitialDelayMillis: 10_000 });
    }
    await connections.close();
  });
});
