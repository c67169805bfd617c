import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestApplicationContext } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  MemoryReplicaGuardStore,
  type ReplicaGuardStore,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import { PostgresGuardStore, type PostgresParticipantOptions } from '../../src/postgres/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { Books, ledgerOf } from '../remote/support/ledger.js';
import { HttpProxy } from '../remote/support/http-proxy.js';
import { type Host, startCoordinator, startHost } from '../remote/support/services.js';
import { LOG_ID, idOf } from '../support/identity.js';
import { LeftBank, RightBank, balanceOf, openAccounts } from '../support/postgres/bank.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

let server: PostgresServer;
let left: TestDatabase;
let right: TestDatabase;
beforeAll(async () => {
  server = await PostgresServer.start();
  [left, right] = [await server.createDatabase(), await server.createDatabase()];
  await openAccounts(left, 'ann');
  await openAccounts(right, 'ann');
});
afterAll(() => server.stop());

const VOTED = { state: 'voted', vote: 'commit' } as const;
const OVER = { state: 'rolled-back' } as const;

describe.each(['memory', 'PostgreSQL'])('A store for the guard of a host, in %s', (kind) => {
  let store: ReplicaGuardStore;
  /** The store of another replica. */
  let other: ReplicaGuardStore;
  let last = 0;
  beforeAll(() => {
    if (kind === 'memory') store = other = new MemoryReplicaGuardStore();
    else
      [store, other] = [1, 2].map(() => new PostgresGuardStore({ connection: left.url, schema: 'host' })) as [
        PostgresGuardStore,
        PostgresGuardStore,
      ];
  });
  afterAll(() => Promise.all([store.close?.(), other.close?.()]));

  const some = (participant = 'stock') => ({
    participant,
    transactionId: idOf('shop', 1, ++last),
    branchId: 'b',
  });

  it('lets one of many writers win, and tells the others what is stored', async () => {
    const place = some();
    const inserts = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 === 0 ? store : other).insert(place, { state: 'preparing', by: `${index}` }, 60_000, true),
      ),
    );
    const won = inserts.filter(({ isWritten }) => isWritten);
    expect(won).toHaveLength(1);
    const { stored } = inserts.find(({ isWritten }) => !isWritten) as {
      stored: { version: number; isHeld: boolean };
    };
    expect(stored).toMatchObject({ isHeld: true, record: { state: 'preparing' } });
    const replaced = await Promise.all(
      [store, other, store].map((one) => one.replace(place, stored.version, VOTED, 0)),
    );
    expect(replaced.filter(({ isWritten }) => isWritten)).toHaveLength(1);
    expect(await other.read(place)).toMatchObject({ record: VOTED, isHeld: false });
    expect(await store.read(some())).toBeUndefined();
  });

  it('lists what may be open, in order and in pages, but not what is held', async () => {
    const places = [some('books'), some('books'), some('books'), some('books')];
    const [open, held, over, voted] = places as [
      (typeof places)[0],
      (typeof places)[0],
      (typeof places)[0],
      (typeof places)[0],
    ];
    await store.insert(open, { state: 'failed', message: 'it broke' }, 0, true);
    await store.insert(held, { state: 'preparing' }, 60_000, true);
    await store.insert(over, OVER, 0, true);
    await store.insert(voted, VOTED, 0, true);
    expect(await other.listOpen('books', undefined, 10)).toEqual([open, voted]);
    expect(await other.listOpen('books', undefined, 1)).toEqual([open]);
    expect(await other.listOpen('books', `${open.transactionId}/b`, 10)).toEqual([voted]);
  });

  it('keeps the first token of a start', async () => {
    const run = { logId: LOG_ID, epoch: 3, token: 'third' };
    expect(await store.admitRun(run)).toBe('third');
    expect(await other.admitRun({ ...run, token: 'of a copy' })).toBe('third');
  });

  it('drops the marks and the tokens of epochs that are over, and admits no run of them', async () => {
    const logId = 'logofmarks00';
    const [old, young] = [
      { logId, epoch: 1, token: 'first' },
      { logId, epoch: 3, token: 'third' },
    ];
    await store.admitRun(old);
    await store.admitRun(young);
    await store.raise(logId, [
      { epoch: 1, sequence: 7 },
      { epoch: 3, sequence: 5 },
      { epoch: 0, sequence: 2 },
    ]);
    await store.purge();
    // The mark of whole epochs refuses them, also before anything is dropped.
    expect(await other.admitRun({ ...old, epoch: 2, token: 'second' })).toBe('');
    expect(await other.admitRun(old)).toBe('first');
    await store.purge();
    expect(await other.admitRun({ ...old, token: 'of a copy' })).toBe('');
    expect(await other.admitRun(young)).toBe('third');
    if (kind === 'PostgreSQL') {
      const kept = await left.query(
        `SELECT 'run' AS kind, epoch FROM host.dtc_host_runs WHERE log_id = '${logId}'
        UNION ALL SELECT 'mark', epoch FROM host.dtc_host_marks WHERE log_id = '${logId}' ORDER BY 1, 2`,
      );
      expect(kept.rows).toEqual([
        { kind: 'mark', epoch: 0 },
        { kind: 'mark', epoch: 3 },
        { kind: 'run', epoch: 3 },
      ]);
    }
  });

  it('takes no prepare at or below a mark, never lowers one, and drops final records an interval later', async () => {
    const [below, prepared] = [some(), some()];
    const mark = last;
    await store.insert(below, OVER, 0, true);
    await store.insert(prepared, VOTED, 0, true);
    await other.raise(LOG_ID, [{ epoch: 1, sequence: mark }]);
    await other.raise(LOG_ID, [{ epoch: 1, sequence: 1 }]);
    const late = { ...below, branchId: 'late' };
    expect(await store.insert(late, VOTED, 0, true)).toEqual({ isWritten: false, stored: undefined });
    expect(await store.insert({ ...below, branchId: 'rolled-back' }, OVER, 0, false)).toMatchObject({
      isWritten: true,
    });
    expect(await store.purge()).toBe(0);
    expect(await store.read(below)).toBeDefined();
    expect(await store.purge()).toBeGreaterThan(1);
    expect([await store.read(below), await store.read(prepared)]).toMatchObject([
      undefined,
      { record: VOTED },
    ]);
    expect(await other.isOver(late.transactionId)).toBe(true);
    await store.raise(LOG_ID, [{ epoch: 0, sequence: 4 }]);
    expect(await store.insert({ ...late, transactionId: idOf('shop', 4, 1) }, VOTED, 0, true)).toMatchObject({
      isWritten: false,
    });
    expect(await store.insert({ ...late, transactionId: idOf('shop', 5, 1) }, VOTED, 0, true)).toMatchObject({
      isWritten: true,
    });
  });
});

