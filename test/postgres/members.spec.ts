import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import { CoordinatorRuntime } from '../../src/coordinator/execution/coordinator-runtime.js';
import { PostgresDecisionLog } from '../../src/postgres/index.js';
import { type Banks, balanceOf, openAccounts, startBanks } from '../support/postgres/bank.js';
import { until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

const LEASE_MS = 1_000;

let server: PostgresServer;
let [log, left, right]: TestDatabase[] = [];
const members: Banks[] = [];

beforeAll(async () => {
  server = await PostgresServer.start();
  [log, left, right] = [
    await server.createDatabase(),
    await server.createDatabase(),
    await server.createDatabase(),
  ];
  await openAccounts(left, 'ann', 'bob', 'cid', 'dan');
  await openAccounts(right, 'ann', 'bob', 'cid', 'dan');
});

afterEach(async () => {
  await Promise.all(members.splice(0).map(({ application }) => application.close()));
});

afterAll(() => server.stop());

/** An application over the shared log, with its own connections to both databases. */
async function startMember(): Promise<Banks> {
  const member = await startBanks({
    left: { connection: left!.url, workConnections: 2, claimWaitMs: 100 },
    right: { connection: right!.url, workConnections: 2, claimWaitMs: 100 },
    coordinator: {
      name: 'shop',
      log: new PostgresDecisionLog({ connection: log!.url }),
      leaseMs: LEASE_MS,
      shutdownGraceMs: 2_000,
    },
  });
  members.push(member);
  return member;
}

function transfer({ transactions }: Banks, account: string, timeoutMs = 5_000): Promise<Outcome> {
  return transactions.run({
    timeoutMs,
    branches: [branch('left', { account, amount: -10 }), branch('right', { account, amount: 10 })],
  });
}

const balances = async (account: string): Promise<unknown[]> =>
  Promise.all([balanceOf(left!, account), balanceOf(right!, account)]);

async function prepared(): Promise<number> {
  const { rows } = await left!.query<{ count: string }>('SELECT count(*) AS count FROM pg_prepared_xacts');
  return Number(rows[0]!.count);
}

const epochOf = ({ application }: Banks): number => application.get(CoordinatorRuntime).log.epoch;

describe('Members over a log in PostgreSQL and the same databases', () => {
  it('fault 57: settle the transactions of a member that was stopped, and that member goes on with a new epoch', async () => {
    const [still, other] = [await startMember(), await startMember()];
    const outcomes = await Promise.all([transfer(still, 'ann'), transfer(other, 'bob')]);
    expect(outcomes.map(({ status }) => status)).toEqual(['committed', 'committed']);
    // Its work in one database takes long, and meanwhile it renews no lease.
    const gate = Promise.withResolvers<void>();
    still.right.beforeWork = () => gate.promise;
    const runtime = still.application.get(CoordinatorRuntime);
    const { onSweep } = runtime;
    runtime.onSweep = () => {};
    const undecided = transfer(still, 'cid', 60_000);
    await until('one branch is prepared', async () => (await prepared()) === 1);

    await until('it is rolled back', async () => (await prepared()) === 0);
    expect(await balances('cid')).toEqual([100, 100]);

    runtime.onSweep = onSweep;
    expect(await undecided).toMatchObject({ status: 'aborted' });
    gate.resolve();
    await until('it has a new epoch', () => epochOf(still) > epochOf(other));
    still.right.beforeWork = async () => {};
    await until('it is let in again', async () => {
      const outcome = await transfer(still, 'cid').catch(() => undefined);
      return outcome?.status === 'committed';
    });
    expect(await balances('cid')).toEqual([90, 110]);
    expect(await balances('ann')).toEqual([90, 110]);
  });

  it('fault 57: end at once the open work of one that stands still, with the locks that it holds', async () => {
    const [still, other] = [await startMember(), await startMember()];
    const gate = Promise.withResolvers<void>();
    const isAtWork = Promise.withResolvers<void>();
    still.right.afterWork = () => {
      isAtWork.resolve();
      return gate.promise;
    };
    const runtime = still.application.get(CoordinatorRuntime);
    const { onSweep } = runtime;
    const undecided = transfer(still, 'dan', 60_000);
    await isAtWork.promise;
    runtime.onSweep = () => {};

    // It has the rows of the account in both databases, for a minute.
    await until('another one gets them', async () => {
      const outcome = await transfer(other, 'dan').catch(() => undefined);
      return outcome?.status === 'committed';
    });

    gate.resolve();
    runtime.onSweep = onSweep;
    expect(await undecided).toMatchObject({ status: 'aborted' });
    expect(await balances('dan')).toEqual([90, 110]);
  });

  it('take over at once from a member that stops', async () => {
    const [leaving, other] = [await startMember(), await startMember()];
    // The decision is made, and the member cannot deliver it to one of the databases.
    leaving.right.commit = () => Promise.reject(new Error('out of reach'));
    const outcome = await transfer(leaving, 'bob');
    expect(outcome.status).toBe('pending');
    expect(await prepared()).toBe(1);

    members.splice(members.indexOf(leaving), 1);
    await leaving.application.close();

    await until('the other has committed it', async () => (await prepared()) === 0);
    expect(await other.transactions.outcomeOf(outcome.transactionId)).toMatchObject({ status: 'committed' });
    expect(await balances('bob')).toEqual([80, 120]);
  });

  it('never commit a transaction that the only branch of a stopping member has refused, even if the refusal was not noted', async () => {
    const [leaving, other] = [await startMember(), await startMember()];
    const before = await balanceOf(left!, 'cid');
    const { storage } = leaving.application.get(CoordinatorRuntime).log;
    vi.spyOn(storage, 'end').mockImplementation(() => {});
    const { status, transactionId } = await leaving.transactions.run({
      branches: [branch('left', { account: 'cid', amount: -1_000 })],
    });
    expect(status).toBe('aborted');
    // Now the same work would succeed.
    await left!.query(`UPDATE accounts SET balance = balance + 1000 WHERE name = 'cid'`);

    members.splice(members.indexOf(leaving), 1);
    await leaving.application.close();

    const told = async (): Promise<string> => (await other.transactions.outcomeOf(transactionId)).status;
    await until('the other has found it out', async () => !['pending', 'elsewhere'].includes(await told()));
    expect(await told()).toBe('aborted');
    expect(await balanceOf(left!, 'cid')).toBe((before as number) + 1_000);
  });
});
