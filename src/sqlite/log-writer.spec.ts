import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Digests, decodeCensus } from './census.js';
import { type Image, imageOf, lookInto, restore } from './log-image.fixture.js';
import { LogFiles } from './log-files.js';
import { LogTail } from './log-tail.js';
import { LogWriter } from './log-writer.js';
import { type Batch, LogFailure, PUT, REMOVE } from './messages.js';
import { encodeBody } from '../coordinator/log/record-body.js';
import { type Sealed, seal } from './record-envelope.js';
import { KEPT_WAL_BYTES, type Stored, emptyCensus, openStored, updateCensus } from './stored-log.js';

const WAL = 'decisions.sqlite-wal';
const LOG_ID = 'log0of0tests';
const ROW = 50;
const FULL = 13;
const FLUSH_FAILED = 1_034;
/** More than is written between two checkpoints. */
const LARGE = 'x'.repeat(11_000_000);

let path: string;
let files: LogFiles;
let stored: Stored;
let writer: LogWriter;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'log-writer-'));
  files = new LogFiles(join(path, 'shop'));
  start();
});
afterEach(() => {
  if (stored.database.isOpen) writer.close();
  rmSync(path, { recursive: true });
});

/** Opens the log that a writer has closed, and claims it. */
function start(): void {
  const found: string[] = [];
  stored = openStored(files, (key) => found.push(key));
  writer = new LogWriter(files, stored);
  const key = `start/${found.filter((each) => each.startsWith('start/')).length + 1}`;
  writer.claim({ logId: LOG_ID, key, body: encodeBody(key, { token: 'token' }) });
}

function batchOf(...writes: readonly (readonly [kind: number, key: string, body?: Uint8Array])[]): Batch {
  const bodies = writes.map(([, , body = new Uint8Array()]) => body);
  return {
    kinds: Uint8Array.from(writes, ([kind]) => kind),
    keys: writes.map(([, key]) => key),
    lengths: Uint32Array.from(bodies, ({ length }) => length),
    bodies: Uint8Array.from(Buffer.concat(bodies)),
  };
}

function put(id: string, name = 'sale'): readonly [number, string, Uint8Array] {
  const key = `commit/${id}`;
  return [PUT, key, encodeBody(key, { id, name, decider: { kind: 'log' }, branches: [] })];
}

function crash(): Image {
  return imageOf(files.folder);
}

/** @returns the records that a start would find after a crash now. */
function foundAfter(image: Image) {
  const folder = join(path, 'crashed');
  restore(image, folder);
  return lookInto(folder);
}

function fail(errcode: number, text: string, before: (sql: string) => void = () => {}) {
  const exec = stored.database.exec.bind(stored.database);
  return vi.spyOn(stored.database, 'exec').mockImplementation((sql) => {
    if (!sql.includes(text)) {
      exec(sql);
      return;
    }
    before(sql);
    throw Object.assign(new Error('the disk fails'), { errcode });
  });
}

