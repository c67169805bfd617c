import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Vote, refuse } from '../../src/coordinator/index.js';
import { createTestCoordinator } from '../../src/coordinator/testing/index.js';
import { PostgresResourceManager, type PostgresSettings, type Work } from '../../src/postgres/index.js';
import {
  LeftBank,
  balanceOf,
  endOf,
  openAccounts,
  sleepInPrepare,
  startBanks,
} from '../support/postgres/bank.js';
import { again, someBranch, until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';
import { standby } from '../support/postgres/standby.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { claimOf, idOf, runOf } from '../support/identity.js';

/**
 * What real PostgreSQL does in two-phase commit, fact by fact, and that the resource manager lives with it.
 */
const SLOTS = 100;

let server: PostgresServer;
let database: TestDatabase;
let managers: PostgresResourceManager[];
let proxies: TcpProxy[];

beforeAll(async () => {
  server = await PostgresServer.start({ max_prepared_transactions: SLOTS });
});

afterAll(() => server.stop());

beforeEach(async () => {
  database = await server.createDatabase();
  await openAccounts(database, 'ann', 'bob');
  managers = [];
  proxies = [];
});

afterEach(async () => {
  await Promise.all(managers.map((manager) => manager.close()));
  await Promise.all(proxies.map((proxy) => proxy.close()));
  const { rows } = await server.query<{ gid: string; database: string }>(
    'postgres',
    'SELECT gid, database FROM pg_prepared_xacts',
  );
  for (const { gid, database: name } of rows) await server.query(name, `ROLLBACK PREPARED '${gid}'`);
});

async function manage(
  settings: PostgresSettings = {},
  connection = database.url,
): Promise<PostgresResourceManager> {
  const manager = new PostgresResourceManager('bank', { connection, ...settings });
  managers.push(manager);
  await manager.start();
  return manager;
}

async function openProxy(): Promise<TcpProxy> {
  const proxy = await TcpProxy.open({ host: '127.0.0.1', port: server.port });
  proxies.push(proxy);
  return proxy;
}

/** Takes ten from Ann. */
const takeTen: Work<unknown> = async (client) => {
  await client.query("UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'");
  return 'commit';
};

const gid = ({ transactionId }: { transactionId: string }): string => `${transactionId}/bank/b`;

describe('PostgreSQL', () => {
  it('fact 1: a prepare after a failed statement is a rollback without an error, and no vote for commit', async () => {
    const manager = await manage();
    const branch = someBranch();

    const vote = await manager.prepare(branch, async (client) => {
      await takeTen(client, branch);
      await client.query('SELECT 1 / 0').catch(() => {});
      return 'commit';
    });

    expect(vote).toMatchObject({ vote: 'abort', code: 'WORK_FAILED' });
    await expect(database.prepared()).resolves.toEqual([]);
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('fact 1: so is a commit in one phase', async () => {
    const manager = await manage();
    const branch = someBranch({ attempt: 1 });

    const answer = await manager.commitOnePhase(branch, async (client) => {
      await takeTen(client, branch);
      await client.query('SELECT 1 / 0').catch(() => {});
      return 'commit';
    });

    expect(answer).toMatchObject({ vote: 'abort', code: 'WORK_FAILED' });
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('fact 2: a running prepare at the time-out takes effect before its rollback is done, and never after it', async () => {
    await sleepInPrepare(database, 0.5);
    const manager = await manage({ tombstoneWaitMs: 100 });
    const branch = someBranch();

    // Its signal is not aborted, as if it ran in another process.
    const prepared = manager.prepare(branch, takeTen);
    await until('the prepare is under way', async () => isAt('%PREPARE TRANSACTION%'));
    await expect(manager.rollback(again(branch))).rejects.toMatchObject({ sqlstate: '55P03' });

    await expect(prepared).resolves.toBe('commit');
    await manager.rollback(again(branch, 2));
    await expect(database.prepared()).resolves.toEqual([]);
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('fact 2: a prepare that begins after its rollback is refused', async () => {
    const manager = await manage();
    const branch = someBranch();
    await manager.rollback(again(branch));

    await expect(manager.prepare(branch, takeTen)).resolves.toMatchObject({
      vote: 'abort',
      code: 'ROLLED_BACK',
    });
    await expect(
      manager.prepareBatch(branch, { statements: [], vote: () => 'commit' }),
    ).resolves.toMatchObject({
      code: 'ROLLED_BACK',
    });
    await expect(database.prepared()).resolves.toEqual([]);
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('fact 2: a prepare that is not awaited is ended at the server, and its rollback need not wait', async () => {
    await sleepInPrepare(database, 60);
    const manager = await manage();
    const branch = someBranch();
    const prepared = manager.prepare(branch, takeTen);
    prepared.catch(() => {});
    await until('the prepare is under way', async () => isAt('%PREPARE TRANSACTION%'));

    branch.abort();
    await expect(prepared).rejects.toThrow('the caller has gone');
    await manager.rollback(again(branch));

    await expect(isAt('%PREPARE TRANSACTION%')).resolves.toBe(false);
    await expect(database.prepared()).resolves.toEqual([]);
    await expect(endOf(database, gid(branch))).resolves.toBe('rolled-back');
  });

  it('fact 3: a prepare is bounded by transaction_timeout, though statement_timeout does not bound it', async () => {
    await sleepInPrepare(database, 60);
    const manager = await manage();
    const branch = someBranch({ withinMs: 300 });

    await expect(manager.prepare(branch, takeTen)).rejects.toMatchObject({ code: '25P04' });
    await expect(database.prepared()).resolves.toEqual([]);
    await manager.rollback(again(branch));
  });

  it('fact 4: a connection lost after the prepare was sent proves nothing: the branch is prepared', async () => {
    const proxy = await openProxy();
    const manager = await manage({}, database.urlBy({ port: proxy.port }));
    proxy.rule = (data) => (data.includes('PREPARE TRANSACTION') ? 'cut-answer' : 'pass');
    const branch = someBranch();

    await expect(manager.prepare(branch, takeTen)).rejects.toThrow();
    await until('it is prepared', async () => (await database.prepared()).includes(gid(branch)));

    await manager.rollback(again(branch));
    await expect(database.prepared()).resolves.toEqual([]);
  });

  it('fact 4: and before it arrived: nothing is prepared, which cannot be known either', async () => {
    const proxy = await openProxy();
    const manager = await manage({}, database.urlBy({ port: proxy.port }));
    proxy.rule = (data) => (data.includes('PREPARE TRANSACTION') ? 'cut' : 'pass');
    const branch = someBranch();

    await expect(manager.prepare(branch, takeTen)).rejects.toThrow();
    await manager.rollback(again(branch));

    await expect(database.prepared()).resolves.toEqual([]);
    await expect(endOf(database, gid(branch))).resolves.toBe('rolled-back');
  });

  it('fact 5: a commit that finds nothing is answered from the guard row: done, undone, or unknown', async () => {
    const manager = await manage();
    const [repeated, byHand, undone, gone] = [someBranch(), someBranch(), someBranch(), someBranch()];
    for (const branch of [repeated, byHand, undone, gone]) {
      await expect(manager.prepare(branch, noteOf(branch))).resolves.toBe('commit');
    }

    await manager.commit(again(repeated));
    await expect(manager.commit(again(repeated, 2))).resolves.toBeUndefined();

    await database.query(`COMMIT PREPARED '${gid(byHand)}'`);
    await expect(manager.commit(again(byHand))).resolves.toBeUndefined();

    await manager.rollback(again(undone));
    await expect(manager.commit(again(undone))).rejects.toMatchObject({
      code: 'DTC_HEURISTIC',
      kind: 'rollback',
    });

    await database.query(`ROLLBACK PREPARED '${gid(gone)}'`);
    await expect(manager.commit(again(gone))).rejects.toMatchObject({
      code: 'DTC_HEURISTIC',
      kind: 'hazard',
    });
  });

  it('fact 5: a rollback of a committed branch reports that, and the repeat of a rollback succeeds', async () => {
    const manager = await manage();
    const [committed, undone] = [someBranch(), someBranch()];
    for (const branch of [committed, undone]) await manager.prepare(branch, noteOf(branch));
    await manager.commit(again(committed));
    await manager.rollback(again(undone));

    await expect(manager.rollback(again(committed))).rejects.toMatchObject({
      code: 'DTC_HEURISTIC',
      kind: 'commit',
    });
    await expect(manager.rollback(again(undone, 2))).resolves.toBeUndefined();
  });

  it('fact 6: of two resolvers at once the loser gets 55000, tries again, and finds it done', async () => {
    const manager = await manage();
    const branch = someBranch();
    await manager.prepare(branch, takeTen);
    // The winner waits for a standby that never comes, and holds the branch meanwhile.
    await standby(server, 'nobody');
    const winner = manager.commit(again(branch));
    await until('the winner is at it', async () => isAt('COMMIT PREPARED%'));

    await expect(manager.commit(again(branch, 2))).rejects.toMatchObject({ sqlstate: '55000' });

    await standby(server, '');
    await winner;
    await manager.commit(again(branch, 3));
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });

  it('fact 6: many resolvers of many branches at once end them all, with no false alarm', async () => {
    const resolvers = await Promise.all([manage(), manage(), manage()]);
    const branches = Array.from({ length: 10 }, () => someBranch());
    for (const branch of branches) await resolvers[0].prepare(branch, noteOf(branch));

    const resolve = async (manager: PostgresResourceManager, index: number): Promise<void> => {
      const branch = branches[index]!;
      const step = index % 2 === 0 ? 'commit' : 'rollback';
      for (let attempt = 1; ; attempt++) {
        try {
          await manager[step](again(branch, attempt));
          return;
        } catch (error) {
          expect(error).toMatchObject({ code: 'DTC_POSTGRES_COMPLETION_FAILED', sqlstate: '55000' });
        }
      }
    };
    await Promise.all(
      resolvers.flatMap((manager) => branches.map((_branch, index) => resolve(manager, index))),
    );

    await expect(database.prepared()).resolves.toEqual([]);
    for (const [index, branch] of branches.entries()) {
      await expect(endOf(database, gid(branch))).resolves.toBe(index % 2 === 0 ? 'committed' : 'rolled-back');
    }
  });

  it('fact 7: without a slot left it is a refusal (53200), and the connection stays usable', async () => {
    const manager = await manage({ workConnections: 1 });
    await database.query('CREATE TABLE fillers (n int)');
    const filler = new Client(database.url);
    await filler.connect();
    for (let slot = 0; slot < SLOTS; slot++) {
      await filler.query(`BEGIN; INSERT INTO fillers VALUES (${slot}); PREPARE TRANSACTION 'filler ${slot}'`);
    }
    await filler.end();

    await expect(manager.prepare(someBranch(), takeTen)).resolves.toMatchObject({ code: 'NO_PREPARED_SLOT' });
    await database.query("ROLLBACK PREPARED 'filler 0'");
    await expect(manager.prepare(someBranch(), takeTen)).resolves.toBe('commit');
  });

  it('fact 7: a global id that is in use in another database is a refusal (42710)', async () => {
    const manager = await manage();
    const other = await server.createDatabase();
    await other.query('CREATE TABLE t (n int)');
    const branch = someBranch();
    await other.query(`BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '${gid(branch)}'`);

    await expect(manager.prepare(branch, takeTen)).resolves.toMatchObject({ code: 'GID_IN_USE' });
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('fact 7: a global id of 200 bytes (22023) is refused before anything happens; one of 199 works', async () => {
    const raw = (length: number): Promise<unknown> =>
      database.query(`BEGIN; UPDATE accounts SET balance = 1; PREPARE TRANSACTION '${'x'.repeat(length)}'`);
    await expect(raw(200)).rejects.toMatchObject({ code: '22023' });

    const proxy = await openProxy();
    const manager = await manage({}, database.urlBy({ port: proxy.port }));
    let sent = 0;
    proxy.rule = () => {
      sent++;
      return 'pass';
    };
    const idOf = (bytes: number): string => 'x'.repeat(bytes - '/bank/b'.length);
    await expect(manager.prepare(someBranch({ transactionId: idOf(200) }), takeTen)).resolves.toMatchObject({
      code: 'DTC_POSTGRES_INVALID_GID',
    });
    expect(sent).toBe(0);

    const longest = someBranch({ transactionId: idOf(199) });
    await expect(manager.prepare(longest, takeTen)).resolves.toBe('commit');
    await manager.commit(again(longest));
  });

  it('fact 7: work with temporary objects is a refusal (0A000), and the connection stays usable', async () => {
    const manager = await manage({ workConnections: 1 });

    const vote = await manager.prepare(someBranch(), async (client) => {
      await client.query('CREATE TEMPORARY TABLE scratch (n int)');
      return 'commit';
    });

    expect(vote).toMatchObject({ vote: 'abort', code: 'CANNOT_BE_PREPARED' });
    await expect(manager.prepare(someBranch(), takeTen)).resolves.toBe('commit');
  });

  it("fact 7: another database's branch (0A000) is not a success, and the error names its database", async () => {
    const manager = await manage();
    const branch = someBranch();
    await manager.prepare(branch, takeTen);
    const other = await server.createDatabase();
    const astray = await manage({}, other.url);

    for (const step of ['commit', 'rollback'] as const) {
      await expect(astray[step](again(branch))).rejects.toMatchObject({
        code: 'DTC_POSTGRES_COMPLETION_FAILED',
        sqlstate: '0A000',
        message: expect.stringContaining('another database') as string,
      });
      // A tombstone in the wrong database would be taken for the proof by the next attempt.
      await expect(endOf(other, gid(branch))).resolves.toBeUndefined();
    }
    await expect(database.prepared()).resolves.toEqual([gid(branch)]);
  });

  it("fact 7: another role's branch (42501) is no success, and the error has the command that fixes it", async () => {
    await server.createRole('clerk');
    const manager = await manage();
    await database.query('GRANT SELECT, INSERT, DELETE ON dtc_branches TO clerk');
    const branch = someBranch();
    await manager.prepare(branch, takeTen);
    const clerk = await manage({ tombstoneWaitMs: 50 }, database.urlBy({ user: 'clerk' }));

    await expect(clerk.commit(again(branch))).rejects.toMatchObject({
      sqlstate: '42501',
      message: expect.stringMatching(/^COMMIT PREPARED .*run it there by hand/) as string,
    });
    await expect(clerk.rollback(again(branch))).rejects.toMatchObject({
      sqlstate: '42501',
      message: expect.stringMatching(/^ROLLBACK PREPARED .*run it there by hand/) as string,
    });
    await expect(database.prepared()).resolves.toEqual([gid(branch)]);
  });

  it('fact 7: in a transaction block nothing can be completed (25001): no such connection is used again', async () => {
    await expect(database.query("BEGIN; COMMIT PREPARED 'x'")).rejects.toMatchObject({ code: '25001' });
    const manager = await manage({ workConnections: 1, completionConnections: 1 });
    const branch = someBranch();
    await manager.prepare(branch, takeTen);
    await expect(manager.rollback({ ...again(branch), branchId: 'other' })).resolves.toBeUndefined();

    await expect(manager.commit(again(branch))).resolves.toBeUndefined();
  });

  it('fact 8: nothing in an id reaches SQL as anything but an id', async () => {
    const manager = await manage();
    const branch = someBranch({ branchId: "b'; DROP TABLE accounts; --" });

    await expect(manager.prepare(branch, takeTen)).resolves.toMatchObject({
      code: 'DTC_POSTGRES_INVALID_GID',
    });
    await expect(manager.commit(branch)).rejects.toMatchObject({ code: 'DTC_POSTGRES_INVALID_GID' });
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('fact 9: a prepared branch holds its locks, which others give up waiting for', async () => {
    const manager = await manage({ lockTimeoutMs: 100 });
    const holder = someBranch();
    await manager.prepare(holder, takeTen);

    await expect(manager.prepare(someBranch(), takeTen)).resolves.toMatchObject({ code: 'LOCK_TIMEOUT' });
    await manager.commit(again(holder));
    await expect(manager.prepare(someBranch(), takeTen)).resolves.toBe('commit');
  });

  it('fact 9: a prepared branch survives that the server is killed', async () => {
    const manager = await manage();
    const branch = someBranch();
    await manager.prepare(branch, takeTen);

    await server.kill();
    await server.restart();

    await expect(database.prepared()).resolves.toEqual([gid(branch)]);
    await manager.commit(again(branch));
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
  });

  it('fact 10: a branch that is prepared after the first list of prepared branches is still found', async () => {
    const manager = await manage();
    const coordinator = createTestCoordinator({
      name: 'shop',
      orphanSafetyMs: 1_000,
      claim: claimOf({ epoch: 5 }),
    });
    coordinator.participants.register(
      {
        prepare: () => 'commit' as const,
        commit: (branch) => manager.commit(branch),
        rollback: (branch) => manager.rollback(branch),
        recover: () => manager.recover(),
      },
      { name: 'bank' },
    );
    await coordinator.recover();

    const late = someBranch({ transactionId: idOf('shop', 4, 7) });
    await manager.prepare(late, takeTen);
    for (let pass = 0; pass < 4; pass++) {
      await coordinator.recover();
      await coordinator.clock.advance(1_000);
    }

    await until('the orphan is rolled back', async () => (await database.prepared()).length === 0);
    await until('it has a tombstone', async () => (await endOf(database, gid(late))) === 'rolled-back');
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('fact 11: a branch that wrote nothing votes read-only, and leaves nothing behind', async () => {
    const manager = await manage({ workConnections: 1 });
    const branch = someBranch();
    const pids: unknown[] = [];
    const look: Work<unknown> = async (client): Promise<Vote> => {
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      pids.push(rows[0]?.pid);
      return 'read-only';
    };

    await expect(manager.prepare(branch, look)).resolves.toBe('read-only');
    await expect(manager.prepare(someBranch(), look)).resolves.toBe('read-only');

    expect(pids[0]).toBe(pids[1]);
    await expect(database.prepared()).resolves.toEqual([]);
    await expect(endOf(database, gid(branch))).resolves.toBeUndefined();
  });

  it('fact 12: atomic is no global snapshot: between two commits a reader sees one of them', async () => {
    const other = await server.createDatabase();
    await openAccounts(other, 'ann');
    const here = await manage();
    const there = await manage({}, other.url);
    const [first, second] = [someBranch(), someBranch()];
    await here.prepare(first, takeTen);
    await there.prepare(second, takeTen);

    await here.commit(again(first));
    const seen = [await balanceOf(database, 'ann'), await balanceOf(other, 'ann')];
    await there.commit(again(second));

    expect(seen).toEqual([90, 100]);
  });

  it('fact 13: a global id is unique for the server: participants of two databases do not collide', async () => {
    const other = await server.createDatabase();
    await openAccounts(other, 'ann');
    const manager = await manage();
    const vault = new PostgresResourceManager('vault', { connection: other.url });
    managers.push(vault);
    const branch = someBranch();

    await expect(manager.prepare(branch, takeTen)).resolves.toBe('commit');
    await expect(vault.prepare(again(branch, 0), takeTen)).resolves.toBe('commit');

    const mine = [{ transactionId: branch.transactionId, branchId: 'b' }];
    await expect(manager.recover()).resolves.toEqual(mine);
    await expect(vault.recover()).resolves.toEqual(mine);
    await vault.commit(again(branch));
    await manager.rollback(again(branch));
    expect([await balanceOf(database, 'ann'), await balanceOf(other, 'ann')]).toEqual([100, 90]);
  });

  it('fact 14: prepares that wait for locks never keep the commits from a connection', async () => {
    const other = await server.createDatabase();
    const names = Array.from({ length: 60 }, (_, index) => `n${index}`);
    await openAccounts(other, ...names);
    const pools = { workConnections: 2, completionConnections: 1, lockTimeoutMs: 2_000 };
    const banks = await startBanks({
      left: { connection: database.url, ...pools },
      right: { connection: other.url, ...pools },
      coordinator: { timeoutMs: 30_000, prepareTimeoutMs: 20_000 },
    });

    const outcomes = await Promise.all(
      names.map((account) =>
        banks.transactions.run({
          branches: [
            { participant: LeftBank, payload: { account: 'ann', amount: -1 }, branchId: undefined },
            { participant: 'right', payload: { account, amount: 1 }, branchId: undefined },
          ],
        }),
      ),
    );

    const committed = outcomes.filter(({ status }) => status === 'committed').length;
    expect(committed).toBe(60);
    await expect(balanceOf(database, 'ann')).resolves.toBe(40);
    await banks.application.close();
  });

  it('fact 15: one round trip prepares a small branch, commits it, and rolls it back', async () => {
    const proxy = await openProxy();
    const manager = await manage(
      { workConnections: 1, completionConnections: 1 },
      database.urlBy({ port: proxy.port }),
    );
    await manager.start(runOf());
    // Opens the connection that completions go by.
    await manager.recover();
    const trips = async (action: Promise<unknown>): Promise<number> => {
      let count = 0;
      let last: string | undefined;
      proxy.rule = (_data, direction) => {
        if (direction === 'up' && last !== 'up') count++;
        last = direction;
        return 'pass';
      };
      await action;
      return count;
    };
    const [batch, work, undone] = [someBranch(), someBranch(), someBranch()];
    const statements = [
      { text: 'UPDATE accounts SET balance = balance - $1 WHERE name = $2', values: [1, 'ann'] },
    ];

    const prepared = manager.prepareBatch(batch, { statements, vote: () => 'commit' });
    await expect(trips(prepared)).resolves.toBe(1);
    await expect(trips(manager.commit(again(batch)))).resolves.toBe(1);
    // Sets what a session needs that is used so; after that it has it.
    await manager.prepare(someBranch(), async () => 'read-only');
    await expect(trips(manager.prepare(work, takeTen))).resolves.toBe(2);
    await expect(trips(manager.rollback(again(work)))).resolves.toBe(1);
    await expect(trips(manager.rollback(again(undone)))).resolves.toBe(1);
    await expect(trips(manager.commitOnePhase(someBranch({ attempt: 1 }), takeTen))).resolves.toBe(2);
    await expect(balanceOf(database, 'ann')).resolves.toBe(89);
  });

  it('fact 15: a batch whose vote is no, or whose statement fails, leaves nothing prepared', async () => {
    const manager = await manage();
    const text = 'UPDATE accounts SET balance = balance - $1 WHERE name = $2';
    const run = (amount: number | object, name: string): Promise<Vote> =>
      manager.prepareBatch(someBranch(), {
        statements: [{ text, values: [amount, name] }],
        vote: ([result]) => (result?.rowCount === 1 ? 'commit' : refuse('NO_ACCOUNT', 'there is none')),
      });

    await expect(run(1, 'nobody')).resolves.toMatchObject({ code: 'NO_ACCOUNT' });
    await expect(run(1_000, 'ann')).resolves.toMatchObject({ code: 'CONSTRAINT_VIOLATED' });
    const unsendable = {
      toPostgres: () => {
        throw new TypeError('cannot be sent');
      },
    };
    await expect(run(unsendable, 'ann')).rejects.toThrow('cannot be sent');
    await expect(database.prepared()).resolves.toEqual([]);
    await expect(run(1, 'ann')).resolves.toBe('commit');
  });
});

/** Work that no other branch is in the way of. */
function noteOf({ transactionId }: { transactionId: string }): Work<unknown> {
  return async (client) => {
    await client.query('INSERT INTO accounts VALUES ($1, 0)', [transactionId]);
    return 'commit';
  };
}

/** Whether some session is at work on a statement. */
async function isAt(pattern: string): Promise<boolean> {
  const { rows } = await server.query(
    'postgres',
    "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1",
    [pattern],
  );
  return rows.length > 0;
}
