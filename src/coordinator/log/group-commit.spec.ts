import { describe, expect, it } from 'vitest';
import { settled } from '../testing/index.js';
import { GroupCommit, type Refusals } from './group-commit.js';

interface Write {
  readonly items: readonly string[];
  readonly succeed: (refusals?: Refusals) => void;
  readonly fail: (error: Error) => void;
}

/** A group commit whose writes a test ends one by one. */
function setUp(limit = 1_000) {
  const writes: Write[] = [];
  const commits = new GroupCommit<string>((items) => {
    const { promise, resolve, reject } = Promise.withResolvers<Refusals>();
    writes.push({ items, succeed: (refusals = new Map()) => resolve(refusals), fail: reject });
    return promise;
  }, limit);
  /** The result of each item, in order of arrival. */
  const heard: string[] = [];
  const add = (...items: string[]): void => {
    for (const item of items) {
      commits.add(item).then(
        () => heard.push(`${item} is durable`),
        (error: unknown) => heard.push(`${item}: ${(error as Error).message}`),
      );
    }
  };
  return { commits, writes, add, heard, written: () => writes.map(({ items }) => items) };
}

describe('GroupCommit', () => {
  it('writes the items of one turn together, and in order', async () => {
    const { add, writes, written, heard } = setUp();
    add('a', 'b', 'c');
    await settled();
    expect(written()).toEqual([['a', 'b', 'c']]);
    expect(heard).toEqual([]);

    writes[0]!.succeed();
    await settled();
    expect(heard).toEqual(['a is durable', 'b is durable', 'c is durable']);
    expect(written()).toHaveLength(1);
  });

  it('writes items that are added during a write together in the next one', async () => {
    const { add, writes, written, heard } = setUp();
    add('a');
    await settled();
    add('b');
    await settled();
    add('c', 'd');
    await settled();
    expect(written()).toEqual([['a']]);

    writes[0]!.succeed();
    await settled();
    expect(written()).toEqual([['a'], ['b', 'c', 'd']]);
    expect(heard).toEqual(['a is durable']);

    writes[1]!.succeed();
    await settled();
    expect(heard).toEqual(['a is durable', 'b is durable', 'c is durable', 'd is durable']);
  });

  it('rejects only the group of a failed write, and writes the next', async () => {
    const { add, writes, heard } = setUp();
    add('a', 'b');
    await settled();
    add('c');
    writes[0]!.fail(new Error('no space left'));
    await settled();
    expect(heard).toEqual(['a: no space left', 'b: no space left']);

    writes[1]!.succeed();
    await settled();
    expect(heard.slice(2)).toEqual(['c is durable']);
  });

  it('treats a write that throws at once as a failed write', async () => {
    const commits = new GroupCommit<string>(() => {
      throw new Error('the log is closed');
    }, 10);

    await expect(commits.add('a')).rejects.toThrow('the log is closed');
    await expect(commits.add('b')).rejects.toThrow('the log is closed');
  });

  it('writes again after an idle time', async () => {
    const { add, writes, written, heard } = setUp();
    for (const [turn, item] of ['a', 'b', 'c'].entries()) {
      add(item);
      await settled();
      writes[turn]!.succeed();
      await settled();
    }

    expect(written()).toEqual([['a'], ['b'], ['c']]);
    expect(heard).toEqual(['a is durable', 'b is durable', 'c is durable']);
  });

  it('is settled when all earlier items have their answers, good or bad', async () => {
    const { commits, add, writes, heard } = setUp();
    add('a');
    await settled();
    add('b');
    void commits.settled().then(() => heard.push('settled'));
    writes[0]!.fail(new Error('no space left'));
    await settled();
    expect(heard).toEqual(['a: no space left']);

    writes[1]!.succeed();
    await settled();
    expect(heard).toEqual(['a: no space left', 'b is durable', 'settled']);
  });

  it('is settled although more and more items are added later', async () => {
    const { commits, add, writes } = setUp();
    add('a');
    let isSettled = false;
    void commits.settled().then(() => (isSettled = true));
    await settled();
    add('b');
    writes[0]!.succeed();
    await settled();

    expect(isSettled).toBe(true);
    expect(writes).toHaveLength(2);
  });

  it('writes one empty group on request', async () => {
    const { commits, add, written, writes } = setUp();
    commits.writeSoon();
    commits.writeSoon();
    await settled();
    expect(written()).toEqual([[]]);

    commits.writeSoon();
    add('a');
    writes[0]!.succeed();
    await settled();
    expect(written()).toEqual([[], ['a']]);
  });

  it('is settled at once when nothing waits', async () => {
    const { commits, add, writes } = setUp();
    await expect(commits.settled()).resolves.toBeUndefined();

    add('a');
    await settled();
    writes[0]!.succeed();
    await settled();
    await expect(commits.settled()).resolves.toBeUndefined();
    expect(writes).toHaveLength(1);
  });

  it('rejects only the refused items of a group', async () => {
    const { add, writes, heard } = setUp();
    add('a', 'b', 'c');
    await settled();
    writes[0]!.succeed(new Map([[1, new Error('it is nested too deeply')]]));
    await settled();

    expect(heard).toEqual(['a is durable', 'b: it is nested too deeply', 'c is durable']);
  });

  it('refuses items beyond its limit at once, and writes the waiting ones', async () => {
    const { add, writes, written, heard } = setUp(2);
    add('a');
    await settled();
    add('b', 'c', 'd');
    await settled();
    expect(heard).toEqual(['d: 2 writes already wait for the decision log']);

    writes[0]!.succeed();
    await settled();
    expect(written()).toEqual([['a'], ['b', 'c']]);
  });

  it('answers a large group in several turns, and writes the next meanwhile if it is large as well', async () => {
    const { commits, add, writes, written, heard } = setUp(10_000);
    add(...Array.from({ length: 1_000 }, (_, index) => `item ${index}`));
    await settled();
    add(...Array.from({ length: 499 }, (_, index) => `next ${index}`));
    let isSettled = false;
    void commits.settled().then(() => (isSettled = true));
    writes[0]!.succeed();
    while (heard.length === 0) await new Promise(setImmediate);
    expect(heard.length).toBeLessThan(1_000);
    expect(written()).toHaveLength(1);

    add('next 499');
    while (written().length < 2) await new Promise(setImmediate);
    expect(heard.length).toBeLessThan(1_000);
    expect(written()[1]).toHaveLength(500);
    await expect.poll(() => heard.length).toBe(1_000);
    expect(isSettled).toBe(false);

    writes[1]!.succeed();
    await expect.poll(() => isSettled).toBe(true);
    expect(heard.at(-1)).toBe('next 499 is durable');
  });

  it('writes items that came with the answers of a group together, even if they are few', async () => {
    const { commits, writes, written } = setUp();
    const again = async (item: string): Promise<void> => {
      await commits.add(item);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
      await commits.add(`${item} again`);
    };
    const all = Promise.all(['a', 'b', 'c'].map(again));
    await settled();
    writes[0]!.succeed();
    await settled();
    expect(written()).toEqual([
      ['a', 'b', 'c'],
      ['a again', 'b again', 'c again'],
    ]);
    writes[1]!.succeed();
    await all;
  });
});
