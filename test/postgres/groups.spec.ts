import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PostgresResourceManager, type PostgresSettings } from '../../src/postgres/index.js';
import { balanceOf, openAccounts } from '../support/postgres/bank.js';
import { someBranch, until } from '../support/postgres/branches.js';
import { type Member, TestGroup, add, does, work } from '../support/postgres/groups.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

let server: PostgresServer;
let database: TestDatabase;
let managers: PostgresResourceManager[];

beforeAll(async () => {
  server = await PostgresServer.start({ deadlock_timeout: '50ms' });
});

afterAll(() => server.stop());

beforeEach(async () => {
  managers = [];
  database = await server.createDatabase();
  await openAccounts(database, 'ann', 'bob');
});

afterEach(async () => {
  await Promise.all(managers.map((manager) => manager.close()));
});

async function manage(settings: PostgresSettings = {}, url = database.url): Promise<PostgresResourceManager> {
  const manager = new PostgresResourceManager('bank', {
    connection: url,
    workConnections: 1,
    grouped: true,
    ...settings,
  });
  managers.push(manager);
  await manager.start();
  return manager;
}

async function balances(): Promise<(number | undefined)[]> {
  return [await balanceOf(database, 'ann'), await balanceOf(database, 'bob')];
}

/** Members that leave a note, in the table `seen`, of how they find the session. */
const SEEN = 'CREATE TABLE seen (what text)';
const sees = (expression: string): Member => does(`INSERT INTO seen SELECT ${expression}`);

async function seen(): Promise<string[]> {
  return (await database.query<{ what: string }>('SELECT what FROM seen')).rows.map(({ what }) => what);
}

async function committed(group: TestGroup): Promise<void> {
  await expect(group.prepare()).resolves.toBe('commit');
  await group.commit();
}

describe('a group', () => {
  it('is one prepared transaction with one guard row, and is committed as a whole', async () => {
    const group = new TestGroup(await manage());
    await expect(group.run(add('ann', 10), add('bob', 20), add('ann', 1))).resolves.toEqual([
      'commit',
      'commit',
      'commit',
    ]);
    await expect(database.prepared()).resolves.toEqual([]);

    await expect(group.prepare()).resolves.toBe('commit');
    await expect(database.prepared()).resolves.toEqual([group.gid]);
    await expect(managers[0]!.recover()).resolves.toEqual([
      { transactionId: group.branch.transactionId, branchId: group.branch.branchId },
    ]);
    await expect(balances()).resolves.toEqual([100, 100]);

    await group.commit();
    await group.commit();
    await expect(balances()).resolves.toEqual([111, 120]);
    const { rows } = await database.query('SELECT gid, state FROM dtc_branches');
    expect(rows).toEqual([{ gid: group.gid, state: 'committed' }]);
  });

  it('runs again without a refused member, and nothing of the first run is left', async () => {
    const group = new TestGroup(await manage());
    const refusal = { vote: 'abort', code: 'NO_ACCOUNT', reason: 'eve' };
    await expect(group.run(add('ann', 10), add('eve', 1), add('bob', 20))).resolves.toEqual([
      'commit',
      refusal,
      'commit',
    ]);
    await group.discard();
    await expect(group.run(add('ann', 10), add('bob', 20))).resolves.toEqual(['commit', 'commit']);
    await committed(group);
    await expect(balances()).resolves.toEqual([110, 120]);
  });

  it('leaves nothing, and no lock, when the last run was discarded and the group is aborted', async () => {
    const group = new TestGroup(await manage());
    await group.run(add('ann', 10), add('bob', 20));
    await group.discard();
    // Its rows are free, although its transaction is still open.
    await database.query("SET lock_timeout = 100; UPDATE accounts SET balance = 7 WHERE name = 'ann'");
    group.branch.abort();
    const next = new TestGroup(managers[0]!);
    await expect(next.run(add('ann', 1), add('bob', 1))).resolves.toEqual(['commit', 'commit']);
    await committed(next);
    await expect(balances()).resolves.toEqual([8, 101]);
  });
});