describe('The tables of the guard of a host', () => {
  /** The store of a role that may create nothing. */
  const storeOf = (schema: string, createTables = true): PostgresGuardStore => {
    const connection = new URL(left.url);
    [connection.username, connection.password] = ['clerk', 'clerk'];
    return new PostgresGuardStore({ connection: connection.href, schema, createTables });
  };

  async function problemOf(store: PostgresGuardStore): Promise<string> {
    try {
      await store.start();
      return 'none';
    } catch (error) {
      expect(error).toMatchObject({ name: 'PostgresStartUpError' });
      return (error as Error).message;
    } finally {
      await store.close();
    }
  }

  it('are made by the SQL of the error where the role may not create them', async () => {
    await left.query(`CREATE ROLE clerk LOGIN PASSWORD 'clerk'`);
    const missing = await problemOf(storeOf('guards'));
    expect(missing).toContain('may not create them (permission denied');
    expect(await problemOf(storeOf('guards', false))).toContain('the option createTables is false');
    const [definition, grants] = missing
      .split('Run this as a role that may create them:\n')[1]!
      .split('\nGRANT USAGE ON SCHEMA');
    await left.query(definition!);
    const forbidden = await problemOf(storeOf('guards'));
    expect(forbidden).toContain(' are missing, and the role clerk may not create them');
    await left.query(`GRANT USAGE ON SCHEMA guards TO clerk`);
    const denied = await problemOf(storeOf('guards', false));
    expect(denied).toContain(
      'the role clerk may not read and write its tables. Run this as their owner: GRANT',
    );
    await left.query(`GRANT USAGE ON SCHEMA${grants}`);
    expect(await problemOf(storeOf('guards'))).toBe('none');
    expect(await problemOf(storeOf('guards', false))).toBe('none');
  });
});

/** A busy machine takes its time. */
const PATIENT = { prepareTimeoutMs: 20_000, completionTimeoutMs: 5_000 };

