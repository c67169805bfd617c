import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as passes } from 'node:timers/promises';
import { deserialize, serialize } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  DamagedLogError,
  LogBrokenError,
  LogInUseError,
  LogNotOpenedError,
} from '../coordinator/log/log-errors.js';
import { FoundRecords } from './found-records.js';
import { decision, decisionsIn, imageOf, temporaryFolder } from './log-image.fixture.js';
import { LogFailure, type Written } from './messages.js';
import { encodeBody } from '../coordinator/log/record-body.js';
import { SqliteDecisionLog } from './sqlite-decision-log.js';
import type { LogWorker } from './worker-client.js';

let path: string;
let remove: () => void;

beforeEach(() => {
  ({ path, remove } = temporaryFolder());
});
afterEach(() => remove());

async function opened(): Promise<SqliteDecisionLog> {
  const log = new SqliteDecisionLog({ path });
  await log.open('shop');
  return log;
}

function nested(depth: number): unknown {
  let value: unknown = new Date(0);
  for (let level = 0; level < depth; level++) value = { a: value };
  return value;
}

/** @returns how deeply nested a value may be, in steps of a hundred, so that nothing is thrown. */
function deepest(keep: (value: unknown) => unknown): number {
  for (let depth = 100; depth < 20_000; depth += 100) {
    try {
      keep(nested(depth + 100));
    } catch {
      return depth;
    }
  }
  throw new Error('the stack is too large for this test');
}

const report = (id: string) =>
  ({
    id,
    name: 'sale',
    decision: 'commit',
    branchId: 'b',
    participant: 'p',
    kind: 'mixed',
    reason: '',
  }) as const;

