import { afterAll, beforeAll, expect, it } from 'vitest';
import { ACCOUNT_SCHEMA } from '../../src/participants/payment/postgres/account-table.js';
import { ServiceDatabase } from '../../src/participants/postgres/service-database.js';
import { PostgresStartUpError } from '../../src/postgres/index.js';
import { until } from '../support/postgres/branches.js';
import { PostgresServer } from '../support/postgres/server.js';
import { TcpProxy } from '../support/tcp-proxy.js';

let server: PostgresServer;

beforeAll(async () => {
  server = await PostgresServer.start();
  await server.createRole('guest');
});

afterAll(() => server.stop());

async function failureOf(database: ServiceDatabase): Promise<PostgresStartUpError> {
  const error: unknown = await database.createSchema(ACCOUNT_SCHEMA).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(PostgresStartUpError);
  expect(error).toMatchObject({ code: 'DTC_POSTGRES_SCHEMA', participant: 'payment' });
  expect((error as Error).message).not.toContain('password');
  return error as PostgresStartUpError;
}

it('A role that may not create the tables of its service is named, with its database and the grant that it lacks', async () => {
  const bank = await server.createDatabase();
  const database = new ServiceDatabase('payment', bank.urlBy({ user: 'guest' }));

  const { message, remedy } = await failureOf(database);
  expect(message).toContain(`127.0.0.1:${server.port}/${bank.name} as guest`);
  await bank.query(remedy.replace(/^Run this .*: /, ''));

  await expect(database.createSchema(ACCOUNT_SCHEMA)).resolves.toBeUndefined();
  await database.onApplicationShutdown();
});

it('Every error that prevents the creation of the tables is reported', async () => {
  const bank = await server.createDatabase();
  await bank.query('CREATE SCHEMA aside; CREATE TABLE aside.accounts (n int)');
  const inTheWay = new ServiceDatabase('payment', `${bank.url}?options=-c%20search_path%3Daside`);
  const schema = { ...ACCOUNT_SCHEMA, table: 'another' };
  await expect(inTheWay.createSchema(schema)).rejects.toMatchObject({
    message: expect.stringMatching(/42P07.*Rename the conflicting table/) as string,
  });
  const gone = new ServiceDatabase('payment', 'postgres://stranger@127.0.0.1:1/none');
  expect((await failureOf(gone)).message).toMatch(/127\.0\.0\.1:1\/none as stranger: .*ECONNREFUSED/);

  await Promise.all([inTheWay, gone].map((database) => database.onApplicationShutdown()));
});

it('A database that does not answer any more keeps no process from its end', async () => {
  const bank = await server.createDatabase();
  const proxy = await TcpProxy.open({ host: '127.0.0.1', port: server.port });
  const database = new ServiceDatabase('payment', bank.urlBy({ port: proxy.port }));
  await database.query('SELECT 1', []);
  proxy.rule = () => 'stall';
  database.query('SELECT 2', []).catch(() => {});

  await expect(database.onApplicationShutdown()).resolves.toBeUndefined();

  await until('all are cut', () => proxy.connections === 0);
  await proxy.close();
});
