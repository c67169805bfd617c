import { Client, type QueryConfig } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import type { Branch } from '../../src/coordinator/index.js';
import {
  PostgresBatchParticipant,
  PostgresResourceManager,
  type PostgresSettings,
} from '../../src/postgres/index.js';
import { balanceOf, openAccounts } from '../support/postgres/bank.js';
import { again, someBranch, until } from '../support/postgres/branches.js';
import { TestGroup, add, does } from '../support/postgres/groups.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

let server: PostgresServer;
let database: TestDatabase;
let managers: PostgresResourceManager[];

beforeAll(async () => {
  server = await PostgresServer.start();
});

afterAll(() => server.stop());

beforeEach(async () => {
  managers = [];
  database = await server.createDatabase();
  await openAccounts(database, 'ann', 'bob');
});

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(managers.map((manager) => manager.close()));
});

async function manage(settings: PostgresSettings = {}): Promise<PostgresResourceManager> {
  const manager = new PostgresResourceManager('bank', {
    connection: database.url,
    workConnections: 1,
    grouped: true,
    ...settings,
  });
  managers.push(manager);
  await manager.start();
  // The pool for completions has its connection, which cancels at once then.
  await manager.recover();
  return manager;
}

/** Calls back once, in the turn in which a query whose text has this part is sent. */
function whenSent(part: string, call: () => void): void {
  const original = Reflect.get(Client.prototype, 'query') as (...args: unknown[]) => unknown;
  let isArmed = true;
  vi.spyOn(Client.prototype, 'query').mockImplementation(function (this: Client, ...args: unknown[]) {
    const result = original.apply(this, args);
    const [query] = args as [string | { text?: string }];
    const text = typeof query === 'string' ? query : (query.text ?? '');
    if (isArmed && text.includes(part)) {
      isArmed = false;
      call();
    }
    return result as never;
  });
}

/** The session-level locks that are held against the groups of other coordinators. */
async function groupLocks(): Promise<number> {
  const { rows } = await database.query(
    "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND objsubid = 1 AND " +
      "datname = current_database() AND query LIKE '%pg_advisory_unlock_all%'",
  );
  return rows.length;
}

const MOMENTS: readonly (readonly [part: string, defer: (call: () => void) => void])[] = [
  'PREPARE "dtc branch',
  'PREPARE "dtc mark',
  'AS UPDATE accounts',
  'pg_try_advisory_lock',
  'ROLLBACK TO',
].flatMap((part) => [
  [part, queueMicrotask],
  [part, setImmediate],
]);

it.each(MOMENTS)(
  'a group that is aborted at %s sends nothing in the transaction of the next branch, and leaves no lock',
  async (part, defer) => {
    const manager = await manage();
    const group = new TestGroup(manager);
    const aborted = Promise.withResolvers<void>();
    whenSent(part, () => {
      defer(() => {
        group.branch.abort();
        aborted.resolve();
      });
    });
    // The second member fails, so that the group goes back to a savepoint.
    const votes = group.run(add('ann', 10), add('bob', -500), add('ann', 1));
    const other = someBranch({ withinMs: 5_000 });
    const vote = manager.prepare(other, async (client) => {
      await client.query('SELECT pg_sleep(0.02)');
      return 'commit';
    });
    await expect(votes).rejects.toThrow();
    await aborted.promise;
    await expect(vote).resolves.toBe('commit');
    await manager.commit(again(other));
    await group.rollback();

    await expect(Promise.all([balanceOf(database, 'ann'), balanceOf(database, 'bob')])).resolves.toEqual([
      100, 100,
    ]);
    const { rows } = await database.query<{ state: string }>(
      'SELECT state FROM dtc_branches WHERE gid = $1',
      [group.gid],
    );
    expect(rows).toEqual([{ state: 'rolled-back' }]);
    await expect(groupLocks()).resolves.toBe(0);
    const next = new TestGroup(await manage());
    await expect(next.run(add('bob', 1), add('bob', 1))).resolves.toEqual(['commit', 'commit']);
  },
);

/** Until a member of a group sleeps at the server. */
async function sleeps(): Promise<void> {
  await until('a member sleeps', async () => {
    const { rows } = await database.query("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    return rows.length > 0;
  });
}

it('the member at work when a group is aborted is slow, and does not join the next one', async () => {
  const manager = await manage();
  const group = new TestGroup(manager);
  const votes = group.run(add('ann', 1), does('SELECT pg_sleep($1)', 20));
  await sleeps();
  await database.query('SELECT pg_sleep(0.15)');
  group.branch.abort();
  await expect(votes).rejects.toThrow();
  await group.rollback();
  const next = new TestGroup(manager);
  await expect(next.run(add('ann', 1), does('SELECT pg_sleep($1)', 20))).resolves.toEqual([
    'commit',
    'alone',
  ]);
});

it('the first member of a group may be slow as well', async () => {
  const manager = await manage();
  const group = new TestGroup(manager);
  const slow = does('SELECT pg_sleep($1)', 0.15);
  await expect(group.run(slow, add('ann', 1))).resolves.toEqual(['commit', 'commit']);
  await group.discard();
  await expect(group.run(slow, add('ann', 1))).resolves.toEqual(['alone', 'commit']);
});

it('a group stops the member at work when the time for its work is over, and runs again without it', async () => {
  const manager = await manage();
  const group = new TestGroup(manager, { workMs: 150 });
  const slow = does('SELECT pg_sleep($1)', 20);
  await expect(group.run(add('ann', 1), slow, add('bob', 1))).resolves.toEqual([
    'not-run',
    'alone',
    'not-run',
  ]);
  await group.discard();
  await expect(group.run(add('ann', 1), add('bob', 1))).resolves.toEqual(['commit', 'commit']);
  await expect(group.prepare()).resolves.toBe('commit');
  await group.commit();
  const next = new TestGroup(manager);
  await expect(next.run(add('ann', 1), slow)).resolves.toEqual(['commit', 'alone']);
});

it('work that was slow on its own, or that no group can have, is not to join one', async () => {
  const manager = await manage();
  const slow = { text: 'SELECT pg_sleep($1)', values: [0.55] };
  expect(manager.mayJoinGroup([slow])).toBe(true);
  expect(manager.mayJoinGroup([{ text: 'SELECT 1; SELECT 2' }])).toBe(false);
  const branch = someBranch();
  await expect(manager.prepareBatch(branch, { statements: [slow], vote: () => 'commit' })).resolves.toBe(
    'commit',
  );
  await manager.rollback(again(branch));
  expect(manager.mayJoinGroup([slow])).toBe(false);
});

it('a participant whose statements cannot be made keeps no other transaction waiting', async () => {
  class Broken extends PostgresBatchParticipant<number> {
    protected statements({ payload }: Branch<number>): QueryConfig[] {
      if (payload === 0) throw new Error('no statements');
      return [{ text: 'SELECT $1::int', values: [payload] }];
    }

    protected vote(): 'commit' {
      return 'commit';
    }
  }
  const broken = new Broken({ name: 'broken', connection: database.url, grouped: true });
  const joins = (payload: number) => broken.mayJoinGroup(payload, someBranch({ payload }));
  expect([joins(0), joins(1)]).toEqual([false, true]);
});
