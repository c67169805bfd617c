import { describe, expect, it } from 'vitest';
import type { PlacedOrder } from '../../scripts/demo-support/books.js';
import type { Answer } from '../../scripts/demo-support/customer-order.js';
import type { JudgedOrder } from '../../scripts/demo-support/judge.js';
import { problemsOfIncident } from '../../scripts/incident-demo/judge.js';

const ODD = 'shop.log.1.9';

/** Before it, the customers had been given money and goods. */
const BEFORE = books({ ordered: 0, paid: -5_000, sold: 0, taken: -70 });
/** Two orders of 990 cents, of which one is not paid. */
const AFTER = books({ ordered: 1_980, paid: -4_010, sold: 2, taken: -68 });

const PLACED: readonly PlacedOrder[] = [
  { key: 'order-1', orderId: 'a', transactionId: 'shop.log.1.7', cents: 990, pieces: 1 },
  { key: 'order-2', orderId: 'b', transactionId: ODD, cents: 990, pieces: 1 },
];
const CONFIRMED = { status: 201, orderId: 'a', transactionId: 'shop.log.1.7' };
const PENDING = { status: 202, decision: 'commit', transactionId: ODD };

function books(given: { ordered: number; paid: number; sold: number; taken: number; prepared?: number }) {
  return { orders: 0, ordersByKey: new Map<string, number>(), prepared: 0, ...given };
}

function told(key: string, answer: Partial<Answer>): JudgedOrder {
  return { key, answers: [{ member: 'coordinator-1', status: 201, sentAt: 0, at: 1, ...answer }] };
}

const ORDERS = [
  told('order-1', CONFIRMED),
  told('order-2', PENDING),
  told('order-3', { status: 503, transactionId: 'shop.log.1.8' }),
];

describe('the check of the incident', () => {
  it('finds nothing when all orders but the one ended by hand are whole', () => {
    expect(problemsOfIncident(ORDERS, PLACED, ODD, { before: BEFORE, after: AFTER })).toEqual([]);
  });

  it.each([
    ['another order is not paid', { paid: -5_000 }, /come to 990 cents, and 0 cents were paid/],
    ['the order ended by hand is paid', { paid: -3_020 }, /come to 990 cents, and 1980 cents were paid/],
    ['goods are missing', { taken: -67 }, /1 pieces were sold, and 2 were taken/],
    ['a branch is still prepared', { prepared: 1 }, /1 branches are still prepared/],
  ])('says that %s', (_, changed, problem) => {
    const after = { ...AFTER, ...changed };

    expect(problemsOfIncident(ORDERS, PLACED, ODD, { before: BEFORE, after })).toEqual([
      expect.stringMatching(problem),
    ]);
  });

  it('says that the order ended by hand is not there', () => {
    const [whole] = PLACED as [PlacedOrder];

    expect(problemsOfIncident(ORDERS, [whole], ODD, { before: BEFORE, after: AFTER })).toEqual([
      expect.stringMatching(/0 orders of the transaction that ended heuristically/),
    ]);
  });

  it.each([
    [{ status: 201, orderId: 'c' }, /has answered 201 to order-3, and the database has no such order/],
    [{ status: 202, decision: 'commit' }, /has answered 202 to order-3/],
  ])('says that an order was promised with %j and is not there', (answer, problem) => {
    const orders = [...ORDERS.slice(0, 2), told('order-3', answer)];

    expect(problemsOfIncident(orders, PLACED, ODD, { before: BEFORE, after: AFTER })).toEqual([
      expect.stringMatching(problem),
    ]);
  });

  it.each([
    ['an error', told('order-3', { status: 500 }), /has answered 500 to order-3/],
    ['no answer', { key: 'order-3', answers: [] }, /was not told so: the last answer is undefined/],
    [
      'an open answer in the end',
      told('order-3', { status: 202, decision: 'abort' }),
      /the last answer is 202/,
    ],
  ])('says that an order that left no trace got %s', (_, order, problem) => {
    const orders = [...ORDERS.slice(0, 2), order];

    expect(problemsOfIncident(orders, PLACED, ODD, { before: BEFORE, after: AFTER })).toEqual([
      expect.stringMatching(problem),
    ]);
  });

  it.each([
    { status: 201, orderId: 'b', transactionId: ODD },
    { status: 503, transactionId: ODD },
  ])('says that the customer of the order ended by hand was told %j', (answer) => {
    const orders = [ORDERS[0]!, told('order-2', answer), ORDERS[2]!];

    expect(problemsOfIncident(orders, PLACED, ODD, { before: BEFORE, after: AFTER })).toEqual([
      expect.stringMatching(/to order-2, which is placed and is not paid/),
    ]);
  });

  it('says that a refused order was placed nevertheless', () => {
    const placed = [
      ...PLACED,
      { ...PLACED[0]!, key: 'order-3', orderId: 'c', transactionId: 'shop.log.1.8' },
    ];
    const after = { ...AFTER, ordered: 2_970, paid: -3_020, sold: 3, taken: -67 };

    expect(problemsOfIncident(ORDERS, placed, ODD, { before: BEFORE, after })).toEqual(
      expect.arrayContaining([
        'No member has confirmed the order order-3.',
        expect.stringMatching(/has answered 503 to order-3: it said that nothing was done/),
      ]),
    );
  });
});
