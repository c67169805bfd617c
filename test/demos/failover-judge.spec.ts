import { describe, expect, it } from 'vitest';
import type { Answer } from '../../scripts/demo-support/customer-order.js';
import { type JudgedOrder, problemsOf } from '../../scripts/demo-support/judge.js';

const PLACED = { key: 'order-1', orderId: 'a', transactionId: 'shop.log.1.7' };
const BOOKS = { ordered: 990, paid: 990, sold: 1, taken: 1, prepared: 0 };
const CONFIRMED = { status: 201, orderId: 'a', transactionId: 'shop.log.1.7' };

function answer(given: Partial<Answer>): Answer {
  return { member: 'member-2', status: 201, sentAt: 0, at: 1, ...given };
}

function told(...answers: Partial<Answer>[]): JudgedOrder {
  return { key: 'order-1', answers: answers.map(answer) };
}

describe('the check of the failover demo', () => {
  it('finds nothing when each order is placed and paid once, and every answer was true', () => {
    const order = told(
      { status: 503, transactionId: 'shop.log.1.3', code: 'DTC_LOG_UNAVAILABLE' },
      { status: 202, transactionId: 'shop.log.1.4', decision: 'unknown' },
      { status: 202, transactionId: 'shop.log.1.5', decision: 'abort' },
      { status: 202, transactionId: 'shop.log.1.7', decision: 'commit' },
      { status: 409, code: 'DTC_IDEMPOTENCY_KEY_IN_USE' },
      CONFIRMED,
      CONFIRMED,
    );

    expect(problemsOf([order], [PLACED], BOOKS)).toEqual([]);
  });

  it.each<[string, Partial<typeof BOOKS>, RegExp]>([
    ['money is missing', { paid: 0 }, /come to 990 cents, and 0 cents were paid/],
    ['goods are missing', { taken: 2 }, /1 pieces were sold, and 2 were taken/],
    ['a branch is still prepared', { prepared: 3 }, /3 branches are still prepared/],
  ])('says that %s', (_, books, problem) => {
    expect(problemsOf([told(CONFIRMED)], [PLACED], { ...BOOKS, ...books })).toEqual([
      expect.stringMatching(problem),
    ]);
  });

  it('says that an order was placed twice, or never', () => {
    const again = { ...PLACED, orderId: 'b', transactionId: 'shop.log.2.1' };

    expect(problemsOf([told(CONFIRMED)], [PLACED, again], BOOKS)).toEqual([
      'The customers have placed 1 orders, and the database has 2.',
      'The database has 2 orders under the key order-1, and should have 1.',
    ]);
    expect(problemsOf([told(CONFIRMED)], [], BOOKS).at(-1)).toMatch(/0 orders under the key order-1/);
  });

  it('says that no member has confirmed an order', () => {
    expect(problemsOf([told({ status: 503 })], [PLACED], BOOKS)).toEqual([
      'No member has confirmed the order order-1.',
    ]);
  });

  it.each<[string, Partial<Answer>, RegExp]>([
    [
      'a confirmation of another order',
      { status: 201, orderId: 'b', transactionId: 'shop.log.2.1' },
      /it named the order b, and the database has a/,
    ],
    [
      'a decision to commit what is not there',
      { status: 202, transactionId: 'shop.log.2.1', decision: 'commit' },
      /commit is decided, and shop\.log\.2\.1 has no order/,
    ],
    [
      'a decision to abort what is there',
      { status: 202, transactionId: PLACED.transactionId, decision: 'abort' },
      /abort is decided, and shop\.log\.1\.7 has an order/,
    ],
    [
      'a refusal of what is there',
      { status: 503, transactionId: PLACED.transactionId, code: 'DTC_ABORTED' },
      /nothing was done, and shop\.log\.1\.7 has an order/,
    ],
    [
      'a refusal after the confirmation',
      { status: 409, code: 'DTC_REFUSED', sentAt: 2, at: 3 },
      /already confirmed/,
    ],
    ['an error', { status: 500, code: 'DTC_INTERNAL' }, /no member may answer so here \(DTC_INTERNAL\)/],
  ])('says that a member has lied with %s', (_, lie, problem) => {
    expect(problemsOf([told(CONFIRMED, lie)], [PLACED], BOOKS)).toEqual([
      expect.stringMatching(/^member-2 has answered \d{3} to order-1: /),
    ]);
    expect(problemsOf([told(CONFIRMED, lie)], [PLACED], BOOKS)[0]).toMatch(problem);
  });
});
