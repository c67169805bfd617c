import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DamagedLogError } from '../log-errors.js';
import { checkFile, databaseIn, markClaimed } from './file-check.js';
import { LmdbDecisionLog } from './lmdb-decision-log.js';

let path: string;
let folder: string;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'file-check-'));
  folder = join(path, 'shop');
});

afterEach(() => {
  rmSync(path, { recursive: true });
});

/** Leaves a log whose file has grown a great deal with the last of so many writes. */
async function leaveLog(writes: number): Promise<void> {
  const log = new LmdbDecisionLog({ path });
  await log.open('shop');
  for (let write = 1; write <= writes; write++) {
    const payload = 'x'.repeat(write === writes ? 1_000_000 : 10);
    const branches = [{ branchId: 'b', participant: 'p', payload, completed: false }];
    const id = `shop.1.${write}`;
    await log.append({ id, toRecord: () => ({ id, name: 'sale', decider: { kind: 'log' }, branches }) });
  }
  await log.close();
}

const PAGE = 4_096;

/** One of the two pages that describe an LMDB file, as LMDB lays it out. */
function description(root: bigint, transaction: bigint, magic = 0xbeefc0de): Buffer {
  const page = Buffer.alloc(PAGE);
  page.writeUInt32LE(magic, 24);
  page.writeUInt32LE(PAGE, 48);
  page.writeBigUInt64LE(2n ** 64n - 1n, 88);
  page.writeBigUInt64LE(root, 136);
  page.writeBigUInt64LE(transaction, 152);
  return page;
}

/** Leaves a file of so many bytes that begins with these pages. */
function leaveFile(bytes: number, ...pages: Buffer[]): void {
  folder = path;
  writeFileSync(databaseIn(folder), Buffer.concat(pages, bytes));
}

describe('The descriptions in the file of a log', () => {
  it('say where the root is, which must be there to its last byte', () => {
    leaveFile(8 * PAGE, description(2n, 1n), description(7n, 2n));
    expect(() => checkFile(folder)).not.toThrow();
    leaveFile(8 * PAGE - 1, description(2n, 1n), description(7n, 2n));
    expect(() => checkFile(folder)).toThrow(DamagedLogError);
  });

  it('are two: a file that is cut off behind the first has lost what that speaks of', () => {
    leaveFile(PAGE, description(2n, 1n));
    expect(() => checkFile(folder)).toThrow(/it has 4096 bytes, and must have 12288/);
  });

  it('are known by their number: without it the rest of a page says nothing', () => {
    leaveFile(8 * PAGE, description(2n, 1n, 0xbeefc0df), description(3n, 2n));
    expect(() => checkFile(folder)).toThrow(/no database of this kind/);
  });
});

describe('The file of a log', () => {
  it('need not be there, and may be empty, before the log is claimed for the first time', () => {
    folder = path;
    expect(() => checkFile(folder)).not.toThrow();
    writeFileSync(databaseIn(folder), '');
    expect(() => checkFile(folder)).not.toThrow();
  });

  it('must be there from the first claim on', async () => {
    await leaveLog(1);
    rmSync(databaseIn(folder));

    expect(() => checkFile(folder)).toThrow(DamagedLogError);
    expect(() => checkFile(folder)).toThrow(/decisions\.mdb.*missing/);
    await expect(new LmdbDecisionLog({ path }).open('shop')).rejects.toThrow(DamagedLogError);
  });

  it('must be a database, also one that nobody has claimed', async () => {
    folder = path;
    writeFileSync(databaseIn(folder), 'no database of any kind'.repeat(1_000));
    expect(() => checkFile(folder)).toThrow(DamagedLogError);
  });

  it('is not empty once the log was claimed', () => {
    folder = path;
    writeFileSync(databaseIn(folder), '');
    markClaimed(folder);
    markClaimed(folder);

    expect(() => checkFile(folder)).toThrow(DamagedLogError);
  });

  // Two descriptions take turns, so that in each case another one is the younger.
  it.each([1, 2])('is as long as the younger of its descriptions says, after %i writes', async (writes) => {
    await leaveLog(writes);
    expect(() => checkFile(folder)).not.toThrow();

    const file = databaseIn(folder);
    truncateSync(file, 500_000);
    expect(() => checkFile(folder)).toThrow(DamagedLogError);
    expect(() => checkFile(folder)).toThrow(/it has 500000 bytes/);
    await expect(new LmdbDecisionLog({ path }).open('shop')).rejects.toThrow(DamagedLogError);
    expect(statSync(file).size).toBe(500_000);
  });

  it('that is cut off within its first page is no database', async () => {
    await leaveLog(1);
    truncateSync(databaseIn(folder), 100);

    expect(() => checkFile(folder)).toThrow(DamagedLogError);
  });

  it('is given back to whoever starts next when it is refused', async () => {
    await leaveLog(1);
    rmSync(databaseIn(folder));
    const log = new LmdbDecisionLog({ path });
    for (let start = 0; start < 2; start++) await expect(log.open('shop')).rejects.toThrow(DamagedLogError);
  });
});
