import { Pool } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { type CoordinatorRun, branch } from '../../src/coordinator/index.js';
import { TurnClock } from '../../src/coordinator/execution/clock.js';
import { createTestCoordinator } from '../../src/coordinator/testing/index.js';
import {
  PostgresParticipant,
  type PostgresPools,
  PostgresResourceManager,
  type PostgresSettings,
  type Work,
} from '../../src/postgres/index.js';
import { CopiableLog } from '../support/copied-log.js';
import { OTHER_LOG_ID, idOf, runOf } from '../support/identity.js';
import { balanceOf } from '../support/postgres/bank.js';
import { usePostgres } from '../support/postgres/bench.js';
import { again, someBranch, until } from '../support/postgres/branches.js';

const bench = usePostgres({ roles: ['guest'], accounts: ['ann'] });

/** A process of its own, as far as the database can tell. */
function manage(settings: PostgresSettings & { connection?: string } = {}): PostgresResourceManager {
  return bench.make({ claimWaitMs: 100, ...settings });
}

/** Starts a process with a log. */
async function start(log: CopiableLog, times = 1): Promise<[PostgresResourceManager, CoordinatorRun]> {
  const run = log.start(times);
  const manager = manage();
  await manager.start(run, log.isOwnRun);
  return [manager, run];
}

let sequence = 0;
function branchOf(run: CoordinatorRun) {
  return someBranch({ transactionId: idOf(run.name, run.epoch, ++sequence, run.logId), run });
}

const takeTen: Work<unknown> = async (client) => {
  await client.query("UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'");
  return 'commit';
};

async function holders(): Promise<number[]> {
  const { rows } = await bench.database.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dtc shop.%'`,
  );
  return rows.map(({ pid }) => pid);
}

const COPIED = { code: 'DTC_LOG_COPIED' };

describe('A copy of a decision log', () => {
  it.each([
    ['was started less often', 0],
    ['was started as often', 1],
    ['was started more often', 5],
  ])('that %s never ends the claim of the coordinator that lives', async (_, starts) => {
    const log = CopiableLog.create();
    log.start();
    const copy = log.copy();
    const [living, run] = await start(log);
    const held = await holders();

    for (let attempt = 0; attempt < 2; attempt++) {
      const second = copy.start(attempt === 0 ? starts : 1);
      const error: unknown = await manage()
        .start(second, copy.isOwnRun)
        .catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'DTC_POSTGRES_COORDINATOR_IN_USE' });
      expect(String(error)).toContain(`SELECT pg_terminate_backend(${held[0]!});`);
    }

    await until('only the first one has it', async () => (await holders()).length === 1);
    expect(await holders()).toEqual(held);
    const done = branchOf(run);
    await expect(living.prepare(done, takeTen)).resolves.toBe('commit');
    await living.commit(again(done));
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });

  it.each([
    ['less often', 0],
    ['as often', 1],
    ['more often', 5],
  ])(
    'that was started %s is refused when the original is down, however often it is tried',
    async (_, starts) => {
      const log = CopiableLog.create();
      log.start();
      const copy = log.copy();
      const [first, run] = await start(log);
      const undecided = branchOf(run);
      await first.prepare(undecided, takeTen);
      await first.close();

      for (let attempt = 0; attempt < 8; attempt++) {
        const run2 = copy.start(attempt === 0 ? starts : 1);
        await expect(manage().start(run2, copy.isOwnRun)).rejects.toMatchObject(COPIED);
      }

      const [next] = await start(log);
      await expect(next.recover()).resolves.toHaveLength(1);
      await next.commit(again(undecided));
      await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
    },
  );

  it('is refused even if nothing is prepared, with the remedy; an empty log is accepted', async () => {
    const log = CopiableLog.create();
    const backup = log.copy();
    const [first] = await start(log, 3);
    await first.close();

    const error: unknown = await manage()
      .start(backup.start(), backup.isOwnRun)
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ ...COPIED, participant: 'bank' });
    expect(String(error)).toMatch(
      /start 3 of the log has worked in it.*Start the coordinator with the latest log/s,
    );

    await expect(start(CopiableLog.create(OTHER_LOG_ID))).resolves.toHaveLength(2);
  });

  it('takes the place of the original if it is accepted first: then the original is refused', async () => {
    const log = CopiableLog.create();
    const [first] = await start(log);
    await first.close();
    const copy = log.copy();
    const [moved] = await start(copy);
    await moved.close();

    await expect(start(log)).rejects.toMatchObject(COPIED);
    await expect(start(log)).rejects.toMatchObject(COPIED);
    await expect(start(copy)).resolves.toHaveLength(2);
  });

  it('is refused because of prepared branches, if the table of the runs was lost', async () => {
    const log = CopiableLog.create();
    const copy = log.copy();
    const [first, run] = await start(log, 2);
    await first.prepare(branchOf(run), takeTen);
    await first.close();
    await bench.database.query('DROP TABLE dtc_runs');

    await expect(manage().start(copy.start(2), copy.isOwnRun)).rejects.toMatchObject(COPIED);
    await expect(start(log)).resolves.toHaveLength(2);
  });

  it('is not accepted while its log cannot be asked', async () => {
    const log = CopiableLog.create();
    const [first] = await start(log);
    await first.close();
    const unasked = () => Promise.reject(new Error('the log does not answer'));

    await expect(manage().start(log.start(), unasked)).rejects.toThrow('the log does not answer');
    await expect(start(log)).resolves.toHaveLength(2);
  });

  it('leaves no session behind when it is refused', async () => {
    const log = CopiableLog.create();
    const copy = log.copy();
    const [first] = await start(log);
    await first.close();
    await expect(start(copy)).rejects.toMatchObject(COPIED);

    await until('its session is gone', async () => (await holders()).length === 0);
  });
});

