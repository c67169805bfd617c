import { Query } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Vote } from '../../src/coordinator/index.js';
import { BranchSessions } from '../../src/postgres/branch/session.js';
import { gidOf } from '../../src/postgres/gid.js';
import { PostgresResourceManager, type PostgresSettings } from '../../src/postgres/index.js';
import { balanceOf, endOf, openAccounts } from '../support/postgres/bank.js';
import { type TestBranch, again, someBranch } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

const TAKE = "UPDATE accounts SET balance = balance - $1 WHERE name = 'ann'";
const ENDED = { code: 'DTC_POSTGRES_TRANSACTION_ENDED' };

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
  await openAccounts(database, 'ann');
});

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(managers.map((manager) => manager.close()));
});

async function manage(settings: PostgresSettings = {}): Promise<PostgresResourceManager> {
  const manager = new PostgresResourceManager('bank', {
    connection: database.url,
    workConnections: 1,
    ...settings,
  });
  managers.push(manager);
  await manager.start();
  return manager;
}

function batch(
  manager: PostgresResourceManager,
  branch: TestBranch,
  ...statements: { text: string; values?: unknown[]; name?: string }[]
): Promise<Vote> {
  return manager.prepareBatch(branch, { statements, vote: () => 'commit' });
}

describe('an error of a statement behind the prepare', () => {
  beforeEach(() => {
    vi.spyOn(BranchSessions.prototype, 'afterEnd').mockReturnValue(['SELECT 1 / 0']);
  });

  it('does not change the vote of work whose results are known', async () => {
    const manager = await manage();
    const branch = someBranch();
    const take = { text: TAKE, values: [10] };
    await expect(
      manager.prepare(branch, async (client) => (await client.query(take), 'commit')),
    ).resolves.toBe('commit');

    await manager.commit(again(branch));
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });

  it('is not a refusal of a commit in one phase', async () => {
    const manager = await manage();
    const take = { text: TAKE, values: [10] };
    await expect(
      manager.commitOnePhase(someBranch({ attempt: 1 }), async (client) => {
        await client.query(take);
        return 'commit';
      }),
    ).resolves.toBe('commit');
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });

  it('leaves a batch with lost results unknown: it is not a refusal', async () => {
    const manager = await manage();
    const branch = someBranch();
    await expect(batch(manager, branch, { text: TAKE, values: [10] })).rejects.toMatchObject({
      code: '22012',
    });

    await expect(database.prepared()).resolves.toEqual([gidOf(branch, 'bank')]);
    await manager.rollback(again(branch));
    await expect(endOf(database, gidOf(branch, 'bank'))).resolves.toBe('rolled-back');
  });
});

describe.each([true, false])(
  'work whose text ends its transaction, and then fails, pipelining %s',
  (pipelining) => {
    const ENDS = ['COMMIT; BEGIN; SELECT 1 / 0', 'COMMIT; SELECT 1 / 0', 'COMMIT AND CHAIN; SELECT 1 / 0'];

    it.each(ENDS)('is not a refusal: %s', async (text) => {
      const manager = await manage({ pipelining });
      for (const goesOn of [true, false]) {
        const branch = someBranch();
        const call = manager.prepare(branch, async (client) => {
          await client.query("UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'");
          const failed = client.query(text);
          await (goesOn ? failed.catch(() => undefined) : failed);
          return 'commit';
        });
        await expect(call).rejects.toMatchObject(ENDED);
        await expect(manager.rollback(again(branch))).rejects.toMatchObject({ kind: 'commit' });
      }
    });

    it('is the error of the statement where it could not be parsed, and so was not run', async () => {
      const manager = await manage({ pipelining });
      const branch = someBranch();
      const call = manager.prepare(branch, async (client) => {
        await client.query('COMMIT; BEGIN; no SQL at all');
        return 'commit';
      });
      await expect(call).rejects.toMatchObject({ code: '42601' });
      await manager.rollback(again(branch));
    });

    it('is a refusal where it has gone back to a savepoint only', async () => {
      const manager = await manage({ pipelining });
      const call = manager.prepare(someBranch(), async (client) => {
        await client.query('SAVEPOINT s');
        await client.query('ROLLBACK TO SAVEPOINT s; SELECT 1 / 0');
        return 'commit';
      });
      await expect(call).resolves.toMatchObject({ code: 'DATA_REJECTED' });
    });

    it('is found out in an object that is sent as a query', async () => {
      const manager = await manage({ pipelining });
      const call = manager.prepare(someBranch(), async (client) => {
        const query = client.query(new Query('COMMIT; BEGIN'));
        await new Promise((resolve) => query.on('end', resolve));
        return 'commit';
      });
      await expect(call).rejects.toMatchObject(ENDED);
    });
  },
);

describe('a listener of a row that throws', () => {
  it('fails the branch, and not the process', async () => {
    const fatal: unknown[] = [];
    const note = (error: unknown): number => fatal.push(error);
    process.on('uncaughtExceptionMonitor', note);
    try {
      const manager = await manage();
      const call = manager.prepare(someBranch(), async (client) => {
        const query = client.query(new Query('SELECT 1'));
        query.on('row', () => {
          throw new TypeError('a mistake');
        });
        await new Promise((resolve) => query.on('end', resolve));
        return 'commit';
      });
      await expect(call).rejects.toThrow('a mistake');
      await expect(database.prepared()).resolves.toEqual([]);
      expect(fatal).toEqual([]);
    } finally {
      process.off('uncaughtExceptionMonitor', note);
    }
  });
});

