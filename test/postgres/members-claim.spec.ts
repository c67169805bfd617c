import { describe, expect, it } from 'vitest';
import type { CoordinatorRun } from '../../src/coordinator/index.js';
import { PostgresResourceManager, type Work } from '../../src/postgres/index.js';
import { CopiableLog } from '../support/copied-log.js';
import { OTHER_LOG_ID, idOf } from '../support/identity.js';
import { usePostgres } from '../support/postgres/bench.js';
import { again, someBranch } from '../support/postgres/branches.js';

const bench = usePostgres({ accounts: ['ann'] });

/** A process of its own, as far as the database can tell. */
function manage(): PostgresResourceManager {
  return bench.make({ claimWaitMs: 100 });
}

/** A start of one member of a log that several share. */
function memberOf(log: CopiableLog): CoordinatorRun {
  return { ...log.start(), isShared: true };
}

let sequence = 0;
function branchOf(run: CoordinatorRun) {
  return someBranch({ transactionId: idOf(run.name, run.epoch, ++sequence, run.logId), run });
}

const takeOne: Work<unknown> = async (client) => {
  await client.query("UPDATE accounts SET balance = balance - 1 WHERE name = 'ann'");
  return 'commit';
};

async function transact(manager: PostgresResourceManager, run: CoordinatorRun): Promise<void> {
  const done = branchOf(run);
  await expect(manager.prepare(done, takeOne)).resolves.toBe('commit');
  await manager.commit(again(done));
}

async function knownEpoch(): Promise<number> {
  const { rows } = await bench.database.query<{ epoch: string }>('SELECT epoch FROM dtc_runs');
  expect(rows).toHaveLength(1);
  return Number(rows[0]!.epoch);
}

const IN_USE = { code: 'DTC_POSTGRES_COORDINATOR_IN_USE' };
const COPIED = { code: 'DTC_LOG_COPIED' };

describe('The members of one shared log in one database', () => {
  it('work at the same time, in whichever order they start, and the latest start is kept', async () => {
    const log = CopiableLog.create();
    const runs = [memberOf(log), memberOf(log), memberOf(log)] as const;
    const managers = [manage(), manage(), manage()] as const;
    for (const index of [2, 0, 1] as const) await managers[index].start(runs[index], log.isOwnRun);

    for (const index of [0, 1, 2] as const) await transact(managers[index], runs[index]);

    expect(await knownEpoch()).toBe(3);
    // One that leaves ends the claim of no other, and each lists what any of them has prepared.
    const left = branchOf(runs[0]);
    await managers[0].prepare(left, takeOne);
    await managers[0].close();
    expect(await managers[1].recover(runs[1])).toMatchObject([{ transactionId: left.transactionId }]);
    await managers[1].rollback(again(left));
    await transact(managers[2], runs[2]);
  });

  it('take a further run of a process in place of its earlier one', async () => {
    const log = CopiableLog.create();
    const [one, two] = [manage(), manage()];
    const run = memberOf(log);
    await one.start(run, log.isOwnRun);
    await two.start(memberOf(log), log.isOwnRun);

    const next = memberOf(log);
    await one.start(next, log.isOwnRun);

    await transact(one, next);
    await expect(one.prepare(branchOf(run), takeOne)).resolves.toMatchObject(COPIED);
    expect(await knownEpoch()).toBe(next.epoch);
  });

  it.each([
    ['a log of its own', () => CopiableLog.create(OTHER_LOG_ID).start()],
    ['another shared log', () => memberOf(CopiableLog.create(OTHER_LOG_ID))],
    ['a log in memory', () => ({ ...CopiableLog.create(OTHER_LOG_ID).start(), durable: false })],
  ])('keep out a stranger with %s, and are kept out by it', async (_, start) => {
    const log = CopiableLog.create();
    const [member, stranger] = [manage(), manage()];
    const run = memberOf(log);
    const other = start();
    await member.start(run, log.isOwnRun);

    await expect(stranger.start(other, () => Promise.resolve(true))).rejects.toMatchObject(IN_USE);
    await transact(member, run);
    await member.close();
    await stranger.start(other, () => Promise.resolve(true));

    await expect(manage().start(memberOf(log), log.isOwnRun)).rejects.toMatchObject(IN_USE);
    await transact(stranger, other);
  });

  it('are accepted again after a fence: the fenced start is still known', async () => {
    const log = CopiableLog.create();
    await manage().start(memberOf(log), log.isOwnRun);
    const living = memberOf(log);
    const manager = manage();
    await manager.start(living, log.isOwnRun);

    // Its session is lost, and it claims the participant once more, although a later start is kept by now.
    await manage().start(memberOf(log), log.isOwnRun);
    await bench.database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dtc shop.${living.logId}.2'`,
    );

    expect(await manager.recover(living)).toEqual([]);
    await transact(manager, living);
  });
});

describe('A copy of a shared log', () => {
  it('is refused where a start is known of which it does not know, in whatever order they come', async () => {
    const log = CopiableLog.create();
    const first = memberOf(log);
    const copy = log.copy();
    const [original, other] = [manage(), manage()];
    await original.start(first, log.isOwnRun);
    const second = memberOf(log);
    await original.start(second, log.isOwnRun);

    for (let start = 0; start < 2; start++)
      await expect(other.start(memberOf(copy), copy.isOwnRun)).rejects.toMatchObject(COPIED);

    await transact(original, second);
    await manage().start(memberOf(log), log.isOwnRun);
  });

  it('that comes at the same moment as its original is not accepted together with it', async () => {
    for (let round = 0; round < 2; round++) {
      await bench.database.query('DROP TABLE IF EXISTS dtc_runs');
      const log = CopiableLog.create();
      await manage().start(memberOf(log), log.isOwnRun);
      const copy = log.copy();

      const starts = await Promise.allSettled([
        manage().start(memberOf(log), log.isOwnRun),
        manage().start(memberOf(copy), copy.isOwnRun),
      ]);

      expect(starts.filter(({ status }) => status === 'fulfilled').length).toBeLessThanOrEqual(1);
    }
  });
});
