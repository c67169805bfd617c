import { setTimeout as pause } from 'node:timers/promises';
import { Client, Pool } from 'pg';
import { type MockInstance, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Branch, Vote } from '../../src/coordinator/index.js';
import { PostgresResourceManager, type Work } from '../../src/postgres/index.js';
import { balanceOf } from '../support/postgres/bank.js';
import { usePostgres } from '../support/postgres/bench.js';
import { someBranch } from '../support/postgres/branches.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const bench = usePostgres({ accounts: ['ann', 'bob'] });

/** The length of the message with which the server tells the state of the transaction. */
const STATE_BYTES = 6;

interface Settings {
  readonly pid: number;
  readonly lockMs: number;
  readonly limitMs: number;
  readonly isolation: string;
  readonly statements: string[];
}

const SHOW = `
  SELECT pg_backend_pid() AS pid,
    (SELECT setting::int FROM pg_settings WHERE name = 'lock_timeout') AS "lockMs",
    (SELECT setting::int FROM pg_settings WHERE name = 'transaction_timeout') AS "limitMs",
    current_setting('transaction_isolation') AS isolation,
    (SELECT array_agg(name ORDER BY name) FROM pg_prepared_statements) AS statements`;

/** @returns what the work of a branch finds set, after what it does itself. */
async function settingsIn(
  manager: PostgresResourceManager,
  branch: Branch,
  ...does: string[]
): Promise<Settings> {
  let found: Settings | undefined;
  const work: Work<unknown> = async (client) => {
    found = (await client.query<Settings>(SHOW)).rows[0];
    for (const sql of does) await client.query(sql);
    return 'commit';
  };
  await expect(manager.prepare(branch, work)).resolves.toBe('commit');
  await manager.commit(branch);
  return found!;
}

const inMs = (ms: number): Partial<Branch> => ({
  deadline: performance.timeOrigin + performance.now() + ms,
});

