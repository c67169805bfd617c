import { describe, expect, it } from 'vitest';
import { gidOf } from '../../src/postgres/gid.js';
import { branchOf } from '../../src/sql/gid.js';

const TRANSACTION = 'shop.1a.7';

describe('the global id of a branch', () => {
  it('is the transaction, the participant and the branch', () => {
    const branch = { transactionId: TRANSACTION, branchId: 'stock.2' };
    expect(gidOf(branch, 'inventory')).toBe('shop.1a.7/inventory/stock.2');
    expect(branchOf('shop.1a.7/inventory/stock.2', 'inventory')).toEqual(branch);
  });

  it.each(["a'b", 'a/b', 'a\\b', 'a b', 'a;b', 'ä', '', 'a\0b', 'a\nb'])(
    'refuses the branch id %j',
    (branchId) => {
      expect(() => gidOf({ transactionId: TRANSACTION, branchId }, 'inventory')).toThrow(
        expect.objectContaining({ code: 'DTC_POSTGRES_INVALID_GID' }),
      );
    },
  );

  it.each([undefined, null, 7, 7n, Symbol('id'), ['b'], {}])(
    'refuses an id or a participant that is no text: %s',
    (given) => {
      const id = given as string;
      const good = { transactionId: TRANSACTION, branchId: 'b' };
      const refused = { code: 'DTC_POSTGRES_INVALID_GID' };
      for (const [branch, participant, name] of [
        [{ ...good, transactionId: id }, 'inventory', 'transactionId'],
        [good, id, 'participant'],
        [{ ...good, branchId: id }, 'inventory', 'branchId'],
      ] as const) {
        const message = expect.stringContaining(`${name} is `) as string;
        expect(() => gidOf(branch, participant)).toThrow(expect.objectContaining({ ...refused, message }));
      }
    },
  );

  it('takes 199 bytes, and refuses 200', () => {
    const rest = `${TRANSACTION}/inventory/`.length;
    const of = (bytes: number): string =>
      gidOf({ transactionId: TRANSACTION, branchId: 'x'.repeat(bytes - rest) }, 'inventory');
    expect(of(199)).toHaveLength(199);
    expect(() => of(200)).toThrow('200 bytes');
  });

  it('has room for the longest names that a coordinator allows', () => {
    const transactionId = `${'c'.repeat(32)}.${'z'.repeat(11)}.${'9'.repeat(15)}`;
    expect(gidOf({ transactionId, branchId: 'b'.repeat(64) }, 'p'.repeat(32))).toHaveLength(158);
  });

  it.each([
    ["another participant's", 'shop.1a.7/payment/payment'],
    ['one whose name begins with ours', 'shop.1a.7/inventory-2/b'],
    ["another program's", 'some-other-program-42'],
    ['one with too many parts', 'shop.1a.7/inventory/b/c'],
    ['one with too few', 'shop.1a.7/inventory'],
    ['one without a transaction', '/inventory/b'],
    ['one with characters of no id', "shop.1a.7/inventory/b'"],
  ])('leaves out %s', (_what, gid) => {
    expect(branchOf(gid, 'inventory')).toBeUndefined();
  });
});
