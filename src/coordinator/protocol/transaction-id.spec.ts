import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LOG_ID, OTHER_LOG_ID, idOf } from '../../../test/support/identity.js';
import { MAX_EPOCH, TransactionIds, coordinatorNameOf, originOf } from './transaction-id.js';

const SEED = 20_261_128;

describe('TransactionIds', () => {
  it('makes ids of the coordinator, its log, the number of the start and the number of the transaction', () => {
    const ids = new TransactionIds('shop', LOG_ID, 71);

    expect(ids.make(1)).toBe(`shop.${LOG_ID}.1z.1`);
    expect(ids.make(42)).toBe(`shop.${LOG_ID}.1z.42`);
  });

  it('makes ids of at most 64 bytes, even with the longest name, the last start and the highest number', () => {
    const longest = new TransactionIds('c'.repeat(32), LOG_ID, MAX_EPOCH).make(9_999_999_999_999);

    expect(Buffer.byteLength(longest)).toBe(64);
    expect(originOf(longest)).toEqual({ name: 'c'.repeat(32), logId: LOG_ID, epoch: MAX_EPOCH });
  });

  it('makes no longer id', () => {
    const ids = new TransactionIds('shop', LOG_ID, 1);

    expect(() => ids.make(10_000_000_000_000)).toThrow('used up');
    for (const epoch of [0, -1, 1.5, MAX_EPOCH + 1, NaN, Infinity]) {
      expect(() => new TransactionIds('shop', LOG_ID, epoch)).toThrow(RangeError);
    }
    for (const logId of ['', 'short', `${LOG_ID}0`, 'UPPER0CASE00', 'dots.in.it.0', 'ümlaut000000']) {
      expect(() => new TransactionIds('shop', logId, 1)).toThrow(RangeError);
    }
  });

  it('reads the number in an id of its own run', () => {
    const ids = new TransactionIds('shop', LOG_ID, 1);

    for (const sequence of [1, 9, 10, 123_456_789, 9_999_999_999_999]) {
      expect(ids.sequenceOf(ids.make(sequence))).toBe(sequence);
    }
  });

  it('makes the id of each number, in any order and in a later run too', () => {
    const ids = new TransactionIds('shop', LOG_ID, 1);
    const numbers = [999, 1_000, 1_001, 1_999, 2_000, 1_007, 10_010, 999_999, 1_000_000, 7, 2 ** 32 + 5];

    for (const epoch of [1, 2]) {
      if (epoch > 1) ids.startAgain(epoch);
      expect(numbers.map((number) => ids.make(number))).toEqual(
        numbers.map((number) => `shop.${LOG_ID}.${epoch}.${number}`),
      );
      expect(ids.make(1_000)).toBe(`shop.${LOG_ID}.${epoch}.1000`);
    }
    ids.startAgain(3);
    expect(ids.make(1_001)).toBe(`shop.${LOG_ID}.3.1001`);
  });

  it('reads the owner, but not the number, of an id of another run or log', () => {
    const ids = new TransactionIds('shop', LOG_ID, 1);

    const ofOthers = [idOf('shop', 2, 7), idOf('shop', 1, 7, OTHER_LOG_ID), idOf('bank', 1, 7)];
    expect(ofOthers.map((id) => ids.sequenceOf(id))).toEqual([0, 0, 0]);
    expect(ofOthers.map((id) => ids.originOf(id))).toEqual([
      { kind: 'own', epoch: 2 },
      { kind: 'other-log' },
      { kind: 'other-name' },
    ]);
    expect(ids.originOf(ids.make(7))).toEqual({ kind: 'own', epoch: 1 });
  });

  it('reads back any name, log, start and number from the id', () => {
    const digits = '0123456789abcdefghijklmnopqrstuvwxyz'.split('');
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z][a-z0-9-]{0,31}$/),
        fc.string({ unit: fc.constantFrom(...digits), minLength: 12, maxLength: 12 }),
        fc.integer({ min: 1, max: MAX_EPOCH }),
        fc.integer({ min: 1, max: 9_999_999_999_999 }),
        (name, logId, epoch, sequence) => {
          const ids = new TransactionIds(name, logId, epoch);
          const id = ids.make(sequence);
          expect(id.length).toBeLessThanOrEqual(64);
          expect(ids.sequenceOf(id)).toBe(sequence);
          expect(originOf(id)).toEqual({ name, logId, epoch });
        },
      ),
      { seed: SEED, numRuns: 300 },
    );
  });

  it.each([
    'shop',
    'shop.1.1',
    `shop.${LOG_ID}`,
    `shop.${LOG_ID}.1`,
    `shop.${LOG_ID}.1.1.1`,
    `shop.${LOG_ID}.01.1`,
    `shop.${LOG_ID}.0.1`,
    `shop.${LOG_ID}.1.01`,
    `shop.${LOG_ID}.1.0`,
    `shop.${LOG_ID}..1`,
    `shop.${LOG_ID}.A.1`,
    `shop.${LOG_ID}.-1.1`,
    `shop.${LOG_ID}.1.1 `,
    `shop.${LOG_ID}.10000.1`,
    `shop.${LOG_ID}.1.10000000000000`,
    `shop.${LOG_ID}0.1.1`,
    `.${LOG_ID}.1.1`,
    '',
  ])('does not accept %j as an id of a coordinator', (id) => {
    expect(new TransactionIds('shop', LOG_ID, 1).originOf(id)).toEqual({ kind: 'malformed' });
  });

  it.each(['shopping', 'sho', ' shop', 'Shop'])(
    'takes an id of %j for an id of another coordinator',
    (name) => {
      expect(new TransactionIds('shop', LOG_ID, 1).originOf(idOf(name, 1, 1))).toEqual({
        kind: 'other-name',
      });
    },
  );

  it.each(['', '0', '01', '-1', '1.0', '1e3', ' 1', '1 ', '1\n', 'NaN', '1'.repeat(14), '٣'])(
    'does not accept %j after its prefix as a number',
    (text) => {
      const ids = new TransactionIds('shop', LOG_ID, 1);

      expect(ids.sequenceOf(ids.prefix + text)).toBe(0);
    },
  );
});

describe('The name in an id', () => {
  it('is the part before its first dot', () => {
    expect(coordinatorNameOf(idOf('shop-1', 1, 7))).toBe('shop-1');
    expect(coordinatorNameOf('odd')).toBe('odd');
  });
});