describe('an error of the database', () => {
  const CHECK = { vote: 'abort', code: 'CONSTRAINT_VIOLATED' };

  it('refuses the member that has caused it, and says how those before and behind it vote', async () => {
    const group = new TestGroup(await manage());
    await expect(
      group.run(add('ann', 10), add('bob', -500), add('eve', 1), add('ann', -500), add('ann', 1)),
    ).resolves.toMatchObject(['commit', CHECK, { code: 'NO_ACCOUNT' }, CHECK, 'commit']);
    await group.discard();
    await expect(group.run(add('ann', 10), add('ann', 1))).resolves.toEqual(['commit', 'commit']);
    await committed(group);
    await expect(balances()).resolves.toEqual([111, 100]);
  });

  it.each([0, 1, 2])('names member %i, whatever rows the members return', async (at) => {
    const group = new TestGroup(await manage());
    const reads = does('SELECT g, 1 AS count FROM generate_series(1, 3) AS g');
    const members = [reads, add('ann', 1), reads].toSpliced(at, 0, does('SELECT 1 / (1 - $1::int)', 1));
    const votes = await group.run(...members);
    expect(votes[at]).toMatchObject({ code: 'DATA_REJECTED' });
    expect(votes.toSpliced(at, 1)).toEqual(['commit', 'commit', 'commit']);
  });

  it('of many members ends the run: the others run without them', async () => {
    const group = new TestGroup(await manage());
    const fails = does('SELECT 1 / (1 - $1::int)', 1);
    const votes = await group.run(...Array.from({ length: 10 }, () => fails), add('ann', 1));
    expect(votes.filter((vote) => vote === 'not-run')).toHaveLength(3);
  });

  it.each([
    ['a statement that does not exist in the database', does('SELECT * FROM nowhere')],
    ['a function that does not exist', does('SELECT nothing($1::int)', 1)],
  ])('%s lets the member run on its own, where its error shows', async (_what, member) => {
    const group = new TestGroup(await manage());
    await expect(group.run(add('ann', 1), member, add('bob', 1))).resolves.toEqual([
      'commit',
      'alone',
      'commit',
    ]);
    const alone = managers[0]!.prepareBatch(someBranch(), member());
    group.branch.abort();
    await expect(alone).rejects.toMatchObject({ code: /^42/ });
  });

  it('of code of the participant fails its member alone', async () => {
    const group = new TestGroup(await manage());
    const error = new Error('no statements');
    const throwsFirst: Member = () => {
      throw error;
    };
    const throwsLast = work([{ text: 'SELECT 1' }], () => {
      throw error;
    });
    await expect(group.run(add('ann', 1), throwsFirst, throwsLast, throwsLast)).resolves.toEqual([
      'commit',
      { vote: 'failed', error },
      { vote: 'failed', error },
      { vote: 'failed', error },
    ]);
  });
});

