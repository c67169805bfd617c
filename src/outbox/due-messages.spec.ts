import { describe, expect, it } from 'vitest';
import { DueMessages, type DueQueries, HEADS_AT_ONCE } from './due-messages.js';

/** @param keys with a due head each, unless they end with `-`. @param free positions without a key. */
function queriesOf(keys: readonly string[], free: readonly string[] = []) {
  const asked: string[] = [];
  const queries: DueQueries = {
    free: (limit) => Promise.resolve(free.slice(0, limit)),
    heads: (after) => {
      asked.push(after);
      const next = keys.filter((key) => key > after).slice(0, HEADS_AT_ONCE);
      return Promise.resolve(next.map((key) => ({ key, position: `of ${key}`, isDue: !key.endsWith('-') })));
    },
  };
  return { asked, queries };
}

describe('The search for due messages', () => {
  it('goes on where it has ended, so that each key has its turn', async () => {
    const { queries } = queriesOf(['a', 'b', 'c-', 'd', 'e']);
    const due = new DueMessages();
    const found = [];
    for (let turn = 0; turn < 4; turn++) found.push(await due.find(2, queries));
    expect(found).toEqual([
      ['of a', 'of b'],
      ['of d', 'of e'],
      ['of a', 'of b'],
      ['of d', 'of e'],
    ]);
  });

  it('finds each head once, also when it begins in the middle', async () => {
    const { queries } = queriesOf(['a', 'b', 'c']);
    const due = new DueMessages();
    expect(await due.find(1, queries)).toEqual(['of a']);
    expect(await due.find(10, queries)).toEqual(['of b', 'of c', 'of a']);
  });

  it('gives half of the places to messages without a key, and all that the others do not need', async () => {
    const due = new DueMessages();
    const { queries } = queriesOf(['a', 'b', 'c'], ['1', '2', '3']);
    expect(await due.find(4, queries)).toEqual(['of a', 'of b', '1', '2']);
    expect(await due.find(4, queriesOf(['a'], ['1', '2', '3', '4']).queries)).toEqual([
      'of a',
      '1',
      '2',
      '3',
    ]);
    expect(await due.find(4, queriesOf(['a', 'b', 'c', 'd'], ['1']).queries)).toHaveLength(4);
    expect(await due.find(4, queriesOf([], []).queries)).toEqual([]);
  });

  it('gives a single place to both kinds in turn', async () => {
    const due = new DueMessages();
    const { queries } = queriesOf(['a', 'b'], ['1']);
    const found = [];
    for (let turn = 0; turn < 4; turn++) found.push(...(await due.find(1, queries)));
    expect(found).toEqual(['of a', '1', 'of b', '1']);
  });

  it('looks at a limited number of keys that are not due, and at the others next time', async () => {
    const keys = Array.from({ length: 25_000 }, (_, index) => `${String(index).padStart(5, '0')}-`);
    const { asked, queries } = queriesOf([...keys, 'z']);
    const due = new DueMessages();
    expect(await due.find(10, queries)).toEqual([]);
    expect(asked).toHaveLength(10);
    expect(await due.find(10, queries)).toEqual([]);
    expect(await due.find(10, queries)).toEqual(['of z']);
  });
});
