import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as passes } from 'node:timers/promises';
import type { RootDatabase } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CommitDecision } from '../decision-log.js';
import { LogBrokenError } from '../log-errors.js';
import { LmdbDecisionLog } from './lmdb-decision-log.js';

const NO_SPACE_LEFT = 28;
const QUOTA_EXCEEDED = 122;
const MAP_FULL = -30_792;
const IO_ERROR = 5;

let path: string;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'lmdb-writes-'));
});

afterEach(() => {
  rmSync(path, { recursive: true });
});

async function opened(): Promise<LmdbDecisionLog> {
  const log = new LmdbDecisionLog({ path });
  await log.open('shop');
  return log;
}

function decision(id: string): CommitDecision {
  return {
    id,
    toRecord: () => ({
      id,
      name: 'sale',
      decider: { kind: 'log' },
      branches: [{ branchId: 'b', participant: 'p', payload: 1, completed: false }],
    }),
  };
}

/** A disk cannot be made to fail, so its failures begin at the database, which is the log's own. */
function databaseOf(log: LmdbDecisionLog): RootDatabase<Buffer, string> {
  return (log as unknown as { opened: { database: RootDatabase<Buffer, string> } }).opened.database;
}

/** The next write fails as LMDB fails: every part of it is rejected, and the cause is in a promise of its own. */
function failNextWrite(log: LmdbDecisionLog, code: number, message: string) {
  const database = databaseOf(log);
  const failure = (): Promise<boolean> => {
    const commitError = Promise.reject(Object.assign(new Error(message), { code }));
    commitError.catch(() => {});
    return Promise.reject(Object.assign(new Error('Commit failed'), { commitError }));
  };
  return vi.spyOn(database, 'ifVersion').mockImplementationOnce((_key, _version, callback) => {
    const put = vi.spyOn(database, 'put').mockImplementation(failure);
    const remove = vi.spyOn(database, 'remove').mockImplementation(failure);
    callback();
    put.mockRestore();
    remove.mockRestore();
    return failure();
  });
}

async function idsAfterStart(): Promise<string[]> {
  const log = new LmdbDecisionLog({ path });
  const { decisions } = await log.open('shop');
  await log.close();
  return decisions.map(({ id }) => id);
}

describe('A write that fails in LMDB', () => {
  it.each([
    ['the disk is full', NO_SPACE_LEFT],
    ['the quota is used up', QUOTA_EXCEEDED],
    ['the map is full', MAP_FULL],
  ])('is told as it is, and passes, when %s', async (problem, code) => {
    const log = await opened();
    failNextWrite(log, code, problem);

    await expect(log.append(decision('shop.1.1'))).rejects.toMatchObject({ code, message: problem });
    expect(await log.lookUp('shop.1.1')).toBe('absent');
    await log.check();
    await log.append(decision('shop.1.2'));
    await log.close();

    expect(await idsAfterStart()).toEqual(['shop.1.2']);
  });

  it('keeps the ends of decisions that it should have written, for the next write', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    log.end('shop.1.1');
    failNextWrite(log, NO_SPACE_LEFT, 'the disk is full');
    await expect(log.check()).rejects.toThrow('the disk is full');
    expect(await log.lookUp('shop.1.1')).toBe('recorded');

    await log.append(decision('shop.1.2'));
    expect(await log.lookUp('shop.1.1')).toBe('absent');
    await log.close();
  });

  it('fault 29 §: breaks the log when it may have reached the disk, until a new start has read that', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    const writes = failNextWrite(log, IO_ERROR, 'Input/output error');

    const failed = log.append(decision('shop.1.2'));
    await expect(failed).rejects.toThrow(LogBrokenError);
    await expect(failed).rejects.toMatchObject({
      code: 'DTC_LOG_BROKEN',
      message: expect.stringContaining('Input/output error'),
    });

    await expect(log.append(decision('shop.1.3'))).rejects.toThrow(LogBrokenError);
    await expect(log.check()).rejects.toThrow(LogBrokenError);
    await expect(log.lookUp('shop.1.1')).rejects.toThrow(LogBrokenError);
    expect(writes).toHaveBeenCalledTimes(1);

    await log.close();
    expect(await idsAfterStart()).toEqual(['shop.1.1']);
  });

  it('leaves no rejection that nobody takes: such a one ends a process', async () => {
    const log = await opened();
    const database = databaseOf(log);
    const untaken: unknown[] = [];
    const note = (reason: unknown): number => untaken.push(reason);
    process.on('unhandledRejection', note);
    // No spies, since a spy takes the rejections of what it stands for.
    const failure = (): Promise<boolean> =>
      Promise.reject(Object.assign(new Error('the disk is full'), { code: NO_SPACE_LEFT }));
    database.put = failure;
    database.ifVersion = (_key, _version, callback) => {
      callback();
      return failure();
    };
    await expect(log.append(decision('shop.1.1'))).rejects.toThrow('the disk is full');
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', note);

    expect(untaken).toEqual([]);
    await log.close();
  });

  it('breaks the log when LMDB does not say why', async () => {
    const log = await opened();
    vi.spyOn(databaseOf(log), 'ifVersion').mockRejectedValueOnce(new Error('the environment is gone'));

    await expect(log.append(decision('shop.1.1'))).rejects.toMatchObject({
      code: 'DTC_LOG_BROKEN',
      message: expect.stringContaining('the environment is gone'),
    });
    await log.close();
  });

  it('for want of room is over only when there is room for the largest of what could not be written', async () => {
    const log = await opened();
    const large = { ...decision('shop.1.1').toRecord(), name: 'x'.repeat(100_000) };
    failNextWrite(log, NO_SPACE_LEFT, 'the disk is full');
    const failed = [
      log.append({ id: large.id, toRecord: () => large }),
      log.append(decision('shop.1.2')),
      log.forget('shop.1.3'),
    ];
    for (const { status } of await Promise.allSettled(failed)) expect(status).toBe('rejected');
    failNextWrite(log, NO_SPACE_LEFT, 'the disk is full');
    await expect(log.append(decision('shop.1.4'))).rejects.toThrow('the disk is full');

    const puts = vi.spyOn(databaseOf(log), 'put');
    await log.check();
    expect(puts.mock.calls[0]?.[1]?.length).toBeGreaterThan(100_000);
    await log.close();
  });

  it('keeps nobody from closing: an end that is lost is delivered once more, and no harm', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    log.end('shop.1.1');
    failNextWrite(log, NO_SPACE_LEFT, 'the disk is full');
    await log.close();

    expect(await idsAfterStart()).toEqual(['shop.1.1']);
  });
});

describe('The end of a decision', () => {
  it('is written by itself when no other decision follows', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    await log.append(decision('shop.1.2'));
    log.end('shop.1.1');
    log.end('shop.1.2');

    for (const id of ['shop.1.1', 'shop.1.2']) await expect.poll(() => log.lookUp(id)).toBe('absent');
    await log.close();
  });

  it('is written once: what went with another decision is due no more', async () => {
    const log = await opened();
    await log.append(decision('shop.1.1'));
    const writes = vi.spyOn(databaseOf(log), 'ifVersion');
    log.end('shop.1.1');
    await log.append(decision('shop.1.2'));
    expect(await log.lookUp('shop.1.1')).toBe('absent');

    // Nothing is to happen, so there is nothing to wait for but the time in which it would.
    await passes(80);
    await log.append(decision('shop.1.3'));
    expect(writes).toHaveBeenCalledTimes(2);
    await log.close();
  });
});
