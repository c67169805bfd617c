import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { CoordinatorStatus, OperatorActions, branch } from '../../src/coordinator/index.js';
import { checkLog } from '../../src/log-check.js';
import { PostgresDecisionLog } from '../../src/postgres/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import {
  type Banks,
  LeftBank,
  RightBank,
  balanceOf,
  openAccounts,
  startBanks,
} from '../support/postgres/bank.js';
import { until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

const ORDER = { by: 'alice', reason: 'we move to the shared log' };

let server: PostgresServer;
let left: TestDatabase;
let right: TestDatabase;
let decisions: TestDatabase;
let path: string;
const running: Banks[] = [];

beforeAll(async () => {
  server = await PostgresServer.start({ max_prepared_transactions: 20 });
  [left, right, decisions] = [
    await server.createDatabase(),
    await server.createDatabase(),
    await server.createDatabase(),
  ];
  await openAccounts(left, 'ann');
  await openAccounts(right, 'ben');
  path = mkdtempSync(join(tmpdir(), 'moving-'));
});

afterEach(async () => {
  for (const { application } of running.splice(0)) await application.close();
});

afterAll(async () => {
  await server.stop();
  rmSync(path, { recursive: true });
});

async function start(name: string, log: SqliteDecisionLog | PostgresDecisionLog): Promise<Banks> {
  const banks = await startBanks({
    left: { connection: left.url },
    right: { connection: right.url },
    coordinator: { name, log, maxAttempts: 1, completionWaitMs: 100, orphanSafetyMs: 1 },
  });
  running.push(banks);
  return banks;
}

const embedded = (): SqliteDecisionLog => new SqliteDecisionLog({ path });
const shared = (): PostgresDecisionLog => new PostgresDecisionLog({ connection: decisions.url });

function pay(banks: Banks, amount: number) {
  return banks.transactions.run({
    name: 'transfer',
    branches: [
      branch(LeftBank, { account: 'ann', amount: -amount }),
      branch(RightBank, { account: 'ben', amount }),
    ],
  });
}

/** The decision of a restored transaction stays until lists have shown that its branches are gone. */
async function untilNothingIsOpen({ application, left: one, right: other }: Banks): Promise<void> {
  const status = application.get(CoordinatorStatus);
  await until('nothing is open', () => {
    const { inFlight, stalled } = status.condition();
    return inFlight + stalled === 0;
  });
  const lists = [one, other].map((bank) => vi.spyOn(bank, 'recover'));
  await until('more lists were read', () => lists.every(({ mock }) => mock.settledResults.length > 2));
}

async function stop(banks: Banks): Promise<void> {
  running.splice(running.indexOf(banks), 1);
  await banks.application.close();
}

describe('The way from the embedded log to the shared one', () => {
  it('leads through two names side by side, and leaves a stalled transaction to the old coordinator', async () => {
    const old = await start('old-bank', embedded());
    const refusing = vi.spyOn(old.right, 'commit').mockRejectedValue(new Error('the right bank is away'));
    expect(await pay(old, 10)).toMatchObject({ status: 'pending', decision: 'commit' });
    await old.application.get(OperatorActions).drain(ORDER);
    await expect(pay(old, 1)).rejects.toMatchObject({ code: 'DTC_DRAINING' });

    const members = await start('bank', shared());
    // The account of the stalled transaction is locked, and no member touches its branch.
    expect(await pay(members, 0)).toMatchObject({ status: 'aborted' });
    expect(await right.prepared()).toHaveLength(1);
    // It waits for the old coordinator, also over its restart.
    await stop(old);
    expect(await checkLog(path, 'old-bank')).toMatchObject({ isEmpty: false });
    const again = await start('old-bank', embedded());
    refusing.mockRestore();
    await until('the old coordinator has completed it', async () => (await balanceOf(right, 'ben')) === 110);
    await untilNothingIsOpen(again);
    await stop(again);

    expect(await checkLog(path, 'old-bank')).toMatchObject({ isEmpty: true });
    expect(await pay(members, 5)).toMatchObject({ status: 'committed' });
    expect([await balanceOf(left, 'ann'), await balanceOf(right, 'ben')]).toEqual([85, 115]);
  });

  it('leads through a stop with one name, and is refused while something is left', async () => {
    const old = await start('shop', embedded());
    vi.spyOn(old.right, 'commit').mockRejectedValue(new Error('the right bank is away'));
    expect(await pay(old, 1)).toMatchObject({ status: 'pending', decision: 'commit' });
    await stop(old);

    await expect(start('shop', shared())).rejects.toMatchObject({ code: 'DTC_POSTGRES_OTHER_LOG' });
    const again = await start('shop', embedded());
    await untilNothingIsOpen(again);
    await stop(again);
    expect(await checkLog(path, 'shop')).toMatchObject({ isEmpty: true });

    expect(await pay(await start('shop', shared()), 1)).toMatchObject({ status: 'committed' });
  });
});
