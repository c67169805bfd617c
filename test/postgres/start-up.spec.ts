import { Logger } from '@nestjs/common';
import { Pool } from 'pg';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { InvalidOptionsError } from '../../src/coordinator/index.js';
import {
  type PostgresOptions,
  PostgresResourceManager,
  PostgresStartUpError,
} from '../../src/postgres/index.js';
import { startBanks } from '../support/postgres/bank.js';
import { usePostgres } from '../support/postgres/bench.js';
import { PostgresServer } from '../support/postgres/server.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const bench = usePostgres({ roles: ['guest'] });

afterEach(() => vi.restoreAllMocks());

async function failureOf(options: PostgresOptions): Promise<PostgresStartUpError> {
  const error: unknown = await bench
    .make(options)
    .start()
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(PostgresStartUpError);
  return error as PostgresStartUpError;
}

describe('the start of a PostgreSQL participant', () => {
  it('stops the application when the database cannot be used', async () => {
    await bench.database.query('CREATE TABLE dtc_branches (n int)');

    await expect(
      startBanks({ left: { connection: bench.database.url }, right: { connection: bench.database.url } }),
    ).rejects.toMatchObject({ code: 'DTC_POSTGRES_GUARD_TABLE', participant: expect.any(String) as string });
  });

  it('fails when no server listens there', async () => {
    const error = await failureOf({ connection: 'postgres://nobody@127.0.0.1:1/nothing' });
    expect(error.code).toBe('DTC_POSTGRES_UNREACHABLE');
    expect(error.message).toContain('ECONNREFUSED');
  });

  it('fails in time when no server answers', async () => {
    const proxy = await TcpProxy.open({ host: '127.0.0.1', port: bench.server.port });
    proxy.rule = () => 'stall';

    const error = await failureOf({
      connection: bench.database.urlBy({ port: proxy.port }),
      startTimeoutMs: 100,
    });

    expect(error.code).toBe('DTC_POSTGRES_UNREACHABLE');
    expect(error.message).toContain('within 100 ms');
    await Promise.all([bench.close(), proxy.close()]);
  });

  it('fails when the credentials or the database are wrong, and says which', async () => {
    const wrongPassword = await failureOf({ connection: bench.database.url.replace('password', 'guess') });
    expect(wrongPassword).toMatchObject({ code: 'DTC_POSTGRES_UNREACHABLE' });
    expect(wrongPassword.message).toMatch(/28P01.*credentials/);

    const noDatabase = await failureOf({ connection: bench.server.database('nowhere').url });
    expect(noDatabase.message).toContain('3D000');
  });

  it('is tried again by the next call when it has failed', async () => {
    await bench.database.query('CREATE TABLE dtc_branches (n int)');
    const manager = bench.make({ connection: bench.database.url });
    await expect(manager.start()).rejects.toThrow('is another table');
    await bench.database.query('DROP TABLE dtc_branches');

    await expect(manager.recover()).resolves.toEqual([]);
  });

  it('fact 7: fails when prepared transactions are switched off (55000), and says how to switch them on', async () => {
    const off = await PostgresServer.start({ max_prepared_transactions: 0 });
    try {
      await expect(off.query('postgres', "BEGIN; PREPARE TRANSACTION 'x'")).rejects.toMatchObject({
        code: '55000',
      });
      const error = await failureOf({ connection: off.database('postgres').url });
      expect(error.code).toBe('DTC_POSTGRES_PREPARED_TRANSACTIONS_OFF');
      expect(error.remedy).toContain('ALTER SYSTEM SET max_prepared_transactions = 200;');
    } finally {
      await bench.close();
      await off.stop();
    }
  });

  it('fails where the server takes no writes', async () => {
    await bench.server.query(
      'postgres',
      `ALTER DATABASE ${bench.database.name} SET default_transaction_read_only = on`,
    );
    expect((await failureOf({ connection: bench.database.url })).code).toBe('DTC_POSTGRES_READ_ONLY');
  });

  it('fails on a server that is too old', async () => {
    const [work, completion] = [serverOfVersion(130_012), serverOfVersion(130_012)];
    const error = await failureOf({ pools: { work, completion } });
    expect(error).toMatchObject({ code: 'DTC_POSTGRES_VERSION' });
    expect(error.message).toContain('its version is 13');
  });

  it('fails when the two pools log in as different roles', async () => {
    const work = new Pool({ connectionString: bench.database.urlBy({ user: 'guest' }) });
    const completion = new Pool({ connectionString: bench.database.url });

    const error = await failureOf({ pools: { work, completion } });

    expect(error.code).toBe('DTC_POSTGRES_POOLS_DIFFER');
    await Promise.all([work.end(), completion.end()]);
  });

  it('fails when the two pools lead to different servers, though all their names are the same', async () => {
    const other = await PostgresServer.start();
    const work = new Pool({ connectionString: other.database('postgres').url });
    const completion = new Pool({ connectionString: bench.server.database('postgres').url });

    const error = await failureOf({ pools: { work, completion } });

    expect(error.code).toBe('DTC_POSTGRES_POOLS_DIFFER');
    expect(error.message).toContain('on another server');
    await Promise.all([work.end(), completion.end()]);
    await other.stop();
  });

  it('fails when the two pools find different guard tables', async () => {
    await bench.database.query('CREATE SCHEMA aside');
    await bench.make({ connection: bench.database.url, guardTable: 'public.dtc_branches' }).start();
    await bench.make({ connection: bench.database.url, guardTable: 'aside.dtc_branches' }).start();
    const work = new Pool({ connectionString: bench.database.url, options: '-c search_path=aside' });
    const completion = new Pool({ connectionString: bench.database.url });

    const error = await failureOf({ pools: { work, completion } });

    expect(error.code).toBe('DTC_POSTGRES_POOLS_DIFFER');
    await Promise.all([work.end(), completion.end()]);
  });

  it.each<[string, string]>([
    ['is unlogged', 'ALTER TABLE dtc_branches SET UNLOGGED'],
    ['has lost its primary key', 'ALTER TABLE dtc_branches DROP CONSTRAINT dtc_branches_pkey'],
    [
      'has a key that is checked too late',
      'ALTER TABLE dtc_branches DROP CONSTRAINT dtc_branches_pkey; ' +
        'ALTER TABLE dtc_branches ADD PRIMARY KEY (gid) DEFERRABLE',
    ],
    [
      'has a unique index on more than the global id',
      'ALTER TABLE dtc_branches DROP CONSTRAINT dtc_branches_pkey; ' +
        'CREATE UNIQUE INDEX ON dtc_branches (gid, state)',
    ],
    ['cuts global ids', 'ALTER TABLE dtc_branches ALTER COLUMN gid TYPE varchar(10)'],
    [
      'has transaction ids of another type',
      'ALTER TABLE dtc_branches ALTER COLUMN xid DROP DEFAULT, ' +
        'ALTER COLUMN xid TYPE bigint USING xid::text::bigint',
    ],
    ['writes no time', 'ALTER TABLE dtc_branches ALTER COLUMN written_at DROP DEFAULT'],
  ])('fails when the guard table %s, with the commands that fix it', async (_what, harm) => {
    await bench.make({ connection: bench.database.url }).start();
    await bench.database.query(harm);

    let fixes = 0;
    for (; fixes < 3; fixes++) {
      const error: unknown = await bench
        .make({ connection: bench.database.url })
        .start()
        .catch((reason: unknown) => reason);
      if (error === undefined) break;
      expect(error).toMatchObject({ code: 'DTC_POSTGRES_GUARD_TABLE' });
      await bench.database.query(
        (error as PostgresStartUpError).remedy.replace('Run this as its owner: ', ''),
      );
    }

    expect([1, 2]).toContain(fixes);
    await expect(bench.make({ connection: bench.database.url }).start()).resolves.toBeUndefined();
  });

  it('creates the guard table, once, however many start at the same moment', async () => {
    const many = Array.from({ length: 8 }, () => bench.make({ connection: bench.database.url }));
    await Promise.all(many.map((manager) => manager.start()));
    await expect(bench.database.query('SELECT * FROM dtc_branches')).resolves.toMatchObject({ rowCount: 0 });
  });

  it('creates it under another name, in a schema', async () => {
    await bench.database.query('CREATE SCHEMA dtc');
    await bench.make({ connection: bench.database.url, guardTable: 'dtc.branches' }).start();
    await expect(bench.database.query('SELECT * FROM dtc.branches')).resolves.toMatchObject({ rowCount: 0 });
  });

  it('prints the SQL that creates it, where it is not to create it; and that SQL does', async () => {
    const options = { connection: bench.database.urlBy({ user: 'guest' }), createGuardTable: false };
    const error = await failureOf(options);
    expect(error.code).toBe('DTC_POSTGRES_GUARD_TABLE');

    await bench.database.query(error.remedy.replace('Run this: ', ''));

    await expect(bench.make(options).start()).resolves.toBeUndefined();
  });

  it('prints it as well where its role may not create it', async () => {
    const options = { connection: bench.database.urlBy({ user: 'guest' }) };
    const error = await failureOf(options);
    expect(error.code).toBe('DTC_POSTGRES_GUARD_TABLE');
    expect(error.message).toContain('42501');

    await bench.database.query(error.remedy.replace('Run this as a role that may: ', ''));

    await expect(bench.make(options).start()).resolves.toBeUndefined();
  });

  it('prints the grant that its role lacks; and that grant does', async () => {
    await bench.make({ connection: bench.database.url }).start();
    const error = await failureOf({ connection: bench.database.urlBy({ user: 'guest' }) });
    expect(error.code).toBe('DTC_POSTGRES_PRIVILEGES');

    await bench.database.query(error.remedy.replace('Run this as its owner: ', ''));

    await expect(
      bench.make({ connection: bench.database.urlBy({ user: 'guest' }) }).start(),
    ).resolves.toBeUndefined();
  });

  it('warns where a commit may be forgotten in a crash', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    await bench.make({ connection: bench.database.url }).start();
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('fsync = off'));
  });
});

