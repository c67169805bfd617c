import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Image, decision, imageOf, lookInto, restore, temporaryFolder } from './log-image.fixture.js';
import { LogFiles } from './log-files.js';
import { LogFailure } from './messages.js';
import { SqliteDecisionLog } from './sqlite-decision-log.js';
import { openStored } from './stored-log.js';

const MAIN = 'decisions.sqlite';
const WAL = `${MAIN}-wal`;

let folder: ReturnType<typeof temporaryFolder>;
/** The files of a log whose process was killed: its decision is in the write-ahead log alone. */
let killed: Image;
/** The files of the same log after a clean end: it has no write-ahead log. */
let clean: Image;

beforeAll(async () => {
  folder = temporaryFolder();
  const path = join(folder.path, 'first');
  const log = new SqliteDecisionLog({ path });
  await log.open('shop');
  await log.append(decision('shop.1.1'));
  killed = imageOf(join(path, 'shop'));
  await log.close();
  clean = imageOf(join(path, 'shop'));
});
afterAll(() => folder.remove());

function opened(platform: NodeJS.Platform): { files: LogFiles; close: () => void; release: () => void } {
  const path = join(folder.path, platform);
  restore(killed, path);
  const files = new LogFiles(path, platform);
  const { database, lock } = openStored(files, () => {});
  return { files, close: () => database.close(), release: () => lock.release() };
}

// On Linux too SQLite empties the write-ahead log of a file that was not moved, so this shows what Windows
// does.
describe.each(['linux', 'win32'] as const)('the files of a log on %s', (platform) => {
  it('are as before when a connection is closed unchanged', () => {
    const { files, close, release } = opened(platform);
    files.closeUnchanged(close);
    release();
    expect(imageOf(files.folder)).toEqual(killed);
  });

  it('stay in their place when another connection has them, although the lock of the folder was removed', () => {
    const { files, close, release } = opened(platform);
    const before = statSync(files.main);
    rmSync(files.lock);
    const start = (): unknown => openStored(files, () => {});
    expect(start).toThrow(expect.objectContaining({ failure: { kind: 'in-use' } }));
    expect(statSync(files.main)).toMatchObject({ ino: before.ino, ctimeMs: before.ctimeMs });
    files.closeUnchanged(close);
    release();
  });

  it('are as before when the connection cannot be closed', () => {
    const { files, close, release } = opened(platform);
    const failing = (): void => {
      close();
      throw new Error('the disk is gone');
    };
    expect(() => files.closeUnchanged(failing)).toThrow('the disk is gone');
    release();
    expect(imageOf(files.folder)).toEqual(killed);
  });
});

describe('the files of a log on Windows, of a process that ended while they were copied', () => {
  /** The names of the copies that are complete, and what SQLite has left. */
  it.each([
    ['before the first copy was complete', { [`${WAL}-aside.unfinished`]: Buffer.from('a part') }],
    ['between the copies', { [`${MAIN}-aside`]: MAIN }],
    ['before the connection was closed', { [`${WAL}-aside`]: WAL, [`${MAIN}-aside`]: MAIN }],
    [
      'while SQLite moved pages',
      { [`${WAL}-aside`]: WAL, [`${MAIN}-aside`]: MAIN, [MAIN]: Buffer.from('torn') },
    ],
    ['when the main file was back', { [`${WAL}-aside`]: WAL, [WAL]: Buffer.from('') }],
  ] as [string, Record<string, string | Buffer>][])('are restored by the next start: %s', (_, changes) => {
    const path = join(folder.path, 'crashed');
    restore(killed, path);
    for (const [name, content] of Object.entries(changes)) {
      writeFileSync(join(path, name), typeof content === 'string' ? killed[content]! : content);
    }
    expect(lookInto(path).decisions).toHaveLength(1);
    expect(readFileSync(join(path, MAIN))).toEqual(killed[MAIN]);
    expect(readFileSync(join(path, WAL))).toEqual(killed[WAL]);
    expect(Object.keys(imageOf(path))).toEqual(Object.keys(killed));
  });
});

describe('the copies of the files of a log on Windows', () => {
  /** No file can be written where a copy would be. */
  function blocked(files: LogFiles, name: string): () => void {
    const path = join(files.folder, `${name}-aside.unfinished`);
    mkdirSync(path);
    return () => rmSync(path, { recursive: true });
  }

  it('are not made without a write-ahead log', () => {
    const path = join(folder.path, 'clean');
    restore(clean, path);
    expect(Object.keys(clean)).not.toContain(WAL);
    const close = vi.fn<() => void>();
    new LogFiles(path, 'win32').closeUnchanged(close);
    expect(close).toHaveBeenCalledOnce();
    expect(imageOf(path)).toEqual(clean);
  });

  it('never put an old main file in the place of a newer one', () => {
    const path = join(folder.path, 'stale');
    restore({ ...clean, [`${MAIN}-aside`]: Buffer.from('of an earlier time') }, path);
    new LogFiles(path, 'win32').restore();
    expect(Object.keys(imageOf(path))).toEqual(Object.keys(clean));
    expect(lookInto(path).decisions).toHaveLength(1);
    // Then the copy of the write-ahead log is there alone.
    writeFileSync(join(path, WAL), killed[WAL]!);
    writeFileSync(join(path, MAIN), killed[MAIN]!);
    writeFileSync(join(path, `${WAL}-aside`), killed[WAL]!);
    expect(lookInto(path).decisions).toHaveLength(1);
    expect(imageOf(path)).toEqual(killed);
  });

  it.each([
    [MAIN, []],
    [WAL, [`${MAIN}-aside`]],
  ])(
    'are made of the main file first: without room for that of %s the connection stays open',
    (name, made) => {
      const { files, close, release } = opened('win32');
      const closing = vi.fn<() => void>(close);
      const unblock = blocked(files, name);
      expect(() => files.closeUnchanged(closing)).toThrow(/could not be copied .* make room in/);
      expect(closing).not.toHaveBeenCalled();
      unblock();
      expect(Object.keys(imageOf(files.folder))).toEqual([...Object.keys(killed), ...made].toSorted());
      // With room it can be closed later.
      files.closeUnchanged(closing);
      release();
      expect(imageOf(files.folder)).toEqual(killed);
    },
  );

  it('that cannot be made do not hide why a start was refused', () => {
    const path = join(folder.path, 'refused');
    restore(killed, path);
    const files = new LogFiles(path, 'win32');
    const start = (): unknown =>
      openStored(files, () => {
        blocked(files, MAIN);
        throw new LogFailure({ kind: 'damaged', record: 'row 1', problem: 'it is not a record' });
      });
    const problem = expect.stringMatching(/^it is not a record\. Then the log could not be closed: .*copied/);
    expect(start).toThrow(
      expect.objectContaining({ failure: { kind: 'damaged', record: 'row 1', problem } }),
    );
  });
});
