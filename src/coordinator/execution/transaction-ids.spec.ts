import { describe, expect, it } from 'vitest';
import { TransactionIds } from './transaction-ids.js';

describe('TransactionIds', () => {
  it('makes ids that say the coordinator, the run and the number', () => {
    const ids = new TransactionIds('shop', 1_700_000_000_000, '00ff00ff00');

    expect(ids.make(1)).toBe('shop.loyw3v2800ff00ff00.1');
    expect(ids.make(42)).toBe('shop.loyw3v2800ff00ff00.42');
  });

  it('finds the number in an id of its own run', () => {
    const ids = new TransactionIds('shop');

    for (const sequence of [1, 9, 10, 123_456_789, 999_999_999_999_999]) {
      expect(ids.sequenceOf(ids.make(sequence))).toBe(sequence);
    }
  });

  it('knows no id of another run, though it began in the same millisecond', () => {
    const one = new TransactionIds('shop', 1_700_000_000_000);
    const other = new TransactionIds('shop', 1_700_000_000_000);

    expect(one.prefix).not.toBe(other.prefix);
    expect(one.sequenceOf(other.make(1))).toBe(0);
  });

  it.each(['', '0', '01', '-1', '1.0', '1e3', ' 1', '1 ', '1\n', 'NaN', '1'.repeat(16), '٣'])(
    'takes %j after its prefix for no number',
    (text) => {
      const ids = new TransactionIds('shop');

      expect(ids.sequenceOf(ids.prefix + text)).toBe(0);
    },
  );
});
