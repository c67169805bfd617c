import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OrderBook } from './order/order-book.js';
import { Accounts, SEED_BALANCES } from './payment/accounts.js';
import { SEED_CATALOGUE } from './inventory/catalogue.js';
import { SEED_STOCK, Stock } from './inventory/stock.js';

const seed = 20_260_101;

/** Any request to a holding: an amount, and the end of its transaction. */
function steps(max: number): fc.Arbitrary<{ amount: number; end: 'commit' | 'rollback' | 'open' }[]> {
  const amount = fc.integer({ min: 1, max });
  return fc.array(fc.record({ amount, end: fc.constantFrom('commit', 'rollback', 'open') }));
}

describe('The stock', () => {
  it('reserves all lines or none, and names the line at fault', () => {
    const stock = new Stock();

    expect(
      stock.reserve('a', [
        { sku: 'keyboard', quantity: 1 },
        { sku: 'last-lamp', quantity: 2 },
      ]),
    ).toEqual({
      line: 1,
      code: 'OUT_OF_STOCK',
    });
    expect(stock.reserve('b', [{ sku: 'none', quantity: 1 }])).toEqual({ line: 0, code: 'UNKNOWN_SKU' });
    expect(stock.level('keyboard')).toEqual({ onHand: SEED_STOCK.keyboard, reserved: 0 });
  });

  it('keeps reserved pieces from other orders until they are released', () => {
    const stock = new Stock();
    const last = [{ sku: 'last-lamp', quantity: 1 }];

    expect(stock.reserve('a', last)).toBeUndefined();
    expect(stock.reserve('b', last)).toMatchObject({ code: 'OUT_OF_STOCK' });
    stock.release('a');
    expect(stock.reserve('b', last)).toBeUndefined();
    stock.take('b');
    expect(stock.level('last-lamp')).toEqual({ onHand: 0, reserved: 0 });
    expect(() => stock.take('b')).toThrow('only reserved pieces are taken');
  });

  it('includes every product of the catalogue', () => {
    expect(SEED_CATALOGUE.map(({ sku }) => sku).toSorted()).toEqual(Object.keys(SEED_STOCK).toSorted());
  });

  it('is never oversold, by any requests in any order', () => {
    const neverOversold = fc.property(steps(6), (wanted) => {
      const stock = new Stock();
      let taken = 0;
      let open = 0;
      for (const [index, { amount, end }] of wanted.entries()) {
        const key = String(index);
        const fits = SEED_STOCK.monitor! - taken - open >= amount;
        expect(stock.reserve(key, [{ sku: 'monitor', quantity: amount }]) === undefined).toBe(fits);
        if (!fits) continue;
        if (end === 'commit') stock.take(key);
        if (end === 'rollback') stock.release(key);
        if (end === 'commit') taken += amount;
        if (end === 'open') open += amount;
        expect(stock.level('monitor')).toEqual({ onHand: SEED_STOCK.monitor! - taken, reserved: open });
      }
    });
    fc.assert(neverOversold, { seed });
  });
});

describe('The accounts', () => {
  it('refuse amounts that they do not cover', () => {
    const accounts = new Accounts();

    expect(accounts.authorise('a', 'nobody', 1)).toBe('UNKNOWN_CUSTOMER');
    expect(accounts.authorise('b', 'carol', SEED_BALANCES.carol! + 1)).toBe('INSUFFICIENT_FUNDS');
    expect(accounts.authorise('c', 'carol', SEED_BALANCES.carol!)).toBeUndefined();
    expect(accounts.authorise('d', 'carol', 1)).toBe('INSUFFICIENT_FUNDS');
    expect(() => accounts.capture('d')).toThrow('only authorised amounts are captured');
  });

  it('are never overdrawn, by any requests in any order', () => {
    const neverOverdrawn = fc.property(steps(600), (wanted) => {
      const accounts = new Accounts();
      let spent = 0;
      let open = 0;
      for (const [index, { amount, end }] of wanted.entries()) {
        const key = String(index);
        const fits = SEED_BALANCES.carol! - spent - open >= amount;
        expect(accounts.authorise(key, 'carol', amount) === undefined).toBe(fits);
        if (!fits) continue;
        if (end === 'commit') accounts.capture(key);
        if (end === 'rollback') accounts.release(key);
        if (end === 'commit') spent += amount;
        if (end === 'open') open += amount;
        expect(accounts.find('carol')).toEqual({ balance: SEED_BALANCES.carol! - spent, held: open });
      }
    });
    fc.assert(neverOverdrawn, { seed });
  });
});

describe('The order book', () => {
  const order = { orderId: 'o-1', transactionId: 't-1', customerId: 'alice', items: [], total: 1 };

  it('shows an order only once it is confirmed', () => {
    const orders = new OrderBook();
    orders.draft('a', order);
    expect(orders.find('o-1')).toBeUndefined();
    orders.confirm('a');
    expect(orders.find('o-1')).toBe(order);
  });

  it('never shows an order that was discarded', () => {
    const orders = new OrderBook();
    orders.draft('a', order);
    orders.discard('a');
    expect(orders.find('o-1')).toBeUndefined();
    expect(() => orders.confirm('a')).toThrow('only a drafted order is confirmed');
  });
});
