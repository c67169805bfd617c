import { describe, expect, it } from 'vitest';
import { refuse } from '../../src/coordinator/index.js';
import { MariaDbGuardStore } from '../../src/mariadb/index.js';
import { guardStoreConformance } from '../support/guard-store-conformance.js';
import { idOf } from '../support/identity.js';
import { useMariaDbServer } from '../support/mariadb/bench.js';
import { type MariaDbDatabase, hasMariaDb } from '../support/mariadb/server.js';

const VOTED = { state: 'voted', vote: 'commit' } as const;

describe.runIf(hasMariaDb())('The guard of a host', () => {
  const bench = useMariaDbServer();

  guardStoreConformance('MariaDB', () => {
    const open = (): MariaDbGuardStore => new MariaDbGuardStore({ connection: bench.database.url });
    return {
      store: open(),
      other: open(),
      prefix: 'dtc_host',
      query: (sql) => bench.database.query(sql),
    };
  });

  it('tells branches apart by case and by a space at the end', async () => {
    const store = new MariaDbGuardStore({ connection: bench.database.url });
    const places = ['b', 'B', 'b ', 'bé', 'be'].map((branchId) => ({
      participant: 'stock',
      transactionId: idOf('names', 1, 1),
      branchId,
    }));
    for (const place of places) {
      expect(await store.insert(place, VOTED, 0, false)).toMatchObject({ isWritten: true });
    }
    await store.close();
  });

  it('keeps quotes and backslashes also where the server takes backslashes literally and changes no rows without a key', async () => {
    await bench.database.query("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES', GLOBAL sql_safe_updates = 1");
    const store = new MariaDbGuardStore({ connection: bench.database.url });
    try {
      for (const [index, reason] of ["O'Brien", 'it "was" so', String.raw`a\b\'`].entries()) {
        const place = { participant: 'stock', transactionId: idOf('quotes', 1, 1), branchId: `b${index}` };
        const record = { state: 'voted', vote: refuse('NO', reason) } as const;
        expect(await store.insert(place, record, 0, false)).toMatchObject({ isWritten: true });
        expect(await store.read(place)).toMatchObject({ record });
      }
    } finally {
      await store.close();
      await bench.database.query('SET GLOBAL sql_mode = DEFAULT, GLOBAL sql_safe_updates = DEFAULT');
    }
  });

  describe('has tables that', () => {
    const problemOf = async (
      store: MariaDbGuardStore,
    ): Promise<{ code: string; remedy: string } | undefined> => {
      try {
        await store.start();
        return undefined;
      } catch (error) {
        return error as { code: string; remedy: string };
      } finally {
        await store.close();
      }
    };

    it('are made by the SQL of the error where its user may not create them', async () => {
      const database: MariaDbDatabase = await bench.server.createDatabase();
      await bench.server.createUser('keeper', 'USAGE ON *.*');
      await database.query(`GRANT SELECT ON ${database.name}.* TO keeper@'127.0.0.1'`);
      const storeOf = (createTables: boolean): MariaDbGuardStore =>
        new MariaDbGuardStore({ connection: database.urlBy({ user: 'keeper' }), createTables });
      expect(await problemOf(storeOf(true))).toMatchObject({ code: 'DTC_MARIADB_GUARD_TABLE' });
      const missing = await problemOf(storeOf(false));
      expect(missing).toMatchObject({ code: 'DTC_MARIADB_GUARD_TABLE' });
      for (const [sql] of missing!.remedy.matchAll(/CREATE TABLE[^;]*/g)) await database.query(sql);
      const forbidden = await problemOf(storeOf(false));
      expect(forbidden).toMatchObject({ code: 'DTC_MARIADB_PRIVILEGES' });
      for (const [sql] of forbidden!.remedy.matchAll(/GRANT[^;]*/g)) await database.query(sql);
      expect(await problemOf(storeOf(false))).toBeUndefined();
    });

    it('mix up no names: a change of collation, engine or key is refused, with the SQL that undoes it', async () => {
      const database = await bench.server.createDatabase();
      const open = (): MariaDbGuardStore => new MariaDbGuardStore({ connection: database.url });
      expect(await problemOf(open())).toBeUndefined();
      for (const change of [
        'dtc_host_branches MODIFY branch_id varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL',
        'dtc_host_marks MODIFY log_id varchar(32) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL',
        'dtc_host_runs ENGINE=MyISAM',
        'dtc_host_branches DROP PRIMARY KEY',
      ]) {
        await database.query(`ALTER TABLE ${change}`);
        const problem = await problemOf(open());
        expect(problem).toMatchObject({ code: 'DTC_MARIADB_GUARD_TABLE' });
        await database.query(/^Run this: (.*);$/.exec(problem!.remedy)![1]!);
        expect(await problemOf(open())).toBeUndefined();
      }
    });

    it('cannot be used for another reason than a lack of privileges, which the error tells', async () => {
      const database = await bench.server.createDatabase();
      await database.query('CREATE TABLE gone (log_id int)');
      for (const name of ['branches', 'runs', 'marks']) {
        await database.query(`CREATE VIEW dtc_host_${name} AS SELECT * FROM gone`);
      }
      await database.query('DROP TABLE gone');
      const problem = await problemOf(new MariaDbGuardStore({ connection: database.url }));
      expect(problem).toMatchObject({
        code: 'DTC_MARIADB_GUARD_TABLE',
        message: expect.stringContaining('(1356)') as string,
      });
    });

    it('need options that are possible', () => {
      for (const options of [{ connections: 0 }, { statementTimeoutMs: 0.5 }, { schema: 'x' }]) {
        expect(() => new MariaDbGuardStore({ connection: bench.database.url, ...options })).toThrow(
          'MariaDbGuardStore',
        );
      }
    });
  });
});
