import { Pool } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import type { CoordinatorRun } from '../../src/coordinator/index.js';
import { PostgresResourceManager, type Work } from '../../src/postgres/index.js';
import { CopiableLog } from '../support/copied-log.js';
import { LOG_ID, OTHER_LOG_ID, idOf, runOf } from '../support/identity.js';
import { balanceOf } from '../support/postgres/bank.js';
import { usePostgres } from '../support/postgres/bench.js';
import { again, someBranch, until } from '../support/postgres/branches.js';

const bench = usePostgres({ accounts: ['ann'] });

/** A coordinator with a log of its own. */
class Coordinator {
  run!: CoordinatorRun;

  constructor(
    readonly name: string,
    readonly log: CopiableLog,
  ) {
    this.restart();
  }

  restart(): CoordinatorRun {
    this.run = { ...this.log.start(), name: this.name };
    return this.run;
  }

  /** It claims the participant. */
  claim(manager: PostgresResourceManager): Promise<void> {
    return manager.start(this.run, this.log.isOwnRun);
  }
}

const shop = () => new Coordinator('shop', CopiableLog.create(LOG_ID));
const depot = () => new Coordinator('depot', CopiableLog.create(OTHER_LOG_ID));

function manage(): PostgresResourceManager {
  return bench.make({ claimWaitMs: 100 });
}

let sequence = 0;
function branchOf(run: CoordinatorRun) {
  return someBranch({ transactionId: idOf(run.name, run.epoch, ++sequence, run.logId), run });
}

const takeOne: Work<unknown> = async (client) => {
  await client.query("UPDATE accounts SET balance = balance - 1 WHERE name = 'ann'");
  return 'commit';
};

/** The process ids of the sessions that hold the claims, by the runs that hold them. */
async function holders(): Promise<Record<string, number>> {
  const { rows } = await bench.database.query<{ pid: number; application: string }>(
    `SELECT pid, application_name AS application FROM pg_stat_activity
      WHERE datname = current_database() AND application_name LIKE 'dtc %' AND application_name LIKE '%.%.%'`,
  );
  return Object.fromEntries(rows.map(({ pid, application }) => [application.slice('dtc '.length), pid]));
}

const keyOf = ({ name, logId, epoch }: CoordinatorRun): string => `${name}.${logId}.${epoch.toString(36)}`;

async function transact(manager: PostgresResourceManager, { run }: Coordinator): Promise<void> {
  const done = branchOf(run);
  await expect(manager.prepare(done, takeOne)).resolves.toBe('commit');
  await manager.commit(again(done));
}

describe('One participant that the coordinators of two logs have claimed', () => {
  it('works for both at the same time, and neither claim pushes the other out', async () => {
    const [one, two, manager] = [shop(), depot(), manage()];
    await Promise.all([one.claim(manager), two.claim(manager)]);
    const held = await holders();
    expect(Object.keys(held).toSorted()).toEqual([keyOf(two.run), keyOf(one.run)].toSorted());

    for (let round = 0; round < 3; round++) {
      await transact(manager, one);
      await transact(manager, two);
      await manager.recover(one.run);
      await manager.recover(two.run);
    }

    await expect(holders()).resolves.toEqual(held);
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(94);
    await manager.close();
    await until('both are given back', async () => Object.keys(await holders()).length === 0);
  });

  it('lets one of them restart: the other keeps its claim and its branches', async () => {
    const [one, two, manager] = [shop(), depot(), manage()];
    await one.claim(manager);
    await two.claim(manager);
    const [left, kept] = [branchOf(one.run), branchOf(two.run)];
    await manager.prepare(left, async () => 'commit');
    await manager.prepare(kept, async () => 'commit');
    const before = await holders();
    const past = one.run;
    one.restart();
    await one.claim(manager);

    const after = await holders();
    expect(Object.keys(after).toSorted()).toEqual([keyOf(one.run), keyOf(two.run)].toSorted());
    expect(after[keyOf(two.run)]).toBe(before[keyOf(two.run)]);
    const both = [left, kept].map(({ transactionId, branchId }) => ({ transactionId, branchId }));
    for (const { run } of [one, two]) {
      expect(new Set(await manager.recover(run))).toEqual(new Set(both));
    }
    // The run before is fenced, and its late word ends no claim.
    await expect(manager.prepare(branchOf(past), takeOne)).resolves.toMatchObject({ code: 'DTC_LOG_COPIED' });
    await expect(manager.recover(past)).rejects.toMatchObject({ code: 'DTC_LOG_COPIED' });
    await expect(holders()).resolves.toEqual(after);
    await manager.rollback(again(left));
    await manager.commit(again(kept));
    await transact(manager, one);
    await transact(manager, two);
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(98);
  });

  it('refuses to each log what it would refuse if that log were alone: a second process, and a copy', async () => {
    const [one, two, manager] = [shop(), depot(), manage()];
    await one.claim(manager);
    const copy = one.log.copy();
    await two.claim(manager);
    for (const { run, log } of [one, two]) {
      await expect(manage().start(run, log.isOwnRun)).resolves.toBeUndefined();
      const later = { ...log.copy().start(), name: run.name };
      await expect(manage().start(later, log.isOwnRun)).rejects.toMatchObject({
        code: 'DTC_POSTGRES_COORDINATOR_IN_USE',
      });
    }
    one.restart();
    await one.claim(manager);
    const held = await holders();

    for (const starts of [1, 5]) {
      const copied = { ...copy.start(starts), name: 'shop' };
      await expect(manager.start(copied, copy.isOwnRun)).rejects.toMatchObject({ code: 'DTC_LOG_COPIED' });
      await expect(manager.recover(copied)).rejects.toMatchObject({ code: 'DTC_LOG_COPIED' });
    }

    await expect(holders()).resolves.toEqual(held);
    await transact(manager, one);
    await transact(manager, two);
    await expect(manager.recover()).resolves.toEqual([]);
  });

  it('refuses the list to the one whose name another process has, and not to the other', async () => {
    const [one, two, manager] = [shop(), depot(), manage()];
    await one.claim(manager);
    const stranger = manage();
    await new Coordinator('depot', CopiableLog.create('stranger0log')).claim(stranger);
    const inUse = { code: 'DTC_POSTGRES_COORDINATOR_IN_USE' };
    await expect(two.claim(manager)).rejects.toMatchObject(inUse);

    await expect(manager.recover(one.run)).resolves.toEqual([]);
    await expect(manager.recover(two.run)).rejects.toMatchObject(inUse);
    await expect(manager.recover()).rejects.toMatchObject(inUse);
    await stranger.close();
    await expect(manager.recover(two.run)).resolves.toEqual([]);
    await expect(manager.recover()).resolves.toEqual([]);
  });

  it('claims only the lost names again when one of the sessions is lost', async () => {
    const [one, two, manager] = [shop(), depot(), manage()];
    await one.claim(manager);
    await two.claim(manager);
    const before = await holders();
    await bench.database.query('SELECT pg_terminate_backend($1, 5000)', [before[keyOf(one.run)]]);

    await expect(manager.recover()).resolves.toEqual([]);
    const after = await holders();
    expect(after[keyOf(two.run)]).toBe(before[keyOf(two.run)]);
    expect(after[keyOf(one.run)]).not.toBe(before[keyOf(one.run)]);
  });
});

