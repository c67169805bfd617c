import { defaults, Query, types } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Vote } from '../../src/coordinator/index.js';
import { PostgresResourceManager, type PostgresSettings, type Work } from '../../src/postgres/index.js';
import { runOf } from '../support/identity.js';
import { balanceOf, endOf } from '../support/postgres/bank.js';
import { usePostgres } from '../support/postgres/bench.js';
import { again, someBranch } from '../support/postgres/branches.js';
import { standby } from '../support/postgres/standby.js';

const bench = usePostgres({ accounts: ['ann', 'bob'] });
/** What would have ended the process. */
let fatal: unknown[];
const note = (error: unknown): number => fatal.push(error);

beforeEach(() => {
  fatal = [];
  process.on('uncaughtExceptionMonitor', note);
  process.on('unhandledRejection', note);
});

afterEach(() => {
  process.off('uncaughtExceptionMonitor', note);
  process.off('unhandledRejection', note);
});

async function manage(settings: PostgresSettings = {}): Promise<PostgresResourceManager> {
  const manager = bench.make({ workConnections: 1, ...settings });
  await manager.start(runOf());
  return manager;
}

const gid = ({ transactionId }: { transactionId: string }): string => `${transactionId}/bank/b`;
const TAKE = "UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'";
const takeTen: Work<unknown> = async (client) => {
  await client.query(TAKE);
  return 'commit';
};

describe('parsers that an application sets for all results', () => {
  const ALL = [16, 19, 20, 21, 23, 25, 26, 114, 1043, 1184, 3802];

  it.each<[string, () => () => void]>([
    ['JSON stays text', () => parse([114, 3802], String)],
    ['booleans become 1 and 0', () => parse([16], (value) => (value === 't' ? 1 : 0))],
    ['everything becomes an object', () => parse(ALL, (value) => ({ value }))],
    [
      'results are binary',
      () => {
        defaults.binary = true;
        return () => void (defaults.binary = false);
      },
    ],
  ])('change nothing of what the library reads: %s', async (_what, set) => {
    const restore = set();
    try {
      const manager = await manage();
      const [done, undone, once] = [someBranch(), someBranch(), someBranch({ attempt: 1 })];
      await expect(manager.prepare(done, takeTen)).resolves.toBe('commit');
      await expect(manager.recover()).resolves.toEqual([
        { transactionId: done.transactionId, branchId: 'b' },
      ]);
      await expect(manager.prepare(again(done, 0), takeTen)).resolves.toBe('commit');
      await manager.commit(again(done));
      await manager.commit(again(done, 2));
      await manager.rollback(again(undone));
      await expect(manager.prepare(undone, takeTen)).resolves.toMatchObject({ code: 'ROLLED_BACK' });
      await expect(manager.commitOnePhase(once, takeTen)).resolves.toBe('commit');
      await expect(manager.commitOnePhase(again(once, 2), takeTen)).resolves.toBe('commit');
      await expect(manager.purgeGuardTable()).resolves.toBe(0);
    } finally {
      restore();
    }
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(80);
  });

  function parse(oids: readonly number[], parser: (value: string) => unknown): () => void {
    const before = oids.map((oid) => [oid, types.getTypeParser(oid)] as const);
    for (const oid of oids) types.setTypeParser(oid, parser);
    return () => {
      for (const [oid, parser] of before) types.setTypeParser(oid, parser as (value: string) => unknown);
    };
  }
});

