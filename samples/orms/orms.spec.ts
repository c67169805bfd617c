import { MikroORM } from '@mikro-orm/postgresql';
import type { Type } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { drizzle } from 'drizzle-orm/node-postgres';
import createKnex from 'knex';
import { CompiledQuery } from 'kysely';
import pg, { type PoolClient } from 'pg';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  CoordinatorModule,
  Participant,
  TransactionManager,
  type Outcome,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { type PostgresParticipant, PostgresResourceManager } from '../../src/postgres/index.js';
import { again, someBranch, until } from '../../test/support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../../test/support/postgres/server.js';
import { DrizzleStock } from './drizzle.participant.js';
import { KnexStock } from './knex.participant.js';
import { KyselyStock, databaseOf } from './kysely.participant.js';
import { MikroOrmStock, Stock, entityManagerOf } from './mikro-orm.participant.js';
import { BranchPool, StockEntity, TypeOrmStock, queryRunnerOf } from './typeorm.participant.js';

@Participant({ name: 'payment' })
class Payment extends ScriptedParticipant {}

const STOCKS: readonly [string, Type<PostgresParticipant<{ sku: string; quantity: number }>>][] = [
  ['Drizzle', DrizzleStock],
  ['Knex', KnexStock],
  ['Kysely', KyselyStock],
  ['MikroORM', MikroOrmStock],
  ['TypeORM', TypeOrmStock],
];

const CONTROL = { code: 'DTC_POSTGRES_TRANSACTION_CONTROL' };
const EMPTY = 'UPDATE stock SET available = 0';
const NOTHING_LEFT = { sku: 'bolt', available: 0 };

let orm: MikroORM;
let dataSource: DataSource;
let manager: PostgresResourceManager;
let server: PostgresServer;
let database: TestDatabase;
let application: TestingModule;

beforeAll(async () => {
  server = await PostgresServer.start();
  database = await server.createDatabase();
  await database.query(`
    CREATE TABLE stock (sku text PRIMARY KEY, available int NOT NULL);
    CREATE TABLE reservations (
      transaction_id text PRIMARY KEY, sku text, quantity int CONSTRAINT at_least_one CHECK (quantity > 0))`);
  vi.stubEnv('STOCK_DATABASE_URL', database.url);
  application = await Test.createTestingModule({
    imports: [CoordinatorModule.forRoot({ allowMemoryLog: true })],
    providers: [...STOCKS.map(([, stock]) => stock), Payment],
  }).compile();
  await application.init();
});

afterAll(async () => {
  await application?.close();
  await server?.stop();
});

describe.each(STOCKS)('a participant that works with %s', (_name, stock) => {
  beforeEach(async () => {
    await database.query("TRUNCATE stock, reservations; INSERT INTO stock VALUES ('bolt', 5)");
    application.get(Payment).script = {};
  });

  function reserve(quantity: number): Promise<Outcome> {
    const branches = [branch(stock, { sku: 'bolt', quantity }), branch(Payment, null)];
    return application.get(TransactionManager).run({ branches });
  }

  it('commits with all others', async () => {
    const outcome = await reserve(2);

    expect(outcome).toMatchObject({ status: 'committed' });
    expect(await available()).toBe(3);
    expect(await reservations()).toEqual([
      { transaction_id: outcome.transactionId, sku: 'bolt', quantity: 2 },
    ]);
  });

  it('refuses unknown targets', async () => {
    expect(await reserve(6)).toMatchObject({ status: 'aborted', code: 'OUT_OF_STOCK' });

    await expectUnchanged();
  });

  it('gives everything back when another participant refuses', async () => {
    application.get(Payment).script = { prepare: { refuse: 'NO_FUNDS' } };

    expect(await reserve(1)).toMatchObject({ status: 'aborted', code: 'NO_FUNDS' });

    await until('nothing is prepared', async () => (await database.prepared()).length === 0);
    await expectUnchanged();
  });

  it('refuses a violation of a constraint, and undoes the earlier statements', async () => {
    expect(await reserve(-1)).toMatchObject({
      status: 'aborted',
      code: 'CONSTRAINT_VIOLATED',
      reason: expect.stringContaining('23514, at_least_one') as unknown,
    });

    await expectUnchanged();
  });

  async function expectUnchanged(): Promise<void> {
    expect(await available()).toBe(5);
    expect(await reservations()).toEqual([]);
  }
});

