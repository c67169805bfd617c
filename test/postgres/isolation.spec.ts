import { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresResourceManager, type PostgresSettings } from '../../src/postgres/index.js';
import { openAccounts } from '../support/postgres/bank.js';
import { again, someBranch, until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';
import { FORMS, type Form, commitSteps, openSteps } from '../support/postgres/steps.js';

type Level = NonNullable<PostgresSettings['isolation']>;
const LEVELS = ['read committed', 'repeatable read', 'serializable'] as const satisfies Level[];

let server: PostgresServer;
let database: TestDatabase;
/** The sessions of one serve all tests of a level. */
let managers: Record<Level, PostgresResourceManager>;

beforeAll(async () => {
  server = await PostgresServer.start();
  database = await server.createDatabase();
  await openAccounts(database, 'ann', 'bob');
  const made = LEVELS.map((level) => [level, manage({ isolation: level })] as const);
  managers = Object.fromEntries(made) as typeof managers;
  for (const manager of Object.values(managers)) await manager.start();
});

afterAll(async () => {
  for (const manager of Object.values(managers)) await manager.close();
  await server.stop();
});

beforeEach(() => database.query('UPDATE accounts SET balance = 100; DELETE FROM dtc_branches'));

afterEach(async () => {
  await expect(database.prepared()).resolves.toEqual([]);
});

function manage(settings: PostgresSettings = {}): PostgresResourceManager {
  // What waits for a lock here is let go by the test.
  return new PostgresResourceManager('bank', {
    connection: database.url,
    lockTimeoutMs: 5_000,
    ...settings,
  });
}

const READ = 'SELECT name, balance FROM accounts ORDER BY name';
const LOCK = `${READ} FOR UPDATE`;
const EARN = "UPDATE accounts SET balance = balance + 20 WHERE name = 'bob'";
const spend = (name: string): string => `UPDATE accounts SET balance = balance - 60 WHERE name = '${name}'`;

const accounts = (ann: number, bob: number): object[] => [
  { name: 'ann', balance: ann },
  { name: 'bob', balance: bob },
];

async function balances(): Promise<object[]> {
  return (await database.query(READ)).rows;
}

const batchOf = (statements: readonly string[], vote: Vote) => ({
  statements: statements.map((text) => ({ text })),
  vote: (): Vote => vote,
});

/** 40001, in the form in which the coordinator tries the transaction again. */
const CONFLICT = { vote: 'abort', code: 'SERIALIZATION_FAILURE', conflict: true };

/** What a read-only vote is answered with: in one phase there is nothing else to say than that it is done. */
const readOnly = (form: Form): string => (form === 'prepare' ? 'read-only' : 'commit');

describe.each(FORMS)('reading one row twice in a branch that ends with %s', (form) => {
  it.each<[Level, number]>([
    ['read committed', 120],
    ['repeatable read', 100],
    ['serializable', 100],
  ])('under %s is %d after another commit', async (level, second) => {
    const manager = managers[level];
    for (const vote of ['commit', 'read-only'] as const) {
      await database.query('UPDATE accounts SET balance = 100');
      const steps = await openSteps(manager, form);
      await expect(steps.run(READ)).resolves.toEqual(accounts(100, 100));
      await database.query(EARN);
      await expect(steps.run(READ)).resolves.toEqual(accounts(100, second));
      await expect(steps.vote(vote)).resolves.toBe(vote === 'commit' ? vote : readOnly(form));
      if (vote === 'commit' && form === 'prepare') await manager.commit(again(steps.branch));
    }
  });
});

describe.each(FORMS)(
  'two branches of which each writes the row that the other has read, and that end with %s',
  (form) => {
    it.each(['read committed', 'repeatable read'] as const)('both commit under %s', async (level) => {
      const manager = managers[level];
      const [one, other] = [await openSteps(manager, form), await openSteps(manager, form)];
      for (const { run } of [one, other]) await run(READ);
      await one.run(spend('ann'));
      await other.run(spend('bob'));
      await expect(commitSteps(manager, one)).resolves.toBe('commit');
      await expect(commitSteps(manager, other)).resolves.toBe('commit');
      await expect(balances()).resolves.toEqual(accounts(40, 40));
    });

    it('are a commit and a conflict under serializable', async () => {
      const manager = managers.serializable;
      const [one, other] = [await openSteps(manager, form), await openSteps(manager, form)];
      for (const { run } of [one, other]) await run(READ);
      await one.run(spend('ann'));
      await other.run(spend('bob'));
      await expect(commitSteps(manager, one)).resolves.toBe('commit');
      await expect(commitSteps(manager, other)).resolves.toMatchObject(CONFLICT);
      await expect(balances()).resolves.toEqual(accounts(40, 100));
    });

    it('are a commit of the one that is prepared, however late, and conflicts of the others', async () => {
      const manager = managers.serializable;
      const [prepared, other] = [await openSteps(manager), await openSteps(manager, form)];
      for (const { run } of [prepared, other]) await run(READ);
      await prepared.run(spend('ann'));
      await expect(prepared.vote('commit')).resolves.toBe('commit');

      await other.run(spend('bob'));
      await expect(commitSteps(manager, other)).resolves.toMatchObject(CONFLICT);
      const late = await openSteps(manager, form);
      await late.run(READ);
      await late.run(spend('bob'));
      await expect(commitSteps(manager, late)).resolves.toMatchObject(CONFLICT);

      await manager.commit(again(prepared.branch));
      await expect(balances()).resolves.toEqual(accounts(40, 100));
    });
  },
);

describe('a batch that writes the rows that a prepared branch has read, and reads the rows that it has written', () => {
  it.each(LEVELS)('is a conflict under serializable alone: %s', async (level) => {
    const manager = managers[level];
    const prepared = await openSteps(manager);
    await prepared.run(READ);
    await prepared.run(spend('ann'));
    await prepared.vote('commit');

    const branch = someBranch();
    const vote = await manager.prepareBatch(branch, batchOf([READ, spend('bob')], 'commit'));
    if (level === 'serializable') expect(vote).toMatchObject(CONFLICT);
    else await manager.commit(again(branch));

    await manager.commit(again(prepared.branch));
    await expect(balances()).resolves.toEqual(accounts(40, level === 'serializable' ? 100 : 40));
  });
});

/**
 * The reader sees what another transaction has committed, and does not see what the writer commits later,
 * which has not seen that other transaction. No order of the three gives this.
 *
 * Source: Fekete, O'Neil, O'Neil, "A read-only transaction anomaly under snapshot isolation", SIGMOD Record
 * 33 (2004).
 */
describe.each(FORMS)('a read-only vote between two writers, with %s', (form) => {
  async function earn(manager: PostgresResourceManager): Promise<void> {
    const steps = await openSteps(manager);
    await steps.run(EARN);
    await expect(commitSteps(manager, steps)).resolves.toBe('commit');
  }

  it.each(['read committed', 'repeatable read'] as const)(
    'may have read values that no serial order gives: %s',
    async (level) => {
      const manager = managers[level];
      const writer = await openSteps(manager, form);
      await writer.run(READ);
      await earn(manager);
      const reader = await openSteps(manager, form);
      await expect(reader.run(READ)).resolves.toEqual(accounts(100, 120));
      await expect(reader.vote('read-only')).resolves.toBe(readOnly(form));
      await writer.run(spend('ann'));
      await expect(commitSteps(manager, writer)).resolves.toBe('commit');
    },
  );

  it('counts under serializable: the writer, which comes later, is a conflict', async () => {
    const manager = managers.serializable;
    const writer = await openSteps(manager, form);
    await writer.run(READ);
    await earn(manager);
    const reader = await openSteps(manager, form);
    await expect(reader.run(READ)).resolves.toEqual(accounts(100, 120));
    // What it has written is undone, and what it has read is checked nevertheless.
    await reader.run("INSERT INTO accounts VALUES ('cid', 0)");
    await expect(reader.vote('read-only')).resolves.toBe(readOnly(form));

    await writer.run(spend('ann'));
    await expect(commitSteps(manager, writer)).resolves.toMatchObject(CONFLICT);
    await expect(balances()).resolves.toEqual(accounts(100, 120));
  });

  it('is a conflict under serializable where the writer is prepared', async () => {
    const manager = managers.serializable;
    const writer = await openSteps(manager);
    await writer.run(READ);
    await earn(manager);
    await writer.run(spend('ann'));
    await expect(writer.vote('commit')).resolves.toBe('commit');

    const reader = await openSteps(manager, form);
    await reader.run(READ);
    await expect(reader.vote('read-only')).resolves.toMatchObject(CONFLICT);
    const batch = batchOf([READ], 'read-only');
    await expect(manager.prepareBatch(someBranch(), batch)).resolves.toMatchObject(CONFLICT);

    await manager.commit(again(writer.branch));
    await expect(balances()).resolves.toEqual(accounts(40, 120));
  });

  it.each(['a refusal', 'a batch'])('is the only one that counts: not so %s', async (what) => {
    const manager = managers.serializable;
    const writer = await openSteps(manager, form);
    await writer.run(READ);
    await earn(manager);
    if (what === 'a batch') {
      const batch = batchOf([READ], 'read-only');
      await expect(manager.prepareBatch(someBranch(), batch)).resolves.toBe('read-only');
    } else {
      const reader = await openSteps(manager, form);
      await reader.run(READ);
      await expect(reader.vote(refuse('NO', 'no'))).resolves.toMatchObject({ code: 'NO' });
    }
    await writer.run(spend('ann'));
    await expect(commitSteps(manager, writer)).resolves.toBe('commit');
  });
});

describe('a row that was changed after the first statement of a branch', () => {
  it.each(FORMS)('is a conflict but under read committed: %s', async (form) => {
    for (const level of LEVELS) {
      const manager = managers[level];
      const steps = await openSteps(manager, form);
      await steps.run(READ);
      await database.query(EARN);
      await steps.run(spend('bob'));
      const answer = await commitSteps(manager, steps);
      if (level === 'read committed') expect(answer).toBe('commit');
      else expect(answer).toMatchObject(CONFLICT);
    }
  });

  it.each(LEVELS)('is a conflict but under read committed: a batch, %s', async (level) => {
    const manager = managers[level];
    const holder = await openSteps(manager);
    await holder.run(EARN);
    const branch = someBranch();
    const answer = manager.prepareBatch(branch, batchOf([READ, spend('bob')], 'commit'));
    await until('the batch waits for the row', async () => {
      const { rowCount } = await database.query(`
        SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()`);
      return rowCount === 1;
    });
    await expect(commitSteps(manager, holder)).resolves.toBe('commit');
    if (level !== 'read committed') return expect(await answer).toMatchObject(CONFLICT);
    await expect(answer).resolves.toBe('commit');
    return manager.commit(again(branch));
  });
});

/** The ways in which a branch ends without keeping anything, and what it answers. */
const WITHOUT_EFFECT: readonly (readonly [string, Form | 'batch', Vote, unknown])[] = [
  ['a read-only vote', 'prepare', 'read-only', 'read-only'],
  ['a read-only vote in one phase', 'one phase', 'read-only', 'commit'],
  ['a read-only vote of a batch', 'batch', 'read-only', 'read-only'],
  ['a refusal', 'prepare', refuse('NO', 'no'), expect.objectContaining({ code: 'NO' })],
  ['a refusal in one phase', 'one phase', refuse('NO', 'no'), expect.objectContaining({ code: 'NO' })],
  ['a refusal of a batch', 'batch', refuse('NO', 'no'), expect.objectContaining({ code: 'NO' })],
];

async function end(
  manager: PostgresResourceManager,
  form: Form | 'batch',
  statements: readonly string[],
  vote: Vote,
): Promise<unknown> {
  if (form === 'batch') return manager.prepareBatch(someBranch(), batchOf(statements, vote));
  const steps = await openSteps(manager, form);
  for (const sql of statements) await steps.run(sql);
  return steps.vote(vote);
}

describe.each(LEVELS)('work that has written, and ends without effect, %s', (level) => {
  it.each(WITHOUT_EFFECT)('leaves nothing, and no lock: %s', async (_what, form, vote, answer) => {
    await expect(end(managers[level], form, [spend('ann'), LOCK], vote)).resolves.toEqual(answer);

    const { rows } = await database.query(`${LOCK} NOWAIT`);
    expect(rows).toEqual(accounts(100, 100));
    await expect(database.query('SELECT FROM dtc_branches')).resolves.toMatchObject({ rowCount: 0 });
  });

  it.each([
    ['SAVEPOINT dtc_start', spend('bob')],
    ['SAVEPOINT dtc_start', 'RELEASE dtc_start'],
    ['SAVEPOINT dtc_start', 'ROLLBACK TO dtc_start'],
    ['SAVEPOINT s', 'SAVEPOINT s', 'RELEASE s'],
  ])('leaves nothing whichever savepoints it has set: %s, %s', async (...statements) => {
    for (const form of FORMS) {
      const answer = end(managers[level], form, [spend('ann'), ...statements], 'read-only');
      await expect(answer).resolves.toBe(readOnly(form));
      await expect(balances()).resolves.toEqual(accounts(100, 100));
    }
  });
});

describe.each(LEVELS)('the locks of a branch, %s', (level) => {
  it('last from its vote of commit to its commit', async () => {
    const manager = managers[level];
    const steps = await openSteps(manager);
    await steps.run(LOCK);
    await steps.vote('commit');
    await expect(database.query(`${LOCK} NOWAIT`)).rejects.toMatchObject({ code: '55P03' });
    await manager.commit(again(steps.branch));
    await expect(database.query(`${LOCK} NOWAIT`)).resolves.toMatchObject({ rowCount: 2 });
  });
});

describe.each(LEVELS)('work that ends its transaction, writes, and has a statement fail, %s', (level) => {
  it.each(['read-only', 'commit', refuse('NO', 'no'), new Error('no')])(
    'is no vote and no refusal, as it may have committed something: %o',
    async (vote) => {
      for (const form of FORMS) {
        const steps = await openSteps(managers[level], form);
        for (const sql of [
          '/* hidden */ ROLLBACK',
          'SET default_transaction_read_only = off',
          spend('ann'),
          '/* hidden */ BEGIN READ WRITE',
        ]) {
          await steps.run(sql);
        }
        await steps.client.query('SELECT 1 / 0').catch(() => undefined);
        const answer = vote instanceof Error ? steps.fail(vote) : steps.vote(vote as Vote);
        await expect(answer).rejects.toMatchObject({ code: 'DTC_POSTGRES_TRANSACTION_ENDED' });
      }
    },
  );
});

const MODE = `SELECT current_setting('transaction_isolation') AS level, current_setting('transaction_read_only') AS "readOnly",
  current_setting('transaction_deferrable') AS "isDeferrable", current_setting('search_path') AS path`;

async function modeOf(manager: PostgresResourceManager): Promise<unknown> {
  const steps = await openSteps(manager);
  const [mode] = await steps.run(MODE);
  await steps.vote('read-only');
  return mode;
}

describe.each(LEVELS)('the mode of a transaction, %s', (level) => {
  const ENDINGS = [
    ...WITHOUT_EFFECT,
    ['a commit', 'prepare', 'commit', 'commit'],
    ['a commit in one phase', 'one phase', 'commit', 'commit'],
    ['a commit of a batch', 'batch', 'commit', 'commit'],
  ] as const;

  it.each(ENDINGS)('is its own, and not the next ones: %s', async (_what, form, vote, answer) => {
    const manager = new PostgresResourceManager('bank', {
      connection: database.url,
      isolation: level,
      workConnections: 1,
    });
    const usual = { level, readOnly: 'off', isDeferrable: 'off', path: '"$user", public' };
    await expect(modeOf(manager)).resolves.toEqual(usual);
    for (const sql of [
      'SET TRANSACTION READ ONLY',
      `SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY, DEFERRABLE`,
      `SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE`,
      'SET search_path = pg_temp',
      "SELECT set_config('default_transaction_isolation', 'repeatable read', false)",
    ]) {
      await expect(end(manager, form, [sql], vote)).resolves.toEqual(answer);
      await expect(modeOf(manager)).resolves.toEqual(usual);
    }
    for (const gid of await database.prepared()) await database.query(`ROLLBACK PREPARED '${gid}'`);
    await manager.close();
  });

  it.each(['ISOLATION LEVEL READ COMMITTED', 'ISOLATION LEVEL SERIALIZABLE', 'DEFERRABLE'])(
    'is not to be changed by the work: %s',
    async (mode) => {
      const manager = managers[level];
      const steps = await openSteps(manager);
      await steps.run(READ);
      await steps.run(`SET TRANSACTION ${mode}`);
      if (mode.endsWith(level.toUpperCase())) return expect(await steps.vote('read-only')).toBe('read-only');
      await expect(steps.vote('read-only')).rejects.toMatchObject({ code: '25001' });
      return expect(await modeOf(manager)).toMatchObject({ level });
    },
  );

  it('is that of the participant, whatever a hook of a pool sets', async () => {
    for (const other of LEVELS) {
      const pools = {
        work: new Pool({ connectionString: database.url, max: 1 }),
        completion: new Pool({ connectionString: database.url, max: 3 }),
      };
      const set = `SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL ${other}, READ ONLY`;
      pools.work.on('connect', (client) => void client.query(set));
      const manager = new PostgresResourceManager('bank', { pools, isolation: level });
      for (let turn = 0; turn < 2; turn++) {
        await expect(modeOf(manager)).resolves.toMatchObject({ level, readOnly: 'off' });
        const branch = someBranch();
        await expect(manager.prepareBatch(branch, batchOf([EARN], 'commit'))).resolves.toBe('commit');
        await manager.commit(again(branch));
      }
      await manager.close();
      await Promise.all([pools.work.end(), pools.completion.end()]);
    }
  });
});
