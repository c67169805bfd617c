import { afterEach, describe, expect, it, vi } from 'vitest';
import { FULL_PASS } from '../../../src/postgres/log/purge.js';
import { LogConnection, clientConfigOf } from '../../../src/postgres/log/session.js';
import { until } from '../../support/postgres/branches.js';
import { standby } from '../../support/postgres/standby.js';
import { append, useLog } from './members.js';

afterEach(() => {
  vi.restoreAllMocks();
});

const APPEND = 'INSERT INTO dtc_log.decisions';

const bench = useLog();

describe('The log on PostgreSQL', () => {
  it('takes one round trip for a decision, and for 256 that wait, with three members as with one', async () => {
    const { log, id } = await bench.start({ isProxied: true });
    // The start has compared the mark once, which is over then.
    await log.check();
    let [trips, last] = [0, 'down'];
    bench.proxy.rule = (_, direction) => {
      if (direction === 'up' && last === 'down') trips++;
      last = direction;
      return 'pass';
    };
    let sequence = 0;
    const tripsOf = async (count: number): Promise<number> => {
      trips = 0;
      await Promise.all(Array.from({ length: count }, () => append(log, id(++sequence))));
      return trips;
    };
    const { durationsUs, batchSizes } = log.flushes;
    expect([await tripsOf(1), await tripsOf(256)]).toEqual([1, 1]);
    expect([durationsUs.count, batchSizes.sum]).toEqual([2, 257]);

    // Each writes without a pause meanwhile.
    const load = { isOver: false };
    const others = await Promise.all([bench.start(), bench.start()]);
    const loads = others.map(async (other) => {
      let number = 0;
      while (!load.isOver) await append(other.log, other.id(++number));
      return number;
    });
    const before = durationsUs.count;
    expect([await tripsOf(1), await tripsOf(256)]).toEqual([1, 1]);
    expect(durationsUs.count - before).toBe(2);
    load.isOver = true;
    for (const count of await Promise.all(loads)) expect(count).toBeGreaterThan(0);
  });

  it('fault 24: says absent of an append that the connection has not carried', async () => {
    const member = await bench.start({ isProxied: true });
    bench.proxy.rule = (data) => (data.includes(APPEND) ? 'cut' : 'pass');
    await expect(append(member.log, member.id(1))).rejects.toThrow('not known');
    bench.proxy.repair();
    expect(await member.log.lookUp(member.id(1))).toBe('absent');
    await append(member.log, member.id(2));
    expect(await bench.recorded(member)).toEqual([2]);
  });

  it('fault 23: says recorded of an append whose answer is lost', async () => {
    const member = await bench.start({ isProxied: true });
    bench.proxy.rule = (data) => (data.includes(APPEND) ? 'cut-answer' : 'pass');
    await expect(append(member.log, member.id(1))).rejects.toThrow('not known');
    bench.proxy.repair();
    expect(await member.log.lookUp(member.id(1))).toBe('recorded');
  });

  it.each(['incarnation = incarnation + 1', 'WITH ORDINALITY', 'pg_logical_emit_message'])(
    'gives no answer to a look-up whose connection is cut at "%s", and one to the next',
    async (text) => {
      const member = await bench.start({ isProxied: true });
      await append(member.log, member.id(1));
      bench.proxy.rule = (data) => (data.includes(text) ? 'cut-answer' : 'pass');
      await expect(member.log.lookUp(member.id(1))).rejects.toThrow('not known');
      bench.proxy.repair();
      expect(await member.log.lookUp(member.id(1))).toBe('recorded');
      expect(await member.log.lookUp(member.id(2))).toBe('absent');
    },
  );

  it.each(['BEGIN', 'FOR UPDATE', 'coalesce(fenced_by', 'COMMIT', 'FROM dtc_log.reports', 'freed AS'])(
    'completes an adoption whose connection was cut at "%s" when it is asked again',
    async (text) => {
      const dead = await bench.start();
      await append(dead.log, dead.id(1));
      const member = await bench.start({ isProxied: true });
      bench.proxy.rule = (data) => (data.includes(text) ? 'cut-answer' : 'pass');
      await expect(member.log.members.adopt(dead.claim.epoch)).rejects.toThrow('not known');
      bench.proxy.repair();
      expect(await member.log.members.adopt(dead.claim.epoch)).toMatchObject({
        runs: [{ run: { epoch: dead.claim.epoch }, decisions: [{ id: dead.id(1) }] }],
      });
      await expect(append(dead.log, dead.id(2))).rejects.toMatchObject({ code: 'DTC_FENCED' });
    },
  );

  it('fault 27: gives up a slow statement with its connection, and ends its session', async () => {
    const member = await bench.start({ statementTimeoutMs: 500 });
    await bench.client.query('BEGIN');
    await bench.client.query('SELECT FROM dtc_log.epochs FOR UPDATE');
    await expect(append(member.log, member.id(1))).rejects.toThrow('no answer within 500 ms');
    await bench.client.query('COMMIT');
    const answer = await member.log.lookUp(member.id(1));
    expect(await bench.recorded(member)).toEqual(answer === 'recorded' ? [1] : []);
    await append(member.log, member.id(2));
  });

  it('fault 59: fails at once while the database is away, and works again by itself', async () => {
    const member = await bench.start({ isProxied: true });
    bench.proxy.cut();
    await expect(append(member.log, member.id(1))).rejects.toThrow();
    await expect(member.log.check()).rejects.toThrow();
    await expect(member.log.lookUp(member.id(1))).rejects.toThrow();
    await expect(member.log.members.adopt(9)).rejects.toThrow();
    await member.log.end(member.id(7));
    bench.proxy.repair();
    await member.log.check();
    expect(await member.log.lookUp(member.id(1))).toBe('absent');
    await append(member.log, member.id(2));
  });

  it('keeps the end of a decision until it is written', async () => {
    const member = await bench.start({ isProxied: true });
    await append(member.log, member.id(1));
    bench.proxy.cut();
    await member.log.end(member.id(1));
    await expect(append(member.log, member.id(2))).rejects.toThrow();
    bench.proxy.repair();
    await append(member.log, member.id(3));
    expect(await bench.recorded(member)).toEqual([3]);
  });

  it('writes the end of a decision again by itself, when that has failed', async () => {
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const member = await bench.start({ isProxied: true });
    await append(member.log, member.id(1));
    bench.proxy.cut();
    await member.log.end(member.id(1));
    const again = (): unknown => timers.mock.calls.find(([, ms]) => ms === 1_000)?.[0];
    await until('it is to be written again', () => again() !== undefined);
    bench.proxy.repair();
    (again() as () => void)();
    await until('it is written', async () => (await bench.recorded(member)).length === 0);
    expect(await member.log.outcomeOf(member.id(1))).toEqual({ outcome: 'committed', record: null });
  });

  it('refuses waiting questions when it closes', async () => {
    const settings = { connectMs: 5_000, statementMs: 5_000 };
    const connection = new LogConnection(clientConfigOf(bench.database.url), settings);
    const gate = Promise.withResolvers<void>();
    const started: string[] = [];
    const first = connection.run(async (session) => {
      started.push('first');
      await gate.promise;
      return session.query('SELECT 1');
    });
    const second = connection.run(() => Promise.resolve(started.push('second')));
    await until('the first is under way', () => started.length === 1);
    const closing = connection.close();
    gate.resolve();

    await expect(first).resolves.toHaveLength(1);
    await expect(second).rejects.toThrow('closed');
    await closing;
    await expect(connection.run(() => Promise.resolve())).rejects.toThrow('closed');
    expect(started).toEqual(['first']);
  });

  it('purges again soon after a pass that has left some, and then not before the next interval', async () => {
    const [intervals, timers] = [vi.spyOn(globalThis, 'setInterval'), vi.spyOn(globalThis, 'setTimeout')];
    const { log } = await bench.start();
    const [purge] = intervals.mock.calls.at(-1)!;
    const pass = vi.spyOn(log, 'purgeOutcomes').mockResolvedValueOnce(FULL_PASS).mockResolvedValue(0);
    const again = (): unknown[] => timers.mock.calls.filter(([, ms]) => ms === 1_000).map(([next]) => next);
    purge();
    await until('another pass is to come', () => again().length === 1);
    (again()[0] as () => void)();
    expect(pass).toHaveBeenCalledTimes(2);
    await pass.mock.results[1]!.value;
    await log.check();
    expect(again()).toHaveLength(1);
  });

  it('refuses a record that could not be read again, or is too large', async () => {
    const member = await bench.start();
    const refused = { code: 'DTC_RECORD_REFUSED' };
    await expect(append(member.log, member.id(1), () => 1)).rejects.toMatchObject(refused);
    await expect(append(member.log, member.id(2), 'x'.repeat(5_000_000))).rejects.toMatchObject(refused);
    expect(await member.log.lookUp(member.id(2))).toBe('absent');
    await append(member.log, member.id(3), new Map([['sku', new Date(0)]]));
    const other = await bench.start();
    expect(await other.log.members.adopt(member.claim.epoch)).toMatchObject({
      runs: [{ decisions: [{ branches: [{ payload: new Map([['sku', new Date(0)]]) }] }] }],
    });
  });

  it('reads large records in parts, on a connection of its own, while decisions are written', async () => {
    const dead = await bench.start();
    const large = 'x'.repeat(2_200_000);
    for (const sequence of [1, 2, 3]) await append(dead.log, dead.id(sequence), large);
    const member = await bench.start({ isProxied: true });
    let reads = 0;
    bench.proxy.rule = (data) => {
      if (data.includes('WITH page AS')) reads++;
      return 'pass';
    };
    await bench.client.query('BEGIN');
    await bench.client.query('LOCK TABLE dtc_log.reports');
    const adopted = member.log.members.adopt(dead.claim.epoch);
    await bench.waiting('Lock');
    await append(member.log, member.id(1));
    await bench.client.query('ROLLBACK');
    expect(await adopted).toMatchObject({
      runs: [{ decisions: [1, 2, 3].map((n) => ({ id: dead.id(n) })) }],
    });
    // Two in the first statement, the last in the next, and none in the one after it.
    expect(reads).toBe(3);
  });

  it('does not wait at a stop for an adoption that reads', async () => {
    const [dead, member] = [await bench.start(), await bench.start({ statementTimeoutMs: 60_000 })];
    await bench.client.query('BEGIN');
    await bench.client.query('LOCK TABLE dtc_log.reports');
    const adopted = member.log.members.adopt(dead.claim.epoch);
    adopted.catch(() => {});
    await bench.waiting('Lock');

    await member.log.close();
    await expect(adopted).rejects.toThrow('not known');
    await bench.client.query('ROLLBACK');
  });

  it('refuses one request, and no other request that waits together with it', async () => {
    const latin = 'CREATE DATABASE latin ENCODING LATIN1 LOCALE C TEMPLATE template0';
    await bench.server.query('postgres', latin.replace('LATIN1', "'LATIN1'").replace(' C ', " 'C' "));
    const database = bench.server.database('latin');
    const log = bench.make({ connection: database.url });
    const { logId, epoch } = await log.open('shop');
    const reserve = (key: string, sequence: number) =>
      log.reserve({
        key,
        fingerprint: 'tea',
        transactionId: `shop.${logId}.${epoch.toString(36)}.${sequence}`,
      });
    expect(await reserve('damaged', 1)).toEqual({ kind: 'reserved' });
    await append(log, `shop.${logId}.${epoch.toString(36)}.1`);
    await database.query(`UPDATE dtc_log.decisions SET record = 'x'`);
    const keys = ['a', '\u2615', 'b', 'damaged', 'c'];
    const answers = await Promise.allSettled(keys.map((key, index) => reserve(key, index + 2)));
    expect(answers.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(answers[3]).toMatchObject({ reason: { code: 'DTC_LOG_DAMAGED' } });
    for (const key of ['\0', '\ud800']) {
      expect(() => reserve(key, 9)).toThrow('which the log cannot keep');
    }
  });

  it('says absent of no transaction whose reservation still waits for its turn: a release would overtake it', async () => {
    const [member, other] = [await bench.start(), await bench.start()];
    const order: string[] = [];
    const reserve = async (number: number): Promise<void> => {
      await member.log.reserve({
        key: `key-${number}`,
        fingerprint: 'tea',
        transactionId: member.id(number),
      });
    };
    // One statement takes 1,000 of them.
    const first = Array.from({ length: 1_000 }, (_, index) => reserve(index + 1));
    const last = reserve(1_001).then(() => order.push('reserved'));
    const asked = member.log.lookUp(member.id(1_001)).then(() => order.push('looked up'));
    await Promise.all([...first, last, asked]);
    expect(order).toEqual(['reserved', 'looked up']);

    member.log.release(member.id(1_001));
    await member.log.check();
    const request = { key: 'key-1001', fingerprint: 'coffee', transactionId: other.id(1) };
    expect(await other.log.reserve(request)).toEqual({ kind: 'reserved' });
  });

  it('forgets no report of an epoch that the member does not own', async () => {
    const [member, other] = [await bench.start(), await bench.start()];
    const report = {
      id: member.id(1),
      name: 'an order',
      decision: 'commit',
      branchId: 'b1',
      participant: 'stock',
      kind: 'rollback',
      reason: 'damaged',
    } as const;
    await member.log.report(report);
    await other.log.forget(member.id(1));
    expect(await other.log.reports()).toHaveLength(1);
    await member.log.forget(member.id(1));
    expect(await other.log.reports()).toEqual([]);
  });

  it('purges outcomes and their keys, and never says aborted of them', async () => {
    const member = await bench.start();
    await member.log.reserve({ key: 'order-1', fingerprint: 'tea', transactionId: member.id(2) });
    await append(member.log, member.id(2));
    await member.log.end(member.id(2));
    await member.log.check();
    expect(await member.log.purgeOutcomes()).toBe(0);
    await bench.client.query(`UPDATE dtc_log.outcomes SET ended_at = ended_at - interval '2 days'`);
    expect(await member.log.purgeOutcomes()).toBe(1);
    expect(await member.log.outcomeOf(member.id(1))).toMatchObject({ outcome: 'live', isPurged: true });

    const other = await bench.start();
    await other.log.members.adopt(member.claim.epoch);
    expect(await other.log.outcomeOf(member.id(2))).toEqual({ outcome: 'unknown', because: 'purged' });
    expect(await other.log.outcomeOf(member.id(3))).toEqual({ outcome: 'aborted' });
    const request = { key: 'order-1', fingerprint: 'coffee', transactionId: other.id(1) };
    expect(await other.log.reserve(request)).toEqual({ kind: 'reserved' });
  });
});

describe('The log on PostgreSQL, where its server waits for a standby', () => {
  it('takes a warning for an unknown result, and believes no row before a later write was replicated', async () => {
    const [member, other] = [await bench.start(), await bench.start({ statementTimeoutMs: 700 })];
    expect(await other.log.outcomeOf(member.id(1))).toMatchObject({ outcome: 'live' });
    await standby(bench.server, 'nowhere');
    try {
      const appended = append(member.log, member.id(1));
      appended.catch(() => {});
      const pid = await bench.waiting('IPC');
      await bench.client.query('SELECT pg_cancel_backend($1)', [pid]);
      await expect(appended).rejects.toThrow('the server has warned');
      // It can be read, and a failover may lose it.
      expect(await bench.recorded(member)).toEqual([1]);
      await expect(other.log.outcomeOf(member.id(1))).rejects.toThrow('not known');
    } finally {
      await standby(bench.server, '');
    }
    expect(await member.log.lookUp(member.id(1))).toBe('recorded');
    expect(await other.log.outcomeOf(member.id(1))).toMatchObject({ outcome: 'committed' });
  });
});
