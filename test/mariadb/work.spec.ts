import type { Connection, RowDataPacket } from 'mysql2/promise';
import { describe, expect, it } from 'vitest';
import { type Vote, refuse } from '../../src/coordinator/index.js';
import { xidOf } from '../../src/mariadb/gid.js';
import { balanceOf, posting, useMariaDb } from '../support/mariadb/bench.js';
import { hasMariaDb } from '../support/mariadb/server.js';
import { again, someBranch } from '../support/postgres/branches.js';

describe.runIf(hasMariaDb())('The work of a branch in MariaDB', () => {
  const bench = useMariaDb();

  it.each([
    'COMMIT',
    ' rollback ',
    'BEGIN',
    '/* mine */ start transaction',
    "XA END 'x'",
    '-- a comment\nxa rollback 1',
    '/*!50000 COMMIT */',
    '# note\ncommit',
  ])('cannot end its transaction by %j, which is not run', async (sql) => {
    const manager = await bench.start({ workConnections: 1 });
    const branch = someBranch();
    const prepared = manager.prepare(branch, async (connection) => {
      await posting('ann', -10)(connection);
      await connection.query(sql).catch(() => {});
      return 'commit';
    });
    await expect(prepared).rejects.toMatchObject({ code: 'DTC_MARIADB_TRANSACTION_CONTROL' });
    expect(await balanceOf(bench.database, 'ann')).toBe(100);
    expect(await manager.prepare(someBranch(), posting('ann', -10))).toBe('commit');
  });

  it('cannot run statements that would reach its transaction past these checks', async () => {
    const manager = await bench.start();
    const seen: unknown[] = [];
    await manager.prepare(someBranch(), async (connection) => {
      for (const name of ['changeUser', 'reset', 'connection', 'prepare']) {
        seen.push(Reflect.get(connection, name));
      }
      await connection.end();
      return posting('ann', -10)(connection);
    });
    expect(seen).toEqual([undefined, undefined, undefined, undefined]);
    for (const method of ['beginTransaction', 'commit', 'rollback'] as const) {
      const prepared = manager.prepare(someBranch(), async (connection) => {
        await connection[method]().catch(() => {});
        return 'commit';
      });
      await expect(prepared).rejects.toMatchObject({ code: 'DTC_MARIADB_TRANSACTION_CONTROL' });
    }
  });

  it('may use savepoints, prepared statements and blocks', async () => {
    const manager = await bench.start();
    const branch = someBranch();
    const vote = await manager.prepare(branch, async (connection) => {
      await connection.query('SAVEPOINT here');
      await posting('ann', -50)(connection);
      await connection.query('ROLLBACK TO here');
      await connection.execute('UPDATE accounts SET balance = balance - ? WHERE name = ?', [10, 'ann']);
      await connection.query("BEGIN NOT ATOMIC UPDATE accounts SET balance = 1 WHERE name = 'bob'; END");
      return 'commit';
    });
    expect(vote).toBe('commit');
    await manager.commit(again(branch));
    expect([await balanceOf(bench.database, 'ann'), await balanceOf(bench.database, 'bob')]).toEqual([90, 1]);
  });

  it.each([
    ['an error of its own', () => Promise.reject(new Error('no'))],
    ['an error of the database', (c) => c.query('UPDATE accounts SET balance = -1')],
    ['a refusal', () => Promise.resolve(refuse('NO', 'not today'))],
    ['the vote to commit', () => Promise.resolve('commit')],
  ] satisfies [string, (connection: Connection) => Promise<unknown>][])(
    'that has committed its transaction by a hidden statement is never refused: %s',
    async (_what, finish) => {
      const manager = await bench.start();
      const branch = someBranch();
      const id = xidOf(branch, 'bank').sql;
      const prepared = manager.prepare(branch, async (connection) => {
        await posting('ann', -10)(connection);
        await connection.query(`EXECUTE IMMEDIATE "XA END ${id}"`);
        await connection.query(`EXECUTE IMMEDIATE "XA COMMIT ${id} ONE PHASE"`);
        return (await finish(connection)) as Vote;
      });
      await expect(prepared).rejects.toMatchObject({ code: 'DTC_MARIADB_TRANSACTION_CONTROL' });
      await expect(manager.rollback(again(branch))).rejects.toMatchObject({ kind: 'commit' });
      expect(await balanceOf(bench.database, 'ann')).toBe(90);
    },
  );

  it.each([
    ['an option', (url) => ({ uri: url, multipleStatements: true })],
    ['the URL', (url) => `${url}?multipleStatements=true`],
    ['the URL of an option', (url) => ({ uri: `${url}?multipleStatements=true&resetOnRelease=true` })],
    ['a flag', (url) => ({ uri: url, flags: ['MULTI_STATEMENTS'] })],
    ['a flag of the URL', (url) => `${url}?flags=MULTI_STATEMENTS`],
  ] satisfies [string, (url: string) => string | object][])(
    'sends several statements in one text in vain, also when %s allows them',
    async (_what, connectionOf) => {
      const manager = await bench.start({ connection: connectionOf(bench.database.url) });
      const prepared = manager.prepare(someBranch(), async (connection) => {
        await connection.query('UPDATE accounts SET balance = 0; COMMIT');
        return 'commit';
      });
      await expect(prepared).rejects.toMatchObject({ errno: 1064 });
      expect(await balanceOf(bench.database, 'ann')).toBe(100);
    },
  );

  it('leaves no state in its session for the next branch', async () => {
    const manager = await bench.start({ workConnections: 1 });
    const state = async (connection: Connection): Promise<unknown> => {
      const [rows] = await connection.query<RowDataPacket[]>(
        `SELECT DATABASE() = ? AS home, @mine AS mine, @@time_zone AS zone, @@sql_mode <> '' AS strict, @@tx_isolation AS isolation,
          @@character_set_client AS charset, IS_USED_LOCK('mine') AS held, @@autocommit AS autocommit`,
        [bench.database.name],
      );
      return rows[0];
    };
    const seen: unknown[] = [];
    for (const form of ['first', 'second'] as const) {
      const branch = someBranch();
      const vote = await manager.prepare(branch, async (connection) => {
        seen.push(await state(connection));
        await posting('ann', -1)(connection);
        if (form === 'first') {
          await connection.query('CREATE TEMPORARY TABLE accounts_of_mine (id int) ENGINE=InnoDB');
          await connection.query(
            "SET @mine = 1, time_zone = '+03:00', SESSION sql_mode = '', autocommit = 0",
          );
          await connection.query('SET NAMES latin1');
          await connection.query("DO GET_LOCK('mine', 0)");
          await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE').catch(() => {});
          await connection.query('USE mysql');
        } else {
          await expect(connection.query('SELECT * FROM accounts_of_mine')).rejects.toMatchObject({
            errno: 1146,
          });
        }
        return 'commit';
      });
      expect(vote).toBe('commit');
      await manager.commit(again(branch));
    }
    expect(seen[0]).toMatchObject({ home: 1, mine: null, isolation: 'READ-COMMITTED', charset: 'utf8mb4' });
    expect(seen[1]).toEqual(seen[0]);
    expect(await balanceOf(bench.database, 'ann')).toBe(98);
  });

  it('leaves no role in its session, and finds the settings of the server in a new one', async () => {
    const user = `clerk_${bench.database.name}`;
    await bench.server.createUser(user, `ALL ON ${bench.database.name}.*`);
    await bench.database.query(`CREATE ROLE seller_${user}`);
    await bench.database.query(`GRANT seller_${user} TO ${user}@'127.0.0.1'`);
    const connection = bench.database.urlBy({ user });
    const manager = await bench.start({ workConnections: 1, connection });
    const seen: unknown[] = [];
    const look = async (role?: string): Promise<void> => {
      const branch = someBranch();
      await manager.prepare(branch, async (client) => {
        const [rows] = await client.query<RowDataPacket[]>(
          'SELECT CURRENT_ROLE() AS role, @@time_zone AS zone, CONNECTION_ID() AS id',
        );
        seen.push(rows[0]);
        if (role !== undefined) await client.query(`SET ROLE ${role}`);
        return posting('ann', -1)(client);
      });
      await manager.commit(again(branch));
    };
    await look();
    await look(`seller_${user}`);
    await bench.database.query(`SET GLOBAL init_connect = "SET time_zone = '+05:00'"`);
    try {
      await look();
      await look();
    } finally {
      await bench.database.query("SET GLOBAL init_connect = ''");
    }
    const [first, second, third, fourth] = seen as { role: string | null; zone: string; id: number }[];
    expect(second).toEqual(first);
    expect([third, fourth]).toMatchObject([
      { role: null, zone: '+05:00' },
      { role: null, zone: '+05:00' },
    ]);
  });

  it('can use its connection no longer after the vote', async () => {
    const manager = await bench.start();
    let kept: Connection | undefined;
    const branch = someBranch();
    await manager.prepare(branch, (connection) => {
      kept = connection;
      return posting('ann', -10)(connection);
    });
    await expect(kept!.query('UPDATE accounts SET balance = 0')).rejects.toMatchObject({
      code: 'DTC_MARIADB_WORK_OVER',
    });
    await manager.commit(again(branch));
    expect(await balanceOf(bench.database, 'bob')).toBe(100);
  });

  const refusals: [string, (connection: Connection) => Promise<unknown>, object][] = [
    ['1062', (c) => c.query("INSERT INTO accounts VALUES ('ann', 1)"), { code: 'CONSTRAINT_VIOLATED' }],
    ['4025', (c) => c.query('UPDATE accounts SET balance = -1'), { code: 'CONSTRAINT_VIOLATED' }],
    ['1048', (c) => c.query('UPDATE accounts SET balance = NULL'), { code: 'CONSTRAINT_VIOLATED' }],
    ['1264', (c) => c.query('UPDATE accounts SET balance = 99999999999'), { code: 'DATA_REJECTED' }],
    ['1406', (c) => c.query('UPDATE accounts SET name = REPEAT("x", 99)'), { code: 'DATA_REJECTED' }],
    ['1366', (c) => c.query("UPDATE accounts SET balance = 'many'"), { code: 'DATA_REJECTED' }],
    ['1644', (c) => c.query("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'closed'"), { code: 'RAISED' }],
    ['1399', (c) => c.query('CREATE TABLE other (id int)'), { code: 'CANNOT_BE_PREPARED' }],
    ['1399', (c) => c.query('TRUNCATE accounts'), { code: 'CANNOT_BE_PREPARED' }],
  ];
  it.each(refusals)('is refused after the error %s', async (errno, statement, expected) => {
    const manager = await bench.start({ workConnections: 1 });
    const vote = await manager.prepare(someBranch(), async (connection): Promise<Vote> => {
      await posting('ann', -10)(connection);
      await statement(connection);
      return 'commit';
    });
    expect(vote).toMatchObject(expected);
    expect((vote as { reason: string }).reason).toContain(errno);
    expect(await balanceOf(bench.database, 'ann')).toBe(100);
    expect(await manager.prepare(someBranch(), posting('ann', -10))).toBe('commit');
  });

  it('is refused as a conflict after a lock that another branch holds, and after a deadlock', async () => {
    const manager = await bench.start();
    await manager.prepare(someBranch(), posting('ann', -10));
    expect(await manager.prepare(someBranch(), posting('ann', -10))).toMatchObject({
      code: 'LOCK_TIMEOUT',
      conflict: true,
      temporary: true,
    });

    const [one, two] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await bench.database.query("INSERT INTO accounts VALUES ('cat', 100), ('dan', 100)");
    const cross = (
      mine: PromiseWithResolvers<void>,
      others: PromiseWithResolvers<void>,
      names: [string, string],
      swallows: boolean,
    ) =>
      manager.prepare(someBranch(), async (connection) => {
        await posting(names[0], -1)(connection);
        mine.resolve();
        await others.promise;
        const last = posting(names[1], -1)(connection);
        return swallows ? last.catch(() => 'commit' as const) : last;
      });
    // Also where the work takes no notice of the deadlock, since the server has rolled back all of it.
    const votes = await Promise.all([
      cross(one, two, ['cat', 'dan'], true),
      cross(two, one, ['dan', 'cat'], true),
    ]);
    expect(votes.filter((vote) => vote === 'commit')).toHaveLength(1);
    expect(votes.find((vote) => vote !== 'commit')).toMatchObject({ vote: 'abort' });
  });

  it('sees text as it was written', async () => {
    const manager = await bench.start({ workConnections: 1 });
    for (let attempt = 0; attempt < 2; attempt++) {
      const name = `Zoë 🐘 ${attempt}`;
      const branch = someBranch();
      const vote = await manager.prepare(branch, async (connection) => {
        await connection.query('INSERT INTO accounts VALUES (?, 1)', [name]);
        return 'commit';
      });
      expect(vote).toBe('commit');
      await manager.commit(again(branch));
      expect(await balanceOf(bench.database, name)).toBe(1);
    }
  });
});
