import type { Connection, Pool } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Vote } from '../../src/coordinator/index.js';
import { ConnectionPool } from '../../src/mariadb/connection/connection-pool.js';
import type { Session } from '../../src/mariadb/connection/session.js';
import type { MariaDbResourceManager, MariaDbSettings } from '../../src/mariadb/index.js';
import { idOf, runOf } from '../support/identity.js';
import { balanceOf, endOf, gidOf, posting, useMariaDb } from '../support/mariadb/bench.js';
import { hasMariaDb } from '../support/mariadb/server.js';
import { again, someBranch, until } from '../support/postgres/branches.js';
import { TcpProxy, type Verdict } from '../support/tcp-proxy.js';

describe.runIf(hasMariaDb())('A branch in MariaDB whose', () => {
  const bench = useMariaDb();
  let proxy: TcpProxy;
  beforeEach(async () => {
    proxy = await TcpProxy.open({ host: '127.0.0.1', port: bench.server.port });
  });
  afterEach(async () => {
    await bench.close();
    await proxy.close();
  });

  const through = (settings: MariaDbSettings = {}): Promise<MariaDbResourceManager> =>
    bench.start({ ...settings, connection: bench.database.urlBy({ port: proxy.port }) });
  /** The first statement with this text meets the verdict, and all else passes. */
  const first = (text: string, verdict: Verdict): void => {
    let isOver = false;
    proxy.rule = (data, direction) => {
      if (isOver || direction !== 'up' || !data.includes(text)) return 'pass';
      isOver = true;
      return verdict;
    };
  };
  const ends = (what: string, call: () => Promise<void>): Promise<void> =>
    until(what, () =>
      call().then(
        () => true,
        () => false,
      ),
    );

  it('connection is lost before XA PREPARE leaves nothing', async () => {
    const manager = await through();
    const branch = someBranch();
    first('XA PREPARE', 'cut');
    await expect(manager.prepare(branch, posting('ann', -10))).rejects.toThrow(/connection/i);
    await ends('it is rolled back', () => manager.rollback(again(branch)));
    expect(await bench.server.prepared()).toEqual([]);
    expect(await endOf(bench.database, gidOf(branch))).toBe('rolled-back');
    expect(await balanceOf(bench.database, 'ann')).toBe(100);
  });

  it('connection is lost after XA PREPARE gives no vote, and is rolled back although it is prepared (fault 13)', async () => {
    const manager = await through();
    const branch = someBranch();
    first('XA PREPARE', 'cut-answer');
    await expect(manager.prepare(branch, posting('ann', -10))).rejects.toThrow(/connection/i);
    expect(await bench.server.prepared()).toHaveLength(1);
    await ends('it is rolled back', () => manager.rollback(again(branch)));
    expect(await bench.server.prepared()).toEqual([]);
    expect(await manager.prepare(again(branch, 0), posting('ann', -10))).toMatchObject({
      code: 'ROLLED_BACK',
    });
    expect(await balanceOf(bench.database, 'ann')).toBe(100);
  });

  it.each(['cut', 'cut-answer'] as const)(
    'connection is lost at XA COMMIT (%s) is committed by the next attempt (fault 37)',
    async (verdict) => {
      const manager = await through();
      const branch = someBranch();
      expect(await manager.prepare(branch, posting('ann', -10))).toBe('commit');
      first('XA COMMIT', verdict);
      await expect(manager.commit(again(branch))).rejects.toMatchObject({
        code: 'DTC_MARIADB_COMPLETION_FAILED',
      });
      await ends('it is committed', () => manager.commit(again(branch, 2)));
      expect(await balanceOf(bench.database, 'ann')).toBe(90);
    },
  );

  it.each(['cut', 'cut-answer'] as const)(
    'connection is lost at its commit in one phase (%s) tells the next attempt how it has ended (fault 7)',
    async (verdict) => {
      const manager = await through();
      const branch = someBranch({ attempt: 1 });
      first('ONE PHASE', verdict);
      await expect(manager.commitOnePhase(branch, posting('ann', -10))).rejects.toThrow(/connection/i);
      let answer: Vote | undefined;
      await ends('the answer is there', async () => {
        answer = await manager.commitOnePhase(again(branch, 2), posting('ann', -10));
      });
      if (verdict === 'cut') expect(answer).toMatchObject({ code: 'ROLLED_BACK' });
      else expect(answer).toBe('commit');
      expect(await balanceOf(bench.database, 'ann')).toBe(verdict === 'cut' ? 100 : 90);
    },
  );

  it('prepare is on its way when it is rolled back can never be prepared (fault 14)', async () => {
    const manager = await through();
    const branch = someBranch();
    const late = Promise.withResolvers<void>();
    let isSent = false;
    proxy.rule = (data, direction) => {
      if (isSent || direction !== 'up' || !data.includes('XA PREPARE')) return 'pass';
      isSent = true;
      return { after: late.promise, from: 0 };
    };
    const prepared = manager.prepare(branch, posting('ann', -10));
    const refused = prepared.catch(String);
    await until('XA PREPARE is on its way', () => isSent);
    branch.abort();
    expect(await refused).toContain('the caller has gone');
    await ends('it is rolled back', () => manager.rollback(again(branch)));
    late.resolve();
    expect(await manager.prepare(again(branch, 0), posting('ann', -10))).toMatchObject({
      code: 'ROLLED_BACK',
    });
    expect(await bench.server.prepared()).toEqual([]);
    expect(await balanceOf(bench.database, 'ann')).toBe(100);
  });

  it('work hangs is ended at the server when no caller waits for it (fault 16)', async () => {
    const manager = await bench.start();
    const branch = someBranch();
    const asleep = manager.prepare(branch, async (connection: Connection) => {
      await posting('ann', -10)(connection);
      await connection.query('SELECT SLEEP(30)');
      return 'commit';
    });
    const refused = asleep.catch(String);
    const sleeping = () =>
      bench.database.query("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'");
    await until('it sleeps', async () => (await sleeping()).length === 1);
    branch.abort();
    expect(await refused).toContain('the caller has gone');
    await until('its session has ended', async () => (await sleeping()).length === 0);
    await ends('it is rolled back', () => manager.rollback(again(branch)));
    expect(await manager.prepare(someBranch(), posting('ann', -10))).toBe('commit');
  });

  it('coordinator has gone is ended by the server at its deadline; prepared branches stay', async () => {
    const manager = await bench.start();
    // With these the server gives both the same second.
    const [open, prepared] = [someBranch({ withinMs: 400 }), someBranch({ withinMs: 450 })];
    const begun = Promise.withResolvers<void>();
    const never = manager.prepare(open, async (connection) => {
      await posting('bob', -10)(connection);
      begun.resolve();
      return new Promise<Vote>(() => {});
    });
    never.catch(() => {});
    await begun.promise;
    expect(await manager.prepare(prepared, posting('ann', -10))).toBe('commit');
    const alive = () =>
      bench.database.query("SELECT id FROM information_schema.processlist WHERE user = 'root' AND db = ?", [
        bench.database.name,
      ]);
    const before = (await alive()).length;
    await until('the server has ended both sessions', async () => (await alive()).length <= before - 2);
    expect(await bench.server.prepared()).toHaveLength(1);
    await manager.commit(again(prepared));
    await manager.rollback(again(open));
    expect([await balanceOf(bench.database, 'ann'), await balanceOf(bench.database, 'bob')]).toEqual([
      90, 100,
    ]);
    open.abort();
  });

  it('repeated prepare cannot begin does not touch the branch that the first call has prepared (fault 9)', async () => {
    const before = await bench.start();
    const branch = someBranch();
    expect(await before.prepare(branch, posting('ann', -10))).toBe('commit');
    await before.close();
    const manager = await through();
    proxy.rule = (data, direction) =>
      direction === 'up' && data.includes('XA START')
        ? { replace: Buffer.from(data.toString('latin1').replace('NOT ATOMIC', 'NOT ATOMIX'), 'latin1') }
        : 'pass';
    await expect(manager.prepare(again(branch, 0), posting('ann', -10))).rejects.toMatchObject({
      errno: 1064,
    });
    proxy.repair();
    expect(await manager.prepare(again(branch, 0), posting('ann', -10))).toBe('commit');
    expect(await bench.server.prepared()).toHaveLength(1);
    await ends('it is committed', () => manager.commit(again(branch)));
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
  });

  it('server is killed and started again is still prepared, and is committed (fault 42)', async () => {
    const manager = await bench.start();
    const branch = someBranch();
    await manager.prepare(branch, posting('ann', -10));
    await bench.server.kill();
    await expect(manager.commit(again(branch))).rejects.toMatchObject({
      code: 'DTC_MARIADB_COMPLETION_FAILED',
    });
    await bench.server.restart();
    await until('it is listed', async () => (await bench.server.prepared()).length === 1);
    await ends('it is committed', () => manager.commit(again(branch, 2)));
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
  });

  it('prepared work fills all connections refuses others, and commits do not wait', async () => {
    const manager = await bench.start({ workConnections: 1, connectTimeoutMs: 100 });
    const branch = someBranch();
    await manager.prepare(branch, posting('ann', -10));
    expect(await manager.prepare(someBranch(), posting('bob', -10))).toMatchObject({
      code: 'NO_CONNECTION',
      overloaded: true,
    });
    await manager.commit(again(branch));
    expect(await manager.prepare(someBranch(), posting('bob', -10))).toBe('commit');
  });

  it('callers have given up leaves none of them in the queue for a connection', async () => {
    const pool = new ConnectionPool({ uri: bench.database.url }, 1);
    let queued = 0;
    (Reflect.get(pool, 'pool') as Pool).on('enqueue', () => queued++);
    const impatient = new AbortController();
    const opening = pool.acquire(impatient.signal).catch(String);
    const waiting = Array.from({ length: 50 }, () => pool.acquire(impatient.signal).catch(String));
    impatient.abort(new Error('too late'));
    expect(new Set(await Promise.all([opening, ...waiting]))).toEqual(new Set(['Error: too late']));
    // Its place is free again once the connection of the first caller is open.
    const patient = AbortSignal.timeout(5_000);
    const session = await pool.acquire(patient);
    const next = pool.acquire(patient);
    pool.cut(session);
    pool.destroy(session);
    const other = await next;
    const crowd = [pool.acquire(patient), pool.acquire(AbortSignal.timeout(1)).catch(String)];
    expect(await crowd[1]).toContain('TimeoutError');
    pool.release(other);
    pool.release((await crowd[0]) as Session);
    expect(queued).toBe(0);
    await pool.close();
  });

  it('run was fenced loses its sessions, and sessions at work for another run stay', async () => {
    const fenced = runOf({ isShared: true });
    const next = runOf({ epoch: 2, isShared: true });
    const [first, second] = [await bench.start({ workConnections: 2 }), await bench.start()];
    // One process works for several runs one after the other: its second session goes over to the other run.
    const [held, moved] = [someBranch({ run: fenced }), someBranch({ run: fenced })];
    expect(await first.prepare(held, posting('ann', -10))).toBe('commit');
    await first.prepare(moved, posting('bob', -1));
    await first.commit(again(moved));
    const open = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const other = someBranch({ run: next, transactionId: idOf('shop', 2, 1) });
    const working = first.prepare(other, async (connection) => {
      await posting('bob', -10)(connection);
      open.resolve();
      await go.promise;
      return posting('bob', -10)(connection);
    });
    await open.promise;
    await second.endSessionsOf(fenced);
    // Its branch stays prepared, and another process can end it at once.
    await ends('the branch is committed', () => second.commit(again(held)));
    go.resolve();
    expect(await working).toBe('commit');
    await first.commit(again(other));
    expect([await balanceOf(bench.database, 'ann'), await balanceOf(bench.database, 'bob')]).toEqual([
      90, 79,
    ]);
  });

  it('run was fenced holds its locks no longer, although its process stands still', async () => {
    const run = runOf({ isShared: true });
    const [still, member] = [await bench.start(), await bench.start({ lockTimeoutSeconds: 5 })];
    const open = Promise.withResolvers<void>();
    const branch = someBranch({ run });
    const lost = still.prepare(branch, async (connection) => {
      await posting('ann', -10)(connection);
      open.resolve();
      return new Promise<Vote>(() => {});
    });
    lost.catch(() => {});
    await open.promise;
    await member.endSessionsOf(run);
    expect(await member.prepare(someBranch(), posting('ann', -20))).toBe('commit');
    branch.abort();
    await expect(lost).rejects.toThrow();
  });

  it('ids belong to another program or participant is never listed (fault 54)', async () => {
    const manager = await bench.start();
    const foreign = [
      "'shop.log0of0tests.1.1','bank/b'",
      "'shop.log0of0tests.1.2','bank/b',7",
      "'shop.log0of0tests.1.3','other/b',4478019",
      "'no slash','',4478019",
      "'a','b/c/d',4478019",
      "X'00ff','bank/b',4478019",
    ];
    const connections: Connection[] = [];
    for (const id of foreign) {
      const connection = await bench.database.connect();
      connections.push(connection);
      await connection.query(`XA START ${id}`);
      await connection.query('INSERT INTO accounts VALUES (?, 1)', [id]);
      await connection.query(`XA END ${id}`);
      await connection.query(`XA PREPARE ${id}`);
    }
    expect(await bench.server.prepared()).toHaveLength(foreign.length);
    expect(await manager.recover()).toEqual([]);
    for (const connection of connections) connection.destroy();
  });

  it('commit two resolvers drive at the same time is committed once (fault 58)', async () => {
    const managers = [await bench.start(), await bench.start()];
    const branch = someBranch();
    await managers[0]!.prepare(branch, posting('ann', -10));
    await Promise.all(managers.map((manager) => ends('done', () => manager.commit(again(branch)))));
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
  });
});
