import { describe, expect, it } from 'vitest';
import { HeuristicError, refuse } from '../../src/coordinator/index.js';
import { runOf } from '../support/identity.js';
import { balanceOf, endOf, gidOf, posting, useMariaDb } from '../support/mariadb/bench.js';
import { hasMariaDb } from '../support/mariadb/server.js';
import { again, someBranch, until } from '../support/postgres/branches.js';

describe.runIf(hasMariaDb())('A branch in MariaDB', () => {
  const bench = useMariaDb();

  it('is prepared, visible to no other session, and committed; repeats are harmless', async () => {
    const manager = await bench.start();
    const branch = someBranch();
    expect(await manager.prepare(branch, posting('ann', -10))).toBe('commit');
    expect(await balanceOf(bench.database, 'ann')).toBe(100);
    expect(await manager.recover()).toEqual([
      { transactionId: branch.transactionId, branchId: branch.branchId },
    ]);

    await manager.commit(again(branch));
    await manager.commit(again(branch, 2));
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
    expect(await endOf(bench.database, gidOf(branch))).toBe('committed');
    expect(await manager.recover()).toEqual([]);
  });

  it('votes the same when prepare is repeated, and has one effect (fault 9)', async () => {
    const manager = await bench.start();
    const branch = someBranch();
    expect(await manager.prepare(branch, posting('ann', -10))).toBe('commit');
    expect(await manager.prepare(again(branch, 0), posting('ann', -10))).toBe('commit');
    await manager.commit(again(branch));
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
    expect(await manager.prepare(again(branch, 0), posting('ann', -10))).toBe('commit');
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
  });

  it('is rolled back; repeats are harmless, and a prepare that comes later is refused (fault 10)', async () => {
    const manager = await bench.start();
    const branch = someBranch();
    await manager.prepare(branch, posting('ann', -10));
    await manager.rollback(again(branch));
    await manager.rollback(again(branch, 2));
    expect(await manager.prepare(again(branch, 0), posting('ann', -10))).toMatchObject({
      code: 'ROLLED_BACK',
    });
    expect(await balanceOf(bench.database, 'ann')).toBe(100);
    expect(await endOf(bench.database, gidOf(branch))).toBe('rolled-back');
  });

  it('is prepared by a vote that expires, and by no vote whose time is not valid', async () => {
    const manager = await bench.start();
    const before = await balanceOf(bench.database, 'ann');
    const vote = { vote: 'commit', validForMs: 5_000 } as const;
    const branch = someBranch();
    const work = posting('ann', -10);
    const voting =
      (answer: unknown): typeof work =>
      async (...given) => {
        await work(...given);
        return answer as typeof vote;
      };
    expect(await manager.prepare(branch, voting(vote))).toEqual(vote);
    expect(await bench.server.prepared()).toHaveLength(1);
    await manager.commit(again(branch));
    const wrong = { vote: 'commit', validForMs: 0 };
    expect(await manager.prepare(someBranch(), voting(wrong))).toEqual(wrong);
    // Nor does it say in one phase that it has committed.
    expect(await manager.commitOnePhase(someBranch({ attempt: 1 }), voting(wrong))).toEqual(wrong);
    expect(await bench.server.prepared()).toEqual([]);
    expect(await balanceOf(bench.database, 'ann')).toBe(before! - 10);
  });

  it('that never prepared is rolled back, and leaves a tombstone (fault 11)', async () => {
    const manager = await bench.start();
    const branch = someBranch();
    await manager.rollback(branch);
    expect(await manager.prepare(again(branch, 0), posting('ann', -10))).toMatchObject({
      code: 'ROLLED_BACK',
    });
    expect(await bench.server.prepared()).toEqual([]);
  });

  it('holds nothing after a refusal, a read-only vote or an error', async () => {
    const manager = await bench.start({ workConnections: 1 });
    const write = posting('ann', -10);
    const no = await manager.prepare(someBranch(), async (connection) => {
      await write(connection);
      return refuse('NO', 'not today');
    });
    const readOnly = await manager.prepare(someBranch(), async (connection) => {
      await write(connection);
      return 'read-only';
    });
    const failed = manager.prepare(someBranch(), async (connection) => {
      await write(connection);
      throw new Error('the work broke');
    });
    await expect(failed).rejects.toThrow('the work broke');
    expect([no, readOnly]).toEqual([expect.objectContaining({ code: 'NO' }), 'read-only']);
    expect(await manager.prepare(someBranch(), write)).toBe('commit');
    expect(await balanceOf(bench.database, 'ann')).toBe(100);
  });

  it('is committed by another process once the session that prepared it has ended', async () => {
    const [first, second] = [await bench.start(), await bench.start()];
    const branch = someBranch();
    await first.prepare(branch, posting('ann', -10));
    await first.close();
    await until('the server has released the branch', async () => {
      try {
        await second.commit(again(branch));
        return true;
      } catch (error) {
        expect(error).toMatchObject({ code: 'DTC_MARIADB_BRANCH_HELD' });
        return false;
      }
    });
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
  });

  it('is not taken for committed while the session that prepared it lives: that is ended', async () => {
    const [first, second] = [await bench.start(), await bench.start()];
    const branch = someBranch();
    await first.prepare(branch, posting('ann', -10));

    await expect(second.commit(again(branch))).rejects.toMatchObject({ code: 'DTC_MARIADB_BRANCH_HELD' });
    await until('the server has released the branch', () =>
      second.commit(again(branch, 2)).then(
        () => true,
        () => false,
      ),
    );
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
    await first.commit(again(branch, 3));
  });

  it('is found where the connection gives numbers as strings', async () => {
    const connection = { uri: bench.database.url, supportBigNumbers: true, bigNumberStrings: true };
    const [first, second] = [await bench.start({ connection }), await bench.start({ connection })];
    const branch = someBranch();
    await first.prepare(branch, posting('ann', -10));
    expect(await second.recover()).toEqual([
      { transactionId: branch.transactionId, branchId: branch.branchId },
    ]);
    expect(await second.prepare(again(branch, 0), posting('ann', -10))).toBe('commit');
    await first.commit(again(branch));
  });

  it('does not depend on defaults of its server that would leave its rows uncommitted', async () => {
    await bench.database.query(
      "SET GLOBAL autocommit = 0, GLOBAL completion_type = 'CHAIN', GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'",
    );
    try {
      const settings = { claimWaitMs: 50, workConnections: 1, completionConnections: 1 };
      const [first, second] = [await bench.start(settings), await bench.start(settings)];
      await first.start(runOf());
      await expect(second.start(runOf({ epoch: 2 }))).rejects.toMatchObject({
        code: 'DTC_MARIADB_COORDINATOR_IN_USE',
      });
      // Its only session for completions has ended a transaction in the checks.
      const third = await bench.start(settings);
      await third.rollback(someBranch());
      const gone = [someBranch(), someBranch()];
      for (const branch of gone) await first.rollback(branch);
      for (const branch of gone) expect(await endOf(bench.database, gidOf(branch))).toBe('rolled-back');
      for (const name of ["O'Brien", "O\\'Brien"]) {
        const branch = someBranch();
        await first.prepare(branch, async (connection) => {
          await connection.query('INSERT INTO accounts VALUES (?, 1)', [name]);
          return 'commit';
        });
        await first.commit(again(branch));
        expect(await balanceOf(bench.database, 'ann')).toBe(100);
        const rows = await bench.database.query('SELECT name FROM accounts WHERE balance = 1');
        expect(rows.map((row) => row['name'])).toContain(name);
      }
      const long = first.prepare(someBranch(), async (connection) => {
        await connection.query("INSERT INTO accounts VALUES (REPEAT('x', 99), 1)");
        return 'commit';
      });
      expect(await long).toMatchObject({ code: 'DATA_REJECTED' });
    } finally {
      await bench.database.query(
        'SET GLOBAL autocommit = 1, GLOBAL completion_type = DEFAULT, GLOBAL sql_mode = DEFAULT',
      );
    }
  });

  it.each([
    ['sql_select_limit', '0'],
    ['tx_read_only', '1'],
    ['tx_isolation', "'READ-UNCOMMITTED'"],
    ['sql_mode', "'ORACLE,EMPTY_STRING_IS_NULL,HIGH_NOT_PRECEDENCE'"],
    ['sql_safe_updates', '1'],
    ['max_join_size', '1'],
    ['time_zone', "'+13:00'"],
    ['innodb_lock_wait_timeout', '0'],
    ['idle_write_transaction_timeout', '1'],
  ])('lives as ever where the default of the server for %s is %s', async (variable, value) => {
    await bench.database.query(`SET GLOBAL ${variable} = ${value}`);
    try {
      const [first, second] = [
        await bench.start({ claimWaitMs: 50 }),
        await bench.start({ claimWaitMs: 50 }),
      ];
      await first.start(runOf());
      await expect(second.start(runOf({ epoch: 2 }))).rejects.toMatchObject({
        code: 'DTC_MARIADB_COORDINATOR_IN_USE',
      });
      const [kept, dropped] = [someBranch(), someBranch()];
      expect(await first.prepare(kept, posting('ann', -10))).toBe('commit');
      expect(await first.prepare(dropped, posting('bob', -10))).toBe('commit');
      expect(await first.recover()).toHaveLength(2);
      await first.commit(again(kept));
      await first.rollback(again(dropped));
      await expect(second.rollback(again(kept))).rejects.toMatchObject({ kind: 'commit' });
      expect(await first.prepare(again(dropped, 0), posting('bob', -10))).toMatchObject({
        code: 'ROLLED_BACK',
      });
    } finally {
      await bench.database.query(`SET GLOBAL ${variable} = DEFAULT`);
    }
    expect([await balanceOf(bench.database, 'ann'), await balanceOf(bench.database, 'bob')]).toEqual([
      90, 100,
    ]);
  });

  it('is deleted from the guard table only after it was visible, where the server shows uncommitted rows', async () => {
    await bench.database.query("SET GLOBAL tx_isolation = 'READ-UNCOMMITTED', GLOBAL time_zone = '-12:00'");
    try {
      const manager = await bench.start({ retainBranchesMs: 1, purgeIntervalMs: 500 });
      const [before, branch] = [someBranch(), someBranch()];
      await manager.prepare(branch, posting('ann', -10));
      await manager.rollback(before);
      await until('both rows are old enough', async () => {
        const [row] = await bench.database.query(
          "SELECT 1 AS one FROM dtc_branches WHERE state = 'rolled-back' AND written_at < now(3) - INTERVAL 1000 MICROSECOND",
        );
        return row !== undefined;
      });
      await manager.purgeGuardTable();
      await manager.commit(again(branch));
      // The pass that deletes what the first one has seen. It is a pass of the manager itself, or one of
      // these.
      await until('the earlier row is deleted', async () => {
        await manager.purgeGuardTable();
        return (await endOf(bench.database, gidOf(before))) === undefined;
      });
      expect(await endOf(bench.database, gidOf(branch))).toBe('committed');
    } finally {
      await bench.database.query('SET GLOBAL tx_isolation = DEFAULT, GLOBAL time_zone = DEFAULT');
    }
  });

  it('reports a heuristic outcome when it was ended by hand (faults 38 and 45)', async () => {
    const manager = await bench.start();
    const [gone, turned, committed] = [someBranch(), someBranch(), someBranch()];
    await expect(manager.commit(gone)).rejects.toMatchObject({ kind: 'hazard' });
    await manager.rollback(turned);
    await expect(manager.commit(again(turned))).rejects.toMatchObject({ kind: 'rollback' });
    await manager.prepare(committed, posting('ann', -10));
    await manager.commit(again(committed));
    const error = await manager.rollback(again(committed, 2)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HeuristicError);
    expect(error).toMatchObject({ kind: 'commit' });
  });

  it('commits in one phase, and a repeat tells how the first attempt ended', async () => {
    const manager = await bench.start();
    const branch = someBranch({ attempt: 1 });
    expect(await manager.commitOnePhase(branch, posting('ann', -10))).toBe('commit');
    expect(await manager.commitOnePhase(again(branch, 2), posting('ann', -10))).toBe('commit');
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
    expect(await manager.commitOnePhase(someBranch({ attempt: 2 }), posting('ann', -10))).toMatchObject({
      code: 'ROLLED_BACK',
    });
    expect(await manager.commitOnePhase(someBranch({ attempt: 1 }), posting('ann', -1_000))).toMatchObject({
      code: 'NO_FUNDS',
    });
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
  });

  it('of a batch votes by its results', async () => {
    const manager = await bench.start();
    const branch = someBranch();
    const batch = (amount: number) => ({
      statements: [
        { sql: 'UPDATE accounts SET balance = balance - ? WHERE name = ?', values: [amount, 'ann'] },
        { sql: 'SELECT balance FROM accounts WHERE name = ?', values: ['ann'] },
      ],
      vote: (results: readonly unknown[]) =>
        (results[1] as { balance: number }[])[0]?.balance === 90
          ? ('commit' as const)
          : refuse('NO', 'another balance'),
    });
    expect(await manager.prepareBatch(branch, batch(10))).toBe('commit');
    await manager.commit(again(branch));
    expect(await manager.commitBatchOnePhase(someBranch({ attempt: 1 }), batch(5))).toMatchObject({
      code: 'NO',
    });
    expect(await balanceOf(bench.database, 'ann')).toBe(90);
  });

  it('is refused when its ids do not fit, and nothing has happened', async () => {
    const manager = await bench.start();
    for (const branchId of ['with a space', "quote'", 'x'.repeat(60), '']) {
      expect(await manager.prepare(someBranch({ branchId }), posting('ann', -10))).toMatchObject({
        code: 'DTC_MARIADB_INVALID_XID',
      });
    }
    // `bank/` and these make 64 bytes.
    const longest = someBranch({ branchId: 'x'.repeat(59) });
    expect(await manager.prepare(longest, posting('ann', -10))).toBe('commit');
    await manager.rollback(again(longest));
  });
});
