import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Test } from '@nestjs/testing';
import type { Connection, ResultSetHeader } from 'mysql2/promise';
import { describe, expect, it } from 'vitest';
import {
  type Branch,
  type CoordinatorRun,
  CoordinatorModule,
  Participant,
  TransactionManager,
  type Vote,
  branch,
  refuse,
} from '../../../src/coordinator/index.js';
import {
  MariaDbBatchParticipant,
  MariaDbParticipant,
  MariaDbResourceManager,
} from '../../../src/mariadb/index.js';
import { OTHER_LOG_ID, idOf, runOf } from '../../support/identity.js';
import { balanceOf, endOf, gidOf, posting, useMariaDb } from '../../support/mariadb/bench.js';
import { MariaDbServer, hasMariaDb } from '../../support/mariadb/server.js';
import { again, someBranch, until } from '../../support/postgres/branches.js';

const SHORT = { claimWaitMs: 100 };

describe.runIf(hasMariaDb())('A MariaDB participant', () => {
  const bench = useMariaDb();

  it('needs no privilege besides those that the guide grants', async () => {
    const guide = readFileSync(join(import.meta.dirname, '../../../docs/mariadb.md'), 'utf8');
    const [, script = ''] = /^```sql\n(CREATE DATABASE.*?)^```$/ms.exec(guide) ?? [];
    const statements = script.split(';').filter((sql) => sql.trim() !== '');
    expect(statements).toHaveLength(4);
    for (const sql of statements) await bench.database.query(sql);
    const connection = bench.server.database('stock').urlBy({ user: 'shop' }).replace('password', 'secret');
    const run = runOf({ isShared: true });
    const [first, second] = [bench.make({ connection }), bench.make({ connection })];
    await first.start(run);
    const work = async (client: Connection): Promise<Vote> => {
      await client.query("INSERT INTO stock VALUES ('bolt', 5)");
      return 'commit';
    };
    const branch = someBranch({ run });
    expect(await first.prepare(branch, work)).toBe('commit');
    expect(await second.recover()).toHaveLength(1);
    await second.endSessionsOf(run);
    await until('the branch is committed', () =>
      second.commit(again(branch)).then(
        () => true,
        () => false,
      ),
    );
    await second.rollback(someBranch());
    await second.purgeGuardTable();
    expect(await second.capacity()).toMatchObject({ database: 'stock' });
    expect(await bench.server.database('stock').query('SELECT * FROM stock')).toHaveLength(1);
  });

  describe('does not start', () => {
    const refused = (manager: MariaDbResourceManager, run?: CoordinatorRun): Promise<unknown> =>
      manager.start(run).then(
        () => 'started',
        (error: unknown) => error,
      );

    it('without a server, and starts once it is there', async () => {
      const manager = bench.make({
        connection: `mysql://root@127.0.0.1:1/${bench.database.name}`,
      });
      expect(await refused(manager)).toMatchObject({ code: 'DTC_MARIADB_UNREACHABLE' });
    });

    it('without a database in its connection, or with wrong credentials', async () => {
      const [nowhere] = bench.database.url.match(/^.*\//) ?? [];
      expect(await refused(bench.make({ connection: nowhere! }))).toMatchObject({
        code: 'DTC_MARIADB_NO_DATABASE',
      });
      const stranger = bench.make({ connection: bench.database.urlBy({ user: 'stranger' }) });
      expect(await refused(stranger)).toMatchObject({
        code: 'DTC_MARIADB_UNREACHABLE',
        remedy: expect.stringContaining('credentials') as string,
      });
    });

    it.each([
      ['8.0.36', /not MariaDB. MySQL/],
      ['10.4.34-MariaDB', /its version is 10\.4\.34/],
    ])('on a server of the version %s, and says which it needs', async (version, problem) => {
      const server = await MariaDbServer.start({ version });
      try {
        const { url } = await server.createDatabase();
        const error = (await refused(bench.make({ connection: url }))) as Error;
        expect(error).toMatchObject({
          code: 'DTC_MARIADB_VERSION',
          remedy: expect.stringContaining('MariaDB 10.5 or later') as string,
        });
        expect(error.message).toMatch(problem);
      } finally {
        await server.stop();
      }
    });

    it('on a server that accepts no writes', async () => {
      await bench.database.query('SET GLOBAL read_only = ON');
      const answer = await refused(bench.make());
      await bench.database.query('SET GLOBAL read_only = OFF');
      expect(answer).toMatchObject({ code: 'DTC_MARIADB_READ_ONLY' });
    });

    it.each([
      ['another table', 'gid int PRIMARY KEY', ''],
      ['another engine', 'SHAPE', 'ENGINE=MyISAM'],
      ['no unique index', 'KEYLESS', ''],
      ['short ids', 'SHORT', ''],
      ['no default', 'TIMELESS', ''],
      ['ids without case', 'CASELESS', ''],
      ['another primary key', 'SECOND', ''],
    ])('with a guard table of %s, and says how to fix it', async (_what, columns, engine) => {
      const gid = 'gid varchar(129) CHARACTER SET ascii COLLATE ascii_bin NOT NULL';
      const rest = 'state varchar(11), session_mark varchar(64)';
      const time = 'written_at timestamp(3) NOT NULL DEFAULT current_timestamp(3)';
      const shapes: Record<string, string> = {
        SHAPE: `${gid} PRIMARY KEY, ${rest}, ${time}`,
        KEYLESS: `${gid}, ${rest}, ${time}, KEY (gid)`,
        SHORT: `${gid.replace('129', '64')} PRIMARY KEY, ${rest}, ${time}`,
        CASELESS: `${gid.replace('ascii_bin', 'ascii_general_ci')} PRIMARY KEY, ${rest}, ${time}`,
        SECOND: `${gid} UNIQUE, ${rest}, ${time}, PRIMARY KEY (gid, written_at)`,
        TIMELESS: `${gid} PRIMARY KEY, ${rest}, written_at datetime NULL`,
      };
      await bench.database.query(`CREATE TABLE dtc_branches (${shapes[columns] ?? columns}) ${engine}`);
      const manager = bench.make();
      const error = await refused(manager);
      expect(error).toMatchObject({ code: 'DTC_MARIADB_GUARD_TABLE' });
      const [, remedy] = /^Run this: (.*);$/.exec((error as { remedy: string }).remedy) ?? [];
      if (remedy === undefined) return;
      await bench.database.query(remedy);
      expect(await refused(manager)).toBe('started');
    });

    it('without its tables where it must not create them, and says the SQL that does', async () => {
      const manager = bench.make({ createGuardTable: false });
      const error = (await refused(manager)) as { code: string; remedy: string };
      expect(error.code).toBe('DTC_MARIADB_GUARD_TABLE');
      await bench.database.query(/CREATE TABLE[^;]*/.exec(error.remedy)![0]);
      const noRuns = (await refused(manager, runOf())) as { code: string; remedy: string };
      expect(noRuns.code).toBe('DTC_MARIADB_RUN_TABLE');
      for (const [sql] of noRuns.remedy.matchAll(/CREATE TABLE[^;]*/g)) await bench.database.query(sql);
      expect(await refused(manager, runOf())).toBe('started');
    });

    it.each([
      ['dtc_runs', 'MODIFY coordinator varchar(64) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL'],
      ['dtc_runs_live', 'MODIFY session_mark varchar(64) CHARACTER SET latin1 NOT NULL'],
      ['dtc_runs', 'ENGINE=MyISAM'],
      ['dtc_runs_live', 'DROP PRIMARY KEY'],
    ])(
      'with a table of the runs in which names can be mixed up, and says how to fix it: %s %s',
      async (table, change) => {
        await (await bench.start()).start(runOf());
        await bench.close();
        await bench.database.query(`ALTER TABLE ${table} ${change}`);
        const error = await refused(bench.make(), runOf());
        expect(error).toMatchObject({ code: 'DTC_MARIADB_RUN_TABLE' });
        await bench.database.query(/^Run this: (.*);$/.exec((error as { remedy: string }).remedy)![1]!);
        expect(await refused(bench.make(), runOf())).toBe('started');
      },
    );

    it('when the guard table cannot be written for another reason, which it tells', async () => {
      await bench.start();
      await bench.close();
      await bench.database.query(
        "CREATE TRIGGER closed BEFORE INSERT ON dtc_branches FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'closed today'",
      );
      expect(await refused(bench.make())).toMatchObject({
        code: 'DTC_MARIADB_GUARD_TABLE',
        message: expect.stringContaining('closed today (1644)') as string,
      });
    });

    it('when a table of the runs cannot be read for another reason, which it tells', async () => {
      await bench.database.query('CREATE TABLE gone (coordinator int)');
      await bench.database.query('CREATE VIEW dtc_runs AS SELECT * FROM gone');
      await bench.database.query('DROP TABLE gone');
      expect(await refused(bench.make(), runOf())).toMatchObject({
        code: 'DTC_MARIADB_RUN_TABLE',
        message: expect.stringContaining('(1356)') as string,
      });
    });

    it('when its user may not use a table of the library', async () => {
      await bench.start();
      const name = `clerk_${bench.database.name}`;
      await bench.server.createUser(name, `SELECT ON ${bench.database.name}.*`);
      const connection = bench.database.urlBy({ user: name });
      const forbidden = (await refused(bench.make({ connection }))) as { code: string; remedy: string };
      expect(forbidden.code).toBe('DTC_MARIADB_PRIVILEGES');
      await bench.database.query(/GRANT[^;]*/.exec(forbidden.remedy)![0]);
      const allowed = bench.make({ connection });
      expect(await refused(allowed)).toBe('started');
      const noRuns = (await refused(allowed, runOf())) as { code: string; remedy: string };
      expect(noRuns.code).toBe('DTC_MARIADB_RUN_TABLE');
      for (const [sql] of noRuns.remedy.matchAll(/(?:CREATE TABLE|GRANT)[^;]*/g))
        await bench.database.query(sql);
      expect(await refused(allowed, runOf())).toBe('started');
    });

    it('never for the characters in the name of its database', async () => {
      await bench.database.query('CREATE DATABASE `my.d``b`');
      const { url } = bench.server.database(encodeURIComponent('my.d`b'));
      expect(await refused(bench.make({ connection: url }), runOf())).toBe('started');
    });

    it('with impossible options', () => {
      for (const options of [
        { lockTimeoutSeconds: 0 },
        { guardTable: 'a;b' },
        { connection: '' },
        { pools: 1 },
      ]) {
        expect(() => bench.make(options as never)).toThrow(/the MariaDB participant "bank"/);
      }
    });
  });

  describe('is claimed', () => {
    const knows =
      (...epochs: number[]) =>
      (epoch: number): Promise<boolean> =>
        Promise.resolve(epochs.includes(epoch));
    const codeOf = (call: Promise<void>): Promise<string> =>
      call.then(
        () => 'in',
        ({ code }: { code: string }) => code,
      );

    it('by one process for each name, and by the next one when that has ended', async () => {
      const [first, second] = [await bench.start(SHORT), await bench.start(SHORT)];
      await first.start(runOf());
      expect(await codeOf(second.start(runOf({ epoch: 2 }), knows(1, 2)))).toBe(
        'DTC_MARIADB_COORDINATOR_IN_USE',
      );
      await second.start(runOf({ name: 'office' }));
      await first.close();
      await second.start(runOf({ epoch: 2 }), knows(1, 2));
      expect(await codeOf(second.start(runOf(), knows(1, 2)))).toBe('DTC_LOG_COPIED');
    });

    it('again after the loss of its session, and not by another run meanwhile', async () => {
      const manager = await bench.start(SHORT);
      await manager.start(runOf());
      const [held] = await bench.database.query<{ session_mark: string }>(
        'SELECT session_mark FROM dtc_runs_live',
      );
      await bench.database.query('KILL CONNECTION IS_USED_LOCK(?)', [held!.session_mark]);
      const branchOfRun = someBranch();
      await expect
        .poll(() =>
          manager.recover().then(() => bench.database.query('SELECT session_mark FROM dtc_runs_live')),
        )
        .not.toContainEqual(held);
      expect(await manager.prepare(branchOfRun, posting('ann', -1))).toBe('commit');
      const other = await bench.start(SHORT);
      expect(await codeOf(other.start(runOf({ epoch: 2 }), knows(1)))).toBe('DTC_MARIADB_COORDINATOR_IN_USE');
    });

    it('not by a copy of its log, or an older state of it', async () => {
      const first = await bench.start(SHORT);
      await first.start(runOf({ epoch: 2 }));
      await first.close();
      const later = await bench.start(SHORT);
      expect(await codeOf(later.start(runOf({ epoch: 1 }), knows(1)))).toBe('DTC_LOG_COPIED');
      expect(await codeOf(later.start(runOf({ epoch: 2, token: 'of the copy' }), knows(1)))).toBe(
        'DTC_LOG_COPIED',
      );
      expect(await codeOf(later.start(runOf({ epoch: 3 }), knows(1)))).toBe('DTC_LOG_COPIED');
      expect(await codeOf(later.start(runOf({ epoch: 3 }), knows(1, 2)))).toBe('in');
    });

    it('not under another log while branches are prepared under the name', async () => {
      const manager = await bench.start(SHORT);
      const prepared = someBranch();
      await manager.prepare(prepared, posting('ann', -1));
      await manager.close();
      const other = await bench.start(SHORT);
      const run = runOf({ logId: OTHER_LOG_ID });
      expect(await codeOf(other.start(run))).toBe('DTC_MARIADB_OTHER_LOG');
      const strange = someBranch({ transactionId: idOf('shop', 1, 7, OTHER_LOG_ID), run });
      expect(await other.prepare(strange, posting('ann', -1))).toMatchObject({
        code: 'DTC_MARIADB_OTHER_LOG',
      });
      await expect(other.recover(run)).rejects.toMatchObject({ code: 'DTC_MARIADB_OTHER_LOG' });
    });

    it('by the members of one shared log together, and by no one else beside them', async () => {
      const [first, second, third] = [
        await bench.start(SHORT),
        await bench.start(SHORT),
        await bench.start(SHORT),
      ];
      await first.start(runOf({ epoch: 1, isShared: true }), knows(1, 2));
      await second.start(runOf({ epoch: 2, isShared: true }), knows(1, 2));
      expect(await codeOf(third.start(runOf({ epoch: 3 }), knows(1, 2)))).toBe(
        'DTC_MARIADB_COORDINATOR_IN_USE',
      );
      expect(await codeOf(third.start(runOf({ logId: OTHER_LOG_ID, isShared: true })))).toBe(
        'DTC_MARIADB_COORDINATOR_IN_USE',
      );
    });

    it('by coordinators without a durable log together', async () => {
      const [first, second] = [await bench.start(SHORT), await bench.start(SHORT)];
      await first.start(runOf({ durable: false }));
      await second.start(runOf({ durable: false, logId: OTHER_LOG_ID }));
      const third = await bench.start(SHORT);
      expect(await codeOf(third.start(runOf({ epoch: 2 })))).toBe('DTC_MARIADB_COORDINATOR_IN_USE');
    });
  });

  it('deletes old rows of the guard table that were visible an interval ago, and no others', async () => {
    const manager = await bench.start({ retainBranchesMs: 1, purgeIntervalMs: 500 });
    const isUnsettled = new Set<string>();
    const run = { ...runOf(), isUnsettled: (id: string) => isUnsettled.has(id) };
    const [done, needed, open] = [someBranch({ run }), someBranch({ run }), someBranch({ run })];
    isUnsettled.add(needed.transactionId);
    for (const one of [done, needed, open]) await manager.prepare(one, () => Promise.resolve('commit'));
    for (const one of [done, needed]) await manager.commit({ ...again(one), run });
    await expect.poll(() => endOf(bench.database, gidOf(done))).toBeUndefined();
    // It was prepared for longer than the interval when it became visible.
    await manager.commit({ ...again(open), run });
    expect(await endOf(bench.database, gidOf(open))).toBe('committed');
    expect(await endOf(bench.database, gidOf(needed))).toBe('committed');
    await expect.poll(() => endOf(bench.database, gidOf(open))).toBeUndefined();
  });

  it('reports the capacity of its server', async () => {
    const manager = await bench.start({ workConnections: 3, completionConnections: 2 });
    await manager.prepare(someBranch(), posting('ann', -1));
    const capacity = await manager.capacity();
    expect(capacity).toMatchObject({
      database: bench.database.name,
      preparedTransactionsInUse: 1,
      connections: 151,
      workConnections: 3,
      ownConnections: 6,
    });
    expect(capacity.connectionsInUse).toBeGreaterThan(1);
  });

  it('works in an application: found, committed, refused, and closed without a trace', async () => {
    interface Posting {
      readonly account: string;
      readonly amount: number;
    }
    const { url } = bench.database;
    @Participant({ name: 'left' })
    class Left extends MariaDbParticipant<Posting> {
      constructor() {
        super({ connection: url });
      }
      protected work(connection: Connection, { payload }: Branch<Posting>): Promise<Vote> {
        return posting(payload.account, payload.amount)(connection);
      }
    }
    @Participant({ name: 'right' })
    class Right extends MariaDbBatchParticipant<Posting> {
      constructor() {
        super({ connection: url });
      }
      protected statements({ payload }: Branch<Posting>) {
        return [
          {
            sql: 'UPDATE accounts SET balance = balance + ? WHERE name = ?',
            values: [payload.amount, payload.account],
          },
        ];
      }
      protected vote([updated]: readonly unknown[]): Vote {
        return (updated as ResultSetHeader).affectedRows === 1 ? 'commit' : refuse('NO_ACCOUNT', 'unknown');
      }
    }
    const application = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot({ allowMemoryLog: true })],
      providers: [Left, Right],
    }).compile();
    await application.init();
    const transactions = application.get(TransactionManager);
    const move = (from: string, to: string) =>
      transactions.run({
        branches: [branch(Left, { account: from, amount: -10 }), branch(Right, { account: to, amount: 10 })],
      });
    expect(await move('ann', 'bob')).toMatchObject({ status: 'committed' });
    expect(await move('ann', 'nobody')).toMatchObject({ status: 'aborted', code: 'NO_ACCOUNT' });
    const alone = await transactions.run({ branches: [branch(Left, { account: 'bob', amount: 1 })] });
    expect(alone).toMatchObject({ status: 'committed' });
    expect([await balanceOf(bench.database, 'ann'), await balanceOf(bench.database, 'bob')]).toEqual([
      90, 111,
    ]);
    await application.close();
    expect(await bench.server.prepared()).toEqual([]);
    await expect
      .poll(() => bench.database.query("SELECT id FROM information_schema.processlist WHERE user = 'root'"))
      .toHaveLength(1);
  });
});
