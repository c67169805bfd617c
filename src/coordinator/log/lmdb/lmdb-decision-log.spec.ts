import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RootDatabase, open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FencedError } from '../../errors.js';
import type { CommitDecision, LogClaim } from '../decision-log.js';
import { ExclusiveLock } from '../exclusive-lock.js';
import { DamagedLogError, LogInUseError, LogNotOpenedError, UnknownLogFormatError } from '../log-errors.js';
import { LmdbDecisionLog } from './lmdb-decision-log.js';
import { decodeRecord, encodeRecord } from './record-format.js';

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
    toRecord: () => ({
      id,
      name: 'sale',
      decider: { kind: 'log' },
      branches: [{ branchId: 'b', participant: 'p', payload, completed: false }],
    }),
  };
}

type Use = (database: RootDatabase<Buffer, string>) => unknown;

/** Makes a log that an earlier run has left, and changes what is stored. */
async function stored(change: Use): Promise<LogClaim> {
  const log = new LmdbDecisionLog({ path });
  const claim = await log.open('shop');
  await log.append(decision('shop.1.1'));
  await log.append(decision('shop.1.2'));
  await log.close();
  await withDatabase(change);
  return claim;
}

async function withDatabase(use: Use): Promise<void> {
  const database = open<Buffer, string>({
    path: join(path, 'shop', 'decisions.mdb'),
    encoding: 'binary',
    useVersions: true,
  });
  await use(database);
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
    await expect(refused).rejects.toMatchObject({ code: 'DTC_LOG_IN_USE', path: join(path, 'shop') });
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

    expect(await log.open('shop')).toMatchObject({ durable: true, decisions: [] });
    await log.close();
  });

  it('fault 28 §: takes nothing more from a run whose log was claimed by another, though its lock was removed', async () => {
    const [first, second] = [new LmdbDecisionLog({ path }), new LmdbDecisionLog({ path })];
    const { epoch } = await first.open('shop');
    await first.append(decision('shop.1.1'));
    rmSync(join(path, 'shop', 'lock'));
    expect(await second.open('shop')).toMatchObject({ epoch: epoch + 1, decisions: [{ id: 'shop.1.1' }] });

    await expect(first.append(decision('shop.1.2'))).rejects.toThrow(FencedError);
    await expect(first.append(decision('shop.1.2'))).rejects.toMatchObject({
      code: 'DTC_FENCED',
      coordinator: 'shop',
    });
    await expect(first.check()).rejects.toThrow(FencedError);
    expect(await first.lookUp('shop.1.2')).toBe('fenced');
    expect(await first.lookUp('shop.1.1')).toBe('recorded');

    await second.append(decision('shop.2.1'));
    expect(await second.lookUp('shop.1.2')).toBe('absent');
    await second.close();
    await first.close();
  });

  it('stops the start at a record that is not as it was written, and changes nothing', async () => {
    const { logId, epoch } = await stored(async (database) => {
      // One bit of the name: it could be read all the same.
      const record = Buffer.from(database.get('commit/shop.1.1')!);
      record[record.indexOf('sale')]! ^= 1;
      await database.put('commit/shop.1.1', record, 1);
    });

    for (let start = 0; start < 2; start++) {
      const started = new LmdbDecisionLog({ path }).open('shop');
      await expect(started).rejects.toThrow(DamagedLogError);
      await expect(started).rejects.toMatchObject({ code: 'DTC_LOG_DAMAGED', record: 'commit/shop.1.1' });
    }

    await withDatabase((database) => {
      expect(decodeRecord('epoch', database.get('epoch')!)).toEqual({ logId, epoch });
    });
  });

  it('is closed, and gives its folder back, when it could not be opened', async () => {
    await stored((database) => database.put('commit/shop.1.1', Buffer.alloc(0), 1));
    const log = new LmdbDecisionLog({ path });
    await expect(log.open('shop')).rejects.toThrow(DamagedLogError);
    await expect(log.lookUp('shop.1.2')).rejects.toThrow('closed');

    // Another reason, before there is a database that could be closed.
    rmSync(join(path, 'shop', 'decisions.mdb'));
    mkdirSync(join(path, 'shop', 'decisions.mdb'));
    const started = log.open('shop');
    await expect(started).rejects.toThrow(LogNotOpenedError);
    await expect(started).rejects.toMatchObject({ code: 'DTC_LOG_NOT_OPENED', path: join(path, 'shop') });

    rmSync(join(path, 'shop'), { recursive: true });
    expect(await log.open('shop')).toMatchObject({ durable: true, decisions: [] });
    await log.close();
  });

  it('is not in use when its lock cannot be had for another reason, and tells that reason', async () => {
    mkdirSync(join(path, 'shop'));
    writeFileSync(join(path, 'shop', 'lock'), 'no lock of any kind'.repeat(100));

    await expect(new LmdbDecisionLog({ path }).open('shop')).rejects.toThrow(/shop.*not a database/);
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

  it('stops the start at a report that is not as it was written, and changes nothing', async () => {
    const { logId, epoch } = await stored((database) =>
      database.put('report/shop.1.1/b', Buffer.alloc(0), 1),
    );

    await expect(new LmdbDecisionLog({ path }).open('shop')).rejects.toThrow(DamagedLogError);

    await withDatabase((database) => {
      expect(decodeRecord('epoch', database.get('epoch')!)).toEqual({ logId, epoch });
    });
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

    const started = new LmdbDecisionLog({ path }).open('shop');
    await expect(started).rejects.toThrow(UnknownLogFormatError);
    await expect(started).rejects.toMatchObject({ code: 'DTC_LOG_FORMAT', found: 2, known: 1 });
  });

  it('takes nothing while it is closed, and may be closed twice', async () => {
    const log = new LmdbDecisionLog({ path });
    await log.close();
    await log.open('shop');
    await log.close();
    await log.close();

    await expect(log.append(decision('shop.1.1'))).rejects.toThrow('closed');
    await expect(log.lookUp('shop.1.1')).rejects.toThrow('closed');
    await expect(log.forget('shop.1.1')).rejects.toThrow('closed');
  });

  it('keeps its claim as it is when it is asked whether it can be written', async () => {
    const log = new LmdbDecisionLog({ path });
    const { epoch } = await log.open('shop');
    await log.check();
    await log.append(decision('shop.1.1'));
    await log.close();

    expect(await log.open('shop')).toMatchObject({ epoch: epoch + 1, decisions: [{ id: 'shop.1.1' }] });
    await log.close();
  });

  it('an inquiry sees what another process has written a moment ago', async () => {
    const log = new LmdbDecisionLog({ path });
    await log.open('shop');
    expect(await log.lookUp('shop.1.1')).toBe('absent');

    // Nothing of this process runs in between, so that what was read once is not dropped by itself.
    const claimed = spawnSync(process.execPath, [
      '-e',
      `const { open } = require('lmdb');
       const database = open({ path: process.argv[1], encoding: 'binary', useVersions: true });
       database.putSync('epoch', Buffer.from(process.argv[2], 'base64'), 2);`,
      join(path, 'shop', 'decisions.mdb'),
      encodeRecord({ logId: 'log0of0tests', epoch: 2 }).toString('base64'),
    ]);

    expect(await log.lookUp('shop.1.1')).toBe('fenced');
    expect(claimed.status).toBe(0);
    await log.close();
  });

  it.each([
    ['missing', (file: string) => rmSync(file)],
    ['empty', (file: string) => truncateSync(file, 0)],
    ['cut off', (file: string) => truncateSync(file, 3 * 4_096)],
    ['something else', (file: string) => writeFileSync(file, Buffer.alloc(100_000, 1))],
  ])(
    'fault 26 §: stops the start when its file is %s, and does not take it for a new log',
    async (_, harm) => {
      await stored((database) => database.put('commit/big', encodeRecord({ id: 'x'.repeat(20_000) }), 1));
      harm(join(path, 'shop', 'decisions.mdb'));

      for (let start = 0; start < 2; start++) {
        await expect(new LmdbDecisionLog({ path }).open('shop')).rejects.toThrow(DamagedLogError);
      }
    },
  );

  it('fault 64: begins a new log with an id that no log before it has had', async () => {
    const ids: string[] = [];
    for (const folder of ['a', 'b', 'c']) {
      const log = new LmdbDecisionLog({ path: join(path, folder) });
      ids.push((await log.open('shop')).logId);
      await log.close();
    }

    expect(new Set(ids).size).toBe(3);
  });

  it('fault 28 §: of two that claim it at the same moment, where no lock keeps them apart, one is refused', async () => {
    const noLock = { release() {} } as ExclusiveLock;
    const acquire = vi.spyOn(ExclusiveLock, 'acquire').mockReturnValue(noLock);
    const logs = [new LmdbDecisionLog({ path }), new LmdbDecisionLog({ path })];
    const claims = await Promise.allSettled(logs.map((log) => log.open('shop')));
    acquire.mockRestore();

    expect(claims.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(claims.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'DTC_LOG_IN_USE' },
    });
    for (const log of logs) await log.close();
  });

  it('is opened once, and a second time does it no harm', async () => {
    const log = new LmdbDecisionLog({ path });
    await log.open('shop');

    await expect(log.open('shop')).rejects.toThrow(LogInUseError);

    await log.append(decision('shop.1.1'));
    expect(await log.lookUp('shop.1.1')).toBe('recorded');
    await log.close();
  });

  it('forgets the reports of one transaction, and nothing else that is written with them', async () => {
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
    const log = new LmdbDecisionLog({ path });
    await log.open('shop');
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

  it('says which folder cannot be opened, and what to do', async () => {
    writeFileSync(join(path, 'shop'), '');

    const refused = new LmdbDecisionLog({ path }).open('shop');

    await expect(refused).rejects.toMatchObject({ code: 'DTC_LOG_NOT_OPENED', path: join(path, 'shop') });
    await expect(refused).rejects.toThrow('then start again');
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
