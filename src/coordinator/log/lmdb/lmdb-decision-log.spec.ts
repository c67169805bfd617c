import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CommitDecision } from '../decision-log.js';
import { DamagedLogError, LogFencedError, LogInUseError, UnknownLogFormatError } from '../log-errors.js';
import { LmdbDecisionLog } from './lmdb-decision-log.js';
import { encodeRecord } from './record-format.js';

let path: string;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'lmdb-log-'));
});

afterEach(() => {
  rmSync(path, { recursive: true });
});

function decision(id: string, payload: unknown = 1): CommitDecision {
  return {
    id,
    toRecord: () => ({ id, name: 'sale', branches: [{ branchId: 'b', participant: 'p', payload }] }),
  };
}

/** Makes a log that an earlier run has left, and changes what is stored. */
async function stored(
  change: (database: ReturnType<typeof open<Buffer, string>>) => Promise<unknown>,
): Promise<void> {
  const log = new LmdbDecisionLog({ path });
  await log.open('shop');
  await log.append(decision('shop.1.1'));
  await log.append(decision('shop.1.2'));
  await log.close();
  const database = open<Buffer, string>({
    path: join(path, 'shop', 'decisions.mdb'),
    encoding: 'binary',
    useVersions: true,
  });
  await change(database);
  await database.close();
}

describe('LmdbDecisionLog', () => {
  it('keeps what a structured clone keeps', async () => {
    const payload = { at: new Date(0), amount: 12n, lines: new Map([['tea', 2]]), nothing: undefined };
    const log = new LmdbDecisionLog({ path });
    await log.open('shop');
    await log.append(decision('shop.1.1', payload));
    await log.close();

    const { decisions } = await log.open('shop');
    await log.close();

    expect(decisions[0]?.branches[0]?.payload).toEqual(payload);
  });

  it('refuses a decision that it could not give back, before anything is written', async () => {
    const log = new LmdbDecisionLog({ path });
    await log.open('shop');

    expect(() => log.append(decision('shop.1.1', () => 1))).toThrow('could not be cloned');

    expect(await log.lookUp('shop.1.1')).toBe('absent');
    await log.close();
  });

  it('refuses a second coordinator, in this process too, with the folder and what to do', async () => {
    const log = new LmdbDecisionLog({ path });
    await log.open('shop');

    const refused = new LmdbDecisionLog({ path }).open('shop');

    await expect(refused).rejects.toThrow(LogInUseError);
    await expect(refused).rejects.toThrow(join(path, 'shop'));
    await log.append(decision('shop.1.1'));
    await log.close();
  });

  it('refuses a second process while the first lives, and lets it in when that was killed', async () => {
    mkdirSync(join(path, 'shop'));
    const holder = spawn(
      process.execPath,
      [
        '-e',
        `const { DatabaseSync } = require('node:sqlite');
         const database = new DatabaseSync(process.argv[1]);
         database.exec('BEGIN EXCLUSIVE');
         process.stdout.write('held');
         setInterval(() => {}, 1000);`,
        join(path, 'shop', 'lock'),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const log = new LmdbDecisionLog({ path });
    await once(holder.stdout, 'data');

    await expect(log.open('shop')).rejects.toThrow(LogInUseError);
    holder.kill('SIGKILL');
    await once(holder, 'exit');

    expect((await log.open('shop')).epoch).toBe(1);
    await log.close();
  });

  it('fault 28 §: takes nothing more from a run whose log was claimed by another, though its lock was removed', async () => {
    const [first, second] = [new LmdbDecisionLog({ path }), new LmdbDecisionLog({ path })];
    await first.open('shop');
    await first.append(decision('shop.1.1'));
    rmSync(join(path, 'shop', 'lock'));
    expect(await second.open('shop')).toMatchObject({ epoch: 2, decisions: [{ id: 'shop.1.1' }] });

    await expect(first.append(decision('shop.1.2'))).rejects.toThrow(LogFencedError);
    await expect(first.check()).rejects.toThrow(LogFencedError);
    expect(await first.lookUp('shop.1.2')).toBe('fenced');
    expect(await first.lookUp('shop.1.1')).toBe('recorded');

    await second.append(decision('shop.2.1'));
    expect(await second.lookUp('shop.1.2')).toBe('absent');
    await second.close();
    await first.close();
  });

  it('stops the start at a record that is not as it was written, and changes nothing', async () => {
    await stored(async (database) => {
      // One bit of the name: it could be read all the same.
      const record = Buffer.from(database.get('commit/shop.1.1')!);
      record[record.indexOf('sale')]! ^= 1;
      await database.put('commit/shop.1.1', record, 1);
    });

    for (let start = 0; start < 2; start++) {
      await expect(new LmdbDecisionLog({ path }).open('shop')).rejects.toThrow(DamagedLogError);
    }
  });

  it.each([
    ['of no length', Buffer.alloc(0)],
    ['that is cut short', Buffer.from([1, 0, 0])],
    ['of another shape', encodeRecord({ id: 'shop.1.1' })],
    ['that is no object', encodeRecord([])],
  ])('stops the start at a record %s', async (_, record) => {
    await stored((database) => database.put('commit/shop.1.1', record, 1));

    await expect(new LmdbDecisionLog({ path }).open('shop')).rejects.toThrow(DamagedLogError);
  });

  it('stops the start at a damaged epoch, by which ids would be used twice', async () => {
    await stored((database) => database.put('epoch', encodeRecord({ epoch: 0 }), 1));

    await expect(new LmdbDecisionLog({ path }).open('shop')).rejects.toThrow(DamagedLogError);
  });

  it('fault 65: stops the start at a record of a version that it does not know', async () => {
    await stored((database) => {
      const record = Buffer.from(database.get('commit/shop.1.2')!);
      record[0] = 2;
      return database.put('commit/shop.1.2', record, 1);
    });

    await expect(new LmdbDecisionLog({ path }).open('shop')).rejects.toThrow(UnknownLogFormatError);
  });

  it('grows no further than what is open at the same time', async () => {
    const log = new LmdbDecisionLog({ path });
    await log.open('shop');
    const payload = 'x'.repeat(1_000);
    const sizes: number[] = [];
    for (let round = 0; round < 4; round++) {
      const ids = Array.from({ length: 500 }, (_, index) => `shop.1.${round * 500 + index + 1}`);
      await Promise.all(ids.map((id) => log.append(decision(id, payload))));
      for (const id of ids) log.end(id);
      await log.check();
      sizes.push(statSync(join(path, 'shop', 'decisions.mdb')).size);
    }
    await log.close();

    expect(sizes[3]! / sizes[1]!).toBeLessThan(1.5);
  });
});