describe('A log that was started very often', () => {
  it('has its own branches for its own, after more than ten thousand starts', async () => {
    const log = CopiableLog.create();
    const [first, run] = await start(log);
    const decided = branchOf(run);
    await first.prepare(decided, takeTen);
    await first.close();

    const [later] = await start(log, 12_345);
    await expect(later.recover()).resolves.toMatchObject([{ transactionId: decided.transactionId }]);
    await later.commit(again(decided));
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });
});

describe('The table of the runs', () => {
  const run = runOf();

  it('has one row for each log, participant and coordinator, however often they start', async () => {
    const log = CopiableLog.create();
    for (let count = 0; count < 3; count++) await (await start(log))[0].close();
    await (await start(CopiableLog.create(OTHER_LOG_ID)))[0].close();

    const { rows } = await bench.database.query(
      'SELECT coordinator, participant, log_id, epoch::int FROM dtc_runs ORDER BY epoch',
    );
    expect(rows).toEqual([
      { coordinator: 'shop', participant: 'bank', log_id: OTHER_LOG_ID, epoch: 1 },
      { coordinator: 'shop', participant: 'bank', log_id: log.logId, epoch: 3 },
    ]);
  });

  it('is not needed without a durable log', async () => {
    await manage({ createGuardTable: true }).start({ ...run, durable: false });

    const { rows } = await bench.database.query("SELECT to_regclass('dtc_runs') AS found");
    expect(rows).toEqual([{ found: null }]);
  });

  it('stops the start if it is missing and must not be created, with the command that creates it', async () => {
    await manage().start();
    const error: unknown = await manage({ createGuardTable: false })
      .start(run)
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'DTC_POSTGRES_RUN_TABLE' });

    await bench.database.query(/Run this: (.*);/.exec(String(error))![1]!);
    await expect(manage({ createGuardTable: false }).start(run)).resolves.toBeUndefined();
  });

  it('stops the start where the role may not use it, with the command that allows it', async () => {
    await manage().start(runOf({ name: 'other' }));
    await bench.database.query('GRANT SELECT, INSERT, DELETE ON dtc_branches TO guest');
    const asGuest = () => manage({ connection: bench.database.urlBy({ user: 'guest' }) }).start(run);

    const error: unknown = await asGuest().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'DTC_POSTGRES_PRIVILEGES' });

    await bench.database.query(/owner: (.*);/.exec(String(error))![1]!);
    await expect(asGuest()).resolves.toBeUndefined();
  });

  it.each([
    ['another table', 'CREATE TABLE dtc_runs (n int)'],
    ['a table without the key', 'CREATE TABLE dtc_runs (LIKE keyed INCLUDING DEFAULTS)'],
    ['a table that a crash empties', 'CREATE UNLOGGED TABLE dtc_runs (LIKE keyed INCLUDING ALL)'],
  ])('stops the start where it is %s', async (_, sql) => {
    await manage({ runTable: 'keyed' }).start(run);
    await bench.database.query(sql);

    await expect(manage().start(runOf({ name: 'other' }))).rejects.toMatchObject({
      code: 'DTC_POSTGRES_RUN_TABLE',
    });
  });

  it('is in the schema of the guard table, unless it has one of its own', async () => {
    await bench.database.query('CREATE SCHEMA one; CREATE SCHEMA two');
    await manage({ guardTable: 'one.guard' }).start(run);
    await manage({ guardTable: 'one.guard', runTable: 'two.runs' }).start(runOf({ name: 'other' }));

    const { rows } = await bench.database.query<{ tables: string }>(
      `SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY schemaname) AS tables
        FROM pg_tables WHERE schemaname IN ('one', 'two') AND tablename LIKE '%runs'`,
    );
    expect(rows).toEqual([{ tables: 'one.dtc_runs two.runs' }]);
  });
});

