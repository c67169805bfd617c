import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { PostgresLogSettings } from '../../../src/postgres/index.js';
import { until } from '../../support/postgres/branches.js';
import { ReplicatedServer } from '../../support/postgres/replicated-server.js';
import { TcpProxy } from '../../support/tcp-proxy.js';
import { LEASE_MS, type Shop, Shops } from './shops.js';

const HOST = '127.0.0.1';
/** A machine that is busy with other things takes long to bring everything to its end. */
const PATIENCE_MS = 30_000;

let server: ReplicatedServer;
/** The one address of the log, whichever server has it. */
let proxy: TcpProxy;
let shops: Shops;
let databases = 0;
let database: string;

beforeAll(async () => {
  server = await ReplicatedServer.start();
  await server.addStandby();
  proxy = await TcpProxy.open({ host: HOST, port: server.port });
});

afterEach(() => shops.close());

afterAll(async () => {
  await proxy.close();
  await server.stop();
});

async function startTwo(settings: PostgresLogSettings = {}): Promise<[Shop, Shop]> {
  database = `log_${++databases}`;
  await server.query('postgres', `CREATE DATABASE ${database}`);
  shops = new Shops();
  const start = (): Promise<Shop> => shops.start(server.url(database, proxy.port), settings);
  return [await start(), await start()];
}

/** Waits until callers were told so often that a transaction is committed, from now on. */
async function moreCommitted(count = 20): Promise<void> {
  const before = shops.toldOf('committed').length;
  await until(`${count} more are committed`, () => shops.toldOf('committed').length >= before + count);
}

async function failOver(): Promise<void> {
  await server.failOver(() => proxy.cut());
  proxy.target = { host: HOST, port: server.port };
  proxy.repair();
}

/**
 * Waits until everything has its one outcome, and looks whether it is the one that was told, and in the log.
 *
 * @param gone what the log has lost.
 */
async function judge(gone: readonly string[] = []): Promise<void> {
  await shops.unload();
  const end = performance.now() + PATIENCE_MS;
  while (shops.faults().length > 0 && performance.now() < end) await pause(20);
  expect(shops.faults().join('\n')).toBe('');
  const { rows } = await server.query<{ id: string }>(
    database,
    `SELECT epoch || '.' || sequence AS id FROM dtc_log.outcomes
     UNION SELECT epoch || '.' || sequence FROM dtc_log.decisions`,
  );
  const kept = new Set(rows.map(({ id }) => id));
  const lost = shops.toldOf('committed').filter((id) => {
    const [, , epoch, sequence] = id.split('.');
    return !kept.has(`${Number.parseInt(epoch!, 36)}.${sequence}`);
  });
  expect(lost).toEqual(gone.filter((id) => shops.told.get(id) === 'committed'));
}

async function adoptions(): Promise<number> {
  const { rows } = await server.query(database, 'SELECT FROM dtc_log.epochs WHERE adopted_by IS NOT NULL');
  return rows.length;
}

interface Case {
  readonly name: string;
  /** Whether `npm test` has it; `npm run test:ci` has every one. */
  readonly isQuick: boolean;
  readonly run: () => Promise<void>;
}

/** What holds whether or not the operator has declared that only synchronous standbys take over. */
function casesOf(synchronousStandbys: boolean): readonly Case[] {
  const where = synchronousStandbys ? ', where only synchronous standbys take over' : '';
  return [
    {
      name: `no decision is lost when a synchronous standby takes over${where}`,
      isQuick: !synchronousStandbys,
      run: () => takeOver(synchronousStandbys),
    },
    {
      name: `a member whose decision is lost stops and says so, and no member presumes anything of it${where}`,
      isQuick: !synchronousStandbys,
      run: () => lose(synchronousStandbys),
    },
    {
      name: `what only looks replicated is told to no caller, and gone after the failover${where}`,
      isQuick: false,
      run: () => cancelWaits(synchronousStandbys),
    },
  ];
}