describe.each([true, false])('a batch, with pipelining %s', (pipelining) => {
  it.each<[string, { text: string; values?: unknown[] }]>([
    [
      'bytes',
      {
        text: "UPDATE accounts SET balance = length($1::bytea) WHERE name = 'ann'",
        values: [Buffer.from('abc')],
      },
    ],
    ['a value that converts itself', { text: `${TAKE} AND true`, values: [{ toPostgres: () => 97 }] }],
    ['a statement that PREPARE does not take', { text: 'CALL set_to($1)', values: [3] }],
  ])('with %s is done all the same, each time', async (_what, statement) => {
    await database.query(`CREATE PROCEDURE set_to(n int) LANGUAGE sql AS
      $$ UPDATE accounts SET balance = n WHERE name = 'ann' $$`);
    const manager = await manage({ pipelining });
    for (let time = 0; time < 3; time++) {
      await database.query('UPDATE accounts SET balance = 100');
      const branch = someBranch();
      await expect(batch(manager, branch, statement)).resolves.toBe('commit');
      await manager.commit(again(branch));
      await expect(balanceOf(database, 'ann')).resolves.toBe(3);
    }
  });

  it('may use objects that it creates', async () => {
    const manager = await manage({ pipelining });
    for (let time = 0; time < 3; time++) {
      const branch = someBranch();
      const made = batch(
        manager,
        branch,
        { text: 'CREATE TABLE notes (n int)' },
        { text: 'INSERT INTO notes VALUES ($1)', values: [time] },
        { text: 'INSERT INTO notes SELECT n + 1 FROM notes -- a comment' },
        { text: 'DROP TABLE notes' },
        { text: TAKE, values: [1] },
      );
      await expect(made).resolves.toBe('commit');
      await manager.commit(again(branch));
    }
    await expect(balanceOf(database, 'ann')).resolves.toBe(97);
  });

  it('has the results of its own statements, in their order', async () => {
    const manager = await manage({ pipelining });
    const statements = [
      { text: 'SELECT 1 AS n' },
      { text: 'SELECT $1::int AS n', values: [2] },
      { text: TAKE, values: [1], name: 'take' },
      { text: 'SELECT $1::int AS n', values: [3] },
      { text: 'SELECT 4 AS n WHERE false' },
    ];
    for (let time = 0; time < 3; time++) {
      const branch = someBranch();
      const seen: unknown[] = [];
      await manager.prepareBatch(branch, {
        statements,
        vote: (results) => {
          seen.push(...results.map(({ command, rowCount, rows }) => [command, rowCount, rows]));
          return 'commit';
        },
      });
      expect(seen).toEqual([
        ['SELECT', 1, [{ n: 1 }]],
        ['SELECT', 1, [{ n: 2 }]],
        ['UPDATE', 1, []],
        ['SELECT', 1, [{ n: 3 }]],
        ['SELECT', 0, []],
      ]);
      await manager.rollback(again(branch));
    }
  });

  it('whose values are SQL changes only its own rows', async () => {
    const manager = await manage({ pipelining });
    const odd = "'); UPDATE accounts SET balance = 0; --\\'";
    for (let time = 0; time < 3; time++) {
      const branch = someBranch();
      const values = [odd, 0];
      await batch(manager, branch, { text: 'INSERT INTO accounts VALUES ($1, $2)', values });
      await manager.commit(again(branch));
      await expect(balanceOf(database, odd)).resolves.toBe(0);
      await database.query('DELETE FROM accounts WHERE balance = 0');
    }
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('that fails for one of its values leaves nothing behind in its session', async () => {
    const manager = await manage({ pipelining });
    for (let time = 0; time < 3; time++) {
      for (const value of ['a lot', 1_000]) {
        await expect(batch(manager, someBranch(), { text: TAKE, values: [value] })).resolves.toMatchObject({
          code: value === 1_000 ? 'CONSTRAINT_VIOLATED' : 'DATA_REJECTED',
        });
      }
      const branch = someBranch();
      await expect(batch(manager, branch, { text: TAKE, values: [1] })).resolves.toBe('commit');
      await manager.rollback(again(branch));
    }
  });
});

it('a batch whose session could not be made ready has no vote, though its statements were sent behind that', async () => {
  const manager = await manage({ pipelining: true });
  const modes = vi.spyOn(BranchSessions.prototype as unknown as { mode: () => string[] }, 'mode');
  modes.mockReturnValueOnce(['SELECT 1 / 0']);
  const branch = someBranch();
  await expect(batch(manager, branch, { text: TAKE, values: [10] })).rejects.toMatchObject({ code: '22012' });
  await manager.rollback(again(branch));
  await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  const next = someBranch();
  await expect(batch(manager, next, { text: TAKE, values: [10] })).resolves.toBe('commit');
  await manager.commit(again(next));
});