describe.each([true, false])('queries of the work, with pipelining %s', (pipelining) => {
  type Client_ = Parameters<Work<unknown>>[0];
  type Told = (error: unknown) => void;
  const FORMS: [string, (client: Client_, sql: string, told: Told) => void][] = [
    ['a promise', (client, sql, told) => void client.query(sql).then(() => told(undefined), told)],
    [
      'a promise that nothing awaits',
      (client, sql, told) => void (void client.query(sql), setTimeout(told, 5, 'not awaited')),
    ],
    ['a callback', (client, sql, told) => client.query(sql, told)],
    ['a callback behind values', (client, sql, told) => client.query(sql, [], told)],
    [
      'a callback in the query',
      (client, sql, told) => void client.query({ text: sql, callback: told } as never),
    ],
    ['an object with a callback', (client, sql, told) => void client.query(new Query(sql, told))],
    [
      'an object with events',
      (client, sql, told) =>
        void client
          .query(new Query(sql))
          .on('error', told)
          .on('end', () => told(undefined)),
    ],
    [
      'an object that nothing listens to',
      (client, sql, told) => void (client.query(new Query(sql)), setTimeout(told, 5, 'no listener')),
    ],
  ];

  it.each(FORMS)('are refused when the work is over, and end no process: %s', async (_form, ask) => {
    const manager = await manage({ pipelining });
    let lent: Client_ | undefined;
    await expect(
      manager.prepare(someBranch(), async (client) => {
        lent = client;
        await new Promise<void>((resolve, reject) =>
          ask(client, TAKE, (error) => (error instanceof Error ? reject(error) : resolve())),
        );
        return 'commit';
      }),
    ).resolves.toBe('commit');

    const error = await new Promise((resolve) => ask(lent!, 'UPDATE accounts SET balance = 0', resolve));

    if (error instanceof Error) expect(error).toMatchObject({ code: 'DTC_POSTGRES_WORK_OVER' });
    else expect(error).toMatch(/not awaited|no listener/);
    await settle();
    expect(fatal).toEqual([]);
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  it.each(FORMS)('that fail, or lose their connection, end no process: %s', async (_form, ask) => {
    const manager = await manage({ pipelining });
    for (const sql of ['SELECT 1 / 0', 'SELECT pg_terminate_backend(pg_backend_pid())']) {
      const prepared = manager.prepare(someBranch(), async (client) => {
        await new Promise<unknown>((resolve) => ask(client, sql, resolve));
        return 'commit';
      });
      await expect(
        prepared.then(
          (vote) => (vote === 'commit' ? vote : 'no'),
          () => 'no',
        ),
      ).resolves.toBe('no');
      await settle();
    }
    expect(fatal).toEqual([]);
    await expect(manager.prepare(someBranch(), takeTen)).resolves.toBe('commit');
  });

  it('whose callback throws fail the branch, and not the process', async () => {
    const manager = await manage({ pipelining });
    const prepared = manager.prepare(
      someBranch(),
      (client) =>
        new Promise(() => {
          client.query('SELECT 1', () => {
            throw new TypeError('a mistake');
          });
        }),
    );
    await expect(prepared).rejects.toThrow('a mistake');

    const late = manager.prepare(someBranch(), (client) => {
      setTimeout(() => {
        client.query('SELECT 1', (error: unknown) => {
          if (error) throw error as Error;
        });
      }, 30);
      return Promise.resolve('read-only');
    });
    await expect(late).resolves.toBe('read-only');
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(fatal).toEqual([]);
  });

  async function settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
});

describe('a commit in one phase of a branch that is prepared already', () => {
  it.each([1, 2])('commits it, when it is attempt %d', async (attempt) => {
    const manager = await manage({ lockTimeoutMs: 50 });
    const branch = someBranch();
    await manager.prepare(branch, takeTen);

    await expect(manager.commitOnePhase(again(branch, attempt), takeTen)).resolves.toBe('commit');

    await expect(bench.database.prepared()).resolves.toEqual([]);
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });
});

describe('a wait for a synchronous standby that is cut short', () => {
  beforeEach(() => standby(bench.server, 'ghost'));
  afterEach(() => standby(bench.server, ''));

  /** Cancels every wait that there is, until the call has ended. */
  /** On a machine with other work a session may need that long until it heeds a request. */
  const CUT_AGAIN_AFTER_MS = 200;

  async function cutWhile<T>(call: Promise<T>): Promise<T | Error> {
    const state = { isOver: false };
    const result = call.catch((error: unknown) => error as Error).finally(() => (state.isOver = true));
    /** The statements that were cut, and when. A second request would meet the statement after it. */
    const cut = new Map<string, number>();
    while (!state.isOver) {
      const { rows } = await bench.server.query<{ pid: number; statement: string }>(
        'postgres',
        `SELECT pid, concat(pid, ' ', query_start) AS statement FROM pg_stat_activity WHERE wait_event = 'SyncRep'`,
      );
      for (const { pid, statement } of rows) {
        // Of several in one message each waits.
        if (performance.now() - (cut.get(statement) ?? -Infinity) < CUT_AGAIN_AFTER_MS) continue;
        cut.set(statement, performance.now());
        await bench.server.query('postgres', `SELECT pg_cancel_backend(${pid})`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return result;
  }

  const UNKNOWN = { code: 'DTC_POSTGRES_NOT_REPLICATED' };

  /** With these as they are the server would say nothing, or would not wait. */
  const SILENCING = ['SET client_min_messages = error', 'SET synchronous_commit = off', 'SELECT 1'];

  /** The guard table is made before there is a standby to wait for. */
  async function managed(settings: PostgresSettings = {}): Promise<PostgresResourceManager> {
    await standby(bench.server, '');
    const manager = await manage(settings);
    await standby(bench.server, 'ghost');
    return manager;
  }

  it.each(SILENCING)('leaves a prepare unknown, whatever the work has set: %s', async (sql) => {
    const manager = await managed();
    for (const form of ['interactive', 'batch']) {
      const branch = someBranch();
      const prepared =
        form === 'batch'
          ? manager.prepareBatch(branch, {
              statements: [{ text: sql }, { text: TAKE }],
              vote: () => 'commit',
            })
          : manager.prepare(branch, async (client) => {
              await client.query(sql);
              return takeTen(client, branch);
            });
      await expect(cutWhile(prepared)).resolves.toMatchObject(UNKNOWN);
      await expect(cutWhile(manager.rollback(again(branch)))).resolves.toMatchObject({
        cause: UNKNOWN,
      });
      await standby(bench.server, '');
      await manager.rollback(again(branch));
      await expect(endOf(bench.database, gid(branch))).resolves.toBe('rolled-back');
      await standby(bench.server, 'ghost');
    }
  });

  it.each(SILENCING)('leaves a commit in one phase unknown: %s', async (sql) => {
    const manager = await managed();
    const branch = someBranch({ attempt: 1 });
    const committed = manager.commitOnePhase(branch, async (client) => {
      await client.query(sql);
      return takeTen(client, branch);
    });
    await expect(cutWhile(committed)).resolves.toMatchObject(UNKNOWN);
    await expect(cutWhile(manager.commitOnePhase(again(branch, 2), takeTen))).resolves.toMatchObject({
      cause: UNKNOWN,
    });

    await standby(bench.server, '');
    await expect(manager.commitOnePhase(again(branch, 3), takeTen)).resolves.toBe('commit');
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });

  it('leaves a repeated prepare unknown as well, though the branch is listed', async () => {
    const manager = await managed({ lockTimeoutMs: 50 });
    const branch = someBranch();
    for (let call = 1; call < 3; call++) {
      await expect(cutWhile(manager.prepare(again(branch, 0), takeTen))).resolves.toMatchObject(UNKNOWN);
      await expect(bench.database.prepared()).resolves.toEqual([gid(branch)]);
    }
    await standby(bench.server, '');
    await expect(manager.prepare(again(branch, 0), takeTen)).resolves.toBe('commit');
    await manager.commit(again(branch));
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });

  it.each(['interactive', 'batch'])(
    'leaves a prepare unknown that finds its branch committed: %s',
    async (form) => {
      const manager = await managed();
      const branch = someBranch({ attempt: 1 });
      const committed = manager.commitOnePhase(branch, takeTen);
      await expect(cutWhile(committed)).resolves.toMatchObject(UNKNOWN);
      const batch = { statements: [{ text: TAKE }], vote: (): Vote => 'commit' };
      const prepare = (): Promise<Vote> =>
        form === 'batch'
          ? manager.prepareBatch(again(branch, 0), batch)
          : manager.prepare(again(branch, 0), takeTen);
      await expect(cutWhile(prepare())).resolves.toMatchObject(UNKNOWN);
      await standby(bench.server, '');
      await expect(prepare()).resolves.toBe('commit');
      await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
    },
  );

  it('accepts a run only when it is known that no failover can lose that', async () => {
    await standby(bench.server, '');
    const first = await manage();
    await first.close();
    await standby(bench.server, 'ghost');
    const manager = bench.make({ workConnections: 1 });
    const next = runOf({ epoch: 2, isShared: true });
    // After the first attempt the row of the run is there, and need not be written again.
    for (let attempt = 1; attempt < 3; attempt++) {
      await expect(cutWhile(manager.start(next, () => Promise.resolve(true)))).resolves.toMatchObject({
        cause: UNKNOWN,
      });
      await expect(cutWhile(manager.recover(next))).resolves.toMatchObject(UNKNOWN);
    }
    await standby(bench.server, '');
    await manager.start(next);
    await expect(manager.recover(next)).resolves.toEqual([]);
  });

  it('acknowledges a commit only when a later write has waited to its end', async () => {
    await standby(bench.server, '');
    await bench.server.query(
      'postgres',
      `ALTER DATABASE ${bench.database.name} SET client_min_messages = error`,
    );
    await bench.server.query(
      'postgres',
      `ALTER DATABASE ${bench.database.name} SET synchronous_commit = local`,
    );
    const manager = await manage();
    const branch = someBranch();
    await manager.prepare(branch, takeTen);
    await standby(bench.server, 'ghost');

    for (let attempt = 1; attempt < 4; attempt++) {
      await expect(cutWhile(manager.commit(again(branch, attempt)))).resolves.toMatchObject({
        cause: UNKNOWN,
      });
      await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
    }
    await standby(bench.server, '');
    await expect(manager.commit(again(branch, 4))).resolves.toBeUndefined();
  });
});