describe('the options', () => {
  const connection = 'postgres://x';
  const pool = new Pool();

  it.each<[string, object, string]>([
    ['neither a connection nor pools', {}, 'either `connection`'],
    ['both', { connection, pools: { work: pool, completion: new Pool() } }, 'either `connection`'],
    ['one pool for both', { pools: { work: pool, completion: pool } }, 'two different ones'],
    [
      'a pool for completion in which the claim would leave nothing',
      { pools: { work: pool, completion: new Pool({ max: 1 }) } },
      'at least two connections',
    ],
    ['one pool', { pools: { work: pool } }, 'two different ones'],
    ['an unknown one', { connection, lockTimeout: 5 }, 'lockTimeout'],
    ['an impossible one', { connection, lockTimeoutMs: 0 }, 'lockTimeoutMs'],
    ['a table name that is none', { connection, guardTable: 'x; DROP TABLE y' }, 'guardTable'],
  ])('stop with %s, and the reason', (_what, options, reason) => {
    const make = (): unknown => new PostgresResourceManager('bank', options as PostgresOptions);
    expect(make).toThrow(InvalidOptionsError);
    expect(make).toThrow(reason);
  });
});

/** A pool to a server that is gone. */
function serverOfVersion(version: number): Pool {
  const client = {
    query: () => Promise.resolve({ rows: [{ found: JSON.stringify({ version }) }] }),
    on: () => client,
    off: () => client,
    release: () => {},
    getTransactionStatus: () => 'I',
  };
  const pool = { on: () => pool, off: () => pool, connect: () => Promise.resolve(client) };
  return pool as unknown as Pool;
}
