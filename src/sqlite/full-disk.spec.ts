import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { decision, decisionsIn, imageOf, lookInto, restore } from './log-image.fixture.js';
import { SqliteDecisionLog } from './sqlite-decision-log.js';

const BLOCK = 4_096;
/**
 * More blocks than a decision and the checkpoint of a start write together: with this many free, everything
 * succeeds.
 */
const MOST_BLOCKS = 24;
/** The most decisions that are tried until the disk is full. */
const MOST_DECISIONS = 40;

let disk: string | undefined;
afterEach(() => {
  if (disk === undefined) return;
  spawnSync('umount', [disk]);
  rmSync(disk, { recursive: true });
  disk = undefined;
});

/** Mounts a file system in memory. @returns its folder; undefined if that is not allowed. */
function mount(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'full-disk-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
  if (status === 0) disk = folder;
  else rmSync(folder, { recursive: true });
  return disk;
}

/** Fills the disk except for this number of blocks. @returns a function that frees the space again. */
function fill(folder: string, free: number): () => void {
  const filler = join(folder, 'filler');
  const { bavail, bsize } = statfsSync(folder);
  writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - free * BLOCK)));
  return () => rmSync(filler);
}

const left = 'Skipped here: mounting a file system in memory needs root.';

describe('fault 25 §: a log whose disk is full', () => {
  it('accepts each decision completely or not at all, answers at once, and continues when there is room, at every write', async () => {
    const folder = mount();
    if (folder === undefined) {
      console.log(left);
      return;
    }
    let refusals = 0;
    for (let free = 0; free <= MOST_BLOCKS; free++) {
      const path = join(folder, `log-${free}`);
      const log = new SqliteDecisionLog({ path });
      await log.open('shop');
      const taken: string[] = [];
      const makeRoom = fill(folder, free);
      for (let number = 1; number <= MOST_DECISIONS; number++) {
        const id = `shop.1.${String(number).padStart(3, '0')}`;
        const error: unknown = await log
          .append(decision(id, 'x'.repeat(3_000)))
          .catch((reason: unknown) => reason);
        if (error === undefined) {
          taken.push(id);
          continue;
        }
        expect(error).toMatchObject({ message: expect.stringContaining('there is no room') });
        expect(await log.lookUp(id)).toBe('absent');
        refusals++;
        break;
      }
      const crashed = imageOf(join(path, 'shop'));
      makeRoom();
      const copy = join(folder, 'copy', 'shop');
      restore(crashed, copy);
      expect(lookInto(copy).decisions, `after a crash, ${free} blocks were free`).toEqual(taken);
      rmSync(join(folder, 'copy'), { recursive: true });

      await log.check();
      await log.append(decision('shop.1.last'));
      await log.close();
      expect(await decisionsIn(path), `${free} blocks were free`).toEqual([...taken, 'shop.1.last']);
      rmSync(path, { recursive: true });
    }
    expect(refusals).toBeGreaterThan(MOST_BLOCKS / 2);
  });

  it('closes, starts or refuses to start, and loses nothing, with any free space', async () => {
    const folder = mount();
    if (folder === undefined) {
      console.log(left);
      return;
    }
    const starts = { taken: 0, refused: 0 };
    for (let free = 0; free <= MOST_BLOCKS; free += 2) {
      const path = join(folder, `log-${free}`);
      const log = new SqliteDecisionLog({ path });
      await log.open('shop');
      await log.append(decision('shop.1.1'));
      let makeRoom = fill(folder, free);
      await log.close();
      makeRoom();
      makeRoom = fill(folder, free);
      try {
        expect((await log.open('shop')).decisions).toHaveLength(1);
        starts.taken++;
        await log.close();
      } catch (error) {
        expect(error).toMatchObject({ code: 'DTC_LOG_NOT_OPENED' });
        starts.refused++;
      }
      makeRoom();
      expect(await decisionsIn(path), `${free} blocks were free`).toEqual(['shop.1.1']);
      rmSync(path, { recursive: true });
    }
    expect(starts.taken).toBeGreaterThan(0);
    expect(starts.refused).toBeGreaterThan(0);
  });

  it('is created when there is room, and a failed creation does not block a later one', async () => {
    const folder = mount();
    if (folder === undefined) {
      console.log(left);
      return;
    }
    let refused = 0;
    for (let free = 0; free <= MOST_BLOCKS; free += 2) {
      const path = join(folder, `log-${free}`);
      mkdirSync(path);
      const makeRoom = fill(folder, free);
      const log = new SqliteDecisionLog({ path });
      const error: unknown = await log.open('shop').catch((reason: unknown) => reason);
      if (error instanceof Error) {
        expect(error).toMatchObject({ code: 'DTC_LOG_NOT_OPENED' });
        refused++;
      } else await log.close();
      makeRoom();
      expect(await decisionsIn(path), `${free} blocks were free`).toEqual([]);
      rmSync(path, { recursive: true });
    }
    expect(refused).toBeGreaterThan(3);
  });
});
