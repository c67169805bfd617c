import { eq, sql } from 'drizzle-orm';
import { int, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { CompiledQuery } from 'kysely';
import type { Connection } from 'mysql2/promise';
import { Column, DataSource, Entity, MoreThanOrEqual, PrimaryColumn } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Vote } from '../../../src/coordinator/index.js';
import { MariaDbResourceManager } from '../../../src/mariadb/index.js';
import { type MariaDbDatabase, MariaDbServer, hasMariaDb } from '../../../test/support/mariadb/server.js';
import { again, someBranch } from '../../../test/support/postgres/branches.js';
import { drizzleOf, knex, kyselyOf, queryRunnerOf, typeOrmDriver } from './connections.js';

interface StockTables {
  stock: { sku: string; available: number };
}

const stock = mysqlTable('stock', {
  sku: varchar('sku', { length: 64 }).primaryKey(),
  available: int('available').notNull(),
});

@Entity({ name: 'stock' })
class StockEntity {
  @PrimaryColumn('varchar', { length: 64 })
  sku!: string;

  @Column('int')
  available!: number;
}

let dataSource: DataSource;

/** Work with each ORM: it takes pieces out of the stock, and reads the rest. */
const ORMS: readonly [string, (connection: Connection, quantity: number) => Promise<number | undefined>][] = [
  [
    'Drizzle',
    async (connection, quantity) => {
      const database = drizzleOf(connection);
      await database
        .update(stock)
        .set({ available: sql`${stock.available} - ${quantity}` })
        .where(eq(stock.sku, 'bolt'));
      const [row] = await database.select().from(stock).where(eq(stock.sku, 'bolt'));
      return row?.available;
    },
  ],
  [
    'Knex',
    async (connection, quantity) => {
      await knex('stock').connection(connection).where({ sku: 'bolt' }).decrement('available', quantity);
      const row = await knex<StockTables['stock']>('stock').connection(connection).first('available');
      return row?.available;
    },
  ],
  [
    'Kysely',
    async (connection, quantity) => {
      const database = kyselyOf<StockTables>(connection);
      await database
        .updateTable('stock')
        .set((row) => ({ available: row('available', '-', quantity) }))
        .where('sku', '=', 'bolt')
        .execute();
      return (await database.selectFrom('stock').select('available').executeTakeFirst())?.available;
    },
  ],
  [
    'TypeORM',
    async (connection, quantity) => {
      const runner = await queryRunnerOf(dataSource, connection);
      try {
        const enough = { sku: 'bolt', available: MoreThanOrEqual(0) };
        await runner.manager.decrement(StockEntity, enough, 'available', quantity);
        return (await runner.manager.findOneBy(StockEntity, { sku: 'bolt' }))?.available;
      } finally {
        await runner.release();
      }
    },
  ],
];

const CONTROL = { code: 'DTC_MARIADB_TRANSACTION_CONTROL' };

/** The calls of each ORM for a transaction of its own. */
const TRANSACTIONS: readonly [string, (connection: Connection) => Promise<unknown>][] = [
  ['Drizzle', (connection) => drizzleOf(connection).transaction((own) => own.delete(stock))],
  ['Knex', (connection) => knex.transaction((own) => own('stock').delete(), { connection })],
  [
    'Kysely',
    (connection) =>
      kyselyOf<StockTables>(connection)
        .transaction()
        .execute((own) => own.executeQuery(CompiledQuery.raw('DELETE FROM stock'))),
  ],
  [
    'TypeORM',
    async (connection) =>
      (await queryRunnerOf(dataSource, connection)).manager.save(StockEntity, { sku: 'nut', available: 1 }),
  ],
];

describe.runIf(hasMariaDb())('The work of a branch in MariaDB', () => {
  let server: MariaDbServer;
  let database: MariaDbDatabase;
  let manager: MariaDbResourceManager;
  beforeAll(async () => {
    server = await MariaDbServer.start();
    database = await server.createDatabase();
    await database.query(
      'CREATE TABLE stock (sku varchar(64) PRIMARY KEY, available int NOT NULL CHECK (available >= 0)) ENGINE=InnoDB',
    );
    dataSource = new DataSource({
      type: 'mariadb',
      driver: typeOrmDriver,
      url: database.url,
      entities: [StockEntity],
    });
    await dataSource.initialize();
    manager = new MariaDbResourceManager('stock', { connection: database.url, workConnections: 1 });
    await manager.start();
  });
  afterAll(async () => {
    await manager?.close();
    await dataSource?.destroy();
    await server?.stop();
  });
  beforeEach(() => database.query("REPLACE INTO stock VALUES ('bolt', 5)"));
  afterEach(() => server.rollBackAll());

  const left = (): Promise<unknown> => database.query('SELECT * FROM stock');

  describe.each(ORMS)('with %s', (_name, take) => {
    it('commits and rolls back with its transaction', async () => {
      const [kept, dropped] = [someBranch(), someBranch()];
      const seen: unknown[] = [];
      const work = async (connection: Connection): Promise<Vote> => {
        seen.push(await take(connection, 2));
        return 'commit';
      };
      expect(await manager.prepare(dropped, work)).toBe('commit');
      expect(await left()).toEqual([{ sku: 'bolt', available: 5 }]);
      await manager.rollback(again(dropped));
      expect(await manager.prepare(kept, work)).toBe('commit');
      await manager.commit(again(kept));
      expect(seen).toEqual([3, 3]);
      expect(await left()).toEqual([{ sku: 'bolt', available: 3 }]);
    });

    it('is refused after an error of the database, which the ORM may have put into one of its own', async () => {
      const vote = await manager.prepare(someBranch(), async (connection) => {
        await take(connection, 9);
        return 'commit';
      });
      expect(vote).toMatchObject({ code: 'CONSTRAINT_VIOLATED' });
      expect(await left()).toEqual([{ sku: 'bolt', available: 5 }]);
    });

    it('changes nothing after its vote', async () => {
      let late: Promise<unknown> | undefined;
      const branch = someBranch();
      const vote = await manager.prepare(branch, async (connection) => {
        const kept = connection;
        late = new Promise((resolve) => setImmediate(resolve)).then(() => take(kept, 2));
        late.catch(() => {});
        return 'read-only';
      });
      expect(vote).toBe('read-only');
      await expect(late).rejects.toThrow();
      expect(await left()).toEqual([{ sku: 'bolt', available: 5 }]);
    });
  });

  it.each(TRANSACTIONS)('fails in a transaction of %s, which changes nothing', async (_name, begin) => {
    const prepared = manager.prepare(someBranch(), async (connection) => {
      await begin(connection);
      return 'commit';
    });
    await expect(prepared).rejects.toMatchObject(CONTROL);
    expect(await left()).toEqual([{ sku: 'bolt', available: 5 }]);
  });
});