describe('PostgreSQL participants behind HTTP', () => {
  let path: string;
  let hosts: Host[];
  let proxy: HttpProxy;
  let coordinator: INestApplicationContext | undefined;

  const banks = [
    {
      provide: 'left',
      useFactory: (): PostgresParticipantOptions => ({ connection: left.url, claimWaitMs: 200 }),
    },
    {
      provide: 'right',
      useFactory: (): PostgresParticipantOptions => ({ connection: right.url, claimWaitMs: 200 }),
    },
  ];
  const guard = (database: TestDatabase) => new PostgresGuardStore({ connection: database.url });

  beforeAll(async () => {
    path = mkdtempSync(join(tmpdir(), 'host-'));
    hosts = await Promise.all([
      startHost([LeftBank, ...banks] as never[], { guard: guard(left) }),
      startHost([LeftBank, ...banks] as never[], { guard: guard(left) }),
      startHost([RightBank, ...banks] as never[], { guard: guard(right) }),
    ]);
    proxy = await HttpProxy.open(hosts.slice(0, 2).map(({ address }) => address));
  });
  afterAll(async () => {
    await coordinator?.close();
    await proxy.close();
    await Promise.all(hosts.map(({ app }) => app.close()));
    rmSync(path, { recursive: true, force: true });
  });

  async function start(): Promise<TransactionManager> {
    coordinator = await startCoordinator(
      {
        participants: [
          { name: 'left', address: proxy.address, ...PATIENT },
          { name: 'right', address: hosts[2]!.address, ...PATIENT },
        ],
      },
      {
        log: new SqliteDecisionLog({ path }),
        allowMemoryLog: false,
        timeoutMs: 30_000,
        recoveryIntervalMs: 50,
        orphanSafetyMs: 100,
        retryBaseMs: 20,
        retryCapMs: 100,
      },
    );
    return coordinator.get(TransactionManager);
  }

  const move = (amount: number) => [
    branch('left', { account: 'ann', amount: -amount }),
    branch('right', { account: 'ann', amount }),
  ];

  it('commit together through two replicas, and refuse together', async () => {
    const transactions = await start();
    for (let count = 0; count < 4; count++) {
      expect(await transactions.run({ branches: move(10) })).toMatchObject({ status: 'committed' });
    }
    expect(await transactions.run({ branches: move(1_000) })).toMatchObject({
      status: 'aborted',
      code: 'NO_FUNDS',
    });
    await expect.poll(async () => [await left.prepared(), await right.prepared()]).toEqual([[], []]);
    expect([await balanceOf(left, 'ann'), await balanceOf(right, 'ann')]).toEqual([60, 140]);
  });

  it('roll back over the wire what a coordinator has left prepared', async () => {
    await coordinator!.close();
    const transactions = await start();
    // The decision is never made: the coordinator ends while one prepare hangs.
    proxy.rule = ({ calls }) => (calls.some(({ method }) => method === 'prepare') ? 'hang' : 'pass');
    void transactions.run({ branches: move(5), timeoutMs: 60_000 });
    await expect.poll(() => right.prepared()).toHaveLength(1);
    // Its rollback does not arrive any more.
    const http = hosts[2]!.app.getHttpServer() as Server;
    http.close();
    http.closeAllConnections();
    expect(await right.prepared()).toHaveLength(1);
    await coordinator!.close();
    expect(await right.prepared()).toHaveLength(1);
    await hosts[2]!.app.close();
    proxy.rule = () => 'pass';
    hosts[2] = await startHost([RightBank, ...banks] as never[], { guard: guard(right) });
    await start();
    await expect.poll(() => right.prepared(), { timeout: 10_000 }).toEqual([]);
    expect([await balanceOf(left, 'ann'), await balanceOf(right, 'ann')]).toEqual([60, 140]);
  });

  it('work for several members of one coordinator at the same time, and keep a stranger out', async () => {
    await coordinator?.close();
    coordinator = undefined;
    const store = new SharedMemoryStore({ now: () => performance.now() });
    const participants = [
      { name: 'left', address: proxy.address, ...PATIENT },
      { name: 'right', address: hosts[2]!.address, ...PATIENT },
    ];
    const members = await Promise.all(
      [1, 2].map(() =>
        startCoordinator(
          { participants },
          { name: 'members', log: new SharedMemoryLog(store), timeoutMs: 30_000 },
        ),
      ),
    );
    const before = [await balanceOf(left, 'ann'), await balanceOf(right, 'ann')] as [number, number];
    // The members take turns, so each has to keep its claim while the other works.
    for (let count = 0; count < 6; count++) {
      const transactions = members[count % 2]!.get(TransactionManager);
      expect(await transactions.run({ branches: move(1) })).toMatchObject({ status: 'committed' });
    }
    expect([await balanceOf(left, 'ann'), await balanceOf(right, 'ann')]).toEqual([
      before[0] - 6,
      before[1] + 6,
    ]);

    const stranger = await startCoordinator(
      { participants },
      { name: 'members', log: new SharedMemoryLog(new SharedMemoryStore({ now: () => performance.now() })) },
    ).catch((error: unknown) => error);
    expect(stranger).toMatchObject({ code: 'DTC_POSTGRES_COORDINATOR_IN_USE' });
    await Promise.all(members.map((member) => member.close()));
  });

  it('keep the records of a class without a database in the one of its host', async () => {
    const books = new Books();
    const host = await startHost([ledgerOf('books', books)], { guard: guard(left) });
    const remote = await startCoordinator(
      { participants: [{ name: 'books', address: host.address }] },
      { name: 'other' },
    );
    const transactions = remote.get(TransactionManager);
    const transaction = transactions.begin();
    transaction.enlist(branch('books', { amount: 1 }));
    transaction.enlist(branch('books', { amount: 2 }));
    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
    expect(books.balance).toBe(3);
    const { rows } = await left.query<{ count: string }>(
      `SELECT count(*)::text AS count FROM dtc_host_branches WHERE participant = 'books' AND record LIKE '%committed%'`,
    );
    expect(rows).toEqual([{ count: '2' }]);
    await remote.close();
    await host.app.close();
  });
});
