import { describe, expect, it } from 'vitest';
import { TransactionIds } from './transaction-ids.js';

describe('TransactionIds', () => {
  it('makes ids that say the coordinator, the epoch and the number', () => {
    const ids = new TransactionIds('shop', 71);

    expect(ids.make(1)).toBe('shop.1z.1');
    expect(ids.make(42)).toBe('shop.1z.42');
  });

  it('finds the number in an id of its own epoch', () => {
    const ids = new TransactionIds('shop', 1);

    for (const sequence of [1, 9, 10, 123_456_789, 999_999_999_999_999]) {
      expect(ids.sequenceOf(ids.make(sequence))).toBe(sequence);
    }
  });

  it('knows the number of no id of another epoch, but the epoch', () => {
    const one = new TransactionIds('shop', 1);
    const other = new TransactionIds('shop', Number.MAX_SAFE_INTEGER);

    expect(one.sequenceOf(other.make(1))).toBe(0);
    expect(one.epochOf(other.make(7))).toBe(Number.MAX_SAFE_INTEGER);
    expect(one.epochOf(one.make(7))).toBe(1);
  });

  it.each([
    'shopping.1.1',
    'sho.1.1',
    'shop',
    'shop.1',
    'shop.1.1.1',
    'shop.01.1',
    'shop.1.01',
    'shop.1.0',
    'shop..1',
    'shop.A.1',
    'shop.-1.1',
    'shop.1.1 ',
    ' shop.1.1',
    'shop.zzzzzzzzzzzz.1',
  ])('takes %j for no id of its own name', (id) => {
    expect(new TransactionIds('shop', 1).epochOf(id)).toBeUndefined();
  });

  it.each(['', '0', '01', '-1', '1.0', '1e3', ' 1', '1 ', '1\n', 'NaN', '1'.repeat(16), '٣'])(
    'takes %j after its prefix for no number',
    (text) => {
      const ids = new TransactionIds('shop', 1);

      expect(ids.sequenceOf(ids.prefix + text)).toBe(0);
    },
  );
});
