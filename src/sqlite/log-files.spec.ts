import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Image, decision, imageOf, lookInto, restore, temporaryFolder } from './log-image.fixture.js';
import { LogFiles } from './log-files.js';
import { SqliteDecisionLog } from './sqlite-decision-log.js';
import { openStored } from './stored-log.js';

const MAIN = 'decisions.sqlite';
const WAL = `${MAIN}-wal`;

let folder: ReturnType<typeof temporaryFolder>;
/** The files of a log whose process was killed: its decision is in the write-ahead log alone. */
let killed: Image;

beforeAll(async () => {
  folder = temporaryFolder();
  const path = join(folder.path, 'first');
  const log = new SqliteDecisionLog({ path });
  await log.open('shop');
  await log.append(decision('shop.1.1'));
  killed = imageOf(join(path, 'shop'));
  await log.close();
});
afterAll(() => folder.remove());

function opened(platform: NodeJS.Platform): { files: LogFiles; close: () => void; release: () => void } {
  const path = join(folder.path, platform);
  restore(killed, path);
  const files = new LogFiles(path, platform);
  const { database, lock } = openStored(files, () => {});
  return { files, close: () => database.close(), release: () => lock.release() };
}

// On Linux too SQLite empties the write-ahead log of a file that was not moved, so this shows what Windows does.
describe.each(['linux', 'win32'] as const)('the files of a log on %s', (platform) => {
  it('are as before when a connection is closed unchanged', () => {
    const { files, close, release } = opened(platform);
    files.closeUnchanged(close);
    release();
    expect(imageOf(files.folder)).toEqual(killed);
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
    ['between the copies', { [`${WAL}-aside`]: WAL }],
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
  });
});