describe('the session of a branch', () => {
  it('has the limits of the branch, whichever limits the branches before had', async () => {
    const manager = await bench.start({ lockTimeoutMs: 400, isolation: 'repeatable read' });
    const pids = new Set<number>();
    for (const ms of [10_000, 9_000, 1_000, 60_000, 100_000, 2_000, 10_000]) {
      const { pid, lockMs, limitMs, isolation } = await settingsIn(manager, someBranch(inMs(ms)));
      pids.add(pid);
      expect(lockMs).toBeGreaterThanOrEqual(200);
      expect(lockMs).toBeLessThanOrEqual(400);
      expect(limitMs).toBeGreaterThan(ms);
      expect(limitMs).toBeLessThanOrEqual(ms + 510);
      expect(isolation).toBe('repeatable read');
    }
    expect(pids.size).toBe(1);
  });

  it.each(['1h', '300ms'])('has its own limit where the server has another one: %s', async (configured) => {
    await bench.database.query(
      `ALTER DATABASE ${bench.database.name} SET transaction_timeout = '${configured}'`,
    );
    const manager = await bench.start();
    const sleep = (seconds: number, withinMs: number): Promise<Vote> =>
      manager.prepare(someBranch({ withinMs }), async (client) => {
        await client.query(`SELECT pg_sleep(${seconds})`);
        return 'read-only';
      });
    await expect(sleep(0.6, 10_000)).resolves.toBe('read-only');
    await expect(sleep(60, 100)).rejects.toMatchObject({ code: '25P04' });
  });

  it('is as it was when the work of the one before has set something', async () => {
    const manager = await bench.start();
    await settingsIn(
      manager,
      someBranch(),
      'SET lock_timeout = 0',
      'SET transaction_timeout = 0',
      'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY',
    );
    const after = await settingsIn(manager, someBranch());
    expect(after.lockMs).toBeGreaterThan(0);
    expect(after.limitMs).toBeGreaterThan(0);
    expect(after.isolation).toBe('read committed');

    const statements = [{ text: 'SET lock_timeout = 0' }, { text: 'RESET transaction_timeout' }];
    const batch = { statements, vote: (): Vote => 'commit' };
    await expect(manager.prepareBatch(someBranch(), batch)).resolves.toBe('commit');
    expect((await settingsIn(manager, someBranch())).lockMs).toBeGreaterThan(0);
  });

  it('is that of its participant where two share a pool', async () => {
    const pools = {
      work: new Pool({ connectionString: bench.database.url, max: 1 }),
      completion: new Pool({ connectionString: bench.database.url, max: 4 }),
    };
    const one = new PostgresResourceManager('bank', { pools, isolation: 'serializable' });
    const other = new PostgresResourceManager('vault', { pools, lockTimeoutMs: 10 });
    bench.closeLater(one, other);
    for (let round = 0; round < 2; round++) {
      expect(await settingsIn(one, someBranch())).toMatchObject({ isolation: 'serializable' });
      const { lockMs, isolation } = await settingsIn(other, someBranch());
      expect(isolation).toBe('read committed');
      expect(lockMs).toBeLessThanOrEqual(10);
    }
    await bench.close();
    await Promise.all([pools.work.end(), pools.completion.end()]);
  });

  it('is so even if the work did not await its settings, or hides them', async () => {
    const manager = await bench.start();
    for (const sql of ['SET lock_timeout = 0', 'DO $$ BEGIN SET lock_timeout = 0; END $$']) {
      const hasty: Work<unknown> = (client) => {
        void client.query(sql);
        return Promise.resolve('commit');
      };
      await expect(manager.prepare(someBranch(), hasty)).resolves.toBe('commit');
      expect((await settingsIn(manager, someBranch())).lockMs).toBeGreaterThan(0);
    }
  });

  it('finds its statement again after the work of one before has deallocated it', async () => {
    const manager = await bench.start();
    const commit: Work<unknown> = async () => 'commit';
    const batch = { statements: [{ text: 'SELECT 1' }], vote: (): Vote => 'commit' };
    for (let time = 0; time < 3; time++) {
      await settingsIn(manager, someBranch(), 'DEALLOCATE ALL');
      await expect(manager.prepareBatch(someBranch(), batch)).resolves.toBe('commit');
      await settingsIn(manager, someBranch(), 'DEALLOCATE ALL');
      await expect(manager.prepare(someBranch(), commit)).resolves.toBe('commit');
      // Where it would stay hidden.
      await settingsIn(manager, someBranch(), `DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$`);
      await expect(manager.prepareBatch(someBranch(), batch)).resolves.toBe('commit');
      await settingsIn(manager, someBranch(), `DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$`);
      await expect(manager.prepare(someBranch(), commit)).rejects.toMatchObject({ code: '26000' });
      const { lockMs } = await settingsIn(manager, someBranch());
      expect(lockMs).toBeGreaterThan(0);
    }
  });
});