describe('SqliteDecisionLog', () => {
  it.each([
    ['plain values', { sku: 'tea', quantity: 2, note: null, lines: [1, 'two', { three: true }] }],
    [
      'what a structured clone keeps',
      { at: new Date(0), amount: 12n, lines: new Map([['tea', 2]]), bytes: Buffer.from('a') },
    ],
    ['what is not defined', { nothing: undefined, holes: [1, undefined], minusZero: -0, none: Number.NaN }],
    ['nothing', undefined],
    ['a list with a hole and a name', { list: Object.assign([1], { 2: 3, unit: 'piece' }) }],
    ['a list with a name', { list: Object.assign([1], { unit: 'piece' }) }],
    // oxlint-disable-next-line no-sparse-arrays
    ['a list with a hole', { list: [1, , 3] }],
    ['an object of its own kind of text', { toJSON: undefined, text: '\ud800 and \u0000' }],
  ])('gives back %s', async (_, payload) => {
    const log = await opened();
    const record = decision('shop.1.1').toRecord();
    const branches = record.branches.map((each) => ({ ...each, payload }));
    await log.append({ id: record.id, toRecord: () => ({ ...record, branches }) });
    await log.close();

    const { decisions } = await log.open('shop');
    await log.close();

    expect(decisions[0]?.branches[0]).toStrictEqual({
      branchId: 'b',
      participant: 'p',
      payload,
      completed: false,
    });
  });

  it('refuses a decision that it could not write, before anything is written', async () => {
    const log = await opened();
    expect(() => log.append(decision('shop.1.1', () => 1))).toThrow('could not be cloned');
    expect(() => log.append(decision('shop.1.1', 'x'.repeat(65 * 1024 * 1024)))).toThrow(/may have 67108864/);

    expect(await log.lookUp('shop.1.1')).toBe('absent');
    await log.close();
  });

  it('refuses a decision that could be written and not read, and no other that is written with it', async () => {
    const log = await opened();
    // Half-way between what can be read and what can be written, so that no few frames of the stack matter.
    const depth = (deepest((value) => deserialize(serialize(value))) + deepest(serialize)) / 2;
    const ends = await Promise.allSettled([
      log.append(decision('shop.1.1')),
      log.append(decision('shop.1.2', nested(depth))),
      log.append(decision('shop.1.3', nested(100))),
    ]);
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(ends[1]).toMatchObject({ reason: { code: 'DTC_RECORD_REFUSED', record: 'commit/shop.1.2' } });
    expect(await log.lookUp('shop.1.2')).toBe('absent');
    await log.check();
    await log.close();

    expect(await decisionsIn(path)).toEqual(['shop.1.1', 'shop.1.3']);
  });

  it('keeps of every depth that it takes what the next start can read', async () => {
    const log = await opened();
    const taken: string[] = [];
    for (let depth = 50; depth <= 3_000; depth += 150) {
      const id = `shop.1.${depth}`;
      const isTaken = await Promise.resolve()
        .then(() => log.append(decision(id, nested(depth))))
        .then(
          () => true,
          () => false,
        );
      if (isTaken) taken.push(id);
    }
    await log.close();

    expect(taken.length).toBeGreaterThan(0);
    expect(await decisionsIn(path)).toEqual(taken.toSorted());
  });

  it('gives its files and folders to this user alone', async () => {
    const umask = process.umask(0);
    const root = join(path, 'new', 'logs');
    const log = new SqliteDecisionLog({ path: root });
    await log.open('shop');
    await log.append(decision('shop.1.1'));
    process.umask(umask);

    const rights = (file: string): number => statSync(file).mode & 0o777;
    for (const folder of [join(path, 'new'), root, join(root, 'shop')]) expect(rights(folder)).toBe(0o700);
    const files = readdirSync(join(root, 'shop'));
    expect(files).toContain('decisions.sqlite-wal');
    for (const file of files) expect([file, rights(join(root, 'shop', file))]).toEqual([file, 0o600]);
    await log.close();
  });

  it('refuses a second coordinator, in this process too, with the folder and what to do', async () => {
    const log = await opened();
    for (let start = 0; start < 2; start++) {
      const refused = new SqliteDecisionLog({ path }).open('shop');
      await expect(refused).rejects.toThrow(LogInUseError);
      await expect(refused).rejects.toMatchObject({ code: 'DTC_LOG_IN_USE', path: join(path, 'shop') });
    }
    await expect(log.open('shop')).rejects.toThrow(LogInUseError);
    await log.append(decision('shop.1.1'));
    await log.close();

    expect(await decisionsIn(path)).toEqual(['shop.1.1']);
  });

  it('refuses a second coordinator though the lock of the first was removed', async () => {
    const log = await opened();
    rmSync(join(path, 'shop', 'lock'));

    await expect(new SqliteDecisionLog({ path }).open('shop')).rejects.toThrow(LogInUseError);
    await log.append(decision('shop.1.1'));
    expect(await log.lookUp('shop.1.1')).toBe('recorded');
    await log.close();
    expect(await decisionsIn(path)).toEqual(['shop.1.1']);
  });

  it('is refused while another process holds it, and lets it in when that was killed', async () => {
    mkdirSync(join(path, 'shop'));
    const script = `const { DatabaseSync } = require('node:sqlite');
      const database = new DatabaseSync(process.argv[1]);
      database.exec('BEGIN EXCLUSIVE');
      process.stdout.write('held');
      setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['-e', script, join(path, 'shop', 'lock')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const log = new SqliteDecisionLog({ path });
    await once(holder.stdout, 'data');

    await expect(log.open('shop')).rejects.toThrow(LogInUseError);
    holder.kill('SIGKILL');
    await once(holder, 'exit');

    expect(await log.open('shop')).toMatchObject({ durable: true, decisions: [] });
    await log.close();
  });

  it('gives the lock back when a start fails, so that the next works in the same process', async () => {
    const log = new SqliteDecisionLog({ path });
    mkdirSync(join(path, 'shop', 'decisions.sqlite'), { recursive: true });
    for (let start = 0; start < 2; start++) {
      await expect(log.open('shop')).rejects.toThrow(LogNotOpenedError);
      await expect(log.append(decision('shop.1.1'))).rejects.toThrow('closed');
      await expect(log.lookUp('shop.1.1')).rejects.toThrow('closed');
    }
    rmSync(join(path, 'shop', 'decisions.sqlite'), { recursive: true });

    expect(await log.open('shop')).toMatchObject({ durable: true, decisions: [], epoch: 1 });
    await log.close();
  });

  it('says which folder cannot be opened, and what to do', async () => {
    writeFileSync(join(path, 'shop'), '');
    const refused = new SqliteDecisionLog({ path }).open('shop');

    await expect(refused).rejects.toMatchObject({ code: 'DTC_LOG_NOT_OPENED', path: join(path, 'shop') });
    await expect(refused).rejects.toThrow('then start again');
  });

  it('fault 65: refuses the folder of a log of LMDB, and changes nothing in it', async () => {
    mkdirSync(join(path, 'shop'));
    writeFileSync(join(path, 'shop', 'decisions.mdb'), 'of before');
    const refused = new SqliteDecisionLog({ path }).open('shop');

    await expect(refused).rejects.toMatchObject({ code: 'DTC_LOG_FORMAT' });
    await expect(refused).rejects.toThrow(/LMDB.*earlier version.*new one/s);
    expect(imageOf(join(path, 'shop'))).toEqual({ 'decisions.mdb': Buffer.from('of before') });
  });

  it('knows in a copy of itself all runs before, and none after', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    await log.close();
    cpSync(join(path, 'shop'), join(path, 'copy', 'shop'), { recursive: true });

    const copy = new SqliteDecisionLog({ path: join(path, 'copy') });
    const [one, other] = [await log.open('shop'), await copy.open('shop')];
    expect([other.logId, other.epoch, other.decisions.length]).toEqual([one.logId, one.epoch, 1]);
    expect(other.token).not.toBe(one.token);
    expect(copy.isOwnRun(one.epoch, one.token)).toBe(false);
    expect(copy.isOwnRun(other.epoch, other.token)).toBe(true);
    await log.close();
    await copy.close();
  });

  it('takes nothing while it is closed, and may be closed twice', async () => {
    const log = new SqliteDecisionLog({ path });
    await log.close();
    await log.open('shop');
    await log.close();
    await log.close();

    await expect(log.append(decision('shop.1.1'))).rejects.toThrow('closed');
    await expect(log.lookUp('shop.1.1')).rejects.toThrow('closed');
    await expect(log.forget('shop.1.1')).rejects.toThrow('closed');
  });

  it('leaves no thread behind, whether its start works or fails', async () => {
    const threads = (): number =>
      process.getActiveResourcesInfo().filter((name) => name.includes('Worker')).length;
    const before = threads();
    const log = await opened();
    await expect(new SqliteDecisionLog({ path }).open('shop')).rejects.toThrow(LogInUseError);
    await log.close();

    expect(threads()).toBe(before);
  });

  it('breaks when its thread ends, and answers every caller that waits at once', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    const { worker } = (log as unknown as { opened: { worker: { worker: Worker } } }).opened.worker;
    await worker.terminate();

    await expect(log.append(decision('shop.1.2'))).rejects.toThrow(LogBrokenError);
    await expect(log.lookUp('shop.1.1')).rejects.toThrow(LogBrokenError);
    await expect(log.check()).rejects.toThrow(LogBrokenError);
    await log.close();
    expect(await decisionsIn(path)).toEqual(['shop.1.1']);
  });

  it('breaks when a message cannot be sent to its thread, and waits for no answer to it', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    const { worker } = (log as unknown as { opened: { worker: { worker: Worker } } }).opened.worker;
    const references = [vi.spyOn(worker, 'ref'), vi.spyOn(worker, 'unref')] as const;
    vi.spyOn(worker, 'postMessage').mockImplementationOnce(() => {
      throw new DOMException('it could not be cloned', 'DataCloneError');
    });
    const failed = log.append(decision('shop.1.2'));

    await expect(failed).rejects.toThrow(LogBrokenError);
    await expect(failed).rejects.toThrow('it could not be cloned');
    const [refs, unrefs] = references.map(({ mock }) => mock.calls.length);
    expect(refs).toBe(unrefs);
    await expect(log.append(decision('shop.1.3'))).rejects.toThrow(LogBrokenError);
    await expect(log.lookUp('shop.1.2')).rejects.toThrow(LogBrokenError);
    await log.close();
    expect(await decisionsIn(path)).toEqual(['shop.1.1']);
  });

  it('says in words why it could not be closed', async () => {
    const log = await opened();
    const { worker } = (log as unknown as { opened: { worker: LogWorker } }).opened;
    const close = worker.close.bind(worker);
    vi.spyOn(worker, 'close').mockImplementationOnce(async (limitMs) => {
      await close(limitMs);
      throw new LogFailure({ kind: 'failed', problem: 'the disk says no' });
    });

    await expect(log.close()).rejects.toThrow(/was not closed as it should be \(the disk says no\)/);
    await log.close();
  });

  it('is whole after a process that ended without closing it, however soon after its start', async () => {
    for (const appended of [false, true]) {
      const log = await opened();
      if (appended) await log.append(decision('shop.1.1'));
      const { worker } = (log as unknown as { opened: { worker: { worker: Worker } } }).opened.worker;
      await worker.terminate();
      expect(await decisionsIn(path)).toEqual(appended ? ['shop.1.1'] : []);
    }
  });

  it('forgets the reports of one transaction, and nothing else that is written with them', async () => {
    const log = await opened();
    await log.report(report('shop.1.3'));
    await Promise.all([
      log.report(report('shop.1.1')),
      log.append(decision('shop.1.2')),
      log.report(report('shop.1.10')),
      log.forget('shop.1.1'),
    ]);
    await log.close();

    const claim = await log.open('shop');
    await log.close();
    expect(claim.decisions.map(({ id }) => id)).toEqual(['shop.1.2']);
    expect(claim.reports.map(({ id }) => id).toSorted()).toEqual(['shop.1.10', 'shop.1.3']);
  });

  it('refuses a report and an entry that the next start would not understand', async () => {
    const log = await opened();
    const odd = { ...report('shop.1.1'), reason: 7 as unknown as string };
    expect(() => log.report(odd)).toThrow('not of the shape');
    const entry = {
      number: 0,
      at: 1,
      by: 'a',
      action: 'retry',
      target: 't',
      reason: '',
      detail: null,
    } as const;
    expect(() => log.audit(entry)).toThrow('not of the shape');
    await log.close();
    expect(await decisionsIn(path)).toEqual([]);
  });

  it('gives out the next epoch after more starts than a call takes arguments', () => {
    const records = new FoundRecords();
    const body = encodeBody('start/1', { token: 'token' });
    const starts = 200_000;
    const keys = Array.from({ length: starts }, (_, index) => `start/${index + 1}`);
    const bodies = new Uint8Array(starts * body.length);
    for (let index = 0; index < starts; index++) bodies.set(body, index * body.length);
    records.add({ keys, lengths: new Uint32Array(starts).fill(body.length), bodies });

    expect([records.damage, records.starts.size, records.lastEpoch]).toEqual([undefined, starts, starts]);
  });

  it('answers a write that fails for every note that goes with it, however many those are', async () => {
    const log = await opened();
    const { worker } = (log as unknown as { opened: { worker: LogWorker } }).opened;
    for (let number = 1; number <= 200_000; number++) log.end(`shop.1.${number}`);
    vi.spyOn(worker, 'request').mockRejectedValueOnce(new LogFailure({ kind: 'full', problem: 'full' }));
    await expect(log.append(decision('shop.1.1'))).rejects.toThrow('there is no room');

    await log.append(decision('shop.1.1'));
    await log.append(decision('shop.1.2'));
    await log.close();
    expect(await decisionsIn(path)).toEqual(['shop.1.1', 'shop.1.2']);
  });

  it('lets the later of two calls win, whichever of them was put off', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    log.end('shop.1.1');
    await log.append(decision('shop.1.1', 'again'));
    const progress = log.progress(decision('shop.1.1', 'more'));
    log.end('shop.1.1');
    await progress;
    expect(await log.lookUp('shop.1.1')).toBe('absent');
    log.end('shop.1.2');
    await log.append(decision('shop.1.2'));
    await log.close();

    expect(await decisionsIn(path)).toEqual(['shop.1.2']);
  });

  it('writes something for each check, also when the removal of the one before is yet to be written', async () => {
    const log = await opened();
    await log.check();
    const { count } = log.flushes.durationsUs;
    for (let check = 1; check <= 4; check++) {
      await log.check();
      expect(log.flushes.durationsUs.count).toBe(count + check);
    }
    await log.close();
  });

  it('tells the refused of a group from the others when notes are written before them', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    await log.append(decision('shop.1.2'));
    for (const id of ['shop.1.1', 'shop.1.2']) log.end(id);
    const { opened: open } = log as unknown as { opened: { worker: LogWorker } };
    const request = open.worker.request.bind(open.worker);
    vi.spyOn(open.worker, 'request').mockImplementationOnce(async (message, transfer) => {
      const written = (await request(message, transfer)) as Written;
      return { ...written, refused: [[3, 'it is refused']] };
    });
    const ends = await Promise.allSettled(['shop.1.3', 'shop.1.4'].map((id) => log.append(decision(id))));

    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(ends[1]).toMatchObject({ reason: { code: 'DTC_RECORD_REFUSED', record: 'commit/shop.1.4' } });
    await log.close();
  });

  it('grows no further than what is open at the same time', async () => {
    const log = await opened();
    const sizes: number[] = [];
    for (let round = 0; round < 6; round++) {
      const ids = Array.from({ length: 1_000 }, (_, index) => `shop.1.${round * 1_000 + index + 1}`);
      await Promise.all(ids.map((id) => log.append(decision(id, 'x'.repeat(1_000)))));
      for (const id of ids) log.end(id);
      await log.check();
      const files = readdirSync(join(path, 'shop')).map((name) => statSync(join(path, 'shop', name)).size);
      sizes.push(files.reduce((total, size) => total + size, 0));
    }
    await log.close();

    expect(sizes[5]! / sizes[3]!).toBeLessThan(1.5);
  });
});

describe('The end of a decision', () => {
  it('is written by itself when no other decision follows', async () => {
    const log = await opened();
    for (const id of ['shop.1.1', 'shop.1.2']) await log.append(decision(id));
    for (const id of ['shop.1.1', 'shop.1.2']) log.end(id);

    for (const id of ['shop.1.1', 'shop.1.2']) await expect.poll(() => log.lookUp(id)).toBe('absent');
    await log.close();
  });

  it('is written once: what went with another decision is due no more', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    log.end('shop.1.1');
    await log.append(decision('shop.1.2'));
    expect(await log.lookUp('shop.1.1')).toBe('absent');
    const { count } = log.flushes.durationsUs;

    // Nothing is to happen, so there is nothing to wait for but the time in which it would.
    await passes(80);
    expect(log.flushes.durationsUs.count).toBe(count);
    await log.close();
  });

  it('is written when the log is closed', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    log.end('shop.1.1');
    await log.close();

    expect(await decisionsIn(path)).toEqual([]);
  });
});

describe('A log that holds what it must not', () => {
  it.each([
    ['bytes that are no database', Buffer.alloc(100_000, 1)],
    ['a text', Buffer.from('no database of any kind'.repeat(1_000))],
  ])('of %s is damaged', async (_, bytes) => {
    mkdirSync(join(path, 'shop'));
    writeFileSync(join(path, 'shop', 'decisions.sqlite'), bytes);

    await expect(new SqliteDecisionLog({ path }).open('shop')).rejects.toThrow(DamagedLogError);
  });

  it('is not in use when its lock cannot be had for another reason, and tells that reason', async () => {
    mkdirSync(join(path, 'shop'));
    writeFileSync(join(path, 'shop', 'lock'), 'no lock of any kind'.repeat(100));

    await expect(new SqliteDecisionLog({ path }).open('shop')).rejects.toThrow(/shop.*not a database/);
  });
});