describe('between members', () => {
  beforeEach(() => database.query(SEEN));

  it.each(['postgres', 'teller_of_group'])(
    'settings, role and search path are those of the session of %s again',
    async (user) => {
      for (const role of ['clerk_of_group', 'teller_of_group'])
        await server.createRole(role).catch(() => undefined);
      await database.query(`CREATE SCHEMA other; GRANT ALL ON seen TO clerk_of_group, teller_of_group;
      GRANT clerk_of_group TO teller_of_group; GRANT ALL ON SCHEMA public TO teller_of_group`);
      const state = sees(
        "concat_ws(' ', current_user, session_user, current_setting('search_path'), current_setting('app.tenant', true), " +
          "current_setting('work_mem'))",
      );
      const changes = does(
        "SELECT set_config('role', 'clerk_of_group', true), set_config('search_path', 'other', false), " +
          "set_config('app.tenant', 'a', true), set_config('work_mem', $1, false)",
        '64kB',
      );
      const group = new TestGroup(await manage({}, database.urlBy({ user })));
      await expect(group.run(state, changes, state)).resolves.toEqual(['commit', 'commit', 'commit']);
      await committed(group);
      const [before, after] = await seen();
      expect(after!.trim().replaceAll(/ +/g, ' ')).toBe(before!.trim().replaceAll(/ +/g, ' '));
      expect(before).toContain(`${user} ${user} "$user", public`);
    },
  );

  it('the limits of the group stay in force, and its time goes on', async () => {
    const group = new TestGroup(await manage({ lockTimeoutMs: 200 }), { withinMs: 5_000 });
    const limits = sees("current_setting('lock_timeout') || ' ' || current_setting('transaction_timeout')");
    const takesOff = does(
      "SELECT set_config('lock_timeout', $1, true), set_config('transaction_timeout', $1, true)",
      '0',
    );
    await group.run(limits, takesOff, does('SELECT pg_sleep(0.05)'), limits);
    await committed(group);
    const found = (await seen()).map((what) => /^(\d+)ms (\d+)ms$/.exec(what)!.slice(1).map(Number));
    for (const [lockMs] of found) expect(lockMs).toSatisfy((ms: number) => ms >= 100 && ms <= 200);
    const [[, first], [, last]] = found as [number[], number[]];
    expect(first).toBeLessThanOrEqual(5_500);
    expect(last).toBeLessThanOrEqual(first! - 40);
    expect(last).toBeGreaterThan(1_000);
  });

  it('a transaction that no coordinator goes on with ends at the server', async () => {
    const warm = new TestGroup(await manage());
    await warm.run(add('ann', 1));
    await committed(warm);
    const group = new TestGroup(managers[0]!, { withinMs: 400 });
    await expect(group.run(add('ann', 1), add('ann', 1))).resolves.toEqual(['commit', 'commit']);
    await until('its rows are free', () =>
      database.query("SET lock_timeout = 20; UPDATE accounts SET balance = 5 WHERE name = 'ann'").then(
        () => true,
        () => false,
      ),
    );
    await expect(group.prepare().catch(() => 'failed')).resolves.not.toBe('commit');
  });

  it('constraints are checked, so that a deferred one refuses only its own member', async () => {
    await database.query(
      'CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE children (parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)',
    );
    const orphan = does('INSERT INTO children VALUES ($1)', 7);
    const first = new TestGroup(await manage());
    await expect(first.run(orphan, add('ann', 1))).resolves.toMatchObject([
      { code: 'CONSTRAINT_VIOLATED' },
      'commit',
    ]);
    first.branch.abort();

    // Behind another member its own constraints are checked earlier than they should be.
    const family = work([
      { text: 'INSERT INTO children VALUES ($1)', values: [1], name: 'a' },
      { text: 'INSERT INTO parents VALUES ($1)', values: [1], name: 'b' },
    ]);
    const second = new TestGroup(managers[0]!);
    await expect(second.run(family, add('ann', 1))).resolves.toEqual(['commit', 'commit']);
    await second.discard();
    await expect(second.run(add('ann', 1), family)).resolves.toEqual(['commit', 'alone']);
  });
});

