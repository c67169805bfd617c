import { afterAll, beforeAll, expect, it } from 'vitest';
import { ORDER_SCHEMA, OrderTables } from '../../src/participants/order/postgres/order-tables.js';
import { ServiceDatabase } from '../../src/participants/postgres/service-database.js';
import { ACCOUNT_SCHEMA } from '../../src/participants/payment/postgres/account-table.js';
import { PostgresServer } from '../support/postgres/server.js';
import { TcpProxy } from '../support/tcp-proxy.js';

let server: PostgresServer;

beforeAll(async () => {
  server = await PostgresServer.start();
});

afterAll(() => server.stop());

it('Processes that start at the same moment create the tables once, and fill them once', async () => {
  const { url } = await server.createDatabase();
  const databases = Array.from({ length: 8 }, () => new ServiceDatabase('payment', url));

  await Promise.all(databases.map((database) => database.createSchema(ACCOUNT_SCHEMA)));

  expect(await databases[0]!.query('SELECT sum(balance) AS sum FROM accounts', [])).toEqual([
    { sum: '601000' },
  ]);
  await Promise.all(databases.map((database) => database.onApplicationShutdown()));
});

it('A start is not delayed by an order in doubt: existing tables are left unchanged', async () => {
  const bank = await server.createDatabase();
  const database = new ServiceDatabase('payment', bank.url);
  await database.createSchema(ACCOUNT_SCHEMA);
  await bank.query(`BEGIN; UPDATE accounts SET balance = 0; PREPARE TRANSACTION 'in-doubt'`);

  await database.createSchema(ACCOUNT_SCHEMA);

  expect(await bank.prepared()).toEqual(['in-doubt']);
  await bank.query(`ROLLBACK PREPARED 'in-doubt'`);
  await database.onApplicationShutdown();
});

it('A tried statement waits for the holder of its lock, and changes nothing', async () => {
  const bank = await server.createDatabase();
  const database = new ServiceDatabase('payment', bank.url);
  await database.createSchema(ACCOUNT_SCHEMA);
  const sql = `UPDATE accounts SET balance = balance + $1 WHERE customer_id = 'alice'`;

  expect(await database.attempt(sql, [1], 50)).toBe(true);
  expect(await database.attempt(`${sql} AND balance < 0`, [1], 50)).toBe(false);
  await bank.query(`BEGIN; UPDATE accounts SET balance = 0; PREPARE TRANSACTION 'held'`);
  await expect(database.attempt(sql, [1], 50)).rejects.toMatchObject({ code: '55P03' });

  await bank.query(`ROLLBACK PREPARED 'held'`);
  expect(await database.query(`SELECT balance FROM accounts WHERE customer_id = 'alice'`, [])).toEqual([
    { balance: '500000' },
  ]);
  await database.onApplicationShutdown();
});

it('A connection that is lost during a query ends only that query', async () => {
  const bank = await server.createDatabase();
  const proxy = await TcpProxy.open({ host: '127.0.0.1', port: server.port });
  const database = new ServiceDatabase('order', bank.urlBy({ port: proxy.port }));
  await database.createSchema(ORDER_SCHEMA);
  const orders = new OrderTables(database);
  const unanswered = { problem: { status: 503, code: 'DTC_PARTICIPANT_FAILED', participant: 'order' } };

  // The pool asks the first by itself; the others have a connection for a transaction of their own.
  for (const statement of ['FROM request_keys', 'BEGIN', 'SET LOCAL', 'INSERT', 'ROLLBACK']) {
    for (const verdict of ['cut', 'cut-answer'] as const) {
      proxy.rule = (data, direction) => (direction === 'up' && data.includes(statement) ? verdict : 'pass');
      await expect(orders.stateOfKey('k')).rejects.toMatchObject(unanswered);
      proxy.repair();
      expect(await orders.stateOfKey('k')).toBe('free');
    }
  }

  await database.onApplicationShutdown();
  await proxy.close();
});

it('A connection that the server ends at its opening does not end the process', async () => {
  const bank = await server.createDatabase();
  const proxy = await TcpProxy.open({ host: '127.0.0.1', port: server.port });
  const database = new ServiceDatabase('order', bank.urlBy({ port: proxy.port }));
  // "Ready for query" and the farewell of a server that shuts down, in one piece.
  const fatal = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0');
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fatal.length + 4, 1);
  proxy.rule = (data, direction) =>
    direction === 'down' && data.includes('Z\0\0\0\u0005I')
      ? { replace: Buffer.concat([data, head, fatal]) }
      : 'pass';

  const answers = await Promise.allSettled([
    database.query('SELECT 1', []),
    database.attempt('SELECT 1', [], 50),
  ]);

  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  proxy.repair();
  expect(await database.query('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
  await database.onApplicationShutdown();
  await proxy.close();
});

it('A database that does not answer is 503; its own errors are passed on unchanged', async () => {
  const gone = new ServiceDatabase('order', 'postgres://nobody@127.0.0.1:1/none');
  const there = new ServiceDatabase('order', (await server.createDatabase()).url);

  const problem = { status: 503, code: 'DTC_PARTICIPANT_FAILED', participant: 'order' };
  await expect(gone.query('SELECT 1', [])).rejects.toMatchObject({ problem });
  await expect(gone.attempt('SELECT 1', [], 50)).rejects.toMatchObject({ problem });
  await expect(there.query('SELECT FROM nothing', [])).rejects.toMatchObject({ code: '42P01' });

  await Promise.all([gone.onApplicationShutdown(), there.onApplicationShutdown()]);
});
