import { Client, type QueryConfig } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import type { Branch, Vote } from '../../src/coordinator/index.js';
import {
  PostgresBatchParticipant,
  PostgresResourceManager,
  type PostgresSettings,
} from '../../src/postgres/index.js';
import { balanceOf, openAccounts } from '../support/postgres/bank.js';
import { again, someBranch, until } from '../support/postgres/branches.js';
import { type Member, TestGroup, add, does, work } from '../support/postgres/groups.js';
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

/** Matches the statement of a member. */
const WORK = /EXECUTE "dtc [0-9a-f]+ \d+"/;

/** @returns the texts of all queries of members that are sent from now on. */
function queriesSent(): string[] {
  const original = Reflect.get(Client.prototype, 'query') as (...args: unknown[]) => unknown;
  const sent: string[] = [];
  vi.spyOn(Client.prototype, 'query').mockImplementation(function (this: Client, ...args: unknown[]) {
    const [query] = args as [string | { text?: string }];
    const text = typeof query === 'string' ? query : (query.text ?? '');
    if (WORK.test(text)) sent.push(text);
    return original.apply(this, args);
  });
  return sent;
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

/** The session-level locks that are held against the groups of other coordinators. Those of claims have two numbers. */
async function groupLocks(): Promise<number> {
  const { rows } = await database.query(
    "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND objsubid = 1 AND " +
      'datname = current_database()',
  );
  return rows.length;
}

const MOMENTS: readonly (readonly [part: string, defer: (call: () => void) => void])[] = [
  'PREPARE "dtc branch',
  'PREPARE "dtc mark',
  'AS UPDATE accounts',
  'PREPARE "dtc open',
  'EXECUTE "dtc open',
  'ROLLBACK TO',
].flatMap((part) => [
  [part, queueMicrotask],
  [part, setImmediate],
]);

it.each(MOMENTS)(
  'a group that is aborted at %s sends nothing in the transaction of the next branch',
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
  await expect(groupLocks()).resolves.toBe(1);
  group.branch.abort();
  await expect(votes).rejects.toThrow();
  // The next branch of the session would release it in any case.
  await until('the group has released its lock', async () => (await groupLocks()) === 0);
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
  const group = new TestGroup(manager, { workMs: 1_000 });
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

it('no more work is tried when the time for it is over, however long each may wait for a lock', async () => {
  const other = new Client({ connectionString: database.url });
  await other.connect();
  try {
    const manager = await manage({ lockTimeoutMs: 60_000 });
    const group = new TestGroup(manager, { workMs: 1_000, withinMs: 20_000 });
    const ann = add('ann', 1);
    await expect(group.run(ann)).resolves.toEqual(['commit']);
    await other.query("BEGIN; UPDATE accounts SET balance = balance WHERE name = 'bob'");
    const start = performance.now();
    const trials = Array.from({ length: 16 }, () => add('bob', 1));
    const votes = [...Array(4).fill('alone'), ...Array(12).fill('not-run')];
    await expect(group.tried([ann], trials)).resolves.toEqual(['commit', ...votes]);
    expect(performance.now() - start).toBeLessThan(10_000);
    await expect(group.prepare()).resolves.toBe('commit');
    await group.commit();
    await expect(balanceOf(database, 'ann')).resolves.toBe(101);
  } finally {
    await other.end();
  }
});

it('a group that is aborted before it works has ended: nothing of it is open or prepared', async () => {
  const manager = await manage();
  const first = new TestGroup(manager);
  await first.run(add('ann', 1));
  await first.rollback();
  const group = new TestGroup(manager);
  group.branch.abort();
  await expect(group.run(add('ann', 1), add('bob', 1))).rejects.toThrow();
  await expect(group.prepare()).rejects.toThrow('is not open any more');
  await expect(database.prepared()).resolves.toEqual([]);
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

it('a run that differs only at its end does not repeat the work before the difference', async () => {
  const manager = await manage();
  const asked: number[] = [];
  const counted = (number: number, account = 'ann'): Member => {
    const batchOf = add(account, 1);
    return () => {
      asked.push(number);
      return batchOf();
    };
  };
  const members = Array.from({ length: 50 }, (_, number) => counted(number));
  const refused = counted(50, 'eve');
  const others = [counted(51), counted(52)];
  const group = new TestGroup(manager);
  const votes = await group.run(...members, refused, ...others);
  expect(votes.filter((vote) => vote === 'commit')).toHaveLength(52);
  expect(votes[50]).toMatchObject({ code: 'NO_ACCOUNT' });
  asked.length = 0;
  await expect(group.run(...members, ...others)).resolves.toEqual(Array(52).fill('commit'));
  // Those of the same query run again, as nothing between them can be undone.
  expect(asked).toEqual([48, 49, 51, 52]);
  await expect(group.run(...members.slice(0, 49))).resolves.toEqual(Array(49).fill('commit'));
  // The first one that leaves is the last before a savepoint.
  await expect(group.run(...members.slice(0, 47))).resolves.toEqual(Array(47).fill('commit'));
  await expect(group.prepare()).resolves.toBe('commit');
  await group.commit();
  await expect(balanceOf(database, 'ann')).resolves.toBe(147);
});

it('an error in a later query does not undo the queries before it', async () => {
  const group = new TestGroup(await manage());
  const sent = queriesSent();
  const adds = (count: number): Member[] => Array.from({ length: count }, () => add('ann', 1));
  const [few, failing, many] = [adds(20), add('bob', -500), adds(20)];
  const votes = await group.run(...few, failing, ...many, add('bob', -501));
  expect(votes.filter((vote) => vote === 'commit')).toHaveLength(40);
  expect([votes[20], votes[41]]).toMatchObject([
    { code: 'CONSTRAINT_VIOLATED' },
    { code: 'CONSTRAINT_VIOLATED' },
  ]);
  // The members of each query. The first failure is not known to be that of a member: its part runs again, and shows which one
  // it was. Then the part with the failed one is sent again without it, with what is behind it.
  expect(sent.map((text) => text.split(WORK).length - 1)).toEqual([16, 16, 10, 16, 10, 16, 9, 8]);
  await expect(group.run(...few, ...many)).resolves.toEqual(Array(40).fill('commit'));
  await expect(group.prepare()).resolves.toBe('commit');
  await group.commit();
  await expect(balanceOf(database, 'ann')).resolves.toBe(140);
});

it('no work of a trial remains, and each trial has seen only the work of the members', async () => {
  const group = new TestGroup(await manage());
  const CHECK = { vote: 'abort', code: 'CONSTRAINT_VIOLATED' };
  const [ann, bob] = [add('ann', 1), add('bob', -60)];
  await expect(group.run(ann, bob)).resolves.toEqual(['commit', 'commit']);
  const trials = [add('bob', -40), add('bob', -41), add('eve', 1), add('bob', -40)];
  const votes = ['commit', CHECK, { code: 'NO_ACCOUNT' }, 'commit'];
  await expect(group.tried([ann, bob], trials)).resolves.toMatchObject(['commit', 'commit', ...votes]);
  // One fails among the members: those that are tried come behind the others.
  const failing = add('ann', -500);
  await expect(group.tried([bob, failing, ann], trials)).resolves.toMatchObject([
    'commit',
    CHECK,
    'commit',
    ...votes,
  ]);
  await expect(group.prepare()).resolves.toBe('commit');
  await group.commit();
  await expect(balanceOf(database, 'ann')).resolves.toBe(101);
  await expect(balanceOf(database, 'bob')).resolves.toBe(40);
});

it('a group that has only read votes so, and leaves nothing', async () => {
  const manager = await manage();
  const reads = work([{ text: 'SELECT balance FROM accounts', name: 'reads' }], () => 'read-only');
  const first = new TestGroup(manager);
  await expect(first.run(reads, reads)).resolves.toEqual(['alone', 'alone']);
  first.branch.abort();
  const group = new TestGroup(manager);
  await expect(group.run(reads, reads)).resolves.toEqual(['read-only', 'read-only']);
  await expect(group.prepare()).resolves.toBe('read-only');
  await expect(database.prepared()).resolves.toEqual([]);
  const { rowCount } = await database.query('SELECT FROM dtc_branches');
  expect(rowCount).toBe(0);
});

it('work that has voted read-only and then writes is not committed with undone work', async () => {
  const manager = await manage();
  let vote: Vote = 'read-only';
  const text = "UPDATE accounts SET balance = balance + 1 WHERE name = 'ann'";
  const changes = work([{ text, name: 'changes' }], () => vote);
  const group = new TestGroup(manager);
  await expect(group.run(changes, add('bob', 1))).resolves.toEqual(['alone', 'commit']);
  vote = 'commit';
  await expect(group.run(changes, add('bob', 1))).resolves.toEqual(['alone', 'commit']);
  await expect(group.run(changes, add('bob', 1))).resolves.toEqual(['alone', 'commit']);
  await expect(group.prepare()).resolves.toBe('commit');
  await group.commit();
  await expect(balanceOf(database, 'ann')).resolves.toBe(100);
});

it.each([
  ['nothing is reset behind its members', () => add('bob', 1)],
  ['the session is reset behind each member', () => does('SELECT $1::int', 1)],
])('a prepared group has released its lock: %s', async (_which, other) => {
  const group = new TestGroup(await manage());
  await expect(group.run(add('ann', 1), other())).resolves.toEqual(['commit', 'commit']);
  await expect(groupLocks()).resolves.toBe(1);
  await expect(group.prepare()).resolves.toBe('commit');
  await expect(groupLocks()).resolves.toBe(0);
  await group.commit();
});

it('a group waits in turn for the work of one of another coordinator, up to a limit', async () => {
  const first = new TestGroup(await manage());
  const [impatient, patient] = [
    new TestGroup(await manage({ lockTimeoutMs: 200 }), { waits: true }),
    new TestGroup(await manage({ lockTimeoutMs: 60_000 }), { waits: true }),
  ];
  await first.run(add('ann', 1), add('ann', 1));
  await expect(impatient.run(add('bob', 1))).rejects.toThrow('busy');
  const votes = patient.run(add('bob', 1), add('bob', 1));
  await until('it waits', async () => {
    const { rows } = await database.query("SELECT FROM pg_stat_activity WHERE wait_event = 'advisory'");
    return rows.length > 0;
  });
  await expect(first.prepare()).resolves.toBe('commit');
  await expect(votes).resolves.toEqual(['commit', 'commit']);
  await first.commit();
  await expect(patient.prepare()).resolves.toBe('commit');
  await patient.commit();
  await expect(balanceOf(database, 'ann')).resolves.toBe(102);
  await expect(balanceOf(database, 'bob')).resolves.toBe(102);
});

it.each([false, true])(
  'a group whose statement no longer fits leaves a connection that the next branch can use, pipelined: %s',
  async (pipelining) => {
    const manager = await manage({ pipelining });
    const changes = does("UPDATE accounts SET balance = balance + $1::int WHERE name = 'ann' RETURNING *", 1);
    const first = new TestGroup(manager);
    await expect(first.run(changes, changes)).resolves.toEqual(['commit', 'commit']);
    await first.rollback();
    await database.query('ALTER TABLE accounts ADD COLUMN note text');
    const second = new TestGroup(manager);
    await expect(second.run(changes, changes)).rejects.toMatchObject({ code: '0A000' });
    await second.rollback();
    const branch = someBranch();
    const batch = { statements: [{ text: 'SELECT 1' }], vote: (): Vote => 'commit' };
    await expect(manager.prepareBatch(branch, batch)).resolves.toBe('commit');
    await manager.commit(again(branch));
    const third = new TestGroup(manager);
    await expect(third.run(changes, changes)).resolves.toEqual(['commit', 'commit']);
  },
);
