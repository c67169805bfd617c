import { Client, type QueryConfig, type QueryResult } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { InvalidOptionsError, Participant, type Vote, branch, refuse } from '../../src/coordinator/index.js';
import type { Branch, TransactionManager } from '../../src/coordinator/index.js';
import { PostgresBatchParticipant, PostgresParticipant } from '../../src/postgres/index.js';
import { type Banks, type Posting, balanceOf, openAccounts, startBanks } from '../support/postgres/bank.js';
import { until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

let server: PostgresServer;
let databases: readonly [TestDatabase, TestDatabase];
let applications: Banks[];

beforeAll(async () => {
  server = await PostgresServer.start();
});

afterAll(() => server.stop());

beforeEach(async () => {
  applications = [];
  databases = [await server.createDatabase(), await server.createDatabase()];
  for (const database of databases) await openAccounts(database, 'ann', 'bob');
});

afterEach(async () => {
  await Promise.all(applications.map(({ application }) => application.close()));
});

abstract class Ledger extends PostgresBatchParticipant<Posting> {
  constructor(index: 0 | 1) {
    super({ connection: databases[index].url, grouped: true, lockTimeoutMs: 500 });
  }

  protected statements({ payload: { account, amount } }: Branch<Posting>): QueryConfig[] {
    return [
      { text: 'UPDATE accounts SET balance = balance + $2 WHERE name = $1', values: [account, amount] },
    ];
  }

  protected vote([updated]: readonly QueryResult[], { payload }: Branch<Posting>): Vote {
    return updated?.rowCount === 1
      ? 'commit'
      : refuse('NO_ACCOUNT', `there is no account ${payload.account}`);
  }
}

@Participant({ name: 'one' })
class One extends Ledger {
  constructor() {
    super(0);
  }
}

@Participant({ name: 'two' })
class Two extends Ledger {
  constructor() {
    super(1);
  }
}

async function start(name: string): Promise<TransactionManager> {
  const connection = databases[0].url;
  const banks = await startBanks({
    left: { connection },
    right: { connection },
    coordinator: { name },
    others: [One, Two],
  });
  applications.push(banks);
  return banks.transactions;
}

/** Moves money from an account in the first database to one in the second. */
function move(transactions: TransactionManager, amount: number, from = 'ann', to = 'ann') {
  return transactions.run({
    branches: [branch('one', { account: from, amount: -amount }), branch('two', { account: to, amount })],
  });
}

async function guardRows(index: 0 | 1): Promise<string[]> {
  const { rows } = await databases[index].query<{ gid: string }>('SELECT gid FROM dtc_branches ORDER BY gid');
  return rows.map(({ gid }) => gid);
}

describe('transactions at two grouped participants', () => {
  it('share prepared transactions when many run at once, and each has the outcome of its own', async () => {
    const transactions = await start('alpha');
    const outcomes = await Promise.all([
      ...Array.from({ length: 20 }, () => move(transactions, 1)),
      move(transactions, 1_000),
      move(transactions, 1, 'ann', 'eve'),
      ...Array.from({ length: 20 }, () => move(transactions, 1, 'bob', 'bob')),
    ]);
    const statuses = outcomes.map(({ status }) => status);
    expect(statuses.filter((status) => status === 'committed')).toHaveLength(40);
    expect(outcomes[20]).toMatchObject({
      status: 'aborted',
      code: 'CONSTRAINT_VIOLATED',
      participant: 'one',
    });
    expect(outcomes[21]).toMatchObject({ status: 'aborted', code: 'NO_ACCOUNT', participant: 'two' });
    for (const [index, balance] of [80, 120].entries()) {
      await expect(balanceOf(databases[index]!, 'ann')).resolves.toBe(balance);
      await expect(balanceOf(databases[index]!, 'bob')).resolves.toBe(balance);
      await expect(databases[index]!.prepared()).resolves.toEqual([]);
    }
    const committed = await databases[0].query("SELECT FROM dtc_branches WHERE state = 'committed'");
    expect(committed.rowCount).toBeLessThan(15);
  });

  it('run as before when no other one runs: a group of one has the ids of its transaction', async () => {
    const transactions = await start('alpha');
    const outcome = await move(transactions, 1);
    await expect(guardRows(0)).resolves.toEqual([`${outcome.transactionId}/one/one`]);
    await expect(guardRows(1)).resolves.toEqual([`${outcome.transactionId}/two/two`]);
  });

  it('run on their own when the group cannot be prepared because of one of them', async () => {
    // It is found only when the transaction is prepared.
    await databases[1].query(`
      CREATE FUNCTION tells() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NEW.name = 'bob' THEN NOTIFY told; END IF; RETURN NEW; END $$;
      CREATE TRIGGER tells BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION tells()`);
    const transactions = await start('alpha');
    const outcomes = await Promise.all([
      move(transactions, 1),
      move(transactions, 1),
      move(transactions, 1, 'bob', 'bob'),
      move(transactions, 1),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['committed', 'committed', 'aborted', 'committed']);
    await expect(balanceOf(databases[0], 'ann')).resolves.toBe(97);
    await expect(balanceOf(databases[1], 'bob')).resolves.toBe(100);
  });

  it('are not refused behind work that was undone, and has another effect when it runs again', async () => {
    // The one that is to be refused waits for the test first, and the one before it keeps the row for so
    // long.
    await databases[0].query(`
      CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$;
      CREATE TRIGGER waits BEFORE UPDATE ON accounts FOR EACH ROW WHEN (NEW.balance < 0) EXECUTE FUNCTION waits()`);
    const [gate, other] = [databases[0].url, databases[0].url].map((url) => new Client(url));
    await Promise.all([gate!.connect(), other!.connect()]);
    try {
      const transactions = await start('alpha');
      await gate!.query('SELECT pg_advisory_lock(7)');
      const started = Promise.all([
        move(transactions, 1, 'bob', 'bob'),
        move(transactions, 100),
        move(transactions, 100),
      ]);
      const waits = (event: string) => async (): Promise<boolean> => {
        const text = `SELECT FROM pg_stat_activity WHERE wait_event = '${event}' AND datname = current_database()`;
        return ((await databases[0].query(text)).rowCount ?? 0) > 0;
      };
      await until('the second member waits', waits('advisory'));
      const deposit = other!.query("UPDATE accounts SET balance = 1000 WHERE name = 'ann' AND balance = 100");
      await until('the other transaction waits for the first', waits('transactionid'));
      await gate!.query('SELECT pg_advisory_unlock(7)');
      // It gets the row before the first member runs again, or on a busy machine only when the group has
      // ended.
      const isBetween = (await deposit).rowCount === 1;
      const last = isBetween ? 'committed' : 'aborted';
      expect((await started).map(({ status }) => status)).toEqual(['committed', 'committed', last]);
      await expect(balanceOf(databases[0], 'ann')).resolves.toBe(isBetween ? 800 : 0);
    } finally {
      await Promise.all([gate!.end(), other!.end()]);
    }
  });

  it('of two coordinators never stop each other, on the same row of both databases', async () => {
    const alpha = await start('alpha');
    const beta = await start('beta');
    const outcomes = await Promise.all(
      Array.from({ length: 60 }, (_, index) => move(index % 2 === 0 ? alpha : beta, 1)),
    );
    // Those that run on their own may wait for each other in two databases, and one of them gives up.
    const committed = outcomes.filter(({ status }) => status === 'committed').length;
    expect(committed).toBeGreaterThan(0);
    for (const outcome of outcomes) {
      if (outcome.status !== 'committed')
        expect(outcome).toMatchObject({ status: 'aborted', code: 'LOCK_TIMEOUT' });
    }
    await expect(balanceOf(databases[0], 'ann')).resolves.toBe(100 - committed);
    await expect(balanceOf(databases[1], 'ann')).resolves.toBe(100 + committed);
    for (const database of databases) await expect(database.prepared()).resolves.toEqual([]);
  });
});

class Interactive extends PostgresParticipant {
  protected work(): Promise<Vote> {
    return Promise.resolve('commit');
  }
}

it('a participant with interactive work is refused the option grouped', () => {
  expect(() => new Interactive({ connection: databases[0].url, grouped: true })).toThrow(InvalidOptionsError);
});
