import { describe, expect, it } from 'vitest';
import type { GuardRecord } from './guard-store.js';
import { isOver } from './guard-store.js';
import { MemoryGuardStore } from './memory-guard-store.js';

const COMMITTED: GuardRecord = { state: 'committed' };
const ROLLED_BACK: GuardRecord = { state: 'rolled-back' };
const PREPARED: GuardRecord = { state: 'voted', vote: 'commit' };

describe('MemoryGuardStore', () => {
  it('inserts only a new record, and returns an existing one', () => {
    const store = new MemoryGuardStore();

    expect(store.insert('a', PREPARED)).toBeUndefined();
    expect(store.insert('a', ROLLED_BACK)).toBe(PREPARED);
    expect(store.get('a')).toBe(PREPARED);
    store.put('a', ROLLED_BACK);
    expect(store.insert('a', PREPARED)).toBe(ROLLED_BACK);
    expect(store.get('b')).toBeUndefined();
  });

  it('drops a finished record when it has expired, and not before', () => {
    let now = 0;
    const store = new MemoryGuardStore({ retainMs: 1_000, now: () => now });
    store.put('a', COMMITTED);
    now = 999;
    store.put('b', ROLLED_BACK);
    expect(store.size).toBe(2);

    now = 1_000;
    store.put('c', COMMITTED);
    expect(store.get('a')).toBeUndefined();
    expect(store.get('b')).toBe(ROLLED_BACK);
    expect(store.size).toBe(2);
  });

  it('drops the oldest finished record when there are too many', () => {
    const store = new MemoryGuardStore({ retainRecords: 3, now: () => 0 });
    for (const key of ['a', 'b', 'c', 'd', 'e']) store.put(key, COMMITTED);

    expect(['a', 'b', 'c', 'd', 'e'].filter((key) => store.get(key) !== undefined)).toEqual(['c', 'd', 'e']);
  });

  it('counts a record as new when it is written again', () => {
    const store = new MemoryGuardStore({ retainRecords: 2, now: () => 0 });
    for (const key of ['a', 'b', 'a', 'c']) store.put(key, COMMITTED);

    expect(['a', 'b', 'c'].filter((key) => store.get(key) !== undefined)).toEqual(['a', 'c']);
  });

  it('never drops the record of an open branch, however old it is and however many there are', () => {
    let now = 0;
    const store = new MemoryGuardStore({ retainMs: 10, retainRecords: 2, now: () => now });
    const open: GuardRecord[] = [PREPARED, { state: 'preparing' }, { state: 'failed', message: 'x' }];
    open.forEach((record, index) => store.put(`open-${index}`, record));
    for (let number = 0; number < 1_000; number++) {
      now += 100;
      store.put(`over-${number}`, COMMITTED);
    }

    open.forEach((record, index) => expect(store.get(`open-${index}`)).toBe(record));
    expect(store.size).toBe(open.length + 1);
  });

  it('keeps one record for a branch that opens, ends and opens again', () => {
    const store = new MemoryGuardStore();
    store.put('a', { state: 'preparing' });
    store.put('a', ROLLED_BACK);
    store.put('a', { state: 'failed', message: 'the undo failed' });

    expect(store.get('a')).toEqual({ state: 'failed', message: 'the undo failed' });
    expect(store.size).toBe(1);
  });

  it.each<[GuardRecord, boolean]>([
    [{ state: 'preparing' }, false],
    [{ state: 'failed', message: 'x' }, false],
    [PREPARED, false],
    [{ state: 'voted', vote: 'abort' }, true],
    [{ state: 'voted', vote: { vote: 'abort', code: 'NO', reason: 'no' } }, true],
    [{ state: 'voted', vote: 'read-only' }, true],
    // This is not a vote, so the effect of prepare is unknown: the branch waits for its rollback.
    [{ state: 'voted', vote: undefined as unknown as 'commit' }, false],
    [COMMITTED, true],
    [ROLLED_BACK, true],
  ])('counts %j as finished: %s', (record, over) => {
    expect(isOver(record)).toBe(over);
  });
});
