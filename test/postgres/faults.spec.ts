import { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Outcome, Participant, branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import type { PostgresParticipantOptions } from '../../src/postgres/index.js';
import {
  type BankOptions,
  type Banks,
  LeftBank,
  RightBank,
  balanceOf,
  endOf,
  openAccounts,
  sleepInPrepare,
  startBanks,
} from '../support/postgres/bank.js';
import { until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';
import { TcpProxy } from '../support/tcp-proxy.js';

/** Rows of the fault matrix that need a real database, shown with whole transactions over two of them. */
@Participant({ name: 'gate' })
class Gate extends ScriptedParticipant {}

let server: PostgresServer;
let leftDatabase: TestDatabase;
let rightDatabase: TestDatabase;
let proxy: TcpProxy;
let banks: Banks;

beforeAll(async () => {
  server = await PostgresServer.start({ deadlock_timeout: '50ms' });
});

afterAll(() => server.stop());

beforeEach(async () => {
  [leftDatabase, rightDatabase] = [await server.createDatabase(), await server.createDatabase()];
  for (const database of [leftDatabase, rightDatabase]) await openAccounts(database, 'ann', 'bob');
  proxy = await TcpProxy.open({ host: '127.0.0.1', port: server.port });
});

afterEach(async () => {
  await banks.application.close();
  await proxy.close();
});

/** The right bank is reached through the proxy. */
async function start(
  options: Partial<Omit<BankOptions, 'left' | 'right'>> = {},
  right: Partial<PostgresParticipantOptions> = {},
): Promise<void> {
  const { coordinator, ...rest } = options;
  banks = await startBanks({
    left: { connection: leftDatabase.url },
    right: { connection: rightDatabase.urlBy({ port: proxy.port }), ...right } as PostgresParticipantOptions,
    coordinator: { prepareTimeoutMs: 5_000, timeoutMs: 10_000, shutdownGraceMs: 200, ...coordinator },
    ...rest,
  });
}

/** Ten from Ann on the left to Ann on the right. */
function transfer(): Promise<Outcome> {
  return banks.transactions.run({
    branches: [
      branch(LeftBank, { account: 'ann', amount: -10 }),
      branch(RightBank, { account: 'ann', amount: 10 }),
    ],
  });
}

async function balances(): Promise<(number | undefined)[]> {
  return [await balanceOf(leftDatabase, 'ann'), await balanceOf(rightDatabase, 'ann')];
}

async function nothingPrepared(): Promise<boolean> {
  return (await leftDatabase.prepared()).length === 0 && (await rightDatabase.prepared()).length === 0;
}

const gidOnTheRight = ({ transactionId }: Outcome): string => `${transactionId}/right/right`;

describe('a transfer between two databases', () => {
  it('commits on both sides or on neither', async () => {
    await start();

    await expect(transfer()).resolves.toMatchObject({ status: 'committed' });
    expect(await balances()).toEqual([90, 110]);

    const refused = await banks.transactions.run({
      branches: [
        branch(LeftBank, { account: 'ann', amount: -1_000 }),
        branch(RightBank, { account: 'ann', amount: 1_000 }),
      ],
    });
    expect(refused).toMatchObject({ status: 'aborted', participant: 'left', code: 'NO_FUNDS' });
    await until('nothing is prepared', nothingPrepared);
    expect(await balances()).toEqual([90, 110]);
  });

  it('fault 13 §: the connection is cut after the prepare took effect: aborted, and nothing is left', async () => {
    await start();
    let cuts = 0;
    proxy.rule = (data) => (data.includes('PREPARE TRANSACTION') && ++cuts === 1 ? 'cut-answer' : 'pass');

    const outcome = await transfer();

    expect(outcome).toMatchObject({ status: 'aborted', participant: 'right', cause: 'failed' });
    await until(
      'it has a tombstone',
      async () => (await endOf(rightDatabase, gidOnTheRight(outcome))) === 'rolled-back',
    );
    expect(await rightDatabase.prepared()).toEqual([]);
    // The left is rolled back at the same time, and not before the right.
    await until('nothing is prepared', nothingPrepared);
    expect(await balances()).toEqual([100, 100]);
  });

  it('fault 14 §: a prepare that is still running at the time-out is ended, and can no longer take effect', async () => {
    await sleepInPrepare(rightDatabase, 1);
    await start({ coordinator: { prepareTimeoutMs: 300 } });

    const outcome = await transfer();

    expect(outcome).toMatchObject({ status: 'aborted', cause: 'timed-out', participant: 'right' });
    await until(
      'it has a tombstone',
      async () => (await endOf(rightDatabase, gidOnTheRight(outcome))) === 'rolled-back',
    );
    await until('no session sleeps', async () => (await sessionsAt('%PREPARE TRANSACTION%')) === 0);
    expect(await rightDatabase.prepared()).toEqual([]);
    await until('nothing is prepared', nothingPrepared);
    expect(await balances()).toEqual([100, 100]);
  });

  it('fault 14 §: also when it cannot be ended, for the network hides it', async () => {
    await sleepInPrepare(rightDatabase, 1);
    await start({ coordinator: { prepareTimeoutMs: 300 } }, { tombstoneWaitMs: 100 });
    proxy.rule = (data, direction) =>
      direction === 'up' && /pg_(cancel|terminate)_backend/.test(data.toString()) ? 'stall' : 'pass';

    const outcome = await transfer();

    expect(outcome).toMatchObject({ status: 'aborted', cause: 'timed-out', participant: 'right' });
    await until(
      'it has a tombstone',
      async () => (await endOf(rightDatabase, gidOnTheRight(outcome))) === 'rolled-back',
    );
    expect(await rightDatabase.prepared()).toEqual([]);
    await until('nothing is prepared', nothingPrepared);
    expect(await balances()).toEqual([100, 100]);
  });

  it.each([
    ['a deadlock', '40P01', 'DEADLOCK', deadlock],
    ['a serialization failure', '40001', 'SERIALIZATION_FAILURE', serializationFailure],
    ['a lock that is not free in time', '55P03', 'LOCK_TIMEOUT', lockTimeout],
    ['a cancelled statement', '57014', 'TIMEOUT', cancelledStatement],
    ['a unique constraint', '23505', 'CONSTRAINT_VIOLATED', uniqueViolation],
    ['a check constraint', '23514', 'CONSTRAINT_VIOLATED', checkViolation],
    ['a constraint that is checked only by the prepare', '23503', 'CONSTRAINT_VIOLATED', deferredViolation],
    ['values of another type', '22P02', 'DATA_REJECTED', wrongType],
    ['a trigger that raises', 'P0001', 'RAISED', raisingTrigger],
    ['temporary objects', '0A000', 'CANNOT_BE_PREPARED', temporaryTable],
  ])(
    'fault 15: %s is a refusal with its reason, and the other is rolled back',
    async (_what, sqlstate, code, cause) => {
      await start({}, { isolation: 'serializable', lockTimeoutMs: 400 });
      await cause();

      const outcome = await transfer();

      expect(outcome).toMatchObject({
        status: 'aborted',
        cause: 'refused',
        participant: 'right',
        code,
        reason: expect.stringContaining(sqlstate) as string,
      });
      await until('nothing is prepared', nothingPrepared);
      expect(await balanceOf(leftDatabase, 'ann')).toBe(100);
    },
  );

  it.each(['cut', 'cut-answer'] as const)(
    'fault 37: a commit whose connection is lost (%s) is repeated, and takes effect once',
    async (verdict) => {
      await start();
      let cuts = 0;
      proxy.rule = (data) => (data.includes('COMMIT PREPARED') && ++cuts === 1 ? verdict : 'pass');

      await expect(transfer()).resolves.toMatchObject({ status: 'committed' });

      expect(cuts).toBeGreaterThan(1);
      expect(await balances()).toEqual([90, 110]);
    },
  );

  it('fault 38 §: a branch that was rolled back by hand is a hazard, and never a commit', async () => {
    await start({ others: [Gate] });
    const outcome = await transferAndMeanwhile(() => rollBackByHand());

    expect(outcome).toMatchObject({
      status: 'heuristic',
      decision: 'commit',
      reports: [{ participant: 'right', kind: 'hazard' }],
    });
    expect(await balances()).toEqual([90, 100]);
  });

  it('fault 38: a branch that was committed by hand is committed', async () => {
    await start({ others: [Gate] });
    const outcome = await transferAndMeanwhile(async () => {
      const [gid] = await rightDatabase.prepared();
      await rightDatabase.query(`COMMIT PREPARED '${gid}'`);
    });

    expect(outcome).toMatchObject({ status: 'committed' });
    expect(await balances()).toEqual([90, 110]);
  });

  it('fault 40: sessions ended by an administrator, and no connection for a while: tried again', async () => {
    await start({ others: [Gate], coordinator: { maxAttempts: 100 } });
    const outcome = await transferAndMeanwhile(async () => {
      await server.query(
        'postgres',
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dtc right'",
      );
      proxy.cut();
      setTimeout(() => proxy.repair(), 200);
    });

    expect(outcome).toMatchObject({ status: 'committed' });
    expect(await balances()).toEqual([90, 110]);
  });

  it('fault 41: a branch of another role waits for an operator; it is no success, and ends when the role is corrected', async () => {
    await server.createRole('teller', 'CREATEROLE');
    await rightDatabase.query('GRANT ALL ON SCHEMA public TO teller; GRANT ALL ON accounts TO teller');
    await start(
      { others: [Gate], coordinator: { maxAttempts: 2, completionWaitMs: 500 } },
      { connection: rightDatabase.urlBy({ user: 'teller' }) },
    );
    const outcome = await transferAndMeanwhile(async () => {
      // Another process prepares it under the same id.
      const [gid] = await rightDatabase.prepared();
      await rightDatabase.query(`ROLLBACK PREPARED '${gid}'`);
      await rightDatabase.query(`
        BEGIN;
        UPDATE accounts SET balance = balance + 10 WHERE name = 'ann';
        INSERT INTO dtc_branches (gid, state) VALUES ('${gid}', 'committed');
        PREPARE TRANSACTION '${gid}'`);
    });

    expect(outcome).toMatchObject({ status: 'pending', decision: 'commit' });
    expect(await lastErrorOnTheRight(outcome)).toMatch(/^COMMIT PREPARED .*42501.*run it there by hand/);
    await rightDatabase.query(`COMMIT PREPARED '${gidOnTheRight(outcome)}'`);
    await until(
      'it is committed',
      () => banks.transactions.find(outcome.transactionId)?.state === 'COMMITTED',
    );
    expect(await balances()).toEqual([90, 110]);
  });

  it('fault 41: a server without such a database is not a success either', async () => {
    const [work, completion] = [0, 1].map(() => new Pool({ connectionString: rightDatabase.url }));
    const options = { connection: undefined, pools: { work: work!, completion: completion! } };
    await start({ others: [Gate], coordinator: { maxAttempts: 2, completionWaitMs: 500 } }, options);
    const outcome = await transferAndMeanwhile(async () => {
      completion!.options.connectionString = server.database('elsewhere').url;
      await server.query(
        'postgres',
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${rightDatabase.name}'`,
      );
    });

    expect(outcome).toMatchObject({ status: 'pending', decision: 'commit' });
    await until('an attempt says so', async () => (await lastErrorOnTheRight(outcome)).includes('3D000'));
    expect(await rightDatabase.prepared()).toHaveLength(1);

    completion!.options.connectionString = rightDatabase.url;
    await until(
      'it is committed',
      () => banks.transactions.find(outcome.transactionId)?.state === 'COMMITTED',
    );
    expect(await balances()).toEqual([90, 110]);
    await banks.application.close();
    await Promise.all([work!.end(), completion!.end()]);
  });

  it('fault 42: the database is killed between the vote and the commit, and starts again: committed', async () => {
    await start({ others: [Gate], coordinator: { completionWaitMs: 20_000, maxAttempts: 1_000 } });
    const outcome = await transferAndMeanwhile(async () => {
      await server.kill();
      setTimeout(() => void server.restart(), 100);
    });

    expect(outcome).toMatchObject({ status: 'committed' });
    expect(await balances()).toEqual([90, 110]);
  });

  it('fault 43 §: the database was restored from a backup before the prepare: a hazard, kept until forgotten', async () => {
    await start({ others: [Gate] });
    const outcome = await transferAndMeanwhile(async () => {
      await rollBackByHand();
      await rightDatabase.query('TRUNCATE dtc_branches');
    });

    expect(outcome).toMatchObject({
      status: 'heuristic',
      reports: [{ participant: 'right', kind: 'hazard' }],
    });
    expect(banks.transactions.find(outcome.transactionId)).toMatchObject({ heuristic: 'hazard' });
  });

  it.each([
    ['is kept when the server has rolled it back', 'a statement'],
    ['is destroyed when it does not come to rest', 'something else'],
  ])(
    'fault 60: a connection whose work was cut short %s, and the next branch is whole',
    async (_what, at) => {
      await start({ coordinator: { prepareTimeoutMs: 300 } }, { workConnections: 1 });
      const pids: number[] = [];
      let turn = 0;
      banks.right.afterWork = async (_branch, client) => {
        const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        pids.push(rows[0]!.pid);
        if (++turn > 1) return;
        if (at === 'a statement') await client.query('SELECT pg_sleep(60)');
        else await new Promise(() => {});
      };

      await expect(transfer()).resolves.toMatchObject({ status: 'aborted', cause: 'timed-out' });
      await until('the next is committed', async () => (await transfer()).status === 'committed');

      expect(new Set(pids).size).toBe(at === 'a statement' ? 1 : 2);
      expect(await sessionsAt('SELECT pg_sleep%')).toBe(0);
      expect(await balances()).toEqual([90, 110]);
    },
  );

  it('fault 61 §: two transfers that deadlock across two databases do not hang, and nothing is left', async () => {
    await start({}, { lockTimeoutMs: 300 });
    // Each asks for its second lock only when both have prepared with their first.
    const bothHold = async (): Promise<boolean> =>
      (await leftDatabase.prepared()).length + (await rightDatabase.prepared()).length === 2;
    const met = until('both hold a lock', bothHold);
    const takeFirst: typeof banks.left.beforeWork = async ({ payload }) => {
      if (payload.amount > 0) await met;
    };
    banks.left.beforeWork = takeFirst;
    banks.right.beforeWork = takeFirst;
    const transfer = (from: typeof LeftBank | typeof RightBank, to: typeof LeftBank | typeof RightBank) => [
      branch(from, { account: 'ann', amount: -10 }),
      branch(to, { account: 'ann', amount: 10 }),
    ];
    // Its caller holds its transaction, so it is not run again under another id.
    const commit = (...[from, to]: Parameters<typeof transfer>) => {
      const transaction = banks.transactions.begin();
      for (const request of transfer(from, to)) transaction.enlist(request);
      return transaction.commit();
    };

    const outcomes = await Promise.all([commit(LeftBank, RightBank), commit(RightBank, LeftBank)]);

    const aborted = outcomes.filter(({ status }) => status === 'aborted');
    expect(aborted.length).toBeGreaterThan(0);
    for (const outcome of aborted) expect(outcome).toMatchObject({ code: 'LOCK_TIMEOUT' });
    await until('nothing is prepared', nothingPrepared);
    const [left, right] = await balances();
    expect(left! + right!).toBe(200);
    await expect(commit(LeftBank, RightBank)).resolves.toMatchObject({ status: 'committed' });
  });

  it('fault 61 §: of two requests that deadlock across two databases, the one that gives up is run again', async () => {
    await start({}, { lockTimeoutMs: 300 });
    const met = until('both hold a lock', async () => {
      return (await leftDatabase.prepared()).length + (await rightDatabase.prepared()).length === 2;
    });
    const takeFirst: typeof banks.left.beforeWork = async ({ payload }) => {
      if (payload.amount > 0) await met;
    };
    banks.left.beforeWork = takeFirst;
    banks.right.beforeWork = takeFirst;
    const run = (from: typeof LeftBank | typeof RightBank, to: typeof LeftBank | typeof RightBank) =>
      banks.transactions.run({
        branches: [branch(from, { account: 'ann', amount: -10 }), branch(to, { account: 'ann', amount: 10 })],
      });

    const outcomes = await Promise.all([run(LeftBank, RightBank), run(RightBank, LeftBank)]);

    expect(outcomes.map(({ status }) => status)).toEqual(['committed', 'committed']);
    expect(banks.transactions.list({ state: 'ABORTED' }).length).toBeGreaterThan(0);
    expect(await balances()).toEqual([100, 100]);
  });
});

/**
 * Runs a transfer with a third participant that holds its vote back until the right is prepared and the test
 * is done.
 */
async function transferAndMeanwhile(action: () => Promise<void>): Promise<Outcome> {
  const gate = banks.application.get(Gate);
  const held = new Promise<void>((resolve, reject) => {
    until('both are prepared', async () => {
      return (await leftDatabase.prepared()).length === 1 && (await rightDatabase.prepared()).length === 1;
    })
      .then(action)
      .then(resolve, reject);
  });
  gate.script = { prepare: { until: held } };
  const outcome = await banks.transactions.run({
    branches: [
      branch(LeftBank, { account: 'ann', amount: -10 }),
      branch(RightBank, { account: 'ann', amount: 10 }),
      branch(Gate, null),
    ],
  });
  await held;
  return outcome;
}

async function lastErrorOnTheRight({ transactionId }: Outcome): Promise<string> {
  const errorOf = (): string | null | undefined =>
    banks.transactions.find(transactionId)?.branches.find(({ participant }) => participant === 'right')
      ?.lastError;
  await until('an attempt has failed', () => typeof errorOf() === 'string');
  return errorOf()!;
}

async function rollBackByHand(): Promise<void> {
  const [gid] = await rightDatabase.prepared();
  await rightDatabase.query(`ROLLBACK PREPARED '${gid}'`);
}

async function sessionsAt(pattern: string): Promise<number> {
  const { rows } = await server.query(
    'postgres',
    "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1",
    [pattern],
  );
  return rows.length;
}

/** Another session holds Bob and waits for Ann, whom the work holds when it asks for Bob. */
async function deadlock(): Promise<void> {
  banks.right.afterWork = async (_branch, client) => {
    await client.query('SET LOCAL lock_timeout = 0');
    const other = rightDatabase.query(`
      SET deadlock_timeout = '10s';
      BEGIN;
      UPDATE accounts SET balance = 0 WHERE name = 'bob';
      UPDATE accounts SET balance = 0 WHERE name = 'ann';
      ROLLBACK`);
    other.catch(() => {});
    await until('the other waits', async () => (await waiting()) > 0);
    await client.query("UPDATE accounts SET balance = 0 WHERE name = 'bob'");
  };
}

async function waiting(): Promise<number> {
  const { rows } = await server.query('postgres', 'SELECT FROM pg_locks WHERE NOT granted');
  return rows.length;
}

async function serializationFailure(): Promise<void> {
  banks.right.beforeWork = async (_branch, client) => {
    await client.query('SELECT balance FROM accounts');
    await rightDatabase.query("UPDATE accounts SET balance = 50 WHERE name = 'ann'");
  };
}

async function lockTimeout(): Promise<void> {
  banks.right.beforeWork = async () => {
    const holder = rightDatabase.query(
      "BEGIN; UPDATE accounts SET balance = 0 WHERE name = 'ann'; SELECT pg_sleep(1); ROLLBACK",
    );
    holder.catch(() => {});
    await until('the holder has it', async () => (await sessionsAt('%pg_sleep(1)%ROLLBACK')) > 0);
  };
}

async function cancelledStatement(): Promise<void> {
  banks.right.afterWork = async (_branch, client) => {
    await client.query('SET LOCAL statement_timeout = 50');
    await client.query('SELECT pg_sleep(60)');
  };
}

async function uniqueViolation(): Promise<void> {
  banks.right.afterWork = async (_branch, client) => {
    await client.query("INSERT INTO accounts VALUES ('ann', 0)");
  };
}

async function checkViolation(): Promise<void> {
  banks.right.afterWork = async (_branch, client) => {
    await client.query('UPDATE accounts SET balance = -1');
  };
}

async function deferredViolation(): Promise<void> {
  await rightDatabase.query(
    'CREATE TABLE cards (owner text REFERENCES accounts (name) DEFERRABLE INITIALLY DEFERRED)',
  );
  banks.right.afterWork = async (_branch, client) => {
    await client.query("INSERT INTO cards VALUES ('nobody')");
  };
}

async function wrongType(): Promise<void> {
  banks.right.afterWork = async (_branch, client) => {
    await client.query('UPDATE accounts SET balance = $1', ['a lot']);
  };
}

async function raisingTrigger(): Promise<void> {
  await rightDatabase.query(`
    CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the bank is closed'; END $$;
    CREATE TRIGGER no BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION no()`);
}

async function temporaryTable(): Promise<void> {
  banks.right.afterWork = async (_branch, client) => {
    await client.query('CREATE TEMPORARY TABLE scratch (n int)');
  };
}