describe('a member runs on its own', () => {
  it.each([
    ['whose statement is not one that PREPARE accepts', work([{ text: "SET search_path = 'other'" }])],
    ['with several statements in one text', work([{ text: 'SELECT 1; SELECT 2' }])],
    ['that may lock the session', work([{ text: 'SELECT pg_advisory_lock(1)' }])],
    ['with bytes', does('SELECT $1::bytea', Buffer.from('a'))],
    [
      'whose result has a form of its own',
      work([{ text: 'SELECT 1', rowMode: 'array' } as { text: string }]),
    ],
    ['whose statement is none', work([{ text: undefined as never }])],
    [
      'that votes read-only after it has written',
      work([{ text: "UPDATE accounts SET balance = 1 WHERE name = 'bob'" }], () => 'read-only'),
    ],
  ])('%s', async (_what, member) => {
    const group = new TestGroup(await manage());
    await expect(group.run(add('ann', 1), member, add('ann', 1))).resolves.toEqual([
      'commit',
      'alone',
      'commit',
    ]);
  });

  it('from the second time on if it uses an object that cannot be prepared, such as a temporary table', async () => {
    await database.query(`CREATE FUNCTION counts(n int) RETURNS int LANGUAGE plpgsql AS
      $$ BEGIN CREATE TEMP TABLE IF NOT EXISTS numbers (n int); DROP TABLE numbers; RETURN n; END $$`);
    const counts = does('SELECT counts($1)', 1);
    const group = new TestGroup(await manage());
    await expect(group.run(add('ann', 1), counts)).resolves.toEqual(['commit', 'commit']);
    await expect(group.prepare()).resolves.toMatchObject({ code: 'CANNOT_BE_PREPARED' });
    // Every member runs on its own then.
    await expect(managers[0]!.prepareBatch(someBranch(), counts())).rejects.toMatchObject({ code: '0A000' });

    const next = new TestGroup(managers[0]!);
    await expect(next.run(add('ann', 1), does('SELECT counts($1)', 2))).resolves.toEqual(['commit', 'alone']);
  });

  it('for a while once it was slow', async () => {
    const slow = does('SELECT pg_sleep($1)', 0.15);
    const group = new TestGroup(await manage());
    await expect(group.run(add('ann', 1), slow)).resolves.toEqual(['commit', 'commit']);
    await committed(group);
    const next = new TestGroup(managers[0]!);
    await expect(next.run(slow, add('ann', 1))).resolves.toEqual(['alone', 'commit']);
  });

  it('that votes read-only for the first time, and then only reads, whatever has written for it', async () => {
    await database.query(`CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS
      'UPDATE accounts SET balance = 2 WHERE name = ''bob'' RETURNING 1'`);
    const texts = [
      "WITH u AS (UPDATE accounts SET balance = 1 WHERE name = 'bob' RETURNING name) SELECT name FROM u",
      'SELECT writes()',
    ];
    for (const text of texts) {
      const reads = work([{ text, name: 'named' }], () => 'read-only');
      const group = new TestGroup(await manage());
      await expect(group.run(add('ann', 1), reads)).resolves.toEqual(['commit', 'alone']);
      await group.discard();
      await expect(group.run(reads, add('ann', 2), reads)).resolves.toEqual([
        'read-only',
        'commit',
        'read-only',
      ]);
      await committed(group);
    }
    await expect(balances()).resolves.toEqual([104, 100]);
  });

  it.each(["'now'", "' Tomorrow '", "'2026-01-02'", '$$now$$'])(
    'with the literal %s, which PostgreSQL would read when it prepares the statement',
    async (literal) => {
      await database.query('CREATE TABLE events (at timestamptz)');
      const group = new TestGroup(await manage());
      const notes = does(`INSERT INTO events VALUES (${literal})`);
      await expect(group.run(add('ann', 1), notes)).resolves.toEqual(['commit', 'alone']);
    },
  );

  it('in a database with a trigger that runs at the end of its own transaction', async () => {
    await database.query(`CREATE TABLE lines (n int); CREATE TABLE totals (total int);
      CREATE FUNCTION sums() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO totals SELECT sum(n) FROM lines; RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER sums AFTER INSERT ON lines DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sums()`);
    const group = new TestGroup(await manage());
    await expect(group.run(add('ann', 1), does('INSERT INTO lines VALUES ($1)', 1))).resolves.toEqual([
      'alone',
      'alone',
    ]);
    // The next one does not ask again, and the trigger may be gone.
    await database.query('DROP TABLE lines');
    const next = new TestGroup(managers[0]!);
    await expect(next.run(add('ann', 1), add('bob', 1))).resolves.toEqual(['alone', 'alone']);
    const other = new TestGroup(await manage());
    await expect(other.run(add('ann', 1), add('bob', 1))).resolves.toEqual(['commit', 'commit']);
  });

  it('whose statement cannot be prepared in time, for another transaction has locked its table', async () => {
    await database.query('CREATE TABLE counts (n int)');
    const outside = new Client({ connectionString: database.url });
    await outside.connect();
    try {
      await outside.query('BEGIN; LOCK TABLE counts');
      const counts = does('UPDATE counts SET n = $1', 1);
      const manager = await manage({ lockTimeoutMs: 100 });
      const group = new TestGroup(manager);
      await expect(group.run(add('ann', 1), counts)).resolves.toEqual(['commit', 'alone']);
      await committed(group);
      await outside.query('ROLLBACK');
      // It is not the fault of the statement.
      const next = new TestGroup(manager);
      await expect(next.run(add('ann', 1), counts)).resolves.toEqual(['commit', 'commit']);
    } finally {
      await outside.end();
    }
  });

  it.each([
    ['lock time-out', false],
    ['deadlock', true],
  ])('after a %s with a transaction outside of the group', async (_what, waitsToo) => {
    const manager = await manage({ lockTimeoutMs: waitsToo ? 4_000 : 100 });
    const outside = new Client({ connectionString: database.url });
    await outside.connect();
    try {
      await outside.query("BEGIN; UPDATE accounts SET balance = 0 WHERE name = 'bob'");
      const group = new TestGroup(manager);
      // Another kind of work lets the group show at once which member has met the other transaction.
      const last = waitsToo ? does('SELECT $1::int', 1) : add('ann', 1);
      const votes = group.run(add('ann', 1), add('bob', 1), last);
      if (waitsToo) {
        await until('the group waits', async () => {
          const { rows } = await database.query(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
          );
          return rows.length > 0;
        });
        // One of the two is chosen; the group has waited for longer.
        await outside.query(
          "SET LOCAL deadlock_timeout = '10s'; UPDATE accounts SET balance = 0 WHERE name = 'ann'",
        );
      }
      await expect(votes).resolves.toEqual(['not-run', 'alone', 'not-run']);
      await outside.query('ROLLBACK');
      await group.discard();
      await expect(group.run(add('ann', 1), add('ann', 1))).resolves.toEqual(['commit', 'commit']);
      await committed(group);
    } finally {
      await outside.end();
    }
  });
});

