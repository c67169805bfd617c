import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestApplicationContext } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryReplicaGuardStore, TransactionManager, branch } from '../../src/coordinator/index.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import { PostgresGuardStore, type PostgresParticipantOptions } from '../../src/postgres/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { Books, ledgerOf } from '../remote/support/ledger.js';
import { HttpProxy } from '../remote/support/http-proxy.js';
import { type Host, startCoordinator, startHost } from '../remote/support/services.js';
import { guardStoreConformance } from '../support/guard-store-conformance.js';
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

guardStoreConformance('memory', () => {
  const store = new MemoryReplicaGuardStore();
  return { store, other: store };
});

guardStoreConformance('PostgreSQL', () => {
  const open = (): PostgresGuardStore => new PostgresGuardStore({ connection: left.url, schema: 'host' });
  const query = async (sql: string): Promise<unknown[]> => (await left.query(sql)).rows;
  return { store: open(), other: open(), query, prefix: 'host.dtc_host' };
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

  it('roll back over the wire the branches that a coordinator has left prepared', async () => {
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
