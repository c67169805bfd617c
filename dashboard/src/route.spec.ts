import { describe, expect, it } from 'vitest';
import { parseRoute, transactionHref, transactionsHref } from './route.js';

describe('the address of a page', () => {
  it.each([
    ['', 'overview'],
    ['#/', 'overview'],
    ['#/transactions', 'transactions'],
    ['#/participants', 'participants'],
    ['#/messages', 'messages'],
    ['#/audit', 'audit'],
    ['#/elsewhere', 'unknown'],
    ['#/participants/payment', 'unknown'],
    ['#/transactions/a/b', 'unknown'],
    ['#/transactions/%', 'unknown'],
  ])('%j is the page %s', (hash, page) => {
    expect(parseRoute(hash).page).toBe(page);
  });

  it('can contain any id', () => {
    const id = 'a/b?c#d%20e';
    expect(parseRoute(transactionHref(id))).toEqual({ page: 'transaction', id });
  });

  it('can contain the filters', () => {
    const route = parseRoute(transactionsHref({ state: 'COMMITTING', name: 'a&b' }));
    expect(route.page === 'transactions' && Object.fromEntries(route.query)).toEqual({
      state: 'COMMITTING',
      name: 'a&b',
    });
  });
});
