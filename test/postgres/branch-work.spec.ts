import { once } from 'node:events';
import { Client, Pool, type PoolClient, Query, types } from 'pg';
import { describe, expect, it, vi } from 'vitest';
import { type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresResourceManager, type Work } from '../../src/postgres/index.js';
import { BranchWork } from '../../src/postgres/branch/work.js';
import { balanceOf, endOf } from '../support/postgres/bank.js';
import { again, someBranch } from '../support/postgres/branches.js';
import { gidOf, takeTen, useProxiedPostgres } from '../support/postgres/proxied.js';

const bench = useProxiedPostgres({ accounts: ['ann', 'bob'] });

/** A text that is sent, though it ends the transaction: it does not begin with the word that says so. */
const hidden = (text: string): string => `/* hidden */ ${text}`;

const TAKE_TEN = { text: "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'" };

/** Now, on the clock that deadlines are made with. */
const monotonic = (): number => performance.timeOrigin + performance.now();

describe('the work of a branch', () => {
  it('sends no statement of a batch with an element that is not a statement', async () => {
    const manager = await bench.manage();
    const text = "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'";
    const statements = [{ text }, undefined as unknown as { text: string }];
    const branch = someBranch();

    await expect(manager.prepareBatch(branch, { statements, vote: () => 'commit' })).rejects.toThrow(
      '`text`',
    );

    expect(await balanceOf(bench.database, 'ann')).toBe(100);
    expect(await manager.recover()).toEqual([]);
  });

  it('in a batch that has an empty statement, or a value that cannot be sent, leaves nothing prepared', async () => {
    const manager = await bench.manage();
    const update = { text: "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'" };
    const circular: { self?: unknown } = {};
    circular.self = circular;
    for (const odd of [{ text: '-- nothing' }, { text: 'SELECT $1', values: [circular] }]) {
      const branch = someBranch();
      const prepared = manager.prepareBatch(branch, { statements: [update, odd], vote: () => 'commit' });
      await expect(prepared).rejects.toThrow();
      await manager.rollback(again(branch));
    }

    expect(await manager.recover()).toEqual([]);
    expect(await balanceOf(bench.database, 'ann')).toBe(100);
  });

  it('in a batch must not end its transaction, by ROLLBACK neither', async () => {
    const manager = await bench.manage();
    const update = { text: "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'" };
    const statements = [{ text: 'ROLLBACK' }, update];

    const prepared = manager.prepareBatch(someBranch(), { statements, vote: () => 'commit' });

    await expect(prepared).rejects.toMatchObject({ code: 'DTC_POSTGRES_TRANSACTION_CONTROL' });
    expect(await balanceOf(bench.database, 'ann')).toBe(100);
  });

  it.each(['statement by statement', 'as a batch'])(
    'writes nothing when its transaction could not even be begun: %s',
    async (form) => {
      const manager = await bench.manage({ workConnections: 1 });
      // From then on the statements of the work are sent without waiting for BEGIN.
      await manager.prepare(someBranch(), async () => 'read-only');
      const begin = vi.spyOn(BranchWork.prototype, 'begin').mockReturnValue(['this is no SQL']);
      const branch = someBranch();
      const text = "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'";

      const prepared =
        form === 'as a batch'
          ? manager.prepareBatch(branch, { statements: [{ text }], vote: () => 'commit' })
          : manager.prepare(branch, takeTen);
      await expect(prepared).rejects.toThrow('syntax error');
      begin.mockRestore();

      expect(await balanceOf(bench.database, 'ann')).toBe(100);
      await manager.rollback(again(branch));
      expect(await manager.recover()).toEqual([]);
    },
  );

  it('is rolled back when it refuses, and its connection is used again', async () => {
    const manager = await bench.manage({ workConnections: 1 });
    const pids = new Set<unknown>();
    const work: Work<unknown> = async (client) => {
      await takeTen(client, someBranch());
      pids.add((await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid);
      return refuse('CLOSED', 'the bank is closed');
    };

    await expect(manager.prepare(someBranch(), work)).resolves.toMatchObject({ code: 'CLOSED' });
    await expect(manager.prepare(someBranch(), work)).resolves.toMatchObject({ code: 'CLOSED' });

    expect(pids.size).toBe(1);
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  it('is rolled back when it throws, and the error goes to the coordinator', async () => {
    const manager = await bench.manage();
    await expect(
      manager.prepare(someBranch(), async (client) => {
        await takeTen(client, someBranch());
        throw new TypeError('a mistake');
      }),
    ).rejects.toThrow('a mistake');
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
    await expect(bench.database.prepared()).resolves.toEqual([]);
  });

  it('has its isolation level', async () => {
    const manager = await bench.manage({ isolation: 'serializable' });
    let level: unknown;
    await manager.prepare(someBranch(), async (client) => {
      level = (
        await client.query<{ level: string }>("SELECT current_setting('transaction_isolation') AS level")
      ).rows[0]?.level;
      return 'read-only';
    });
    expect(level).toBe('serializable');
  });

  it('that ends its own transaction is detected, and its rollback reports that', async () => {
    const manager = await bench.manage();
    const branch = someBranch();

    const prepared = manager.prepare(branch, async (client) => {
      await takeTen(client, branch);
      await client.query(hidden('COMMIT'));
      return 'commit';
    });

    await expect(prepared).rejects.toMatchObject({ code: 'DTC_POSTGRES_TRANSACTION_ENDED' });
    await expect(manager.rollback(again(branch))).rejects.toMatchObject({ kind: 'commit' });
  });

  it.each([
    ['COMMIT', 'BEGIN READ WRITE'],
    ['COMMIT; BEGIN READ WRITE'],
    ['COMMIT AND CHAIN'],
    ['ROLLBACK', 'BEGIN READ WRITE'],
    ['ROLLBACK; BEGIN READ WRITE'],
    ['ROLLBACK AND CHAIN'],
  ])('that ends its transaction and opens another is found out: %s %s', async (...statements) => {
    const manager = await bench.manage({ workConnections: 1 });
    const pids = new Set<unknown>();
    const prepared = manager.prepare(someBranch(), async (client) => {
      pids.add((await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid);
      for (const statement of statements.filter(Boolean)) await client.query(hidden(statement));
      return takeTen(client, someBranch());
    });

    await expect(prepared).rejects.toMatchObject({ code: 'DTC_POSTGRES_TRANSACTION_ENDED' });

    await manager.prepare(someBranch(), async (client) => {
      pids.add((await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid);
      return 'read-only';
    });
    expect(pids.size).toBe(2);
    await expect(bench.database.prepared()).resolves.toEqual([]);
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  it('that does so is detected also when it commits in one phase, or fails afterwards', async () => {
    const manager = await bench.manage();
    const restart = async (client: Parameters<Work<unknown>>[0]): Promise<Vote> => {
      await client.query('COMMIT; BEGIN READ WRITE');
      return takeTen(client, someBranch());
    };
    const ended = { code: 'DTC_POSTGRES_TRANSACTION_ENDED' };
    await expect(manager.commitOnePhase(someBranch({ attempt: 1 }), restart)).rejects.toMatchObject(ended);
    await expect(
      manager.prepare(someBranch(), async (client) => {
        await restart(client);
        throw new TypeError('a mistake');
      }),
    ).rejects.toMatchObject(ended);
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  it('in a batch is found out however the end is hidden', async () => {
    const manager = await bench.manage();
    const update = { text: "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'" };
    const statements = [{ text: 'COMMIT; BEGIN READ WRITE' }, update];
    const branch = someBranch();

    await expect(manager.prepareBatch(branch, { statements, vote: () => 'commit' })).rejects.toMatchObject({
      code: 'DTC_POSTGRES_TRANSACTION_ENDED',
    });

    await expect(manager.rollback(again(branch))).rejects.toMatchObject({ kind: 'commit' });
    await expect(bench.database.prepared()).resolves.toEqual([]);
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  it('may go back to a savepoint, and send a second BEGIN', async () => {
    const manager = await bench.manage();
    const branch = someBranch();
    const prepared = manager.prepare(branch, async (client) => {
      await client.query('SAVEPOINT s');
      await client.query('UPDATE accounts SET balance = 0');
      await client.query('ROLLBACK TO SAVEPOINT s');
      await client.query(hidden('BEGIN'));
      return takeTen(client, branch);
    });
    await expect(prepared).resolves.toBe('commit');
    await manager.commit(again(branch));
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });

  it('does not send a statement that would end its transaction, and fails even if the work ignores the error', async () => {
    const text = 'COMMIT';
    const manager = await bench.manage();
    const forms: ((client: PoolClient) => Promise<unknown>)[] = [
      (client) => client.query(text),
      (client) => client.query({ text }),
      (client) => new Promise((_resolve, reject) => client.query(text, reject)),
      (client) => once(client.query(new Query(text)), 'end'),
    ];
    for (const send of forms) {
      const branch = someBranch();
      const prepared = manager.prepare(branch, async (client) => {
        await takeTen(client, branch);
        await send(client).catch(() => undefined);
        return 'commit';
      });

      await expect(prepared).rejects.toMatchObject({ code: 'DTC_POSTGRES_TRANSACTION_CONTROL' });
      await manager.rollback(again(branch));
    }
    await expect(bench.database.prepared()).resolves.toEqual([]);
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  it('is refused for the error of the database, also where an ORM has wrapped it in an error of its own', async () => {
    const manager = await bench.manage();
    const prepared = manager.prepare(someBranch(), async (client) => {
      const cause: unknown = await client
        .query("INSERT INTO accounts SELECT * FROM accounts WHERE name = 'ann'")
        .catch((error: unknown) => error);
      throw new Error('the query failed', { cause: new Error('in the driver', { cause }) });
    });
    await expect(prepared).resolves.toMatchObject({ vote: 'abort', code: 'CONSTRAINT_VIOLATED' });
  });

  it('that commits and then refuses is not a refusal', async () => {
    const manager = await bench.manage();
    const branch = someBranch();
    const prepared = manager.prepare(branch, async (client) => {
      await client.query(hidden('COMMIT'));
      return refuse('CLOSED', 'the bank is closed');
    });
    await expect(prepared).rejects.toMatchObject({ code: 'DTC_POSTGRES_TRANSACTION_ENDED' });
  });

  it('can use its client no longer than until its vote', async () => {
    const manager = await bench.manage();
    let late: (() => Promise<unknown>) | undefined;
    await manager.prepare(someBranch(), async (client) => {
      late = () => client.query('UPDATE accounts SET balance = 0');
      return 'read-only';
    });
    await expect(late!()).rejects.toMatchObject({ code: 'DTC_POSTGRES_WORK_OVER' });
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  it('runs no statement outside its transaction when it is refused from the start and continues nevertheless', async () => {
    const manager = await bench.manage({ workConnections: 1 });
    const branch = someBranch();
    await manager.rollback(again(branch));
    let last: Promise<unknown> | undefined;

    const vote = await manager.prepare(branch, (client) => {
      const stubborn = async (): Promise<Vote> => {
        for (let turn = 0; turn < 20; turn++) {
          await client.query('UPDATE accounts SET balance = 0').catch(() => {});
          await new Promise((resolve) => setImmediate(resolve));
        }
        return 'commit';
      };
      const work = stubborn();
      last = work;
      return work;
    });
    await last;

    expect(vote).toMatchObject({ code: 'ROLLED_BACK' });
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  it('stops when its caller has gone, whatever it tries', async () => {
    const manager = await bench.manage();
    const branch = someBranch();
    let refused: unknown;
    let over: Promise<unknown> | undefined;
    let prepares = 0;
    bench.proxy.rule = (data) => {
      if (data.includes('PREPARE TRANSACTION')) prepares++;
      return 'pass';
    };
    const prepared = manager.prepare(branch, (client) => {
      const work = async (): Promise<Vote> => {
        await takeTen(client, branch);
        branch.abort();
        refused = await client.query('UPDATE accounts SET balance = 0').catch((error: unknown) => error);
        return 'commit';
      };
      const voted = work();
      over = voted;
      return voted;
    });

    await expect(prepared).rejects.toThrow('the caller has gone');
    await over;
    await manager.rollback(again(branch));

    expect(refused).toMatchObject({ code: 'DTC_POSTGRES_WORK_OVER' });
    expect(prepares).toBe(0);
    await expect(endOf(bench.database, gidOf(branch))).resolves.toBe('rolled-back');
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  it('has the rest of its time even when the wall clock jumps', async () => {
    const manager = await bench.manage();
    // The coordinator's deadline follows the wall clock when that is set.
    const end = monotonic() + 5_000;
    const branch = Object.defineProperty(someBranch(), 'deadline', {
      get: () => Date.now() + end - monotonic(),
    });
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 15 * 86_400_000);
    try {
      await expect(manager.prepare(branch, takeTen)).resolves.toBe('commit');
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('is not begun when its time is over', async () => {
    const manager = await bench.manage();
    let begun = false;
    const prepared = manager.prepare(someBranch({ withinMs: -1 }), async () => {
      begun = true;
      return 'commit';
    });
    await expect(prepared).rejects.toThrow('deadline');
    expect(begun).toBe(false);
  });

  it('that comes too late leaves nothing behind on its connection', async () => {
    const pools = {
      work: new Pool({ connectionString: bench.database.url, max: 1 }),
      completion: new Pool({ connectionString: bench.database.url }),
    };
    const manager = new PostgresResourceManager('bank', { pools });
    const listeners = async (): Promise<number> => {
      const client = await pools.work.connect();
      client.release();
      return client.connection.listenerCount('commandComplete');
    };
    await manager.start();
    const before = await listeners();

    const late = someBranch({ withinMs: -1 });
    await expect(manager.prepare(late, takeTen)).rejects.toThrow('deadline');
    await expect(manager.prepareBatch(late, { statements: [], vote: () => 'commit' })).rejects.toThrow(
      'deadline',
    );

    await expect(listeners()).resolves.toBe(before);
    await manager.close();
    await Promise.all([pools.work.end(), pools.completion.end()]);
  });

  it.each([
    ['is prepared', "SELECT '1'::money"],
    ['is not, as another statement fails', "SELECT '1'::money", 'SELECT 1 / 0'],
  ])(
    'in a batch is no refusal when the error is of this side, whatever its code: the branch %s',
    async (end, ...texts) => {
      const MONEY = 790;
      const unreadable = () => {
        throw Object.assign(new Error('not to be read'), { code: '23505' });
      };
      const manager = new PostgresResourceManager('bank', {
        connection: {
          connectionString: bench.database.url,
          types: {
            getTypeParser: (id: number, format: 'text') =>
              id === MONEY ? unreadable : types.getTypeParser(id, format),
          } as typeof types,
        },
      });
      bench.closeLater(manager);
      const branch = someBranch();
      const statements = texts.map((text) => ({ text, values: [] }));

      await expect(manager.prepareBatch(branch, { statements, vote: () => 'commit' })).rejects.toThrow(
        'not to be read',
      );

      await expect(bench.database.prepared()).resolves.toEqual(end === 'is prepared' ? [gidOf(branch)] : []);
      await manager.rollback(again(branch));
      await expect(endOf(bench.database, gidOf(branch))).resolves.toBe('rolled-back');
    },
  );

  it('in a batch may go back to a savepoint', async () => {
    const manager = await bench.manage();
    const branch = someBranch();
    const texts = [
      'SAVEPOINT s',
      'UPDATE accounts SET balance = 0',
      'ROLLBACK TO SAVEPOINT s',
      "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'",
    ];
    const seen: string[] = [];

    const prepared = manager.prepareBatch(branch, {
      statements: texts.map((text) => ({ text })),
      vote: (results) => {
        seen.push(...results.map(({ command }) => command));
        return 'commit';
      },
    });

    await expect(prepared).resolves.toBe('commit');
    expect(seen).toEqual(['SAVEPOINT', 'UPDATE', 'ROLLBACK', 'UPDATE']);
    await manager.commit(again(branch));
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });

  it('is prepared once when prepare is repeated, and the vote is the same', async () => {
    const manager = await bench.manage({ lockTimeoutMs: 100 });
    const branch = someBranch();
    await expect(manager.prepare(branch, takeTen)).resolves.toBe('commit');
    await expect(manager.prepare(again(branch, 0), takeTen)).resolves.toBe('commit');
    await manager.commit(again(branch));
    await expect(manager.prepare(again(branch, 0), takeTen)).resolves.toBe('commit');
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });

  it('is prepared once when the prepare of a batch is repeated, which has no vote until the branch has ended', async () => {
    const manager = await bench.manage({ lockTimeoutMs: 100 });
    const [committed, undone] = [someBranch(), someBranch()];
    const batch = { statements: [TAKE_TEN], vote: (): Vote => 'commit' };
    // With another option, each statement is sent by itself.
    const oneByOne = { ...batch, statements: [{ ...TAKE_TEN, rowMode: 'array' } as typeof TAKE_TEN] };
    for (const branch of [committed, undone]) {
      await expect(manager.prepareBatch(branch, batch)).resolves.toBe('commit');
      // The first call votes after its prepare, and its vote may be no.
      for (const repeated of [batch, oneByOne]) {
        await expect(manager.prepareBatch(again(branch, 0), repeated)).rejects.toMatchObject({
          code: '55P03',
        });
      }
      await (branch === committed ? manager.commit(again(branch)) : manager.rollback(again(branch)));
    }
    await expect(manager.prepareBatch(again(committed, 0), batch)).resolves.toBe('commit');
    await expect(manager.prepareBatch(again(undone, 0), batch)).resolves.toMatchObject({
      code: 'ROLLED_BACK',
    });
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });

  it('whose BEGIN waits for an earlier prepare of unknown end is not a refusal', async () => {
    const manager = await bench.manage({ lockTimeoutMs: 100 });
    const batch = { statements: [TAKE_TEN], vote: (): Vote => 'commit' };
    const branch = someBranch();
    const earlier = new Client(bench.database.url);
    await earlier.connect();
    await earlier.query(
      `BEGIN; INSERT INTO dtc_branches (gid, state) VALUES ('${gidOf(branch)}', 'committed')`,
    );

    await expect(manager.prepare(branch, takeTen)).rejects.toMatchObject({ code: '55P03' });
    await expect(manager.prepareBatch(branch, batch)).rejects.toMatchObject({ code: '55P03' });
    await earlier.end();
  });
});

describe.each([true, false])('with pipelining %s', (pipelining) => {
  it('a branch is prepared, completed, repeated, refused and given a tombstone', async () => {
    const manager = await bench.manage({ pipelining });
    const [committed, undone, batch, refused] = [someBranch(), someBranch(), someBranch(), someBranch()];
    const statements = [
      { text: 'UPDATE accounts SET balance = balance - $1 WHERE name = $2', values: [1, 'bob'] },
    ];

    await expect(manager.prepare(committed, takeTen)).resolves.toBe('commit');
    await manager.commit(again(committed));
    await manager.commit(again(committed, 2));
    await expect(manager.prepare(undone, takeTen)).resolves.toBe('commit');
    await manager.rollback(again(undone));
    await manager.rollback(again(undone, 2));
    await expect(manager.prepareBatch(batch, { statements, vote: () => 'commit' })).resolves.toBe('commit');
    await manager.commit(again(batch));
    await expect(
      manager.prepareBatch(refused, { statements, vote: () => refuse('NO', 'no') }),
    ).resolves.toMatchObject({ code: 'NO' });
    await expect(manager.prepare(undone, takeTen)).resolves.toMatchObject({ code: 'ROLLED_BACK' });

    await expect(bench.database.prepared()).resolves.toEqual([]);
    expect([await balanceOf(bench.database, 'ann'), await balanceOf(bench.database, 'bob')]).toEqual([
      90, 99,
    ]);
  });

  it('a vote that throws leaves no batch prepared', async () => {
    const manager = await bench.manage({ pipelining });
    const prepared = manager.prepareBatch(someBranch(), {
      statements: [{ text: "UPDATE accounts SET balance = 0 WHERE name = 'ann'" }],
      vote: () => {
        throw new TypeError('a mistake');
      },
    });
    await expect(prepared).rejects.toThrow('a mistake');
    await expect(bench.database.prepared()).resolves.toEqual([]);
  });
});
