import { describe, expect, it } from 'vitest';
import type { OwnedTransaction } from '../api/views.js';
import { linksOf } from './links.js';

const TRANSACTION = { transactionId: 'shop.1.7', name: 'a&b/ü#' } as OwnedTransaction;

describe('The links of a transaction', () => {
  it('have its values in them, encoded', () => {
    const links = [
      { label: 'Logs', url: 'https://logs.example/?q={transactionId}&name={name}&again={transactionId}' },
    ];
    expect(linksOf(links, TRANSACTION)).toEqual([
      { label: 'Logs', href: 'https://logs.example/?q=shop.1.7&name=a%26b%2F%C3%BC%23&again=shop.1.7' },
    ]);
  });

  it('may have a name that no address can hold', () => {
    const links = [{ label: 'Logs', url: 'https://logs.example/{name}' }];
    expect(linksOf(links, { ...TRANSACTION, name: '\ud800x𝕏' })[0]!.href).toBe(
      'https://logs.example/%EF%BF%BDx%F0%9D%95%8F',
    );
  });

  it('are left out where the transaction has no such value', () => {
    const links = [{ label: 'Trace', url: 'https://traces.example/{traceId}' }];
    expect(linksOf(links, TRANSACTION)).toEqual([]);
    expect(linksOf(links, { ...TRANSACTION, traceId: 'ab12' })).toEqual([
      { label: 'Trace', href: 'https://traces.example/ab12' },
    ]);
  });
});