describe('a statement of a batch', () => {
  const TAKE = "UPDATE accounts SET balance = balance - $1 WHERE name = 'ann'";
  const take = (
    manager: PostgresResourceManager,
    amount: unknown,
    text = TAKE,
    name?: string,
  ): Promise<Vote> =>
    manager.prepareBatch(someBranch(), {
      statements: [{ text, values: [amount], ...(name && { name }) }],
      vote: ([result]) => {
        expect(result).toMatchObject({ command: 'UPDATE', rowCount: 1 });
        return 'commit';
      },
    });
  const preparedIn = async (manager: PostgresResourceManager): Promise<string[]> => {
    const { statements } = await settingsIn(manager, someBranch());
    return statements.filter((name) => /^dtc [0-9a-f]{16} \d/.test(name));
  };

  it('is prepared when it comes again, or has a name', async () => {
    const manager = await bench.start({ lockTimeoutMs: 10 });
    await expect(take(manager, 1)).resolves.toBe('commit');
    await expect(preparedIn(manager)).resolves.toHaveLength(0);
    await rollBackAll();
    for (let time = 0; time < 3; time++) {
      await expect(take(manager, 1)).resolves.toBe('commit');
      await expect(preparedIn(manager)).resolves.toHaveLength(1);
      await rollBackAll();
    }
    await take(manager, 1, TAKE.replace('ann', 'bob'), 'take from bob');
    await expect(preparedIn(manager)).resolves.toHaveLength(2);
  });

  it('is prepared under a name that no statement of the work has', async () => {
    const manager = await bench.start();
    await manager.prepare(someBranch(), async (client) => {
      for (const name of ['dtc 1', 'dtc 2', 'dtc branch']) await client.query({ name, text: 'SELECT 1' });
      return 'read-only';
    });
    for (let time = 0; time < 3; time++) {
      await expect(take(manager, 1)).resolves.toBe('commit');
      await rollBackAll();
    }
    await expect(preparedIn(manager)).resolves.toHaveLength(1);
  });

  it('is not where that is not wanted', async () => {
    const manager = await bench.start({ prepareStatements: false });
    for (let time = 0; time < 3; time++) {
      await expect(take(manager, 1)).resolves.toBe('commit');
      await rollBackAll();
    }
    await expect(preparedIn(manager)).resolves.toHaveLength(0);
  });

  it('that fails when it would be prepared is refused with its error, then and later', async () => {
    const manager = await bench.start();
    for (let time = 0; time < 4; time++) {
      await expect(take(manager, 1_000)).resolves.toMatchObject({ code: 'CONSTRAINT_VIOLATED' });
    }
    await expect(take(manager, 1)).resolves.toBe('commit');
  });

  it('that stands many times in a batch is prepared once', async () => {
    const manager = await bench.start();
    const statements = Array.from({ length: 50 }, (_, amount) => ({ text: TAKE, values: [amount % 2] }));
    for (let time = 0; time < 3; time++) {
      const vote = (results: readonly unknown[]): Vote => (results.length === 50 ? 'commit' : 'read-only');
      await expect(manager.prepareBatch(someBranch(), { statements, vote })).resolves.toBe('commit');
      await rollBackAll();
    }
    await expect(preparedIn(manager)).resolves.toHaveLength(1);
  });

  it("that does not find the work's own statement is refused only for that, and harms no other branch", async () => {
    const manager = await bench.start();
    const batch = { statements: [{ text: 'EXECUTE nothing' }], vote: (): Vote => 'commit' };
    for (let time = 0; time < 3; time++) {
      await expect(manager.prepareBatch(someBranch(), batch)).rejects.toMatchObject({ code: '26000' });
      await expect(take(manager, 1)).resolves.toBe('commit');
      await rollBackAll();
    }
  });

  it('that conflicts with another transaction is still prepared', async () => {
    const manager = await bench.start({ lockTimeoutMs: 20 });
    await take(manager, 1);
    // The branch before holds the lock until it is rolled back.
    await expect(take(manager, 1)).resolves.toMatchObject({ code: 'LOCK_TIMEOUT' });
    await rollBackAll();
    await expect(preparedIn(manager)).resolves.toHaveLength(1);
  });

  it('is prepared again when its table is altered, unnoticed by the branch', async () => {
    const manager = await bench.start();
    const columns: string[][] = [];
    const read = (): Promise<Vote> =>
      manager.prepareBatch(someBranch(), {
        statements: [{ text: 'SELECT * FROM accounts' }],
        vote: ([result]) => {
          columns.push(result!.fields.map(({ name }) => name));
          return 'commit';
        },
      });
    for (let time = 0; time < 3; time++) await expect(read()).resolves.toBe('commit');
    await rollBackAll();
    await bench.database.query('ALTER TABLE accounts ADD COLUMN note text');
    await expect(read()).resolves.toBe('commit');
    expect(columns.at(-1)).toContain('note');
    expect(columns.at(-2)).not.toContain('note');
  });

  it('of which each text is another leaves no more than a hundred behind', async () => {
    const manager = await bench.start();
    for (let number = 0; number < 250; number++) {
      const statements = [{ text: `SELECT ${number % 125}`, name: `number ${number}` }];
      await manager.prepareBatch(someBranch(), { statements, vote: () => 'read-only' });
    }
    expect((await preparedIn(manager)).length).toBeLessThanOrEqual(100);
    await expect(take(manager, 1)).resolves.toBe('commit');
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  async function rollBackAll(): Promise<void> {
    for (const gid of await bench.database.prepared())
      await bench.database.query(`ROLLBACK PREPARED '${gid}'`);
  }
});

describe('a change that work repeats', () => {
  const EARN = 'UPDATE accounts SET balance = balance + $1 WHERE name = $2';

  async function earn(
    manager: PostgresResourceManager,
    amount: unknown,
    { text = EARN, before = [] }: { text?: string; before?: readonly string[] } = {},
  ): Promise<Vote> {
    const branch = someBranch();
    const vote = await manager.prepare(branch, async (client) => {
      for (const sql of before) await client.query(sql);
      const { command, rowCount } = await client.query(text, [amount, 'ann']);
      expect({ command, rowCount }).toEqual({ command: 'UPDATE', rowCount: 1 });
      return 'commit';
    });
    if (vote === 'commit') await manager.commit(branch);
    return vote;
  }

  const namedIn = async (manager: PostgresResourceManager): Promise<string[]> =>
    (await settingsIn(manager, someBranch())).statements.filter((name) =>
      /^dtc [0-9a-f]{16} named/.test(name),
    );

  it('is prepared when it comes again, and runs with the values of its branch', async () => {
    const manager = await bench.start();
    await earn(manager, 1);
    await expect(namedIn(manager)).resolves.toHaveLength(0);
    for (let time = 0; time < 3; time++) {
      await expect(earn(manager, 10 ** (time + 1))).resolves.toBe('commit');
      await expect(namedIn(manager)).resolves.toHaveLength(1);
    }
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100 + 1 + 10 + 100 + 1_000);
  });

  it.each([
    ['that is not wanted', { prepareStatements: false }, EARN],
    [
      'a literal may mean something else later',
      {},
      EARN.replace('WHERE', "WHERE 'now'::timestamptz <= now() AND"),
    ],
    ['its columns may change', {}, `${EARN} RETURNING *`],
  ])('is not prepared where %s', async (_why, settings, text) => {
    const manager = await bench.start(settings);
    for (let time = 0; time < 3; time++) await expect(earn(manager, 1, { text })).resolves.toBe('commit');
    await expect(namedIn(manager)).resolves.toHaveLength(0);
  });

  it('finds its table altered', async () => {
    const manager = await bench.start();
    for (let time = 0; time < 3; time++) await earn(manager, 1);
    await bench.database.query('ALTER TABLE accounts ALTER balance TYPE bigint, ADD COLUMN note text');
    const much = 2 ** 40;
    // The parameter has the type of before. From then on the statement is read anew each time.
    await expect(earn(manager, much)).resolves.toMatchObject({ code: 'DATA_REJECTED' });
    await expect(earn(manager, much)).resolves.toBe('commit');
  });

  describe('and that comes first', () => {
    const TAKE = 'UPDATE accounts SET balance = balance - $1 WHERE name = $2';
    let manager: PostgresResourceManager;
    let sent: MockInstance;

    /**
     * @returns the texts that were sent to the server since, of queries and of objects that are sent as one.
     */
    const texts = (): string[] =>
      sent.mock.calls.map(([query]) =>
        typeof query === 'string' ? query : (query as { text: string }).text,
      );
    const take = (branch: Branch, amount: unknown): Promise<Vote> =>
      manager.prepare(branch, async (client) => {
        await client.query(TAKE, [amount, 'ann']);
        return 'commit';
      });

    beforeEach(async () => {
      manager = await bench.start();
      for (let time = 0; time < 3; time++) await earn(manager, 1, { text: TAKE });
      sent = vi.spyOn(Client.prototype, 'query');
    });

    afterEach(() => sent.mockRestore());

    it('is sent in one query with the statements that open its transaction', async () => {
      await expect(earn(manager, 7, { text: TAKE })).resolves.toBe('commit');
      expect(texts()[0]).toMatch(
        /^BEGIN READ WRITE; EXECUTE "dtc branch .*; EXECUTE "dtc \w+ named 1" \('7', 'ann'\)$/,
      );
      expect(texts()).toHaveLength(3);
      await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
    });

    it('leaves behind that when `pg` must send a value of it', async () => {
      await expect(earn(manager, { toPostgres: () => '7' }, { text: TAKE })).resolves.toBe('commit');
      expect(texts()[0]).toMatch(/^BEGIN READ WRITE; EXECUTE "dtc branch [^;]*$/);
      await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
    });

    it('is refused for its own error, and not for one of the statements that open its transaction', async () => {
      const votes = await Promise.all([take(someBranch(), 1_000), take(someBranch(), 1_000)]);
      for (const vote of votes) expect(vote).toMatchObject({ code: 'CONSTRAINT_VIOLATED' });
      await expect(take(someBranch(), 'much')).resolves.toMatchObject({ code: 'DATA_REJECTED' });
      await expect(take(someBranch(), 7)).resolves.toBe('commit');
    });

    it('is refused for its own error although the state of the transaction comes after the error', async () => {
      const proxy = await TcpProxy.open({ host: '127.0.0.1', port: bench.server.port });
      try {
        manager = await bench.start({ connection: bench.database.urlBy({ port: proxy.port }) });
        for (let time = 0; time < 3; time++) await earn(manager, 1, { text: TAKE });
        let refusals = 0;
        proxy.rule = (data, direction) => {
          if (direction === 'up' || !data.includes('23514')) return 'pass';
          refusals++;
          // The last message of an answer tells the state.
          return { after: pause(20), from: data.length - STATE_BYTES };
        };
        await expect(take(someBranch(), 1_000)).resolves.toMatchObject({ code: 'CONSTRAINT_VIOLATED' });
        expect(refusals).toBe(1);
        await expect(take(someBranch(), 7)).resolves.toBe('commit');
        await bench.close();
      } finally {
        await proxy.close();
      }
    });

    it('is not believed when it fails and its work goes on', async () => {
      const vote = manager.prepare(someBranch(), async (client) => {
        await expect(client.query(TAKE, [1_000, 'ann'])).rejects.toMatchObject({ code: '23514' });
        return 'commit';
      });
      await expect(vote).resolves.toMatchObject({ code: 'WORK_FAILED' });
    });

    it('does nothing when its branch was rolled back, or is prepared', async () => {
      const gone = someBranch();
      await manager.rollback(gone);
      await expect(take(gone, 7)).resolves.toMatchObject({ code: 'ROLLED_BACK' });
      const prepared = someBranch();
      await expect(take(prepared, 7)).resolves.toBe('commit');
      await expect(take(prepared, 7)).resolves.toBe('commit');
      await manager.commit(prepared);
      await expect(take(prepared, 7)).resolves.toBe('commit');
      await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
    });
  });

  it('is sent as it is when its work has removed prepared statements', async () => {
    const manager = await bench.start();
    for (let time = 0; time < 3; time++) await earn(manager, 1);
    await expect(earn(manager, 1, { before: ['DEALLOCATE ALL'] })).resolves.toBe('commit');
    await expect(earn(manager, 1)).resolves.toBe('commit');
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(105);
  });
});

describe('a vote of SQL work that expires', () => {
  const expiring: Vote = { vote: 'commit', validForMs: 5_000 };
  const take = "UPDATE accounts SET balance = balance - 1 WHERE name = 'ann'";

  it('leaves the branch prepared, as a class and as a batch gives it, and is answered with its time', async () => {
    const manager = await bench.start();
    const before = await balanceOf(bench.database, 'ann');
    const [one, other] = [someBranch(), someBranch()];
    const vote = await manager.prepare(one, async (client) => {
      await client.query(take);
      return expiring;
    });
    const ofBatch = await manager.prepareBatch(other, {
      statements: [{ text: take.replace('ann', 'bob') }],
      vote: () => expiring,
    });
    expect([vote, ofBatch]).toEqual([expiring, expiring]);
    expect(await bench.database.prepared()).toHaveLength(2);

    await manager.commit(one);
    await manager.rollback(other);
    expect(await balanceOf(bench.database, 'ann')).toBe(before! - 1);
  });

  it.each([0, -1, Infinity, '5000', undefined])(
    'is no vote for a time of %s: nothing stays prepared',
    async (validForMs) => {
      const manager = await bench.start();
      const before = await balanceOf(bench.database, 'ann');
      const wrong = { vote: 'commit', validForMs } as unknown as Vote;
      const work: Work<unknown> = async (client) => {
        await client.query(take);
        return wrong;
      };
      expect(await manager.prepare(someBranch(), work)).toBe(wrong);
      const batch = { statements: [{ text: take }], vote: () => wrong };
      expect(await manager.prepareBatch(someBranch(), batch)).toBe(wrong);
      // Nor does it say in one phase that it has committed.
      expect(await manager.commitOnePhase(someBranch({ attempt: 1 }), work)).toBe(wrong);
      expect(await manager.commitBatchOnePhase(someBranch({ attempt: 1 }), batch)).toBe(wrong);
      expect(await bench.database.prepared()).toEqual([]);
      expect(await balanceOf(bench.database, 'ann')).toBe(before);
    },
  );
});