/** The calls of each ORM for a transaction of its own, and the error in which each ends. */
const TRANSACTIONS: readonly [string, object, (client: PoolClient) => Promise<unknown>][] = [
  ['Drizzle', CONTROL, (client) => drizzle({ client }).transaction((own) => own.execute(EMPTY))],
  [
    'Knex',
    CONTROL,
    (client) => createKnex({ client: 'pg' }).transaction((own) => own.raw(EMPTY), { connection: client }),
  ],
  [
    'Kysely',
    CONTROL,
    (client) =>
      databaseOf(client)
        .transaction()
        .execute((own) => own.executeQuery(CompiledQuery.raw(EMPTY))),
  ],
  [
    'MikroORM',
    { name: 'TypeError' },
    (client) => entityManagerOf(orm, client).transactional((own) => own.execute(EMPTY)),
  ],
  [
    'TypeORM',
    CONTROL,
    async (client) => (await queryRunnerOf(dataSource, client)).manager.save(StockEntity, NOTHING_LEFT),
  ],
];

describe('the work of a branch', () => {
  beforeAll(async () => {
    orm = new MikroORM({ clientUrl: database.url, entities: [Stock] });
    dataSource = new DataSource({
      type: 'postgres',
      driver: { ...pg, Pool: BranchPool },
      url: database.url,
      entities: [StockEntity],
    });
    await dataSource.initialize();
    manager = new PostgresResourceManager('alone', { connection: database.url, workConnections: 1 });
    await manager.start();
  });

  afterAll(() => Promise.all([manager?.close(), dataSource?.destroy(), orm?.close()]));

  beforeEach(() => database.query("TRUNCATE stock; INSERT INTO stock VALUES ('bolt', 5)"));

  it.each(TRANSACTIONS)(
    'fails in a transaction of %s, which changes nothing',
    async (_name, error, begin) => {
      const prepared = manager.prepare(someBranch(), async (client) => {
        await begin(client);
        return 'commit';
      });

      await expect(prepared).rejects.toMatchObject(error);
      expect(await available()).toBe(5);
    },
  );

  it('saves entities of TypeORM without a transaction of its own', async () => {
    const saved = someBranch();
    await manager.prepare(saved, async (client) => {
      const runner = await queryRunnerOf(dataSource, client);
      await runner.manager.save(StockEntity, NOTHING_LEFT, { transaction: false });
      return 'commit';
    });
    expect(await available()).toBe(5);

    await manager.commit(again(saved));

    expect(await available()).toBe(0);
  });

  it('reads dates with MikroORM as its own connections do, and leaves none of that to the next branch', async () => {
    const days: unknown[] = [];
    const read = "SELECT date '2026-02-03' AS day";
    await manager.prepare(someBranch(), async (client) => {
      const [row] = await entityManagerOf(orm, client).execute<{ day: unknown }[]>(read);
      days.push(row?.day);
      return 'read-only';
    });
    await manager.prepare(someBranch(), async (client) => {
      days.push((await client.query<{ day: unknown }>(read)).rows[0]?.day);
      return 'read-only';
    });

    expect(days).toEqual(['2026-02-03', new Date(2026, 1, 3)]);
  });
});

it('runs no query of Knex outside a branch', async () => {
  await expect(createKnex({ client: 'pg' })('stock').select()).rejects.toThrow(
    'Unable to acquire a connection',
  );
});

async function available(): Promise<unknown> {
  const { rows } = await database.query("SELECT available FROM stock WHERE sku = 'bolt'");
  return rows[0]?.['available'];
}

async function reservations(): Promise<unknown[]> {
  return (await database.query('SELECT * FROM reservations')).rows;
}
