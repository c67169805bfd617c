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

/** @returns how deeply nested a value may be, in steps of a hundred, before an error is thrown. */
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
      'values of a structured clone',
      { at: new Date(0), amount: 12n, lines: new Map([['tea', 2]]), bytes: Buffer.from('a') },
    ],
    ['undefined values', { nothing: undefined, holes: [1, undefined], minusZero: -0, none: Number.NaN }],
    ['nothing', undefined],
    ['a list with a hole and a name', { list: Object.assign([1], { 2: 3, unit: 'piece' }) }],
    ['a list with a name', { list: Object.assign([1], { unit: 'piece' }) }],
    // oxlint-disable-next-line no-sparse-arrays
    ['a list with a hole', { list: [1, , 3] }],
    ['an object with its own JSON', { toJSON: undefined, text: '\ud800 and \u0000' }],
  ])('returns %s unchanged', async (_, payload) => {
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

  it('refuses a decision that cannot be written, before anything is written', async () => {
    const log = await opened();
    expect(() => log.append(decision('shop.1.1', () => 1))).toThrow('could not be cloned');
    expect(() => log.append(decision('shop.1.1', 'x'.repeat(65 * 1024 * 1024)))).toThrow(
      /may have at most 67108864/,
    );

    expect(await log.lookUp('shop.1.1')).toBe('absent');
    await log.close();
  });

  it('refuses a decision that could be written but not read, and no other in the same write', async () => {
    const log = await opened();
    // Half-way between the limits of reading and writing, so that a few frames of the stack do not matter.
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

  it('accepts only depths that the next start can read', async () => {
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

  it('restricts its files and folders to this user', async () => {
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

  it('refuses a second coordinator, even in this process, and names the folder and the remedy', async () => {
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

  it('refuses a second coordinator although the lock of the first was removed', async () => {
    const log = await opened();
    rmSync(join(path, 'shop', 'lock'));

    await expect(new SqliteDecisionLog({ path }).open('shop')).rejects.toThrow(LogInUseError);
    await log.append(decision('shop.1.1'));
    expect(await log.lookUp('shop.1.1')).toBe('recorded');
    await log.close();
    expect(await decisionsIn(path)).toEqual(['shop.1.1']);
  });

  it('is refused while another process holds it, and opened after that was killed', async () => {
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

  it('releases the lock when a start fails, so that the next works in the same process', async () => {
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

  it('names the folder that cannot be opened, and the remedy', async () => {
    writeFileSync(join(path, 'shop'), '');
    const refused = new SqliteDecisionLog({ path }).open('shop');

    await expect(refused).rejects.toMatchObject({ code: 'DTC_LOG_NOT_OPENED', path: join(path, 'shop') });
    await expect(refused).rejects.toThrow('Then start again');
  });

  it('fault 65: refuses the folder of a log of LMDB, and changes nothing in it', async () => {
    mkdirSync(join(path, 'shop'));
    writeFileSync(join(path, 'shop', 'decisions.mdb'), 'of the earlier version');
    const refused = new SqliteDecisionLog({ path }).open('shop');

    await expect(refused).rejects.toMatchObject({ code: 'DTC_LOG_FORMAT' });
    await expect(refused).rejects.toThrow(/LMDB.*earlier version.*new one/s);
    expect(imageOf(join(path, 'shop'))).toEqual({ 'decisions.mdb': Buffer.from('of the earlier version') });
  });

  it('knows in a copy of itself all earlier runs, and no later one', async () => {
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

  it('accepts nothing while it is closed, and may be closed twice', async () => {
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

  it('breaks when its thread ends, and answers every waiting caller at once', async () => {
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

  it('breaks when a message cannot be sent to its thread, and waits for no answer', async () => {
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

  it('reports why it could not be closed', async () => {
    const log = await opened();
    const { worker } = (log as unknown as { opened: { worker: LogWorker } }).opened;
    const close = worker.close.bind(worker);
    vi.spyOn(worker, 'close').mockImplementationOnce(async (limitMs) => {
      await close(limitMs);
      throw new LogFailure({ kind: 'failed', problem: 'the disk fails' });
    });

    await expect(log.close()).rejects.toThrow(/was not closed properly \(the disk fails\)/);
    await log.close();
  });

  it('is intact after a process ended without closing it, however soon after its start', async () => {
    for (const appended of [false, true]) {
      const log = await opened();
      if (appended) await log.append(decision('shop.1.1'));
      const { worker } = (log as unknown as { opened: { worker: { worker: Worker } } }).opened.worker;
      await worker.terminate();
      expect(await decisionsIn(path)).toEqual(appended ? ['shop.1.1'] : []);
    }
  });

  it('forgets the reports of one transaction, and nothing else in the same write', async () => {
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

  it('refuses a report and an entry that the next start could not read', async () => {
    const log = await opened();
    const odd = { ...report('shop.1.1'), reason: 7 as unknown as string };
    expect(() => log.report(odd)).toThrow('does not have the shape');
    const entry = {
      number: 0,
      at: 1,
      by: 'a',
      action: 'retry',
      target: 't',
      reason: '',
      detail: null,
    } as const;
    expect(() => log.audit(entry)).toThrow('does not have the shape');
    await log.close();
    expect(await decisionsIn(path)).toEqual([]);
  });

  it('gives out the next epoch after more starts than a call can have arguments', () => {
    const records = new FoundRecords();
    const body = encodeBody('start/1', { token: 'token' });
    const starts = 200_000;
    const keys = Array.from({ length: starts }, (_, index) => `start/${index + 1}`);
    const bodies = new Uint8Array(starts * body.length);
    for (let index = 0; index < starts; index++) bodies.set(body, index * body.length);
    records.add({ keys, lengths: new Uint32Array(starts).fill(body.length), bodies });

    expect([records.damage, records.starts.size, records.lastEpoch]).toEqual([undefined, starts, starts]);
  });

  it('answers a failed write for every note in it, however many they are', async () => {
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

  it('lets the later of two calls win, whichever of them was delayed', async () => {
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

  it('writes something for each check, even if the removal of the previous one is not written yet', async () => {
    const log = await opened();
    await log.check();
    const { count } = log.flushes.durationsUs;
    for (let check = 1; check <= 4; check++) {
      await log.check();
      expect(log.flushes.durationsUs.count).toBe(count + check);
    }
    await log.close();
  });

  it('distinguishes the refused items of a group when notes are written before them', async () => {
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

  it('grows only with the records that are open at the same time', async () => {
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
  it('is written alone when no other decision follows', async () => {
    const log = await opened();
    for (const id of ['shop.1.1', 'shop.1.2']) await log.append(decision(id));
    for (const id of ['shop.1.1', 'shop.1.2']) log.end(id);

    for (const id of ['shop.1.1', 'shop.1.2']) await expect.poll(() => log.lookUp(id)).toBe('absent');
    await log.close();
  });

  it('is written once, with another decision or alone', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    log.end('shop.1.1');
    await log.append(decision('shop.1.2'));
    expect(await log.lookUp('shop.1.1')).toBe('absent');
    const { count } = log.flushes.durationsUs;

    // Nothing must happen, so the test can only wait for the time in which it would.
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

describe('A log with invalid content', () => {
  it.each([
    ['bytes that are no database', Buffer.alloc(100_000, 1)],
    ['a text', Buffer.from('no database of any kind'.repeat(1_000))],
  ])('of %s is damaged', async (_, bytes) => {
    mkdirSync(join(path, 'shop'));
    writeFileSync(join(path, 'shop', 'decisions.sqlite'), bytes);

    await expect(new SqliteDecisionLog({ path }).open('shop')).rejects.toThrow(DamagedLogError);
  });

  it('reports the reason when its lock cannot be taken although it is not in use', async () => {
    mkdirSync(join(path, 'shop'));
    writeFileSync(join(path, 'shop', 'lock'), 'no lock of any kind'.repeat(100));

    await expect(new SqliteDecisionLog({ path }).open('shop')).rejects.toThrow(/shop.*not a database/);
  });
});
