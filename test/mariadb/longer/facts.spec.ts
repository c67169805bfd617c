import { type Connection, createConnection } from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PostgresResourceManager } from '../../../src/postgres/index.js';
import { PostgresResourceManager as Manager } from '../../../src/postgres/index.js';
import { balanceOf, posting, useMariaDb } from '../../support/mariadb/bench.js';
import { hasMariaDb } from '../../support/mariadb/server.js';
import { openAccounts as openPostgresAccounts } from '../../support/postgres/bank.js';
import { again, someBranch, until } from '../../support/postgres/branches.js';
import { PostgresServer } from '../../support/postgres/server.js';

/** What the library relies on. A later version of MariaDB that does otherwise fails here. */
describe.runIf(hasMariaDb())('MariaDB', () => {
  const bench = useMariaDb();
  let one: Connection;
  let other: Connection;
  beforeEach(async () => {
    [one, other] = [await bench.database.connect(), await bench.database.connect()];
  });

  const errno = (connection: Connection, sql: string): Promise<number | 'done'> =>
    connection.query(sql).then(
      () => 'done' as const,
      (error: { errno?: number }) => error.errno ?? 0,
    );
  const prepare = async (connection: Connection, id: string, work = 'UPDATE accounts SET balance = 1') => {
    await connection.query(`XA START ${id}`);
    await connection.query(work);
    await connection.query(`XA END ${id}`);
    await connection.query(`XA PREPARE ${id}`);
  };
  const ids = async (): Promise<string[]> => (await bench.server.prepared()).map(({ id }) => id);
  const released = (sql: string): Promise<void> =>
    until('the server has released the branch', async () => (await errno(other, sql)) === 'done');

  it('says 1397 to other sessions while the one lives that has prepared the branch, and lists it', async () => {
    await prepare(one, "'a'");
    expect(await ids()).toEqual(['a']);
    expect(await errno(other, "XA COMMIT 'a'")).toBe(1397);
    expect(await errno(other, "XA ROLLBACK 'a'")).toBe(1397);
    expect(await errno(one, "XA COMMIT 'a'")).toBe('done');
    expect(await errno(other, "XA COMMIT 'a'")).toBe(1397);
    expect(await balanceOf(bench.database, 'ann')).toBe(1);
  });

  it('keeps a prepared branch whose session ends, and any session may then end it', async () => {
    await prepare(one, "'a'");
    one.destroy();
    await released("XA COMMIT 'a'");
    await prepare(other, "'b'", 'UPDATE accounts SET balance = 2');
    await other.query('KILL CONNECTION CONNECTION_ID()').catch(() => {});
    other = await bench.database.connect();
    await released("XA ROLLBACK 'b'");
    expect(await balanceOf(bench.database, 'ann')).toBe(1);
  });

  it('says 1402 when a branch that only read is committed after the end of its session', async () => {
    await prepare(one, "'a'", 'SELECT * FROM accounts');
    one.destroy();
    await until('the server has released it', async () => (await errno(other, "XA COMMIT 'a'")) === 1402);
    expect(await errno(other, "XA COMMIT 'a'")).toBe(1397);
  });

  it('has nothing left of a branch whose session ends before XA PREPARE', async () => {
    await one.query("XA START 'a'");
    await one.query('UPDATE accounts SET balance = 1');
    await one.query("XA END 'a'");
    one.destroy();
    await until('its locks are free', async () => {
      await other.query('SET innodb_lock_wait_timeout = 0');
      return (await errno(other, 'SELECT * FROM accounts FOR UPDATE')) === 'done';
    });
    expect(await errno(other, "XA COMMIT 'a'")).toBe(1397);
    expect(await ids()).toEqual([]);
  });

  it('answers 1399 to XA PREPARE without XA END, and to statements that would end the transaction', async () => {
    await one.query("XA START 'a'");
    for (const sql of ["XA PREPARE 'a'", 'COMMIT', 'ROLLBACK', 'BEGIN', 'CREATE TABLE t (id int)']) {
      expect([sql, await errno(one, sql)]).toEqual([sql, 1399]);
    }
    await one.query("XA END 'a'");
    await one.query("XA ROLLBACK 'a'");
  });

  it('says 1440 to the id of a branch that is open or prepared, also with another format', async () => {
    await prepare(one, "'a','b',1");
    for (const id of ["'a','b',1", "'a','b',2"]) expect(await errno(other, `XA START ${id}`)).toBe(1440);
    // The session has begun nothing, and XA ROLLBACK would mean the branch of the other one.
    expect(await errno(other, "XA END 'a','b',1")).toBe(1399);
    await one.query("XA ROLLBACK 'a','b',1");
  });

  it('takes 64 bytes for each part of an id, and no more', async () => {
    const [fits, long] = ['x'.repeat(64), 'x'.repeat(65)];
    for (const id of [`'${fits}','${fits}'`, `'${'é'.repeat(32)}'`]) {
      expect(await errno(one, `XA START ${id}`)).toBe('done');
      await one.query(`XA END ${id}`);
      await one.query(`XA ROLLBACK ${id}`);
    }
    for (const id of [`'${long}'`, `'a','${long}'`, `'${'é'.repeat(33)}'`])
      expect(await errno(one, `XA START ${id}`)).toBe(1064);
  });

  it('rolls back by itself after a deadlock, and takes only XA ROLLBACK then', async () => {
    await one.query("XA START 'a'");
    await one.query("UPDATE accounts SET balance = 1 WHERE name = 'ann'");
    await other.query("XA START 'b'");
    await other.query("UPDATE accounts SET balance = 1 WHERE name = 'bob'");
    const both = await Promise.all([
      errno(one, "UPDATE accounts SET balance = 2 WHERE name = 'bob'"),
      errno(other, "UPDATE accounts SET balance = 2 WHERE name = 'ann'"),
    ]);
    expect(both.toSorted()).toEqual([1213, 'done']);
    const [victim, id] = both[0] === 1213 ? [one, 'a'] : [other, 'b'];
    expect(await errno(victim, 'UPDATE accounts SET balance = 3')).toBe(1399);
    expect(await errno(victim, `XA END '${id}'`)).toBe(1399);
    expect(await errno(victim, `XA ROLLBACK '${id}'`)).toBe('done');
    one.destroy();
    other.destroy();
  });

  it('goes on after an error of a statement, unlike PostgreSQL', async () => {
    await one.query("XA START 'a'");
    await one.query("UPDATE accounts SET balance = 1 WHERE name = 'ann'");
    expect(await errno(one, "INSERT INTO accounts VALUES ('ann', 1)")).toBe(1062);
    await one.query("XA END 'a'");
    await one.query("XA COMMIT 'a' ONE PHASE");
    expect(await balanceOf(bench.database, 'ann')).toBe(1);
  });

  it('breaks a session that is reset while it holds a prepared branch, so the library resets none', async () => {
    // An id of its own: a later branch with the same one would be lost at its commit.
    await prepare(one, "'reset'");
    await one.reset();
    expect(await errno(other, "XA ROLLBACK 'reset'")).toBe('done');
    expect(await errno(one, 'SELECT * FROM accounts')).toBe(1031);
    one.destroy();
  });

  it('keeps the database and the role in a reset, the role also in a change of user, and runs no init_connect again', async () => {
    const user = `clerk_${bench.database.name}`;
    await bench.server.createUser(user, `ALL ON ${bench.database.name}.*`);
    await bench.database.query(`CREATE ROLE seller_${user}`);
    await bench.database.query(`GRANT seller_${user} TO ${user}@'127.0.0.1'`);
    await bench.database.query(`SET GLOBAL init_connect = "SET time_zone = '+05:00'"`);
    const client = await createConnection(bench.database.urlBy({ user }));
    const state = async (): Promise<unknown> =>
      (await client.query('SELECT CURRENT_ROLE() AS role, @@time_zone AS zone'))[0];
    try {
      expect(await state()).toEqual([{ role: null, zone: '+05:00' }]);
      await client.query(`SET ROLE seller_${user}`);
      await client.reset();
      expect(await state()).toEqual([{ role: `seller_${user}`, zone: 'SYSTEM' }]);
      await client.changeUser({});
      expect(await state()).toEqual([{ role: `seller_${user}`, zone: 'SYSTEM' }]);
    } finally {
      client.destroy();
      await bench.database.query("SET GLOBAL init_connect = ''");
    }
    await one.query('USE mysql');
    await one.query("SET @mine = 1, time_zone = '+03:00'");
    await one.query("DO GET_LOCK('mine', 0)");
    await one.reset();
    const [rows] = await one.query(
      "SELECT DATABASE() AS name, @mine AS mine, @@time_zone AS zone, IS_USED_LOCK('mine') AS held",
    );
    expect(rows).toEqual([{ name: 'mysql', mine: null, zone: 'SYSTEM', held: null }]);
  });

  it('ends a session that is idle in a transaction, and keeps its prepared branches', async () => {
    await one.query('SET idle_transaction_timeout = 1');
    await prepare(one, "'a'");
    await released("XA COMMIT 'a'");
    expect(await balanceOf(bench.database, 'ann')).toBe(1);
  });

  describe('beside PostgreSQL', () => {
    let server: PostgresServer;
    let postgres: PostgresResourceManager;
    beforeAll(async () => {
      server = await PostgresServer.start();
      const database = await server.createDatabase();
      await openPostgresAccounts(database, 'ann');
      postgres = new Manager('bank', { connection: database.url, lockTimeoutMs: 40_000 });
    });
    afterAll(async () => {
      await postgres.close();
      await server.stop();
    });

    it('is in a deadlock that neither detects, and a time-out ends it (fault 61)', async () => {
      const maria = await bench.start({ lockTimeoutSeconds: 1 });
      const [first, second] = [someBranch({ withinMs: 60_000 }), someBranch({ withinMs: 60_000 })];
      const inPostgres = async (client: { query(sql: string): Promise<unknown> }) => {
        await client.query("UPDATE accounts SET balance = balance - 1 WHERE name = 'ann'");
        return 'commit' as const;
      };
      // Each transaction holds a row of one database, and waits for a row of the other.
      expect(await maria.prepare(first, posting('ann', -1))).toBe('commit');
      expect(await postgres.prepare(second, inPostgres)).toBe('commit');
      const waiting = postgres.prepare(first, inPostgres);
      const since = performance.now();
      const refused = await maria.prepare(second, posting('ann', -1));
      expect(refused).toMatchObject({ code: 'LOCK_TIMEOUT', conflict: true });
      expect(performance.now() - since).toBeGreaterThan(900);
      // The second transaction aborts, and the first one goes on.
      await Promise.all([postgres.rollback(again(second)), maria.rollback(again(second))]);
      expect(await waiting).toBe('commit');
      await Promise.all([postgres.commit(again(first)), maria.commit(again(first))]);
      expect(await balanceOf(bench.database, 'ann')).toBe(99);
    });
  });
});
