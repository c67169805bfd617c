import { describe, expect, it } from 'vitest';
import { orderIdOf } from '../../samples/services/gateway/order-id.js';
import { STOCK_AT_START } from '../../samples/services/inventory/inventory.module.js';
import { MONEY_AT_START } from '../../samples/services/payment/payment.module.js';
import type { Books, PlacedOrder } from '../../scripts/services/books.js';
import { type JudgedOrder, problemsOf } from '../../scripts/services/judge.js';
import type { Answer } from '../../scripts/services/shop-order.js';

const ID = orderIdOf('order-1');
const PLACED: PlacedOrder = {
  orderId: ID,
  customer: 'alice',
  lines: [{ sku: 'keyboard', quantity: 2 }],
  total: 11_980,
  placedBy: 'shop.log.1.7',
  cancelledBy: null,
};
const CONFIRMED = { status: 201, orderId: ID, transactionId: 'shop.log.1.7' };

const BOOKS: Books = {
  orders: [PLACED],
  stock: new Map(Object.entries({ ...STOCK_AT_START, keyboard: STOCK_AT_START.keyboard - 2 })),
  balances: new Map(Object.entries({ ...MONEY_AT_START, alice: MONEY_AT_START.alice - 11_980 })),
  payments: [{ orderId: ID, amount: 11_980 }],
  prepared: 0,
};
const UNTOUCHED: Books = {
  orders: [],
  stock: new Map(Object.entries(STOCK_AT_START)),
  balances: new Map(Object.entries(MONEY_AT_START)),
  payments: [],
  prepared: 0,
};
const CANCELLED: Books = { ...UNTOUCHED, orders: [{ ...PLACED, cancelledBy: 'shop.log.1.9' }] };

function told(...answers: Partial<Answer>[]): JudgedOrder {
  const all = answers.map((given): Answer =>
    Object.assign({ to: 'place' as const, status: 201, sentAt: 0, at: 1 }, given),
  );
  return {
    key: 'order-1',
    answers: all,
    isConfirmed: all.some(({ status }) => status === 201),
    isCancelled: all.some(({ to, status }) => to === 'cancel' && (status === 200 || status === 409)),
  };
}

describe('the check of the services demo', () => {
  it('finds nothing when each order is placed and paid once, and every answer was true', () => {
    const order = told(
      { status: 503, transactionId: 'shop.log.1.3', code: 'DTC_PARTICIPANT_FAILED' },
      { status: 202, code: 'DTC_OUTCOME_UNKNOWN' },
      { status: 202, transactionId: 'shop.log.1.7', code: 'DTC_NOT_COMMITTED' },
      CONFIRMED,
      CONFIRMED,
    );
    expect(problemsOf([order], [], BOOKS)).toEqual([]);
  });

  it('finds nothing when a cancelled order is paid back, and a refused one has left no trace', () => {
    const cancelled = told(
      CONFIRMED,
      { to: 'cancel', status: 503, transactionId: 'shop.log.1.8' },
      { to: 'cancel', status: 200, transactionId: 'shop.log.1.9' },
      { to: 'cancel', status: 409, code: 'DTC_NOT_ACTIVE' },
      { to: 'cancel', status: 409, code: 'ALREADY_CANCELLED' },
      { to: 'cancel', status: 409, code: 'DTC_REFUSED', reasonCode: 'ALREADY_CANCELLED' },
    );
    expect(problemsOf([cancelled], [], CANCELLED)).toEqual([]);
    expect(problemsOf([], [told({ status: 409 })], UNTOUCHED)).toEqual([]);
  });

  it.each<[string, Partial<Books>, RegExp]>([
    ['a payment is missing', { payments: [] }, /comes to 11980 cents, and was paid with nothing/],
    [
      'an order is paid twice',
      { payments: [...BOOKS.payments, ...BOOKS.payments] },
      /was paid with 11980 \+ 11980/,
    ],
    [
      'money was taken twice',
      { balances: new Map([...BOOKS.balances, ['alice', MONEY_AT_START.alice - 2 * 11_980]]) },
      /alice has ordered for 11980 cents, and has paid 23960/,
    ],
    [
      'goods are missing',
      { stock: new Map([...BOOKS.stock, ['keyboard', STOCK_AT_START.keyboard - 3]]) },
      /2 pieces of keyboard are sold, and 3 have left the stock/,
    ],
    ['a branch is still prepared', { prepared: 1 }, /1 branches are still prepared/],
  ])('says that %s', (_, books, problem) => {
    expect(problemsOf([told(CONFIRMED)], [], { ...BOOKS, ...books })).toEqual([
      expect.stringMatching(problem),
    ]);
  });

  it('says that an order was not placed, or no customer has sent it', () => {
    expect(problemsOf([told(CONFIRMED)], [], UNTOUCHED)).toEqual([
      expect.stringMatching(/The database has 0 orders of order-1/),
    ]);
    expect(problemsOf([told({ status: 503 })], [], UNTOUCHED)).toEqual([
      'The order order-1 was never confirmed.',
    ]);
    expect(problemsOf([], [], BOOKS)).toEqual([expect.stringMatching(/No customer has sent the order/)]);
  });

  it.each<[string, Partial<Answer>, RegExp]>([
    ['another order', { ...CONFIRMED, orderId: 'another' }, /names the order another/],
    ['another transaction', { ...CONFIRMED, transactionId: 'shop.log.1.6' }, /names the transaction/],
    [
      'a refusal of what is there',
      { status: 503, transactionId: PLACED.placedBy, code: 'DTC_ABORTED' },
      /says that nothing was done/,
    ],
    [
      'a cancellation that was none',
      { to: 'cancel', status: 409, code: 'ALREADY_CANCELLED' },
      /the order is not cancelled/,
    ],
    [
      'a refusal of a cancellation',
      { to: 'cancel', status: 409, code: 'DTC_REFUSED' },
      /no such answer may come here/,
    ],
    [
      'a cancellation by another',
      { to: 'cancel', status: 200, transactionId: 'x' },
      /names the transaction x/,
    ],
    ['an error', { status: 500, code: 'DTC_INTERNAL' }, /no such answer may come here \(DTC_INTERNAL\)/],
  ])('says that an answer was not true: %s', (_, lie, problem) => {
    expect(problemsOf([told(CONFIRMED, lie)], [], BOOKS)).toEqual([expect.stringMatching(problem)]);
  });

  it('says that a refused order was placed, or that a refusal was another answer', () => {
    expect(problemsOf([], [told({ status: 409 })], BOOKS)).toEqual([
      'The order order-1 is placed, and it was refused.',
    ]);
    expect(problemsOf([], [told({ status: 503, code: 'DTC_ABORTED' })], UNTOUCHED)).toEqual([
      'The answer to order-1 is 503 (DTC_ABORTED), and should be a refusal.',
    ]);
    expect(problemsOf([], [told()], UNTOUCHED)).toEqual([
      'The order order-1 was never answered, and should be refused.',
    ]);
  });

  it('says that a payment is left of a cancelled order, and that a cancellation was not asked for', () => {
    expect(
      problemsOf([told(CONFIRMED)], [], { ...CANCELLED, payments: [{ orderId: ID, amount: 11_980 }] }),
    ).toEqual([
      'The order order-1 is cancelled, and its customer has not asked for that.',
      `The order ${ID} is paid, and is not placed, or is cancelled.`,
    ]);
  });
});
