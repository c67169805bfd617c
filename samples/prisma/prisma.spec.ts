import { Test, type TestingModule } from '@nestjs/testing';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import {
  CoordinatorModule,
  type Outcome,
  Participant,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { PostgresResourceManager } from '../../src/postgres/index.js';
import { someBranch, until } from '../../test/support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../../test/support/postgres/server.js';
import { PrismaStock, withPrisma } from './prisma.participant.js';

@Participant({ name: 'payment' })
class Payment extends ScriptedParticipant {}

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
    providers: [PrismaStock, Payment],
  }).compile();
  await application.init();
});

afterAll(async () => {
  await application?.close();
  await server?.stop();
});

beforeEach(async () => {
  await database.query("TRUNCATE stock, reservations; INSERT INTO stock VALUES ('bolt', 5)");
  application.get(Payment).script = {};
});

function reserve(quantity: number): Promise<Outcome> {
  const branches = [branch(PrismaStock, { sku: 'bolt', quantity }), branch(Payment, null)];
  return application.get(TransactionManager).run({ branches });
}

it('commits with all others', async () => {
  const outcome = await reserve(2);

  expect(outcome).toMatchObject({ status: 'committed' });
  await expectLeft(3, [{ transaction_id: outcome.transactionId, sku: 'bolt', quantity: 2 }]);
});

it('refuses unknown targets', async () => {
  expect(await reserve(6)).toMatchObject({ status: 'aborted', code: 'OUT_OF_STOCK' });
  await expectLeft(5, []);
});

it('gives everything back when another participant refuses', async () => {
  application.get(Payment).script = { prepare: { refuse: 'NO_FUNDS' } };

  expect(await reserve(1)).toMatchObject({ status: 'aborted', code: 'NO_FUNDS' });

  await until('nothing is prepared', async () => (await database.prepared()).length === 0);
  await expectLeft(5, []);
});

it('refuses a violation of a constraint, and undoes the earlier statements', async () => {
  expect(await reserve(-1)).toMatchObject({ status: 'aborted', code: 'CONSTRAINT_VIOLATED' });
  await expectLeft(5, []);
});

it('fails in a transaction of Prisma, which changes nothing', async () => {
  const manager = new PostgresResourceManager('alone', { connection: database.url });
  await manager.start();
  const prepared = manager.prepare(someBranch(), async (client) => {
    await withPrisma(client, (prisma) => prisma.$transaction((own) => own.stock.deleteMany()));
    return 'commit';
  });

  await expect(prepared).rejects.toMatchObject({ code: 'DTC_POSTGRES_TRANSACTION_CONTROL' });
  await manager.close();
  await expectLeft(5, []);
});

async function expectLeft(available: number, reservations: readonly object[]): Promise<void> {
  expect((await database.query('SELECT * FROM stock')).rows).toEqual([{ sku: 'bolt', available }]);
  expect((await database.query('SELECT * FROM reservations')).rows).toEqual(reservations);
}
