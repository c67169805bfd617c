import { describe, expect, it } from 'vitest';
import { PostgresLogError } from '../../../src/postgres/index.js';
import { useLog } from './members.js';

/** @returns the error of a start that is refused. */
async function refusal(start: Promise<unknown>): Promise<PostgresLogError> {
  const error = await start.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(error instanceof PostgresLogError)) throw new Error('The start was not refused.', { cause: error });
  return error;
}

describe('A start of the log on PostgreSQL', () => {
  const bench = useLog();

  it('is refused where the server cannot be reached', async () => {
    const connection = 'postgres://postgres:password@127.0.0.1:1/postgres';
    expect(await refusal(bench.make({ connection }).open('shop'))).toMatchObject({
      code: 'DTC_LOG_UNREACHABLE',
    });
  });

  it('is refused where the database takes no writes, with the command that changes it', async () => {
    const { name } = bench.database;
    await bench.database.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    const { code, remedy } = await refusal(bench.start());
    expect(code).toBe('DTC_LOG_READ_ONLY');
    const [command] = /ALTER DATABASE .*;/.exec(remedy)!;
    await bench.server.query('postgres', command);
    await bench.start();
  });

  it('is refused to a role that may not use the tables, with the command that grants it', async () => {
    await bench.server.createRole('clerk');
    const connection = bench.database.urlBy({ user: 'clerk' });
    const { code, remedy } = await refusal(bench.make({ connection }).open('shop'));
    expect(code).toBe('DTC_LOG_PRIVILEGES');
    await bench.database.query(/GRANT .*;/.exec(remedy)![0]);
    expect(await bench.make({ connection }).open('shop')).toMatchObject({ epoch: 1 });

    const missing = bench.make({ connection, schema: 'elsewhere' });
    expect(await refusal(missing.open('shop'))).toMatchObject({ code: 'DTC_LOG_TABLES' });
  });

  it('is refused where tables are missing and may not be created, with the SQL that creates them', async () => {
    const options = { connection: bench.database.url, schema: 'by_hand', createTables: false };
    const { code, remedy } = await refusal(bench.make(options).open('shop'));
    expect(code).toBe('DTC_LOG_TABLES');
    await bench.database.query(remedy.replace('Run this:', ''));
    expect(await bench.make(options).open('shop')).toMatchObject({ epoch: 1, durable: true });
  });

  it('is refused as unreachable where the creation of the tables is not answered', async () => {
    const options = { connection: bench.database.url, schema: 'late', statementTimeoutMs: 200 };
    await bench.client.query('SELECT pg_advisory_lock(1685349228)');
    const { code } = await refusal(bench.make(options).open('shop'));
    await bench.client.query('SELECT pg_advisory_unlock(1685349228)');
    expect(code).toBe('DTC_LOG_UNREACHABLE');
  });

  it('is refused where another version made the tables', async () => {
    const options = { connection: bench.database.url, schema: 'of_tomorrow' };
    await bench.make(options).open('shop');
    await bench.database.query('UPDATE of_tomorrow.version SET version = 2');
    const error = await refusal(bench.make(options).open('shop'));
    expect(error).toMatchObject({ code: 'DTC_LOG_TABLES' });
    expect(error.message).toContain('version 2');
  });

  it('is refused in a copy of the database, with the command that declares a move', async () => {
    await bench.start();
    await bench.close();
    const { name } = bench.database;
    await bench.disconnect();
    await bench.server.query('postgres', `CREATE DATABASE copied TEMPLATE ${name}`);
    await bench.connect();
    const copy = bench.server.database('copied');
    const { code, remedy } = await refusal(bench.make({ connection: copy.url }).open('shop'));
    expect(code).toBe('DTC_LOG_MOVED');
    await copy.query(/UPDATE .*;/.exec(remedy)![0]);
    expect(await bench.make({ connection: copy.url }).open('shop')).toMatchObject({ epoch: 2 });
  });

  it('is refused where the records are of a later format', async () => {
    await bench.start();
    await bench.client.query('UPDATE dtc_log.logs SET format = 2');
    await expect(bench.start()).rejects.toMatchObject({ code: 'DTC_LOG_FORMAT', found: 2 });
  });

  it('is refused while the same log object is open, and for invalid settings', async () => {
    const { log } = await bench.start();
    await expect(log.open('shop')).rejects.toMatchObject({ code: 'DTC_LOG_IN_USE' });
    const connection = bench.database.url;
    expect(() => bench.make({ connection, schema: 'a b' })).toThrow('schema: must be a plain schema name');
  });
});
