import { Client, Query } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { PostgresResourceManager, type PostgresSettings } from '../../src/postgres/index.js';
import { balanceOf, openAccounts } from '../support/postgres/bank.js';
import { someBranch } from '../support/postgres/branches.js';
import { type Member, TestGroup, add, does, work } from '../support/postgres/groups.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

/** Matches the statement of a member. */
const WORK = /EXECUTE "dtc [0-9a-f]+ \d+"/;

let server: PostgresServer;
let database: TestDatabase;
let managers: PostgresResourceManager[];
let sent: string[];
/** The statement in whose place the next query of members that has it is cancelled. */
let interrupted: string | undefined;

const CANCELLED = `DO $$ BEGIN RAISE EXCEPTION 'stopped' USING ERRCODE = 'query_canceled'; END $$`;

beforeAll(async () => {
  server = await PostgresServer.start();
});

afterAll(() => server.stop());

beforeEach(async () => {
  managers = [];
  database = await server.createDatabase();
  await openAccounts(database, 'ann', 'bob');
  sent = [];
  interrupted = undefined;
  const original = Reflect.get(Client.prototype, 'query') as (...args: unknown[]) => unknown;
  vi.spyOn(Client.prototype, 'query').mockImplementation(function (this: Client, ...args: unknown[]) {
    const [query] = args as [string | { text?: string }];
    const text = typeof query === 'string' ? query : (query.text ?? '');
    if (WORK.test(text) || text.includes('EXECUTE "dtc mark')) sent.push(text);
    if (
      interrupted !== undefined &&
      query instanceof Query &&
      WORK.test(text) &&
      text.includes(interrupted)
    ) {
      args[0] = Object.assign(query, { text: text.replace(interrupted, () => CANCELLED) });
      interrupted = undefined;
    }
    return original.apply(this, args) as never;
  });
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
  return manager;
}

async function committed(group: TestGroup): Promise<void> {
  await expect(group.prepare()).resolves.toBe('commit');
  await group.commit();
}

/** Whether the latest group has reset the session behind its members. */
function hasReset(): boolean {
  return sent.at(-1)!.includes('RESET ALL');
}

it('nothing is reset behind members that can change nothing but rows', async () => {
  const manager = await manage();
  for (const _ of [1, 2]) {
    const group = new TestGroup(manager);
    await expect(group.run(add('ann', 1), add('bob', 1), add('ann', 1))).resolves.toEqual(
      Array(3).fill('commit'),
    );
    expect(hasReset()).toBe(false);
    await committed(group);
  }
  await expect(balanceOf(database, 'ann')).resolves.toBe(104);
  // One without a statement, or one other member, and the session is reset behind all.
  const empty = new TestGroup(manager);
  await expect(empty.run(add('ann', 0), work([]))).resolves.toEqual(['commit', 'commit']);
  expect(hasReset()).toBe(true);
  await committed(empty);
  const mixed = new TestGroup(manager);
  await mixed.run(add('ann', 1), does('SELECT $1::int', 1));
  expect(hasReset()).toBe(true);
});

/** Each makes a table `t` with a column `n` with which other code may run, or a check comes later. */
const OTHER_CODE: readonly (readonly [what: string, sql: string])[] = [
  ['none', 'CREATE TABLE t (n int)'],
  [
    'a trigger',
    `CREATE TABLE t (n int); CREATE TRIGGER a BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION does()`,
  ],
  ['a default', 'CREATE TABLE t (n int, m int DEFAULT f(1))'],
  ['a default that sets', `CREATE TABLE t (n int, m text DEFAULT set_config('a.b', 'c', true))`],
  ['a generated column', 'CREATE TABLE t (n int, m int GENERATED ALWAYS AS (f(n)) STORED)'],
  ['a check', 'CREATE TABLE t (n int CHECK (f(n) < 9))'],
  ['a domain', 'CREATE DOMAIN d AS int CHECK (f(VALUE) < 9); CREATE TABLE t (n int, m d)'],
  [
    'a domain of a default',
    'CREATE DOMAIN d AS int CHECK (f(VALUE) < 9); CREATE TABLE t (n int, m int DEFAULT 5::d)',
  ],
  [
    'a domain of a check',
    'CREATE DOMAIN d AS int CHECK (f(VALUE) < 9); CREATE TABLE t (n int CHECK ((n::d) > 0))',
  ],
  ['a table of the same name', 'CREATE TABLE t (n int); CREATE TABLE public.t (n int)'],
  ['an index', 'CREATE TABLE t (n int); CREATE INDEX ON t (f(n))'],
  ['a part of an index', 'CREATE TABLE t (n int); CREATE INDEX ON t (n) WHERE f(n) > 0'],
  ['a rule', 'CREATE TABLE t (n int); CREATE RULE r AS ON UPDATE TO t DO ALSO SELECT f(1)'],
  ['a policy', 'CREATE TABLE t (n int); ALTER TABLE t ENABLE ROW LEVEL SECURITY'],
  ['partitions', 'CREATE TABLE t (n int) PARTITION BY RANGE (n); CREATE TABLE u PARTITION OF t DEFAULT'],
  ['a table below', 'CREATE TABLE t (n int); CREATE TABLE u () INHERITS (t)'],
  ['a view', 'CREATE TABLE u (n int); CREATE VIEW t AS SELECT * FROM u'],
  ['a deferred key', 'CREATE TABLE t (n int UNIQUE DEFERRABLE)'],
  [
    'a deferred reference',
    'CREATE TABLE u (n int PRIMARY KEY); CREATE TABLE t (n int REFERENCES u DEFERRABLE)',
  ],
  ['a cascade', 'CREATE TABLE t (n int PRIMARY KEY); CREATE TABLE u (n int REFERENCES t ON UPDATE CASCADE)'],
  ['an operator', 'CREATE TABLE t (n int); CREATE OPERATOR ### (FUNCTION = f, RIGHTARG = int)'],
  ['a cast', 'CREATE TABLE t (n int); CREATE CAST (int AS point) WITH FUNCTION p(int)'],
];

it('the session is reset where a table may run other code, or checks a constraint later', async () => {
  const found: string[] = [];
  const manager = await manage();
  for (const [what, sql] of OTHER_CODE) {
    const schema = what.replaceAll(' ', '_');
    await database.query(`CREATE SCHEMA ${schema}; SET search_path = ${schema};
      CREATE FUNCTION f(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN n; END';
      CREATE FUNCTION p(n int) RETURNS point IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN point(n, n); END';
      CREATE FUNCTION does() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; ${sql}`);
    const set = (): Member => does(`UPDATE ${schema}.t SET n = n WHERE n = $1`, 1);
    const group = new TestGroup(manager);
    await expect(group.run(set(), set())).resolves.toEqual(['commit', 'commit']);
    if (!hasReset()) found.push(what);
    await group.rollback();
    await database.query(`DROP SCHEMA ${schema} CASCADE; DROP TABLE IF EXISTS public.t`);
  }
  expect(found).toEqual(['none']);
});

it('a table that has changed since it was looked up keeps the group from its prepare', async () => {
  const manager = await manage();
  const first = new TestGroup(manager);
  await first.run(add('ann', 1), add('ann', 1));
  await committed(first);
  await database.query(`CREATE TABLE seen (what text);
    CREATE FUNCTION sets() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO seen VALUES (coalesce(current_setting('app.tenant', true), ''));
      PERFORM set_config('app.tenant', 'a', true); RETURN NEW; END $$;
    CREATE TRIGGER sets BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION sets()`);
  const second = new TestGroup(manager);
  await second.run(add('ann', 1), add('ann', 1));
  expect(hasReset()).toBe(false);
  await expect(second.prepare()).resolves.toEqual({
    vote: 'abort',
    code: 'OTHER_CODE',
    reason: expect.stringMatching(/^since a table of the group was looked up, it may run other code/),
  });
  await second.rollback();
  await expect(database.prepared()).resolves.toEqual([]);

  const third = new TestGroup(manager);
  await third.run(add('ann', 1), add('ann', 1));
  expect(hasReset()).toBe(true);
  await committed(third);
  await expect(balanceOf(database, 'ann')).resolves.toBe(104);
  const { rows } = await database.query('SELECT what FROM seen');
  expect(rows).toEqual([{ what: '' }, { what: '' }]);
});

it('a member that fails is found in a run that shows when each is done, and so in the next groups', async () => {
  const manager = await manage();
  const group = new TestGroup(manager);
  const CHECK = { code: 'CONSTRAINT_VIOLATED' };
  const members = Array.from({ length: 20 }, () => add('ann', 1));
  const votes = await group.run(...members, add('bob', -500), add('bob', 1));
  expect(votes.toSpliced(20, 1)).toEqual(Array(21).fill('commit'));
  expect(votes[20]).toMatchObject(CHECK);
  // Those before the savepoint of the failed part have run once.
  expect(sent.map((text) => text.split(WORK).length - 1)).toEqual([16, 6, 6, 5]);
  await group.run(...members, add('bob', 1));
  await committed(group);
  await expect(balanceOf(database, 'ann')).resolves.toBe(120);
  const next = new TestGroup(manager);
  await expect(next.run(add('ann', 1), add('bob', -500))).resolves.toMatchObject(['commit', CHECK]);
  expect(hasReset()).toBe(true);
});

it.each([
  ['some of its work runs again', 17],
  // The refused member has a part of its own.
  ['all work of its first run stays', 16],
])('a group that runs again has the limits of its latest run: %s', async (_which, count) => {
  const group = new TestGroup(await manage(), { withinMs: 5_000 });
  const members = Array.from({ length: count }, () => add('ann', 1));
  const votes = await group.run(...members, add('nobody', 1));
  expect(votes.map((vote) => vote === 'commit')).toEqual([...members.map(() => true), false]);
  group.endsIn(60_000);
  await group.run(...members);
  expect(hasReset()).toBe(true);
  const limits = sent.join('; ').matchAll(/EXECUTE "dtc mark \w+" \('\d+', (\d+), ''\)/g);
  expect(Array.from(limits, ([, totalMs]) => Number(totalMs) > 60_000)).toEqual([true]);
  await committed(group);
  await expect(balanceOf(database, 'ann')).resolves.toBe(100 + count);
});

it('a group that is stopped while it sets the limits of a later run is not given up', async () => {
  const group = new TestGroup(await manage());
  const members = Array.from({ length: 16 }, () => add('ann', 1));
  await expect(group.run(...members)).resolves.toEqual(Array(16).fill('commit'));
  interrupted = 'RESET ALL';
  await expect(group.run(...members, add('bob', 1))).resolves.toEqual(Array(17).fill('commit'));
  expect(interrupted).toBeUndefined();
  await committed(group);
  await expect(balanceOf(database, 'ann')).resolves.toBe(116);
  await expect(balanceOf(database, 'bob')).resolves.toBe(101);
});

it('a member that waits for another transaction is found in time, and the others are not', async () => {
  const other = new Client({ connectionString: database.url });
  await other.connect();
  try {
    const manager = await manage({ lockTimeoutMs: 60_000 });
    await manager.recover();
    await other.query("BEGIN; UPDATE accounts SET balance = balance WHERE name = 'bob'");
    const group = new TestGroup(manager, { workMs: 600, withinMs: 20_000 });
    await expect(group.run(add('ann', 1), add('bob', 1), add('ann', 1))).resolves.toEqual([
      'not-run',
      'alone',
      'not-run',
    ]);
  } finally {
    await other.end();
  }
});

it('groups go on in another session', async () => {
  const manager = await manage();
  const first = new TestGroup(manager);
  await first.run(add('ann', 1), add('ann', 1));
  await committed(first);
  // The connection is not used again, since its session has lost its statements.
  await manager.prepare(someBranch(), async (client) => {
    await client.query('DEALLOCATE ALL');
    return 'read-only';
  });
  const next = new TestGroup(manager);
  await next.run(add('ann', 1), add('ann', 1));
  expect(hasReset()).toBe(false);
  await committed(next);
});
