import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Vote } from '../../src/coordinator/index.js';
import { gidOf } from '../../src/postgres/gid.js';
import { PostgresResourceManager } from '../../src/postgres/index.js';
import { balanceOf, endOf, openAccounts } from '../support/postgres/bank.js';
import { type TestBranch, again, someBranch, until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const TAKE_TEN = { text: 'UPDATE accounts SET balance = balance - $2 WHERE name = $1', values: ['ann', 10] };

const FORMS: Readonly<
  Record<string, (manager: PostgresResourceManager, branch: TestBranch) => Promise<Vote>>
> = {
  interactive: (manager, branch) =>
    manager.prepare(branch, async (client) => {
      await client.query(TAKE_TEN);
      return 'commit';
    }),
  batch: (manager, branch) => manager.prepareBatch(branch, { statements: [TAKE_TEN], vote: () => 'commit' }),
};

const ENDS_SESSION = /pg_(?:cancel|terminate)_backend/;

let server: PostgresServer;
let database: TestDatabase;
let proxy: TcpProxy;
let manager: PostgresResourceManager;

beforeAll(async () => {
  server = await PostgresServer.start();
});

afterAll(() => server.stop());

beforeEach(async () => {
  database = await server.createDatabase();
  await openAccounts(database, 'ann');
  proxy = await TcpProxy.open({ host: '127.0.0.1', port: server.port });
  manager = new PostgresResourceManager('bank', {
    connection: database.urlBy({ port: proxy.port }),
    tombstoneWaitMs: 100,
    lockTimeoutMs: 60_000,
  });
  await manager.start();
});

afterEach(async () => {
  await manager.close();
  await proxy.close();
});

/** The network holds back what is sent from some text on, until it is told to let go. */
function holdBack(
  text: string,
  isEnded: boolean,
): { readonly reached: () => boolean; readonly letGo: () => void } {
  let letGo!: () => void;
  let isReached = false;
  const after = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  proxy.rule = (data, direction) => {
    if (direction === 'down') return 'pass';
    const sent = data.toString('latin1');
    // Nothing reaches the server by which the session could be ended.
    if (!isEnded && ENDS_SESSION.test(sent)) return 'stall';
    const from = sent.indexOf(text);
    if (isReached || from < 0) return 'pass';
    isReached = true;
    return { after, from };
  };
  return { reached: () => isReached, letGo };
}

/** From now on a branch waits between its work and its prepare, until the gate is opened. */
async function closeGate(): Promise<{ readonly open: () => Promise<void> }> {
  await database.query(`
    CREATE TABLE gate ();
    CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN LOCK TABLE gate IN ROW EXCLUSIVE MODE; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER pass AFTER UPDATE ON accounts DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION pass()`);
  const holder = new Client(database.url);
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE gate IN EXCLUSIVE MODE');
  return { open: () => holder.end() };
}

/** The sessions of the manager that fit, by their numbers. */
async function sessionsThat(fit: string): Promise<number[]> {
  const { rows } = await server.query<{ pid: number }>(
    'postgres',
    `SELECT pid FROM pg_stat_activity WHERE datname = $1 AND application_name = 'dtc bank' AND ${fit}`,
    [database.name],
  );
  return rows.map(({ pid }) => pid);
}

/** It was answered that the branch is rolled back: so it is, and stays so. */
async function isRolledBack(branch: TestBranch): Promise<void> {
  expect(await database.prepared()).toEqual([]);
  await expect(endOf(database, gidOf(branch, 'bank'))).resolves.toBe('rolled-back');
  await expect(balanceOf(database, 'ann')).resolves.toBe(100);
}

describe.each(Object.entries(FORMS))('a prepare that is late, %s', (_form, prepare) => {
  it('fault 14 §: cannot land after its session was ended and the rollback answered', async () => {
    const branch = someBranch();
    const held = holdBack('PREPARE TRANSACTION', true);
    const call = prepare(manager, branch).catch((error: unknown) => error);
    await until('the prepare is on its way', held.reached);
    branch.abort();
    await expect(call).resolves.toBeInstanceOf(Error);

    await until('the rollback is answered', () => manager.rollback(again(branch)).then(isDone, isNotDone));
    await isRolledBack(branch);
    held.letGo();
    await until('no session is left', () => manager.sessionsLeft === 0);
    await isRolledBack(branch);
  });

  it('fault 14 §: no rollback is answered while it may land; where it has, the next rollback ends it', async () => {
    const gate = await closeGate();
    // Nothing reaches the server by which the session could be ended.
    proxy.rule = (data, direction) =>
      direction === 'up' && ENDS_SESSION.test(data.toString('latin1')) ? 'stall' : 'pass';
    const branch = someBranch();
    const call = prepare(manager, branch).catch((error: unknown) => error);
    await until('it waits before its prepare', async () => {
      return (await sessionsThat("wait_event_type = 'Lock'")).length === 1;
    });
    branch.abort();
    await expect(call).resolves.toBeInstanceOf(Error);

    for (let attempt = 1; attempt <= 3; attempt++) {
      await expect(manager.rollback(again(branch, attempt))).rejects.toMatchObject({
        code: 'DTC_POSTGRES_COMPLETION_FAILED',
        sqlstate: '55P03',
      });
    }
    await expect(endOf(database, gidOf(branch, 'bank'))).resolves.toBeUndefined();

    await gate.open();
    await until('it has landed', async () => (await database.prepared()).length === 1);
    await until('the rollback is answered', () => manager.rollback(again(branch, 4)).then(isDone, isNotDone));
    await isRolledBack(branch);
  });

  it('fault 10 §: cannot land when all of it arrives after the rollback was answered', async () => {
    // The session has been used before, so that nothing but the branch is on its way.
    const first = someBranch();
    await expect(prepare(manager, first)).resolves.toBe('commit');
    await manager.rollback(again(first));
    const [pid] = await sessionsThat("query LIKE '%PREPARE TRANSACTION%'");
    const branch = someBranch();
    const held = holdBack('BEGIN', false);
    const call = prepare(manager, branch).catch((error: unknown) => error);
    await until('the branch is on its way', held.reached);
    branch.abort();
    await expect(call).resolves.toBeInstanceOf(Error);

    await manager.rollback(again(branch));
    await isRolledBack(branch);
    held.letGo();
    // The proxy closes the connection behind what it has held back, so the server has read all of it by then.
    await until('its session has ended', async () => !(await sessionsThat('true')).includes(pid!));
    await isRolledBack(branch);
  });
});

const isDone = (): boolean => true;
const isNotDone = (): boolean => false;
