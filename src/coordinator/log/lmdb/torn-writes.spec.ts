import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { databaseIn, markClaimed } from './file-check.js';
import { LmdbDecisionLog } from './lmdb-decision-log.js';

const SEED = 20_260;
const ROUNDS = 12;
const POWER_FAILURES = 8;
const PAGE_BYTES = 4_096;
/** The first two pages describe the database; one of them is written when all others have been flushed. */
const FIRST_DATA_PAGE = 2;

let path: string;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'torn-writes-'));
});
afterEach(() => rmSync(path, { recursive: true }));

/** Small, and the same at every run. Source: Marsaglia, "Xorshift RNGs", 2003. */
function chance(seed: number): () => boolean {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state & 1) === 0;
  };
}

/** The file as it would be if the power had failed before the description was written: some pages reached the disk. */
function torn(before: Buffer, after: Buffer, reachedTheDisk: () => boolean): Buffer {
  const pages = Buffer.concat([before, Buffer.alloc(Math.max(0, after.length - before.length))]);
  for (let at = FIRST_DATA_PAGE * PAGE_BYTES; at < after.length; at += PAGE_BYTES) {
    if (reachedTheDisk()) after.copy(pages, at, at, at + PAGE_BYTES);
  }
  return pages;
}

async function decisionsIn(file: Buffer): Promise<string[]> {
  const restored = mkdtempSync(join(path, 'restored-'));
  mkdirSync(join(restored, 'shop'));
  writeFileSync(databaseIn(join(restored, 'shop')), file);
  markClaimed(join(restored, 'shop'));
  const log = new LmdbDecisionLog({ path: restored });
  const { decisions } = await log.open('shop');
  await log.close();
  return decisions.map(({ id }) => id);
}

describe('A power failure in the middle of a write', () => {
  it(`loses nothing that was durable, and leaves no half of a record (seed ${SEED})`, async () => {
    const log = new LmdbDecisionLog({ path: join(path, 'log') });
    await log.open('shop');
    const database = databaseIn(join(path, 'log', 'shop'));
    const random = chance(SEED);
    const durable: string[] = [];
    let whole = readFileSync(database);
    for (let round = 1; round <= ROUNDS; round++) {
      const id = `shop.1.${round}`;
      const payload = 'x'.repeat(random() ? 10 : 20_000);
      const branches = [{ branchId: 'b', participant: 'p', payload, completed: false }];
      await log.append({ id, toRecord: () => ({ id, name: 'sale', decider: { kind: 'log' }, branches }) });
      const after = readFileSync(database);
      for (let failure = 0; failure < POWER_FAILURES; failure++) {
        expect(await decisionsIn(torn(whole, after, random))).toEqual(durable.toSorted());
      }
      durable.push(id);
      expect(await decisionsIn(after)).toEqual(durable.toSorted());
      whole = after;
    }
    await log.close();
  });
});