describe('the end of a group', () => {
  it('that was rolled back before it works is a tombstone: nothing of it can be prepared', async () => {
    const group = new TestGroup(await manage());
    await group.rollback();
    await expect(group.run(add('ann', 1), add('bob', 1))).rejects.toMatchObject({ code: '23505' });
    await expect(group.prepare()).resolves.not.toBe('commit');
    await expect(database.prepared()).resolves.toEqual([]);
  });

  it('is its only end: to prepare it late or again is an error, and no work of another branch', async () => {
    const group = new TestGroup(await manage());
    await group.run(add('ann', 1), add('bob', 1));
    await expect(group.prepare()).resolves.toBe('commit');
    await expect(group.prepare()).rejects.toThrow('is not open any more');
    await group.commit();
    const late = new TestGroup(managers[0]!);
    await late.run(add('ann', 1), add('bob', 1));
    await late.rollback();
    await expect(late.prepare()).rejects.toThrow('is not open any more');
    await expect(balances()).resolves.toEqual([101, 101]);
  });

  it('comes while it works: the work stops, and its connection serves the next', async () => {
    const group = new TestGroup(await manage());
    const votes = group.run(add('ann', 1), does('SELECT pg_sleep($1)', 20));
    await until('it works', async () => {
      const { rows } = await database.query("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
      return rows.length > 0;
    });
    group.branch.abort();
    await expect(votes).rejects.toThrow();
    await group.rollback();
    const next = new TestGroup(managers[0]!);
    await expect(next.run(add('ann', 5), add('bob', 5))).resolves.toEqual(['commit', 'commit']);
    await committed(next);
    await expect(balances()).resolves.toEqual([105, 105]);
  });

  it('is a rollback when its session is lost before it is prepared', async () => {
    const group = new TestGroup(await manage());
    await group.run(add('ann', 1), add('bob', 1));
    await database.query(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE state = 'idle in transaction'",
    );
    await expect(group.prepare().catch(() => 'failed')).resolves.not.toBe('commit');
    await group.rollback();
    await expect(balances()).resolves.toEqual([100, 100]);
  });
});

describe('groups of two coordinators', () => {
  it('do not wait for each other while they work, but begin as soon as the other is to be prepared', async () => {
    const first = new TestGroup(await manage());
    const second = new TestGroup(await manage({ lockTimeoutMs: 60_000 }));
    await expect(first.run(add('ann', 1), add('ann', 1))).resolves.toEqual(['commit', 'commit']);
    await expect(second.run(add('bob', 1), add('bob', 1))).rejects.toThrow('busy');
    second.branch.abort();

    await expect(first.prepare()).resolves.toBe('commit');
    const third = new TestGroup(managers[1]!);
    await expect(third.run(add('bob', 1), add('bob', 1))).resolves.toEqual(['commit', 'commit']);
    await first.commit();
    await committed(third);
    await expect(balances()).resolves.toEqual([102, 102]);
  });

  it('are not stopped by one that has failed', async () => {
    const first = new TestGroup(await manage());
    await first.run(add('ann', 1), add('ann', 1));
    first.branch.abort();
    await until('its session is idle', async () => {
      const { rows } = await database.query(
        "SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
      );
      return rows.length < 3;
    });
    const second = new TestGroup(await manage());
    await expect(second.run(add('ann', 1), add('ann', 1))).resolves.toEqual(['commit', 'commit']);
  });
});

it.each([
  [{ isolation: 'repeatable read' as const }, /grouped: .*repeatable read/],
  [{ prepareStatements: false }, /grouped: it needs prepared statements/],
])('groups are refused with the options %j', (settings, message) => {
  const options = { connection: database.url, grouped: true, ...settings };
  expect(() => new PostgresResourceManager('bank', options)).toThrow(message);
});