describe('Participants that share pools', () => {
  let pools: PostgresPools;

  afterEach(() => Promise.all([pools.work.end(), pools.completion.end()]));

  function share(completion: number): void {
    pools = {
      work: new Pool({ connectionString: bench.database.url, max: 8 }),
      completion: new Pool({ connectionString: bench.database.url, max: completion }),
    };
  }

  class Bank extends PostgresParticipant<string> {
    constructor(readonly called: string) {
      super({ pools, name: called, claimWaitMs: 100 });
    }

    protected async work(client: Parameters<Work<unknown>>[0]) {
      await client.query('INSERT INTO accounts VALUES ($1, 1)', [this.called]);
      return 'commit' as const;
    }
  }

  it('take one connection for all their claims: at the least size of the pool everything completes', async () => {
    share(2);
    const banks = Array.from({ length: 5 }, (_, index) => new Bank(`bank-${index}`));
    const coordinator = createTestCoordinator({
      name: 'shop',
      clock: new TurnClock(),
      participants: Object.fromEntries(banks.map((bank) => [bank.called, bank])),
    });
    const sweeping = setInterval(coordinator.sweep, 10);
    const { run, isOwnRun } = coordinator.runtime.log;
    await Promise.all(banks.map((bank) => bank.claim(run, isOwnRun)));
    await expect(holders()).resolves.toHaveLength(1);

    const outcome = await coordinator.transactions.run({
      branches: banks.map(({ called }) => branch(called, 'x')),
    });

    clearInterval(sweeping);
    expect(outcome.status).toBe('committed');
    await expect(bench.database.prepared()).resolves.toEqual([]);
    // The claims of the others outlast the end of one.
    await banks[0]!.onApplicationShutdown();
    await expect(banks[1]!.recover()).resolves.toEqual([]);
    await expect(holders()).resolves.toHaveLength(1);
    await Promise.all(banks.map((bank) => bank.onApplicationShutdown()));
    await until('the last one has given it back', async () => (await holders()).length === 0);
  });

  it('hold their names each: another process gets none of them', async () => {
    share(2);
    const log = CopiableLog.create();
    const run = log.start();
    const banks = ['bank', 'vault'].map((called) => new Bank(called));
    for (const bank of banks) await bank.claim(run, log.isOwnRun);
    await banks[1]!.onApplicationShutdown();

    await expect(manage().start(runOf({ logId: OTHER_LOG_ID }))).rejects.toMatchObject({
      code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
    });
    await banks[0]!.onApplicationShutdown();
    await expect(manage().start(runOf({ logId: OTHER_LOG_ID }))).resolves.toBeUndefined();
  });

  it('claim their names again when the session that held them is lost', async () => {
    share(2);
    const log = CopiableLog.create();
    const run = log.start();
    const banks = ['bank', 'vault'].map((called) => new Bank(called));
    for (const bank of banks) await bank.claim(run, log.isOwnRun);
    const [lost] = await holders();
    await bench.database.query('SELECT pg_terminate_backend($1, 5000)', [lost]);

    for (const bank of banks) await expect(bank.recover()).resolves.toEqual([]);

    const holding = await holders();
    expect(holding).toHaveLength(1);
    expect(holding).not.toContain(lost);
    for (const called of ['bank', 'vault']) {
      const other = new PostgresResourceManager(called, { connection: bench.database.url, claimWaitMs: 100 });
      bench.closeLater(other);
      await expect(other.start(runOf({ logId: OTHER_LOG_ID }))).rejects.toMatchObject({
        code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
      });
    }
    await Promise.all(banks.map((bank) => bank.onApplicationShutdown()));
  });

  it('of two coordinators need a connection more, and say so at the start', async () => {
    share(2);
    const [one, two] = [new Bank('bank'), new Bank('vault')];
    await one.claim(runOf(), () => Promise.resolve(true));

    await expect(two.claim(runOf({ name: 'shop-2' }), () => Promise.resolve(true))).rejects.toMatchObject({
      code: 'DTC_POSTGRES_POOL_TOO_SMALL',
      message: expect.stringMatching(/has 2 connections and needs 3: 2 for the claims.*max: 3/s) as string,
    });
    await one.onApplicationShutdown();
    await expect(two.claim(runOf({ name: 'shop-2' }), () => Promise.resolve(true))).resolves.toBeUndefined();
    await two.onApplicationShutdown();
  });
});