describe('LogWriter', () => {
  it('keeps the main file and the write-ahead log intact at each moment around a checkpoint', () => {
    writer.write(batchOf(put('1'), put('large', LARGE)));
    const before = crash();
    writer.write(batchOf(put('2')));
    const after = crash();
    expect(after['decisions.sqlite']!.length).toBeGreaterThan(LARGE.length);
    writer.write(batchOf(put('3')));
    const later = crash();

    expect(foundAfter(before).decisions).toEqual(['1', 'large']);
    expect(foundAfter(after).decisions).toEqual(['1', '2', 'large']);
    expect(foundAfter(later).decisions).toEqual(['1', '2', '3', 'large']);
    for (const image of [before, after, later]) {
      const { [WAL]: _, ...without } = image;
      expect(foundAfter(without)).toMatchObject({ refused: 'damaged' });
    }
  });

  it('limits the write-ahead log by its real size, even if each removal writes a page and no record', () => {
    const half = 'x'.repeat(1_700);
    const ids = Array.from({ length: 9_000 }, (_, index) => String(index));
    writer.write(batchOf(...ids.map((id) => put(id, half))));
    writer.write(batchOf(put('over')));
    const before = statSync(files.wal).size;
    const exec = vi.spyOn(stored.database, 'exec');
    const checkpoints = () => exec.mock.calls.filter(([sql]) => sql.includes('wal_checkpoint')).length;
    // Two records share a page, and one of each page is removed.
    for (let from = 0; from < ids.length; from += 1_000) {
      const some = ids.slice(from, from + 1_000).filter((_, index) => index % 2 === 0);
      writer.write(batchOf(...some.map((id) => [REMOVE, `commit/${id}`] as const)));
    }
    expect(statSync(files.wal).size).toBeGreaterThan(before);
    expect(statSync(files.wal).size).toBeGreaterThan(KEPT_WAL_BYTES);
    expect(checkpoints()).toBe(0);

    writer.write(batchOf(put('last')));
    expect(checkpoints()).toBe(1);
    expect(statSync(files.wal).size).toBeLessThanOrEqual(KEPT_WAL_BYTES);
    writer.write(batchOf(put('later')));
    expect(checkpoints()).toBe(1);
    expect(foundAfter(crash()).decisions).toHaveLength(4_503);
  });

  it('survives a checkpoint that was interrupted in the middle', () => {
    const before = crash();
    writer.write(batchOf(put('1'), put('large', LARGE)));
    const unchecked = crash();
    writer.write(batchOf(put('2')));
    // The power failed while pages were copied: some are in the main file, and the write-ahead log is
    // unchanged.
    const main = crash()['decisions.sqlite']!;
    for (const bytes of [4_096, 8_192, 40_960, main.length - 4_096]) {
      const half = Buffer.concat([main.subarray(0, bytes), before['decisions.sqlite']!.subarray(bytes)]);
      expect(foundAfter({ ...unchecked, 'decisions.sqlite': half }).decisions).toEqual(['1', 'large']);
    }
  });

  it('fault 25 §: reports a lack of room, has written nothing, and writes again when there is room', () => {
    writer.write(batchOf(put('1')));
    const failing = fail(FULL, 'COMMIT');
    expect(() => writer.write(batchOf(put('2'), [REMOVE, 'commit/1']))).toThrow(LogFailure);
    failing.mockRestore();

    expect([writer.holds('commit/1'), writer.holds('commit/2')]).toEqual([true, false]);
    expect(foundAfter(crash()).decisions).toEqual(['1']);
    writer.write(batchOf(put('3')));
    expect(foundAfter(crash()).decisions).toEqual(['1', '3']);
  });

  it('counts a write as done even if the checkpoint after it found no room', () => {
    writer.write(batchOf(put('1'), put('large', LARGE)));
    const exec = stored.database.exec.bind(stored.database);
    const failing = fail(FULL, 'wal_checkpoint', () => exec('COMMIT'));
    writer.write(batchOf(put('2')));
    expect(failing).toHaveBeenCalledTimes(2);
    expect(foundAfter(crash()).decisions).toEqual(['1', '2', 'large']);
    failing.mockRestore();

    // Closed now, the main file says that it needs the write-ahead log: so it must exist.
    writer.close();
    expect(statSync(files.wal).size).toBeGreaterThan(0);
    start();
    expect(foundAfter(crash()).decisions).toEqual(['1', '2', 'large']);
  });

  /**
   * As if other code prevented the checkpoint from completing: its answer reports that, and it is not an
   * error.
   */
  function leaveCheckpointsOut() {
    const exec = stored.database.exec.bind(stored.database);
    return vi
      .spyOn(stored.database, 'exec')
      .mockImplementation((sql) => exec(sql.replace('PRAGMA wal_checkpoint(PASSIVE);', '')));
  }

  it('notices an incomplete checkpoint, and repeats it after as many pages again, not at each write', () => {
    writer.write(batchOf(put('1'), put('large', LARGE), put('other', LARGE)));
    const exec = leaveCheckpointsOut();
    const tried = () => exec.mock.calls.filter(([sql]) => sql.includes('wal_checkpoint')).length;
    writer.write(batchOf(put('2')));
    writer.write(batchOf(put('3')));
    expect(tried()).toBe(1);
    expect(foundAfter(crash()).decisions).toEqual(['1', '2', '3', 'large', 'other']);
    const { [WAL]: _, ...without } = crash();
    expect(foundAfter(without)).toMatchObject({ refused: 'damaged' });

    exec.mockRestore();
    writer.write(batchOf(put('larger', LARGE)));
    writer.write(batchOf(put('4')));
    expect(statSync(files.wal).size).toBeLessThanOrEqual(KEPT_WAL_BYTES);
    expect(readFileSync(files.main).length).toBeGreaterThan(2 * LARGE.length);
    expect(foundAfter(crash()).decisions).toEqual(['1', '2', '3', '4', 'large', 'larger', 'other']);
  });

  it('survives a checkpoint while the process can open no other file', () => {
    const folder = join(path, 'few');
    mkdirSync(folder);
    const script = join(import.meta.dirname, 'few-files.fixture.ts');
    const answer = execFileSync('/bin/sh', [
      '-c',
      'ulimit -n 128 && exec "$0" "$@"',
      process.execPath,
      script,
      folder,
    ]);
    const told: unknown = JSON.parse(String(answer));
    expect(told).toMatchObject({ code: 'EMFILE', again: expect.any(Number) as number });
    expect((told as { again: number }).again).toBeLessThanOrEqual(KEPT_WAL_BYTES);
    expect(lookInto(folder).decisions).toEqual(['1', '2', 'large', 'larger']);
  });

  it.each(['a new log', 'an existing log'])(
    'refuses the start of %s whose checkpoint was incomplete',
    (which) => {
      if (which === 'an existing log') writer.write(batchOf(put('1')));
      writer.close();
      if (which === 'a new log') {
        rmSync(files.folder, { recursive: true });
        mkdirSync(files.folder);
        files = new LogFiles(files.folder);
      }
      stored = openStored(files, () => {});
      writer = new LogWriter(files, stored);
      leaveCheckpointsOut();
      const key = 'start/9';
      expect(() => writer.claim({ logId: LOG_ID, key, body: encodeBody(key, { token: 'token' }) })).toThrow(
        expect.objectContaining({
          failure: { kind: 'failed', problem: expect.stringContaining('was incomplete') },
        }),
      );
    },
  );

  it('fault 29 §: changes nothing more after a failed flush, not even when it closes', () => {
    writer.write(batchOf(put('1')));
    const before = crash();
    const exec = stored.database.exec.bind(stored.database);
    fail(FLUSH_FAILED, 'COMMIT', () => exec('ROLLBACK')).mockName('failing');
    expect(() => writer.write(batchOf(put('2')))).toThrow(
      expect.objectContaining({ failure: expect.objectContaining({ kind: 'failed' }) }),
    );
    writer.detach();

    expect(readFileSync(files.main)).toEqual(before['decisions.sqlite']);
    expect(readFileSync(files.wal)).toEqual(before[WAL]);
    // The lock is held until the log is closed.
    expect(lookInto(files.folder)).toMatchObject({ refused: 'in-use' });
    writer.close();
    expect(lookInto(files.folder).decisions).toEqual(['1']);
  });

  it('reports the failure of the disk also when the files cannot be closed after it', () => {
    writer.write(batchOf(put('1')));
    const failure = { kind: 'failed', problem: 'the disk fails' } as const;
    // The main file cannot be moved there.
    mkdirSync(`${files.main}-aside`);
    fail(FLUSH_FAILED, 'COMMIT');
    expect(() => writer.write(batchOf(put('2')))).toThrow(LogFailure);
    expect(writer.detachAfter(new LogFailure(failure))).toMatchObject({
      failure: { kind: 'failed', problem: expect.stringMatching(/^the disk fails\. Then .*: EISDIR/) },
    });
    rmSync(`${files.main}-aside`, { recursive: true });
    writer.close();
    expect(lookInto(files.folder).decisions).toEqual(['1']);
  });

  it('releases everything when it cannot open the tail, and changes nothing', () => {
    writer.write(batchOf(put('1')));
    const before = crash();
    writer.close();
    restore(before, files.folder);
    const opened = openStored(files, () => {});
    rmSync(files.tail);
    mkdirSync(files.tail);

    expect(() => new LogWriter(files, opened)).toThrow(/EISDIR/);
    expect(opened.database.isOpen).toBe(false);
    rmSync(files.tail, { recursive: true });
    restore({ ...crash(), 'decisions.sqlite-tail': before['decisions.sqlite-tail']! }, files.folder);
    expect(crash()).toEqual(before);
    expect(lookInto(files.folder).decisions).toEqual(['1']);
  });

  it('changes nothing when it closes after a refused start', () => {
    writer.write(batchOf(put('1')));
    const before = crash();
    writer.close();
    const claim = { logId: LOG_ID, key: 'start/2', body: encodeBody('start/2', { token: 'token' }) };
    for (const isRefused of [true, false]) {
      restore(before, files.folder);
      stored = openStored(files, () => {});
      writer = new LogWriter(files, stored);
      if (!isRefused) {
        fail(FULL, 'COMMIT');
        expect(() => writer.claim(claim)).toThrow(LogFailure);
      }
      writer.close();
      expect(crash()).toEqual(before);
    }
  });

  it('closes its tail once, although closing the rest fails and is tried again', () => {
    writer.close();
    const tail = new LogTail(files.tail);
    tail.close();
    const other = openSync(files.main, 'r');
    tail.close();
    expect(fstatSync(other).size).toBeGreaterThan(0);
    closeSync(other);
    expect(() => tail.write(emptyCensus(LOG_ID))).toThrow('closed');
  });

  it('stops when a row is not in its place', () => {
    writer.write(batchOf(put('1')));
    stored.database.exec('DELETE FROM record WHERE id = (SELECT max(id) FROM record)');

    expect(() => writer.write(batchOf([REMOVE, 'commit/1'], put('2')))).toThrow(LogFailure);
  });

  it('notices a changed row when it is read', () => {
    writer.write(batchOf(put('1')));
    stored.database.exec("UPDATE record SET value = CAST(x'00' || substr(value, 2) AS BLOB)");

    expect(() => writer.holds('commit/1')).toThrow('has been changed');
  });

  it.each([
    'CREATE TABLE other (id INTEGER PRIMARY KEY)',
    'CREATE INDEX other ON record (value)',
    "UPDATE record SET value = CAST(value || x'00' AS BLOB)",
    'UPDATE record SET id = id + 100',
    'DELETE FROM record WHERE id = 2',
    'INSERT INTO record SELECT id + 100, value FROM record WHERE id = 2',
    'DELETE FROM census',
    "UPDATE census SET value = CAST(x'00' || substr(value, 2) AS BLOB)",
    'DROP TABLE record',
  ])('notices at the start that another program has written: %s', (sql) => {
    writer.write(batchOf(put('1')));
    stored.database.exec(sql);

    expect(foundAfter(crash())).toMatchObject({ refused: 'damaged' });
  });

  it.each([
    ['a record of another log', 'damaged', () => seal('another0log0', ROW, 'commit/2', put('2')[2])],
    ['a record of no known kind', 'damaged', () => seal(LOG_ID, ROW, 'unknown/2', put('2')[2])],
    ['a key that already exists', 'damaged', () => seal(LOG_ID, ROW, 'commit/1', put('1')[2])],
    ['a record that belongs to another row', 'damaged', () => seal(LOG_ID, ROW + 1, 'commit/2', put('2')[2])],
    ['fault 65: a record of an unknown version', 'format', () => ofVersion(2)],
  ])('is refused at the start with %s, although its census counts it', (_, refused, make) => {
    writer.write(batchOf(put('1')));
    const { value, digest } = make();
    const { database } = stored;
    const before = decodeCensus(database.prepare('SELECT value FROM census').get()!.value as Uint8Array)!;
    const digests = new Digests(before.digest);
    digests.combine(digest);
    database.prepare('INSERT INTO record VALUES (?, ?)').run(ROW, value);
    database.exec(updateCensus({ ...before, count: before.count + 1, digest: digests.total() }));

    expect(foundAfter(crash())).toMatchObject({ refused });
  });
});

/** @returns a record as another version of this library might seal it. */
function ofVersion(version: number): Sealed {
  const { value } = seal(LOG_ID, ROW, 'commit/2', put('2')[2]);
  value[32] = version;
  const digest = createHash('sha256').update(value.subarray(32)).digest('hex');
  value.write(digest, 'hex');
  return { value, digest };
}
