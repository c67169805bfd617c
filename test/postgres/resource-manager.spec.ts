import { createRequire } from 'node:module';
import { Logger } from '@nestjs/common';
import { Client, Pool, types } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresResourceManager, type PostgresSettings, type Work } from '../../src/postgres/index.js';
import { BranchWork } from '../../src/postgres/branch/work.js';
import { openLanes } from '../../src/postgres/connection/lanes.js';
import { postgresSettingsSchema } from '../../src/postgres/options.js';
import { balanceOf, endOf, openAccounts } from '../support/postgres/bank.js';
import { type TestBranch, again, someBranch, until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';
import { TcpProxy } from '../support/tcp-proxy.js';

let server: PostgresServer;
let database: TestDatabase;
let proxy: TcpProxy;
let managers: PostgresResourceManager[];

beforeAll(async () => {
  server = await PostgresServer.start();
});

afterAll(() => server.stop());

beforeEach(async () => {
  database = await server.createDatabase();
  await openAccounts(database, 'ann', 'bob');
  proxy = await TcpProxy.open({ host: '127.0.0.1', port: server.port });
  managers = [];
});

afterEach(async () => {
  await Promise.all(managers.map((manager) => manager.close()));
  await proxy.close();
});

/** A resource manager whose connections go through the proxy. */
async function manage(settings: PostgresSettings = {}): Promise<PostgresResourceManager> {
  const manager = new PostgresResourceManager('bank', {
    connection: database.urlBy({ port: proxy.port }),
    ...settings,
  });
  managers.push(manager);
  await manager.start();
  return manager;
}

const takeTen: Work<unknown> = async (client) => {
  await client.query("UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'");
  return 'commit';
};

/** Now, on the clock that deadlines are made with. */
const monotonic = (): number => performance.timeOrigin + performance.now();

const gid = ({ transactionId }: { transactionId: string }): string => `${transactionId}/bank/b`;

describe('the work of a branch', () => {
  it('sends nothing of a batch in which something is no statement', async () => {
    const manager = await manage();
    const text = "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'";
    const statements = [{ text }, undefined as unknown as { text: string }];
    const branch = someBranch();

    await expect(manager.prepareBatch(branch, { statements, vote: () => 'commit' })).rejects.toThrow(
      '`text`',
    );

    expect(await balanceOf(database, 'ann')).toBe(100);
    expect(await manager.recover()).toEqual([]);
  });

  it('in a batch that has an empty statement, or a value that cannot be sent, leaves nothing prepared', async () => {
    const manager = await manage();
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
    expect(await balanceOf(database, 'ann')).toBe(100);
  });

  it('in a batch must not end its transaction, by ROLLBACK neither', async () => {
    const manager = await manage();
    const update = { text: "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'" };
    const statements = [{ text: 'ROLLBACK' }, update];

    const prepared = manager.prepareBatch(someBranch(), { statements, vote: () => 'commit' });

    await expect(prepared).rejects.toThrow('ended its transaction');
    expect(await balanceOf(database, 'ann')).toBe(100);
  });

  it.each(['statement by statement', 'as a batch'])(
    'writes nothing when its transaction could not even be begun: %s',
    async (form) => {
      const manager = await manage({ workConnections: 1 });
      // From then on the statements of the work are sent without waiting for the begin.
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

      expect(await balanceOf(database, 'ann')).toBe(100);
      await manager.rollback(again(branch));
      expect(await manager.recover()).toEqual([]);
    },
  );

  it('is rolled back when it refuses, and its connection is used again', async () => {
    const manager = await manage({ workConnections: 1 });
    const pids = new Set<unknown>();
    const work: Work<unknown> = async (client) => {
      await takeTen(client, someBranch());
      pids.add((await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid);
      return refuse('CLOSED', 'the bank is closed');
    };

    await expect(manager.prepare(someBranch(), work)).resolves.toMatchObject({ code: 'CLOSED' });
    await expect(manager.prepare(someBranch(), work)).resolves.toMatchObject({ code: 'CLOSED' });

    expect(pids.size).toBe(1);
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('is rolled back when it throws, and the error goes to the coordinator', async () => {
    const manager = await manage();
    await expect(
      manager.prepare(someBranch(), async (client) => {
        await takeTen(client, someBranch());
        throw new TypeError('a mistake');
      }),
    ).rejects.toThrow('a mistake');
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
    await expect(database.prepared()).resolves.toEqual([]);
  });

  it('has its isolation level', async () => {
    const manager = await manage({ isolation: 'serializable' });
    let level: unknown;
    await manager.prepare(someBranch(), async (client) => {
      level = (
        await client.query<{ level: string }>("SELECT current_setting('transaction_isolation') AS level")
      ).rows[0]?.level;
      return 'read-only';
    });
    expect(level).toBe('serializable');
  });

  it('that ends its own transaction is found out, and its rollback reports what it did', async () => {
    const manager = await manage();
    const branch = someBranch();

    const prepared = manager.prepare(branch, async (client) => {
      await takeTen(client, branch);
      await client.query('COMMIT');
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
    const manager = await manage({ workConnections: 1 });
    const pids = new Set<unknown>();
    const prepared = manager.prepare(someBranch(), async (client) => {
      pids.add((await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid);
      for (const statement of statements.filter(Boolean)) await client.query(statement);
      return takeTen(client, someBranch());
    });

    await expect(prepared).rejects.toMatchObject({ code: 'DTC_POSTGRES_TRANSACTION_ENDED' });

    await manager.prepare(someBranch(), async (client) => {
      pids.add((await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid);
      return 'read-only';
    });
    expect(pids.size).toBe(2);
    await expect(database.prepared()).resolves.toEqual([]);
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('that does so is found out where it would be committed in one phase, or fails afterwards, as well', async () => {
    const manager = await manage();
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
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('in a batch is found out however the end is hidden', async () => {
    const manager = await manage();
    const update = { text: "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'" };
    const statements = [{ text: 'COMMIT; BEGIN READ WRITE' }, update];
    const branch = someBranch();

    await expect(manager.prepareBatch(branch, { statements, vote: () => 'commit' })).rejects.toMatchObject({
      code: 'DTC_POSTGRES_TRANSACTION_ENDED',
    });

    await expect(manager.rollback(again(branch))).rejects.toMatchObject({ kind: 'commit' });
    await expect(database.prepared()).resolves.toEqual([]);
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('may go back to a savepoint, and begin what is begun already', async () => {
    const manager = await manage();
    const branch = someBranch();
    const prepared = manager.prepare(branch, async (client) => {
      await client.query('SAVEPOINT s');
      await client.query('UPDATE accounts SET balance = 0');
      await client.query('ROLLBACK TO SAVEPOINT s');
      await client.query('BEGIN');
      return takeTen(client, branch);
    });
    await expect(prepared).resolves.toBe('commit');
    await manager.commit(again(branch));
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });

  it('that commits and then refuses is no refusal', async () => {
    const manager = await manage();
    const branch = someBranch();
    const prepared = manager.prepare(branch, async (client) => {
      await client.query('COMMIT');
      return refuse('CLOSED', 'the bank is closed');
    });
    await expect(prepared).rejects.toMatchObject({ code: 'DTC_POSTGRES_TRANSACTION_ENDED' });
  });

  it('can use its client no longer than until its vote', async () => {
    const manager = await manage();
    let late: (() => Promise<unknown>) | undefined;
    await manager.prepare(someBranch(), async (client) => {
      late = () => client.query('UPDATE accounts SET balance = 0');
      return 'read-only';
    });
    await expect(late!()).rejects.toMatchObject({ code: 'DTC_POSTGRES_WORK_OVER' });
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('runs no statement outside its transaction, when it is refused from the start and goes on all the same', async () => {
    const manager = await manage({ workConnections: 1 });
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
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('goes no further when nobody waits for it any more, whatever it tries', async () => {
    const manager = await manage();
    const branch = someBranch();
    let refused: unknown;
    let over: Promise<unknown> | undefined;
    let prepares = 0;
    proxy.rule = (data) => {
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

    await expect(prepared).rejects.toThrow('nobody waits any more');
    await over;
    await manager.rollback(again(branch));

    expect(refused).toMatchObject({ code: 'DTC_POSTGRES_WORK_OVER' });
    expect(prepares).toBe(0);
    await expect(endOf(database, gid(branch))).resolves.toBe('rolled-back');
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('has the time that is left whatever happens to the wall clock', async () => {
    const manager = await manage();
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
    const manager = await manage();
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
      work: new Pool({ connectionString: database.url, max: 1 }),
      completion: new Pool({ connectionString: database.url }),
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
    'in a batch is no refusal when what fails is here, whatever its code: the branch %s',
    async (end, ...texts) => {
      const MONEY = 790;
      const unreadable = () => {
        throw Object.assign(new Error('not to be read'), { code: '23505' });
      };
      const manager = new PostgresResourceManager('bank', {
        connection: {
          connectionString: database.url,
          types: {
            getTypeParser: (id: number, format: 'text') =>
              id === MONEY ? unreadable : types.getTypeParser(id, format),
          } as typeof types,
        },
      });
      managers.push(manager);
      const branch = someBranch();
      const statements = texts.map((text) => ({ text, values: [] }));

      await expect(manager.prepareBatch(branch, { statements, vote: () => 'commit' })).rejects.toThrow(
        'not to be read',
      );

      await expect(database.prepared()).resolves.toEqual(end === 'is prepared' ? [gid(branch)] : []);
      await manager.rollback(again(branch));
      await expect(endOf(database, gid(branch))).resolves.toBe('rolled-back');
    },
  );

  it('in a batch may go back to a savepoint', async () => {
    const manager = await manage();
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
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });

  it('is prepared once when prepare is repeated, and the vote is the same', async () => {
    const manager = await manage({ lockTimeoutMs: 100 });
    const branch = someBranch();
    await expect(manager.prepare(branch, takeTen)).resolves.toBe('commit');
    await expect(manager.prepare(again(branch, 0), takeTen)).resolves.toBe('commit');
    await manager.commit(again(branch));
    await expect(manager.prepare(again(branch, 0), takeTen)).resolves.toBe('commit');
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });

  it('whose begin waits for an earlier prepare of unknown end is no refusal', async () => {
    const manager = await manage({ lockTimeoutMs: 100 });
    const branch = someBranch();
    const earlier = new Client(database.url);
    await earlier.connect();
    await earlier.query(
      `BEGIN; INSERT INTO dtc_branches (gid, state) VALUES ('${gid(branch)}', 'committed')`,
    );

    await expect(manager.prepare(branch, takeTen)).rejects.toMatchObject({ code: '55P03' });
    await earlier.end();
  });
});

describe.each([true, false])('with pipelining %s', (pipelining) => {
  it('a branch is prepared, completed, repeated, refused and buried', async () => {
    const manager = await manage({ pipelining });
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

    await expect(database.prepared()).resolves.toEqual([]);
    expect([await balanceOf(database, 'ann'), await balanceOf(database, 'bob')]).toEqual([90, 99]);
  });

  it('a vote that throws leaves no batch prepared', async () => {
    const manager = await manage({ pipelining });
    const prepared = manager.prepareBatch(someBranch(), {
      statements: [{ text: "UPDATE accounts SET balance = 0 WHERE name = 'ann'" }],
      vote: () => {
        throw new TypeError('a mistake');
      },
    });
    await expect(prepared).rejects.toThrow('a mistake');
    await expect(database.prepared()).resolves.toEqual([]);
  });
});

describe('a commit in one phase', () => {
  const first = () => someBranch({ attempt: 1 });

  it('commits, and says the same when it is asked again', async () => {
    const manager = await manage();
    const branch = first();
    await expect(manager.commitOnePhase(branch, takeTen)).resolves.toBe('commit');
    await expect(manager.commitOnePhase(again(branch, 2), takeTen)).resolves.toBe('commit');
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });

  it('whose answer is lost is found to be done', async () => {
    const manager = await manage();
    proxy.rule = (data) => (data.includes('COMMIT') ? 'cut-answer' : 'pass');
    const branch = first();
    await expect(manager.commitOnePhase(branch, takeTen)).rejects.toThrow();
    proxy.mend();

    await expect(manager.commitOnePhase(again(branch, 2), takeTen)).resolves.toBe('commit');
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });

  it('that never arrived is found to be undone, and stays so', async () => {
    const manager = await manage();
    proxy.rule = (data) => (data.includes('COMMIT') ? 'cut' : 'pass');
    const branch = first();
    await expect(manager.commitOnePhase(branch, takeTen)).rejects.toThrow();
    proxy.mend();

    await expect(manager.commitOnePhase(again(branch, 2), takeTen)).resolves.toMatchObject({
      code: 'ROLLED_BACK',
    });
    await expect(manager.commitOnePhase(again(branch, 1), takeTen)).resolves.toMatchObject({
      code: 'ROLLED_BACK',
    });
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('is refused when its work refuses or throws, for then nothing is unknown', async () => {
    const manager = await manage();
    const refusal = refuse('CLOSED', 'the bank is closed');
    await expect(manager.commitOnePhase(first(), async () => refusal)).resolves.toEqual(refusal);
    await expect(
      manager.commitOnePhase(first(), async () => {
        throw new TypeError('a mistake');
      }),
    ).resolves.toMatchObject({ code: 'WORK_FAILED', reason: 'a mistake' });
    await expect(manager.commitOnePhase(first(), async () => 'read-only')).resolves.toBe('commit');
  });

  it('does a batch as well', async () => {
    const manager = await manage();
    const batch = (sql: string) => ({
      statements: [{ text: sql }],
      vote: ([result]: readonly { rowCount: number | null }[]): Vote =>
        result?.rowCount === 1 ? 'commit' : refuse('NO_ACCOUNT', 'there is none'),
    });
    const set = 'UPDATE accounts SET balance = 1 WHERE name = ';
    await expect(manager.commitBatchOnePhase(first(), batch(`${set} 'ann'`))).resolves.toBe('commit');
    await expect(manager.commitBatchOnePhase(first(), batch(`${set} 'eve'`))).resolves.toMatchObject({
      code: 'NO_ACCOUNT',
    });
  });
});

describe('connections', () => {
  it('that are lost while they are idle harm nobody', async () => {
    const manager = await manage();
    const look = (): Promise<Vote> => manager.prepare(someBranch(), async () => 'read-only');
    await look();
    proxy.cut();
    await until('all are lost', () => proxy.connections === 0);
    proxy.mend();

    // A connection is lost some time before anybody can know of it.
    await until('the pool has noticed', () =>
      look().then(
        () => true,
        () => false,
      ),
    );
    await expect(look()).resolves.toBe('read-only');
  });

  it.each(['is cancelled', 'throws', 'begins in vain'])(
    'are kept when their work %s, once its rollback is acknowledged',
    async (how) => {
      const manager = await manage({ workConnections: 1, lockTimeoutMs: 50 });
      const pids: (number | undefined)[] = [];
      const note = async (client: Parameters<Work<unknown>>[0]): Promise<void> => {
        const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        pids.push(rows[0]?.pid);
      };
      const look: Work<unknown> = async (client) => {
        await note(client);
        return 'read-only';
      };
      await manager.prepare(someBranch(), look);
      const branch = someBranch();
      const blocker = new Client(database.url);
      await blocker.connect();
      if (how === 'begins in vain') {
        await blocker.query(
          `BEGIN; INSERT INTO dtc_branches (gid, state) VALUES ('${gid(branch)}', 'committed')`,
        );
      }

      const failing = manager.prepare(branch, async (client) => {
        if (how === 'throws') throw new TypeError('a mistake');
        const sleep = client.query('SELECT pg_sleep(60)');
        setTimeout(() => branch.abort(), 50);
        await sleep;
        return 'commit';
      });
      await expect(failing).rejects.toThrow();
      await manager.prepare(someBranch(), look);

      expect(pids[1]).toBe(pids[0]);
      await blocker.end();
    },
  );

  it('are cut at the end when the server does not answer, and keep nobody waiting', async () => {
    const manager = await manage();
    let isSent = false;
    proxy.rule = (data, direction) => {
      isSent ||= data.includes('PREPARE TRANSACTION');
      return isSent && direction === 'down' ? 'stall' : 'pass';
    };
    manager.prepare(someBranch(), takeTen).catch(() => {});
    await until('it hangs', () => proxy.stalled > 0);
    proxy.rule = () => 'stall';

    await expect(manager.close()).resolves.toBeUndefined();

    await until('all are cut', () => proxy.connections === 0);
  });

  it('are not held by a purge that hangs at the end', async () => {
    const manager = await manage();
    await manager.rollback(someBranch());
    proxy.rule = (data) => (data.includes('pg_current_snapshot') ? 'stall' : 'pass');
    const purged = manager.purgeGuardTable();
    await until('it hangs', () => proxy.stalled > 0);

    await manager.close();

    await expect(purged).resolves.toBe(0);
  });

  it('are not waited for by a branch that nobody waits for', async () => {
    const manager = await manage({ workConnections: 1 });
    let letGo: (() => void) | undefined;
    const blocker = manager.prepare(someBranch(), async () => {
      await new Promise<void>((resolve) => {
        letGo = resolve;
      });
      return 'read-only';
    });
    const waiting = someBranch();
    const prepared = manager.prepare(waiting, takeTen);
    waiting.abort();
    await expect(prepared).rejects.toThrow('nobody waits any more');

    await until('the blocker is at work', () => letGo !== undefined);
    letGo!();
    await expect(blocker).resolves.toBe('read-only');
    await expect(manager.prepare(someBranch(), async () => 'read-only')).resolves.toBe('read-only');
  });

  it('on which a completion hangs are cut when its time is up, so that the next has one', async () => {
    const manager = await manage({ completionConnections: 1 });
    const [hanging, next] = [someBranch(), someBranch()];
    await manager.prepare(hanging, takeTen);
    let isSent = false;
    proxy.rule = (data) => {
      if (!data.includes('COMMIT PREPARED')) return 'pass';
      isSent = true;
      return 'stall';
    };
    const attempt = again(hanging);
    const committed = manager.commit(attempt);
    committed.catch(() => {});
    await until('it hangs', () => isSent);
    attempt.abort();
    await expect(committed).rejects.toMatchObject({ code: 'DTC_POSTGRES_COMPLETION_FAILED' });
    await until('it is cut', () => proxy.stalled === 0);

    proxy.mend();
    await manager.rollback(again(next));
    await manager.commit(again(hanging, 2));
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });

  it('may come from pools of the application, which stay open', async () => {
    const pools = {
      work: new Pool({ connectionString: database.url }),
      completion: new Pool({ connectionString: database.url }),
    };
    const manager = new PostgresResourceManager('bank', { pools });
    const branch = someBranch();
    await expect(manager.prepare(branch, takeTen)).resolves.toBe('commit');
    await manager.commit(again(branch));
    await manager.close();

    await expect(pools.work.query('SELECT 1')).resolves.toMatchObject({ rowCount: 1 });
    expect(pools.work.idleCount).toBe(pools.work.totalCount);
    await Promise.all([pools.work.end(), pools.completion.end()]);
  });
});

describe('pools of the application', () => {
  it('may be of another copy of pg, and pipelined', async () => {
    const require = createRequire(import.meta.url);
    const ours = Object.entries(require.cache).filter(([path]) => /[/\\]node_modules[/\\]pg[/\\]/.test(path));
    for (const [path] of ours) delete require.cache[path];
    const other = require('pg') as { Pool: typeof Pool; Client: typeof Client };
    for (const [path, module] of ours) require.cache[path] = module;
    expect(other.Client).not.toBe(Client);
    const config = { connectionString: database.url, pipeline: true };
    const pools = { work: new other.Pool(config), completion: new other.Pool(config) };
    const manager = new PostgresResourceManager('bank', { pools });
    const branch = someBranch();
    const text = "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'";

    await expect(
      manager.prepareBatch(branch, { statements: [{ text }], vote: () => 'commit' }),
    ).resolves.toBe('commit');

    await manager.commit(again(branch));
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
    await manager.close();
    await Promise.all([pools.work.end(), pools.completion.end()]);
  });

  it('are not needed to learn soon of a connection that is dead', async () => {
    const lanes = openLanes(database.url, postgresSettingsSchema.parse({}), 'bank', new Logger('PostgreSQL'));
    for (const { pool } of [lanes.work, lanes.completion]) {
      expect(pool.options).toMatchObject({ keepAlive: true, keepAliveInitialDelayMillis: 10_000 });
    }
    await lanes.close();
  });
});

describe('recovery', () => {
  it('lists the branches of this participant, and leaves out what is not its own', async () => {
    const manager = await manage();
    const mine = someBranch();
    await manager.prepare(mine, takeTen);
    await database.query('CREATE TABLE t (n int)');
    const foreign = [
      'shop.1.1/bank-2/b',
      'shop.1.1/vault/b',
      'not ours at all',
      'shop.1.1/bank',
      'a/bank/b/c',
    ];
    const client = new Client(database.url);
    await client.connect();
    for (const id of foreign) {
      await client.query(`BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '${id}'`);
    }
    await client.end();

    await expect(manager.recover()).resolves.toEqual([{ transactionId: mine.transactionId, branchId: 'b' }]);
    for (const id of foreign) await database.query(`ROLLBACK PREPARED '${id}'`);
  });

  it('throws when it cannot look', async () => {
    const manager = await manage({ recoverTimeoutMs: 200 });
    proxy.cut();
    await expect(manager.recover()).rejects.toThrow();
  });
});

describe('the purge of the guard table', () => {
  async function age(...gids: string[]): Promise<void> {
    await database.query(
      "UPDATE dtc_branches SET written_at = now() - interval '2 days' WHERE gid = ANY ($1)",
      [gids],
    );
  }

  const INTERVAL_MS = 600_000;
  /** Lets the clock of the process go on, and nothing else. */
  function pass(ms: number): void {
    const now = performance.now();
    vi.restoreAllMocks();
    const passed = now + ms - performance.now();
    const real = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => real() + passed);
  }

  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('deletes what is old and was seen an interval ago, and nothing else', async () => {
    const manager = await manage();
    const [old, young] = [someBranch(), someBranch()];
    for (const branch of [old, young]) await manager.rollback(again(branch));
    await age(gid(old));

    await expect(manager.purgeGuardTable()).resolves.toBe(0);
    pass(INTERVAL_MS);
    await expect(manager.purgeGuardTable()).resolves.toBe(1);

    await expect(endOf(database, gid(old))).resolves.toBeUndefined();
    await expect(endOf(database, gid(young))).resolves.toBe('rolled-back');
  });

  it('deletes nothing that was not seen for so long, however often it is asked to', async () => {
    const manager = await manage();
    const branch = someBranch();
    await manager.rollback(again(branch));
    await age(gid(branch));

    for (let pass = 0; pass < 3; pass++) await expect(manager.purgeGuardTable()).resolves.toBe(0);

    await expect(endOf(database, gid(branch))).resolves.toBe('rolled-back');
  });

  it('keeps the row of a branch that was in doubt for long, for an interval after it is committed', async () => {
    const manager = await manage();
    const branch = someBranch();
    await manager.prepare(branch, async (client) => {
      await client.query("UPDATE dtc_branches SET written_at = now() - interval '2 days'");
      return 'commit';
    });
    await manager.purgeGuardTable();
    await manager.commit(again(branch));

    pass(INTERVAL_MS);
    await expect(manager.purgeGuardTable()).resolves.toBe(0);
    await expect(manager.commit(again(branch, 2))).resolves.toBeUndefined();
    pass(INTERVAL_MS);
    await expect(manager.purgeGuardTable()).resolves.toBe(1);
  });

  it('keeps the row of a branch that its coordinator may still call, however old, until the transaction is settled', async () => {
    const manager = await manage();
    const unsettled = new Set<string>();
    const withRun = (given: TestBranch): TestBranch => ({
      ...given,
      run: { ...given.run, isUnsettled: (id) => unsettled.has(id) },
    });
    const [stalled, over] = [someBranch(), someBranch()];
    unsettled.add(stalled.transactionId);
    for (const branch of [stalled, over]) {
      await manager.prepare(withRun(branch), takeTen);
      await manager.commit(withRun(again(branch)));
    }
    await age(gid(stalled), gid(over));

    await manager.purgeGuardTable();
    pass(INTERVAL_MS);
    await expect(manager.purgeGuardTable()).resolves.toBe(1);
    await expect(endOf(database, gid(over))).resolves.toBeUndefined();
    // It was stalled, or its participant was paused: told once more, it is no hazard.
    await expect(manager.commit(withRun(again(stalled, 7)))).resolves.toBeUndefined();

    unsettled.clear();
    await expect(manager.purgeGuardTable()).resolves.toBe(1);
  });

  it("leaves other participants' rows, and those of coordinators that others work for", async () => {
    const manager = await manage();
    await manager.rollback(someBranch());
    const foreign = ['shop.1.1/vault/b', 'shop-2.1.1/bank/b'];
    for (const id of foreign) {
      await database.query("INSERT INTO dtc_branches (gid, state) VALUES ($1, 'committed')", [id]);
    }
    await age(...foreign);

    await manager.purgeGuardTable();
    pass(INTERVAL_MS);
    await expect(manager.purgeGuardTable()).resolves.toBe(0);
    for (const id of foreign) await expect(endOf(database, id)).resolves.toBe('committed');
  });

  it('gets round a table of any size, a part of it in each pass', async () => {
    const rows = 150_000;
    await manage();
    const insert = `INSERT INTO dtc_branches (gid, state, written_at)
      SELECT 'shop.0.' || n || '/bank/b', 'committed', now() - interval '2 days' FROM generate_series(1, $1) n`;
    await database.query(insert, [rows]);
    const manager = await manage();
    // Its coordinator is known by a branch.
    await manager.rollback(someBranch());
    await manager.purgeGuardTable();
    pass(INTERVAL_MS);
    const first = await manager.purgeGuardTable();
    expect(first).toBeGreaterThan(rows / 4);
    expect(first).toBeLessThan(rows);
    const second = await manager.purgeGuardTable();
    expect(first + second).toBe(rows);
    await expect(manager.purgeGuardTable()).resolves.toBe(0);
  });

  it('runs by itself', async () => {
    const manager = await manage({ purgeIntervalMs: 20, retainBranchesMs: 1 });
    const branch = someBranch();
    await manager.rollback(branch);
    await until('the row is gone', async () => (await endOf(database, gid(branch))) === undefined);
    await expect(database.query('SELECT FROM dtc_branches')).resolves.toMatchObject({ rowCount: 0 });
  });
});