async function takeOver(synchronousStandbys: boolean, rounds = 1): Promise<void> {
  const members = await startTwo({ synchronousStandbys });
  for (let round = 1; round <= rounds; round++) {
    if (!server.hasStandby) await server.addStandby();
    const before = members.map(({ epoch }) => epoch);
    shops.load();
    await moreCommitted();
    await failOver();
    await moreCommitted();
    if (synchronousStandbys) expect(members.map(({ epoch }) => epoch)).toEqual(before);
    else {
      // Each has found out that the new server has what it was told, and goes on with a new epoch.
      const last = Math.max(...before);
      await until('both have new epochs', () => members.every(({ epoch }) => epoch > last));
      await until('the old epochs are adopted', async () => (await adoptions()) >= 2 * round);
    }
    await judge();
  }
}

async function lose(synchronousStandbys: boolean): Promise<void> {
  if (server.hasStandby) await failOver();
  await server.addStandby('asynchronous');
  const [member, other] = await startTwo({ synchronousStandbys });
  for (const each of [member, other]) await each.order();
  await server.cutStandbyOff();
  // The decision is delivered to one participant, and not to the other.
  shops.payment.script = { commit: 'throw' };
  await member.order();
  const [lost] = shops.toldOf('pending');
  expect(shops.stock.effectOn(lost!, 'stock')).toBe('committed');
  await failOver();

  await until('it has noticed', () => member.runtime.log.isBehind);
  expect(member.runtime.log.problem).toContain('has lost decisions');
  expect(await member.order()).toBe(false);
  await until('the other has adopted its epoch', async () => (await adoptions()) > 0);
  expect(await shops.outcomeAt(other, lost!)).toMatchObject({ status: 'unknown' });
  expect(shops.payment.effectOn(lost!, 'payment')).toBe('prepared');
  // The member knows its decision still, and delivers it.
  shops.payment.script = {};
  shops.load();
  await moreCommitted();
  expect(other.runtime.log.problem).toBeUndefined();
  expect(member.epoch).toBe(1);
  await judge([lost!]);
}

/**
 * The waits for a standby that is out of reach are cancelled: the server answers with success and a warning.
 */
async function cancelWaits(synchronousStandbys: boolean): Promise<void> {
  if (!server.hasStandby) await server.addStandby();
  const members = await startTwo({ synchronousStandbys });
  shops.load();
  await moreCommitted();
  await server.cutStandbyOff();
  let cancelled = 0;
  await until('many waits are cancelled', async () => {
    const { rows } = await server.query(
      'postgres',
      `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'dtc log'`,
    );
    cancelled += rows.length;
    return cancelled >= 10;
  });
  const told = shops.toldOf('committed').length;
  const { rows } = await server.query(database, 'SELECT FROM dtc_log.decisions');
  expect(rows.length).toBeGreaterThan(0);
  expect(shops.toldOf('committed').length).toBe(told);
  await failOver();
  await moreCommitted();
  await until('both decide again', () => members.every(({ runtime: { log } }) => log.problem === undefined));
  expect(members.map(({ runtime }) => runtime.log.isBehind)).toEqual([false, false]);
  await judge();
}

async function restartAndOutage(): Promise<void> {
  if (!server.hasStandby) await server.addStandby();
  const members = await startTwo();
  shops.load();
  await moreCommitted();
  await server.end('kill');
  await server.startAgain();
  await moreCommitted();
  proxy.cut();
  await pause(1.5 * LEASE_MS);
  proxy.repair();
  await moreCommitted();
  // By now a member that had taken another one for dead would have adopted it.
  await pause(1.5 * LEASE_MS);
  expect(members.map(({ epoch }) => epoch)).toEqual([1, 2]);
  expect(await adoptions()).toBe(0);
  await judge();
}

const CASES: readonly Case[] = [
  ...casesOf(false),
  ...casesOf(true),
  {
    name: 'fault 59: a restart of the server, and an outage longer than the lease, lead to no adoption',
    isQuick: false,
    run: restartAndOutage,
  },
  {
    name: 'no decision is lost when one standby after the other takes over',
    isQuick: false,
    run: () => takeOver(false, 3),
  },
];

describe('Members over a log in PostgreSQL that fails over', () => {
  const isAll = process.env['LOG_FAILOVERS'] === 'all';

  it.each(CASES.filter(({ isQuick }) => isQuick || isAll))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});
