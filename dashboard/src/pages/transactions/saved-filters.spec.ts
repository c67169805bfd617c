import { describe, expect, it } from 'vitest';
import { filtersIn } from './filters.js';
import { MAX_SAVED, type Store, deleteFilter, saveFilter, savedFilters } from './saved-filters.js';

function storeWith(text: string | null = null): () => Store & { text: string | null } {
  const store = {
    text,
    getItem: () => store.text,
    setItem: (_key: string, value: string) => void (store.text = value),
    removeItem: () => void (store.text = null),
  };
  return () => store;
}

const filters = (query: string) => filtersIn(new URLSearchParams(query));

describe('Saved filters', () => {
  it('are kept under their names, replaced and deleted', () => {
    const store = storeWith();
    expect(
      saveFilter(store, ' stalled at payment ', filters('show=stalled&participant=payment')),
    ).toBeUndefined();
    expect(saveFilter(store, 'old', filters('minAgeMs=60000'))).toBeUndefined();
    expect(savedFilters(store)).toEqual([
      { name: 'stalled at payment', query: 'show=stalled&participant=payment' },
      { name: 'old', query: 'minAgeMs=60000' },
    ]);
    expect(saveFilter(store, 'stalled at payment', filters('show=stalled'))).toBeUndefined();
    expect(deleteFilter(store, 'old')).toBeUndefined();
    expect(savedFilters(store)).toEqual([{ name: 'stalled at payment', query: 'show=stalled' }]);
    expect(deleteFilter(store, 'stalled at payment')).toBeUndefined();
    expect(store().text).toBeNull();
  });

  it('have a limit, and names of some length', () => {
    const store = storeWith();
    for (let saved = 0; saved < MAX_SAVED; saved++) saveFilter(store, `f${saved}`, filters(''));
    expect(saveFilter(store, 'one more', filters(''))).toMatch(/^There are 20/);
    expect(saveFilter(store, 'f7', filters('state=READY'))).toBeUndefined();
    expect(savedFilters(store)).toHaveLength(MAX_SAVED);
    for (const name of ['', '  ', 'x'.repeat(41)])
      expect(saveFilter(storeWith(), name, filters(''))).toMatch(/^Give it a name/);
  });

  it('leave out the alarm and the group, which are over by then', () => {
    const store = storeWith();
    saveFilter(store, 'f', filters('alarm=stalled.payment.x&group=shop.1&state=READY'));
    expect(savedFilters(store)).toEqual([{ name: 'f', query: 'state=READY' }]);
  });

  it.each([
    'no JSON',
    '{}',
    'null',
    '[null, 7, {}, {"name":"", "query":""}, {"name":"a"}, {"name":"b","query":7}]',
    `[{"name":"${'x'.repeat(41)}","query":""}]`,
  ])('are none where the store has %s', (text) => {
    expect(savedFilters(storeWith(text))).toEqual([]);
  });

  it('hold no values that are not known, also when another program has written them', () => {
    const query = 'state=LOST&order=oldest&x=1';
    expect(savedFilters(storeWith(JSON.stringify([{ name: 'f', query }])))).toEqual([
      { name: 'f', query: 'order=oldest' },
    ]);
  });

  it('say why a browser does not keep them', () => {
    const refusing = (): Store => {
      throw new Error('access is denied');
    };
    expect(savedFilters(refusing)).toEqual([]);
    expect(saveFilter(refusing, 'f', filters(''))).toBe('The browser does not keep it: access is denied');
  });
});
