import { Test, type TestingModule } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { CoordinatorModule, Participant, TransactionManager, branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { until } from '../../test/support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../../test/support/postgres/server.js';
import { StockParticipant } from './stock.participant.js';

@Participant({ name: 'payment' })
class Payment extends ScriptedParticipant {}

let server: PostgresServer;
let database: TestDatabase;
let application: TestingModule;
let transactions: TransactionManager;

beforeAll(async () => {
  server = await PostgresServer.start();
  database = await server.createDatabase();
  await database.query(`
    CREATE TABLE stock (sku text PRIMARY KEY, available int NOT NULL);
    CREATE TABLE reservations (transaction_id text, sku text, quantity int);
    INSERT INTO stock VALUES ('bolt', 5)`);
  vi.stubEnv('STOCK_DATABASE_URL', database.url);
  application = await Test.createTestingModule({
    imports: [CoordinatorModule.forRoot({ allowMemoryLog: true })],
    providers: [StockParticipant, Payment],
  }).compile();
  await application.init();
  transactions = application.get(TransactionManager);
});

afterAll(async () => {
  await application.close();
  await server.stop();
});

function reserve(quantity: number) {
  return transactions.run({
    branches: [branch(StockParticipant, { sku: 'bolt', quantity }), branch(Payment, null)],
  });
}

async function available(): Promise<unknown> {
  const { rows } = await database.query("SELECT available FROM stock WHERE sku = 'bolt'");
  return rows[0]?.['available'];
}

describe('a participant that works with Kysely', () => {
  it('commits with all others', async () => {
    const outcome = await reserve(2);

    expect(outcome).toMatchObject({ status: 'committed' });
    expect(await available()).toBe(3);
    const { rows } = await database.query('SELECT transaction_id, quantity FROM reservations');
    expect(rows).toEqual([{ transaction_id: outcome.transactionId, quantity: 2 }]);
  });

  it('refuses what is not there', async () => {
    await expect(reserve(4)).resolves.toMatchObject({ status: 'aborted', code: 'OUT_OF_STOCK' });
    expect(await available()).toBe(3);
  });

  it('gives everything back when another participant refuses', async () => {
    application.get(Payment).script = { prepare: { refuse: 'NO_FUNDS' } };

    await expect(reserve(1)).resolves.toMatchObject({ status: 'aborted', code: 'NO_FUNDS' });

    await until('nothing is prepared', async () => (await database.prepared()).length === 0);
    expect(await available()).toBe(3);
  });
});
