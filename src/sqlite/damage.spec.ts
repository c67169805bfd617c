import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Image,
  type Start,
  decision,
  decisionsIn,
  imageOf,
  lookInto,
  restore,
  temporaryFolder,
} from './log-image.fixture.js';
import { SqliteDecisionLog } from './sqlite-decision-log.js';

const MAIN = 'decisions.sqlite';
const WAL = 'decisions.sqlite-wal';
const TAIL = 'decisions.sqlite-tail';
const FRAME_BYTES = 4_120;
/** Each decision writes its own page and that of the census. */
const LAST_BYTES = 2 * FRAME_BYTES;
const SECTOR_BYTES = 512;
const IDS = ['shop.1.1', 'shop.1.2', 'shop.1.3', 'shop.1.4', 'shop.1.5', 'shop.1.6'];

/**
 * The step between damaged bytes of a file, and the step in the empty parts of pages, which are most of it.
 * With EVERY_BYTE every byte is damaged, which takes some minutes.
 */
const [STEP, EMPTY_STEP] = process.env.EVERY_BYTE === 'true' ? [1, 1] : [61, 499];

const { path, remove } = temporaryFolder();
const folder = join(path, 'damaged', 'shop');
let crashed: Image;
/**
 * The state after a crash before the last transaction is acknowledged: it is written, and the tail does not
 * know of it.
 */
let unacknowledged: Image;
let closed: Image;

beforeAll(async () => {
  const log = new SqliteDecisionLog({ path });
  await log.open('shop');
  for (const id of IDS) {
    unacknowledged = imageOf(join(path, 'shop'));
    await log.append(decision(id, { sku: 'tea', of: id }));
  }
  crashed = imageOf(join(path, 'shop'));
  unacknowledged = { ...crashed, [TAIL]: unacknowledged[TAIL]! };
  await log.close();
  closed = imageOf(join(path, 'shop'));
});
afterAll(remove);

function* offsetsIn(bytes: Buffer): Generator<number> {
  for (let at = 0; at < bytes.length; at++) {
    if (at % (bytes[at] === 0 ? EMPTY_STEP : STEP) === 0) yield at;
  }
}

function startWith(image: Image): Start {
  restore(image, folder);
  return lookInto(folder);
}

type Harm = (bytes: Buffer, at: number) => Buffer;

const oneBit: Harm = (bytes, at) => {
  bytes[at]! ^= 1 << ((at * 7) % 8);
  return bytes;
};
const oneByte: Harm = (bytes, at) => {
  bytes[at]! ^= 0xff;
  return bytes;
};
const oneSector: Harm = (bytes, at) => bytes.fill(0, at, Math.min(at + SECTOR_BYTES, bytes.length));
const allBehind: Harm = (bytes, at) => bytes.fill(0, at);
const cutOff: Harm = (bytes, at) => bytes.subarray(0, at);

/**
 * Damages a file at each of many places. @returns the places where the start behaved wrongly, and the number
 * of refused starts.
 */
function harmEverywhere(
  image: Image,
  name: string,
  harm: Harm,
  isRight: (start: Start, at: number) => boolean,
): { readonly wrong: string[]; readonly refused: number; readonly tried: number } {
  const wrong: string[] = [];
  let [refused, tried] = [0, 0];
  for (const at of offsetsIn(image[name]!)) {
    const start = startWith({ ...image, [name]: harm(Buffer.from(image[name]!), at) });
    tried++;
    if (start.refused !== undefined) refused++;
    else if (!isRight(start, at)) wrong.push(`at ${at}: ${start.decisions.join(' ')}`);
  }
  return { wrong, refused, tried };
}

const holdsAll = ({ decisions }: Start): boolean => decisions.length === IDS.length;
/** The last transaction alone may be missing if no tail records its flush, but not silently. */
const lacksTheLast = ({ decisions, warning }: Start): boolean =>
  decisions.length === IDS.length - 1 && !decisions.includes(IDS.at(-1)!) && warning !== undefined;

