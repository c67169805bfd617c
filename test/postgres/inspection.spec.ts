import { Client } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import type { Branch, DatabaseInspection } from '../../src/coordinator/index.js';
import { gidOf } from '../../src/postgres/gid.js';
import { usePostgres } from '../support/postgres/bench.js';
import { again, someBranch, until } from '../support/postgres/branches.js';

const bench = usePostgres({ accounts: ['ann', 'bob'] });

const TAKE = "UPDATE accounts SET balance = balance - 1 WHERE name = 'ann'";
const clients: Client[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end()));
});

/** A session of another program. */
async function connect(application = 'psql', url = bench.database.url): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: application });
  client.on('error', () => {});
  await client.connect();
  clients.push(client);
  return client;
}

async function prepareAnn(): Promise<Branch> {
  const manager = await bench.start();
  const branch = someBranch();
  const vote = await manager.prepare(branch, async (client) => {
    await client.query(TAKE);
    return 'commit';
  });
  expect(vote).toBe('commit');
  return branch;
}

async function inspect(): Promise<DatabaseInspection> {
  const manager = bench.make();
  return manager.inspect(AbortSignal.timeout(5_000));
}

/** Waits until the database shows so many sessions that wait. */
async function untilWaiting(count: number): Promise<DatabaseInspection> {
  let found: DatabaseInspection | undefined;
  await until(`${count} sessions wait`, async () => {
    found = await inspect();
    return found.waitsTotal === count;
  });
  return found!;
}

describe('The view of a PostgreSQL participant into its database', () => {
  it('names each prepared transaction, its branch, its age and its owner, with statements that end it', async () => {
    const branch = await prepareAnn();
    const gid = gidOf(branch, 'bank');

    const found = await inspect();
    expect(found).toMatchObject({ preparedTotal: 1, waits: [], waitsTotal: 0, notes: [] });
    expect(found.title).toMatch(/^PostgreSQL \d+\.\d+, database "/);
    const [prepared] = found.prepared;
    const { transactionId, branchId } = branch;
    const { rows } = await bench.database.query<{ owner: string; database: string }>(
      'SELECT owner, database FROM pg_prepared_xacts',
    );
    expect(prepared).toMatchObject({
      id: gid,
      branch: { transactionId, participant: 'bank', branchId },
      session: null,
      ...rows[0],
    });
    expect(prepared!.ageMs).toBeLessThan(60_000);

    await bench.database.query(prepared!.statements!.commit);
    expect((await inspect()).prepared).toEqual([]);
    // The coordinator finds that it is committed.
    await bench.make().commit(again(branch));
  });

  it('gives no statement for a branch that another program has prepared, whatever its id is', async () => {
    const id = `it''s; DROP TABLE accounts; --/<b>/"x`;
    const other = await connect();
    await other.query(`BEGIN; ${TAKE}; PREPARE TRANSACTION '${id}'`);
    const found = await inspect();
    expect(found.prepared).toMatchObject([{ id: id.replace("''", "'"), branch: null, statements: null }]);
    await other.query(`ROLLBACK PREPARED '${id}'`);
  });

  it('does not show the prepared branches of another database', async () => {
    await prepareAnn();
    const elsewhere = await bench.server.createDatabase();
    const manager = bench.make({ connection: elsewhere.url });
    const here = await inspect();
    const there = await manager.inspect(AbortSignal.timeout(5_000));
    expect(there).toMatchObject({ prepared: [], preparedTotal: 0 });
    expect(there.place).not.toBe(here.place);
  });

  it('shows who waits for a prepared transaction, and who waits behind', async () => {
    const branch = await prepareAnn();
    const [first, second] = [await connect('first'), await connect('second')];
    const over = [first.query(TAKE)];
    await untilWaiting(1);
    over.push(second.query(TAKE));
    const { waits } = await untilWaiting(2);

    const [one, other] = waits;
    expect(one).toMatchObject({
      session: { application: 'first', state: 'active' },
      blockedBy: [{ session: null, prepared: gidOf(branch, 'bank') }],
    });
    expect(one!.lock).toContain('a row: it waits for the end of the transaction');
    expect(one!.waitMs).toBeGreaterThanOrEqual(0);
    expect(other).toMatchObject({
      session: { application: 'second' },
      blockedBy: [{ session: { id: one!.session.id, application: 'first' }, prepared: null }],
    });
    expect(other!.lock).toBe('ExclusiveLock on tuple of public.accounts');
    await bench.make().rollback(again(branch));
    await Promise.all(over);
  });

  it('names only the prepared transactions that hold a conflicting lock', async () => {
    const branch = await prepareAnn();
    const reader = await connect('reader');
    await reader.query(
      "BEGIN; SELECT * FROM accounts WHERE name = 'bob'; CREATE TABLE other (n int); PREPARE TRANSACTION 'reader'",
    );
    const locker = await connect('locker');
    // ShareLock conflicts with RowExclusiveLock, and not with AccessShareLock.
    const over = locker.query('BEGIN; LOCK TABLE accounts IN SHARE MODE; COMMIT');
    const { waits } = await untilWaiting(1);
    expect(waits).toMatchObject([
      {
        lock: 'ShareLock on table public.accounts',
        blockedBy: [{ session: null, prepared: gidOf(branch, 'bank') }],
      },
    ]);
    await bench.make().rollback(again(branch));
    await over;
    await reader.query("ROLLBACK PREPARED 'reader'");
  });

  it('shows who waits for an ordinary session, also to a role that may see little of it', async () => {
    const holder = await connect('holder');
    await holder.query(`BEGIN; ${TAKE}`);
    const waiter = await connect('waiter');
    const over = waiter.query(TAKE);
    const { waits } = await untilWaiting(1);
    const holding = (await holder.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]!.pid;
    expect(waits).toMatchObject([
      { blockedBy: [{ session: { id: holding, application: 'holder', state: 'idle in transaction' } }] },
    ]);
    await holder.query('ROLLBACK');
    await over;
  });

  it('leaves its connection as it was', async () => {
    const manager = await bench.start({ completionConnections: 1 });
    await prepareAnn();
    await manager.inspect(AbortSignal.timeout(5_000));
    const branch = someBranch();
    await manager.prepare(branch, async (client) => {
      await client.query("UPDATE accounts SET balance = balance - 1 WHERE name = 'bob'");
      return 'commit';
    });
    await manager.commit(again(branch));
    expect(await bench.database.query("SELECT balance FROM accounts WHERE name = 'bob'")).toMatchObject({
      rows: [{ balance: 99 }],
    });
  });

  it('gives up when no one waits any more', async () => {
    const manager = await bench.start();
    await expect(manager.inspect(AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
  });
});
