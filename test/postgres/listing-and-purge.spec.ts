import { Client } from 'pg';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { endOf } from '../support/postgres/bank.js';
import { type TestBranch, again, someBranch, until } from '../support/postgres/branches.js';
import { gidOf, takeTen, useProxiedPostgres } from '../support/postgres/proxied.js';

const bench = useProxiedPostgres({ accounts: ['ann', 'bob'] });

describe('recovery', () => {
  it('lists only the branches of this participant', async () => {
    const manager = await bench.manage();
    const mine = someBranch();
    await manager.prepare(mine, takeTen);
    await bench.database.query('CREATE TABLE t (n int)');
    const foreign = [
      'shop.1.1/bank-2/b',
      'shop.1.1/vault/b',
      'not ours at all',
      'shop.1.1/bank',
      'a/bank/b/c',
    ];
    const client = new Client(bench.database.url);
    await client.connect();
    for (const id of foreign) {
      await client.query(`BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '${id}'`);
    }
    await client.end();

    await expect(manager.recover()).resolves.toEqual([{ transactionId: mine.transactionId, branchId: 'b' }]);
    for (const id of foreign) await bench.database.query(`ROLLBACK PREPARED '${id}'`);
  });

  it('throws when it cannot look', async () => {
    const manager = await bench.manage({ recoverTimeoutMs: 200 });
    bench.proxy.cut();
    await expect(manager.recover()).rejects.toThrow();
  });
});

describe('the purge of the guard table', () => {
  async function age(...gids: string[]): Promise<void> {
    await bench.database.query(
      "UPDATE dtc_branches SET written_at = now() - interval '2 days' WHERE gid = ANY ($1)",
      [gids],
    );
  }

  const INTERVAL_MS = 600_000;
  /** Lets the clock of the process go on, and nothing else. */
  function pass(ms: number): void {
    const now = performance.now();
    vi.restoreAllMocks();
    const passed = now + ms - performance.now();
    const real = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => real() + passed);
  }

  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('deletes only rows that are old and were visible an interval ago', async () => {
    const manager = await bench.manage();
    const [old, young] = [someBranch(), someBranch()];
    for (const branch of [old, young]) await manager.rollback(again(branch));
    await age(gidOf(old));

    await expect(manager.purgeGuardTable()).resolves.toBe(0);
    pass(INTERVAL_MS);
    await expect(manager.purgeGuardTable()).resolves.toBe(1);

    await expect(endOf(bench.database, gidOf(old))).resolves.toBeUndefined();
    await expect(endOf(bench.database, gidOf(young))).resolves.toBe('rolled-back');
  });

  it('deletes no row that was not seen for long enough, however often a purge is asked for', async () => {
    const manager = await bench.manage();
    const branch = someBranch();
    await manager.rollback(again(branch));
    await age(gidOf(branch));

    for (let pass = 0; pass < 3; pass++) await expect(manager.purgeGuardTable()).resolves.toBe(0);

    await expect(endOf(bench.database, gidOf(branch))).resolves.toBe('rolled-back');
  });

  it('keeps the row of a branch that was in doubt for long, for an interval after it is committed', async () => {
    const manager = await bench.manage();
    const branch = someBranch();
    await manager.prepare(branch, async (client) => {
      await client.query("UPDATE dtc_branches SET written_at = now() - interval '2 days'");
      return 'commit';
    });
    await manager.purgeGuardTable();
    await manager.commit(again(branch));

    pass(INTERVAL_MS);
    await expect(manager.purgeGuardTable()).resolves.toBe(0);
    await expect(manager.commit(again(branch, 2))).resolves.toBeUndefined();
    pass(INTERVAL_MS);
    await expect(manager.purgeGuardTable()).resolves.toBe(1);
  });

  it('keeps the row of a branch that its coordinator may still call, however old, until the transaction is settled', async () => {
    const manager = await bench.manage();
    const unsettled = new Set<string>();
    const withRun = (given: TestBranch): TestBranch => ({
      ...given,
      run: { ...given.run, isUnsettled: (id) => unsettled.has(id) },
    });
    const [stalled, over] = [someBranch(), someBranch()];
    unsettled.add(stalled.transactionId);
    for (const branch of [stalled, over]) {
      await manager.prepare(withRun(branch), takeTen);
      await manager.commit(withRun(again(branch)));
    }
    await age(gidOf(stalled), gidOf(over));

    await manager.purgeGuardTable();
    pass(INTERVAL_MS);
    await expect(manager.purgeGuardTable()).resolves.toBe(1);
    await expect(endOf(bench.database, gidOf(over))).resolves.toBeUndefined();
    // It was stalled, or its participant was paused: told once more, it is no hazard.
    await expect(manager.commit(withRun(again(stalled, 7)))).resolves.toBeUndefined();

    unsettled.clear();
    await expect(manager.purgeGuardTable()).resolves.toBe(1);
  });

  it("leaves other participants' rows, and those of coordinators that others work for", async () => {
    const manager = await bench.manage();
    await manager.rollback(someBranch());
    const foreign = ['shop.1.1/vault/b', 'shop-2.1.1/bank/b'];
    for (const id of foreign) {
      await bench.database.query("INSERT INTO dtc_branches (gid, state) VALUES ($1, 'committed')", [id]);
    }
    await age(...foreign);

    await manager.purgeGuardTable();
    pass(INTERVAL_MS);
    await expect(manager.purgeGuardTable()).resolves.toBe(0);
    for (const id of foreign) await expect(endOf(bench.database, id)).resolves.toBe('committed');
  });

  it('gets round a table of any size, a part of it in each pass', async () => {
    const rows = 150_000;
    await bench.manage();
    const insert = `INSERT INTO dtc_branches (gid, state, written_at)
      SELECT 'shop.0.' || n || '/bank/b', 'committed', now() - interval '2 days' FROM generate_series(1, $1) n`;
    await bench.database.query(insert, [rows]);
    const manager = await bench.manage();
    // Its coordinator is known by a branch.
    await manager.rollback(someBranch());
    await manager.purgeGuardTable();
    pass(INTERVAL_MS);
    const first = await manager.purgeGuardTable();
    expect(first).toBeGreaterThan(rows / 4);
    expect(first).toBeLessThan(rows);
    const second = await manager.purgeGuardTable();
    expect(first + second).toBe(rows);
    await expect(manager.purgeGuardTable()).resolves.toBe(0);
  });

  it('runs by itself', async () => {
    const manager = await bench.manage({ purgeIntervalMs: 20, retainBranchesMs: 1 });
    const branch = someBranch();
    await manager.rollback(branch);
    await until('the row is gone', async () => (await endOf(bench.database, gidOf(branch))) === undefined);
    await expect(bench.database.query('SELECT FROM dtc_branches')).resolves.toMatchObject({ rowCount: 0 });
  });
});