describe('A participant that many runs without a durable log have claimed', () => {
  let pools: { work: Pool; completion: Pool };
  afterEach(async () => {
    await bench.close();
    await Promise.all([pools.work.end(), pools.completion.end()]);
  });

  /** Has connections for two claims. */
  function manageWithFew(): PostgresResourceManager {
    const [work, completion] = [2, 3].map(
      (max) => new Pool({ connectionString: bench.database.url, max }),
    ) as [Pool, Pool];
    pools = { work, completion };
    const manager = new PostgresResourceManager('bank', { pools, claimWaitMs: 100 });
    bench.closeLater(manager);
    return manager;
  }
  const volatile = (number: number) =>
    runOf({ name: 'memory', logId: `volatile000${number}`, durable: false, token: `token ${number}` });

  it('gives back the claim that was used least recently, and not that of a run that works', async () => {
    const manager = manageWithFew();
    for (const number of [1, 2]) await manager.start(volatile(number));
    await expect(manager.prepare(branchOf(volatile(1)), async () => 'read-only')).resolves.toBe('read-only');
    await manager.start(volatile(3));

    await until('two are held', async () => Object.keys(await holders()).length === 2);
    expect(Object.keys(await holders()).toSorted()).toEqual([volatile(1), volatile(3)].map(keyOf).toSorted());
  });

  it('gives the oldest of these claims back when their connections are used up, and no other', async () => {
    const manager = manageWithFew();
    const durable = shop();
    await durable.claim(manager);
    for (let number = 1; number <= 4; number++) {
      await manager.start(volatile(number));
      await until('two are held', async () => Object.keys(await holders()).length === 2);
      expect(Object.keys(await holders()).toSorted()).toEqual(
        [keyOf(volatile(number)), keyOf(durable.run)].toSorted(),
      );
    }
    await expect(manager.prepare(branchOf(volatile(4)), async () => 'read-only')).resolves.toBe('read-only');

    await expect(depot().claim(manager)).resolves.toBeUndefined();
    await expect(manager.start(runOf({ name: 'third', logId: 'third0log000' }))).rejects.toMatchObject({
      code: 'DTC_POSTGRES_POOL_TOO_SMALL',
    });
    await transact(manager, durable);
  });
});

describe('A replica of a host', () => {
  it('prepares branches of a run whose claim it has refused with a question', async () => {
    const [coordinator, first, replica] = [shop(), manage(), manage()];
    await first.start({ ...coordinator.run, isOfHost: true }, coordinator.log.isOwnRun);
    await first.close();
    const next = { ...coordinator.restart(), isOfHost: true } as const;
    const ask = (): Promise<boolean> => Promise.reject(new Error('is it an earlier run?'));
    await expect(replica.start(next, ask)).rejects.toThrow('is it an earlier run?');

    // Another replica has got the answer, and this one gets the branch.
    const branch = branchOf(next);
    await expect(replica.prepare(branch, takeOne)).resolves.toBe('commit');
    await replica.commit(again(branch));
  });
});