describe('A log after a crash', () => {
  it('is unchanged when nothing is damaged', () => {
    expect(startWith(crashed)).toEqual({ decisions: IDS, warning: undefined });
    expect(startWith(closed)).toEqual({ decisions: IDS, warning: undefined });
    expect(Object.keys(closed)).not.toContain(WAL);
  });

  it.each([
    ['bit is flipped', oneBit],
    ['byte is flipped', oneByte],
    ['sector is lost', oneSector],
  ])('never starts without a decision because a %s anywhere in its main file', (_, harm) => {
    for (const image of [crashed, closed]) {
      const { wrong, refused } = harmEverywhere(image, MAIN, harm, holdsAll);
      expect(wrong).toEqual([]);
      expect(refused).toBeGreaterThan(0);
    }
  });

  it.each([
    ['a bit in it is flipped', oneBit],
    ['a byte in it is flipped', oneByte],
    ['a sector of it is lost', oneSector],
    ['it is torn', allBehind],
    ['it is cut off', cutOff],
  ])(
    'never starts without an acknowledged decision because, anywhere in the write-ahead log, %s',
    (_, harm) => {
      const acknowledged = harmEverywhere(crashed, WAL, harm, holdsAll);
      expect(acknowledged.wrong).toEqual([]);
      expect(acknowledged.refused).toBeGreaterThan(acknowledged.tried / 2);

      const lastAt = crashed[WAL]!.length - LAST_BYTES;
      const { wrong, refused, tried } = harmEverywhere(
        unacknowledged,
        WAL,
        harm,
        (start, at) => holdsAll(start) || (at + SECTOR_BYTES > lastAt && lacksTheLast(start)),
      );
      expect(wrong).toEqual([]);
      expect(refused).toBeGreaterThan(tried / 10);
    },
  );

  it('refuses to start without the last transaction, cut off at any place, if it was flushed', async () => {
    const wal = crashed[WAL]!;
    for (const missing of [1, 100, FRAME_BYTES, LAST_BYTES - 1, LAST_BYTES]) {
      const image = { ...crashed, [WAL]: wal.subarray(0, wal.length - missing) };
      expect(startWith(image), `without the last ${missing} bytes`).toMatchObject({ refused: 'damaged' });
      expect(imageOf(folder)).toEqual(image);
    }
    const started = new SqliteDecisionLog({ path: join(path, 'damaged') }).open('shop');
    await expect(started).rejects.toMatchObject({ code: 'DTC_LOG_DAMAGED', record: join(folder, WAL) });
    await expect(started).rejects.toThrow(/it ends with transaction \d+, but transaction \d+ was flushed/);
  });

  it('drops a torn last transaction that was never acknowledged, reports it once, and continues', async () => {
    const wal = crashed[WAL]!;
    restore({ ...unacknowledged, [WAL]: wal.subarray(0, wal.length - 100) }, folder);
    const log = new SqliteDecisionLog({ path: join(path, 'damaged') });
    const { decisions, warning } = await log.open('shop');
    expect(decisions.map(({ id }) => id)).toEqual(IDS.slice(0, -1));
    expect(warning).toMatch(/was interrupted, and was dropped/);
    await log.append(decision('shop.2.1'));
    await log.close();

    expect(lookInto(folder)).toEqual({ decisions: [...IDS.slice(0, -1), 'shop.2.1'], warning: undefined });
  });

  it('notices a write-ahead log that is missing, empty or of another log', async () => {
    const { [WAL]: wal, ...without } = crashed;
    for (const left of [undefined, Buffer.alloc(0), Buffer.alloc(100_000, 1), wal!.subarray(0, 32)]) {
      const image = left === undefined ? without : { ...without, [WAL]: left };
      expect(startWith(image)).toMatchObject({ refused: 'damaged' });
    }
    restore(without, folder);
    const started = new SqliteDecisionLog({ path: join(path, 'damaged') }).open('shop');
    await expect(started).rejects.toMatchObject({ code: 'DTC_LOG_DAMAGED', record: join(folder, WAL) });
    await expect(started).rejects.toThrow(/the main file requires it/);
  });

  it('notices a main file that is missing or empty, and never takes the rest for a new log', () => {
    for (const image of [crashed, closed]) {
      const { [MAIN]: main, ...without } = image;
      expect(startWith(without)).toMatchObject({ refused: 'damaged' });
      for (const left of [Buffer.alloc(0), Buffer.alloc(main!.length), main!.subarray(0, 4_096)]) {
        expect(startWith({ ...without, [MAIN]: left }).decisions, `${left.length} bytes`).toEqual(
          image === crashed && left.length === 4_096 ? IDS : [],
        );
      }
    }
  });

  it('notices an older main file, and an older write-ahead log', async () => {
    const log = new SqliteDecisionLog({ path: join(path, 'damaged') });
    restore(closed, folder);
    await log.open('shop');
    await log.append(decision('shop.2.1'));
    const later = imageOf(folder);
    await log.close();

    expect(startWith(later).decisions).toEqual([...IDS, 'shop.2.1']);
    expect(startWith({ ...later, [WAL]: crashed[WAL]! })).toMatchObject({ refused: 'damaged' });
    expect(startWith({ ...closed, [TAIL]: later[TAIL]! })).toMatchObject({ refused: 'damaged' });
  });

  it('notices lost transactions behind damage even without the tail file', () => {
    const { [TAIL]: _, ...without } = crashed;
    const lastAt = crashed[WAL]!.length - LAST_BYTES;
    const { wrong, refused, tried } = harmEverywhere(
      without,
      WAL,
      oneBit,
      (start, at) => holdsAll(start) || (at >= lastAt && lacksTheLast(start)),
    );
    expect(wrong).toEqual([]);
    expect(refused).toBeGreaterThan(tried / 2);
  });

  it('starts without the tail file, or with an invalid one', () => {
    const { [TAIL]: tail, ...without } = crashed;
    expect(startWith(without).decisions).toEqual(IDS);
    for (const left of [Buffer.alloc(0), Buffer.alloc(104), oneBit(Buffer.from(tail!), 30)]) {
      expect(startWith({ ...without, [TAIL]: left }).decisions).toEqual(IDS);
    }
  });

  it('is not changed by a refused start, so that the next is refused as well', async () => {
    const wal = oneBit(Buffer.from(crashed[WAL]!), 3 * FRAME_BYTES);
    const main = oneByte(Buffer.from(closed[MAIN]!), closed[MAIN]!.length - 200);
    for (const image of [
      { ...crashed, [WAL]: wal },
      { ...closed, [MAIN]: main, [WAL]: Buffer.alloc(0) },
    ]) {
      restore(image, folder);
      for (let start = 0; start < 2; start++) {
        await expect(decisionsIn(join(path, 'damaged'))).rejects.toMatchObject({ code: 'DTC_LOG_DAMAGED' });
      }
      expect(imageOf(folder)).toEqual(image);
    }
  });
});
