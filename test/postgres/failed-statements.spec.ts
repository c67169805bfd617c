import { type ClientBase, Query } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresResourceManager, type PostgresSettings } from '../../src/postgres/index.js';
import { balanceOf, openAccounts } from '../support/postgres/bank.js';
import { again } from '../support/postgres/branches.js';
import { HOST, PostgresServer, type TestDatabase } from '../support/postgres/server.js';
import { FORMS, openSteps } from '../support/postgres/steps.js';
import { TcpProxy } from '../support/tcp-proxy.js';

type Level = NonNullable<PostgresSettings['isolation']>;
const LEVELS = ['read committed', 'repeatable read', 'serializable'] as const satisfies Level[];

let server: PostgresServer;
let proxy: TcpProxy;
let database: TestDatabase;
let managers: PostgresResourceManager[];

beforeAll(async () => {
  server = await PostgresServer.start();
  proxy = await TcpProxy.open({ host: HOST, port: server.port });
  database = await server.createDatabase();
  await openAccounts(database, 'ann', 'bob');
});

afterAll(async () => {
  await proxy.close();
  await server.stop();
});

beforeEach(async () => {
  managers = [];
  proxy.repair();
  await database.query('UPDATE accounts SET balance = 100');
});

afterEach(async () => {
  await Promise.all(managers.map((manager) => manager.close()));
  await expect(database.prepared()).resolves.toEqual([]);
});

async function manage(isolation: Level, settings: PostgresSettings = {}): Promise<PostgresResourceManager> {
  const manager = new PostgresResourceManager('bank', {
    connection: database.urlBy({ port: proxy.port }),
    workConnections: 1,
    isolation,
    ...settings,
  });
  managers.push(manager);
  await manager.start();
  return manager;
}

const READ = "SELECT balance FROM accounts WHERE name = 'ann'";
const TAKE = "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'";
const FAILED = { vote: 'abort', code: 'WORK_FAILED' };

/** The ways in which work passes over an error. */
const MANNERS: readonly (readonly [string, (client: ClientBase, sql: string) => Promise<unknown>])[] = [
  ['catches it', (client, sql) => client.query(sql).catch(() => undefined)],
  [
    'has a callback that ignores it',
    (client, sql) => new Promise<void>((resolve) => client.query(sql, () => resolve())),
  ],
  [
    'does not await it',
    (client, sql) => {
      client.query(sql).catch(() => undefined);
      return Promise.resolve();
    },
  ],
  [
    'sends a query object',
    (client, sql) =>
      new Promise<void>((resolve) => {
        client.query(new Query(sql)).on('error', () => resolve());
      }),
  ],
  [
    'is told of it by a transaction that is failed already',
    async (client, sql) => {
      await client.query(sql).catch(() => undefined);
      await client.query('SELECT 1').catch(() => undefined);
    },
  ],
];

describe.each(LEVELS)('work that goes on after an error, %s', (level) => {
  describe.each(FORMS)('and ends with %s', (form) => {
    it.each(MANNERS)('is refused whatever it votes: it %s', async (_what, swallow) => {
      const manager = await manage(level);
      for (const vote of ['read-only', 'commit'] as const) {
        for (const sql of [
          'SELECT 1 / 0',
          'no SQL',
          "DO $$ BEGIN RAISE 'no' USING ERRCODE = '40001'; END $$",
        ]) {
          const steps = await openSteps(manager, form);
          await steps.run(TAKE);
          await swallow(steps.client, sql);
          await expect(steps.vote(vote)).resolves.toMatchObject(FAILED);
        }
      }
      await expect(balanceOf(database, 'ann')).resolves.toBe(100);
    });

    it('is refused by its own refusal', async () => {
      const manager = await manage(level);
      const steps = await openSteps(manager, form);
      await steps.client.query('SELECT 1 / 0').catch(() => undefined);
      await expect(steps.vote(refuse('NO', 'no'))).resolves.toMatchObject({ code: 'NO' });
    });

    it('is not refused where it has gone back to a savepoint', async () => {
      const manager = await manage(level);
      for (const vote of ['read-only', 'commit'] as const) {
        const steps = await openSteps(manager, form);
        await steps.run(READ);
        await steps.run('SAVEPOINT mine');
        await steps.client.query('SELECT 1 / 0').catch(() => undefined);
        await steps.run('ROLLBACK TO mine');
        await expect(steps.vote(vote)).resolves.toBe(form === 'prepare' ? vote : 'commit');
        if (vote === 'commit' && form === 'prepare') await manager.rollback(again(steps.branch));
      }
    });
  });

  it.each([true, false])(
    'is refused also where the server reports the state of its transaction later, with pipelining %s',
    async (pipelining) => {
      for (const vote of ['read-only', 'commit'] as const) {
        // What the proxy holds back once, it holds back for as long as the connection lasts.
        const manager = await manage(level, { pipelining });
        const steps = await openSteps(manager);
        await steps.run(READ);
        const isHeldBack = holdBackState();
        await steps.client.query('SELECT 1 / 0').catch(() => undefined);
        const answer = steps.vote(vote);
        await isHeldBack;
        await expect(answer).resolves.toMatchObject(FAILED);
      }
    },
  );
});

/**
 * The message that ends the answer to a statement that has failed: its type, its length, and the state of the
 * transaction.
 */
const STATE = Buffer.from([0x5a, 0, 0, 0, 5, 0x45]);

/**
 * Hands on the next error without the state of the transaction, which the server sends behind it and which
 * comes after a while.
 *
 * @returns when that is done.
 */
function holdBackState(): Promise<void> {
  return new Promise((resolve) => {
    let isTold = false;
    proxy.rule = (data, direction) => {
      isTold ||= direction === 'down' && data[0] === 'E'.charCodeAt(0);
      if (direction === 'up' || !isTold || !data.subarray(-STATE.length).equals(STATE)) return 'pass';
      proxy.rule = () => 'pass';
      resolve();
      return { after: new Promise((release) => setTimeout(release, 20)), from: data.length - STATE.length };
    };
  });
}

describe.each(LEVELS)('a batch with a statement that fails, %s', (level) => {
  it.each<[string, Vote]>([
    ['read-only', 'read-only'],
    ['commit', 'commit'],
  ])('is refused, and its vote of %s is not asked for', async (_what, vote) => {
    for (const pipelining of [true, false]) {
      const manager = await manage(level, { pipelining });
      let asked = 0;
      const batch = {
        statements: [{ text: TAKE }, { text: 'SELECT 1 / 0' }, { text: READ }],
        vote: (): Vote => {
          asked++;
          return vote;
        },
      };
      const steps = await openSteps(manager);
      await steps.vote('read-only');
      const { branch } = steps;
      await expect(manager.prepareBatch(again(branch, 0), batch)).resolves.toMatchObject({
        code: 'DATA_REJECTED',
      });
      expect(asked).toBe(0);
    }
  });
});
