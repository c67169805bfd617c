import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { causeOf, isPassing } from './failures.js';

const MORE_THAN_ANY_DISK = Number.MAX_SAFE_INTEGER;

describe('A failed write', () => {
  it.each([
    ['the disk is full', 28],
    ['the quota is used up', 122],
    ['the map is full', -30_792],
  ])('passes when %s, whatever room there is', (_, code) => {
    expect(isPassing({ code }, tmpdir(), 1)).toBe(true);
  });

  it('passes on an I/O error when there was no room for it, and only then', () => {
    expect(isPassing({ code: 5 }, tmpdir(), MORE_THAN_ANY_DISK)).toBe(true);
    expect(isPassing({ code: 5 }, tmpdir(), 1)).toBe(false);
  });

  it('does not pass on an I/O error of a disk that cannot even say what room there is', () => {
    expect(isPassing({ code: 5 }, '/nowhere/at/all', 1)).toBe(false);
  });

  it('does not pass for another reason, or for none that is known, whatever room there is', () => {
    expect(isPassing({ code: 9 }, tmpdir(), MORE_THAN_ANY_DISK)).toBe(false);
    expect(isPassing(new Error('the environment is gone'), tmpdir(), MORE_THAN_ANY_DISK)).toBe(false);
  });

  it('has the cause that LMDB tells in a promise of its own, and else is its own', async () => {
    const cause = new Error('no space left on device');
    const told = Promise.reject(cause);
    told.catch(() => {});

    expect(await causeOf(Object.assign(new Error('commit failed'), { commitError: told }))).toBe(cause);
    expect(await causeOf(cause)).toBe(cause);
  });
});
