import { describe, expect, it } from 'vitest';
import { piecesOf } from './breaks.js';

describe('Where a text may be broken', () => {
  it('is between words, and not within them', () => {
    expect(piecesOf('the provider is back')).toEqual(['the ', 'provider ', 'is ', 'back']);
    expect(piecesOf('order-service')).toEqual(['order-service']);
  });

  it('is behind the separators of a long id', () => {
    expect(piecesOf('shop.k3v9x2m4q8ab.1a.7/inventory/inventory')).toEqual([
      'shop.',
      'k3v9x2m4q8ab.',
      '1a.',
      '7/',
      'inventory/',
      'inventory',
    ]);
  });

  it('is anywhere in what no line can hold, with no letter cut in two', () => {
    const letter = '𝕏';
    expect(piecesOf(`${letter.repeat(30)} end`)).toEqual([letter.repeat(24), `${letter.repeat(6)} `, 'end']);
  });

  it('loses nothing', () => {
    for (const text of [
      '',
      ' ',
      'a  b',
      '\n/',
      'connect ECONNREFUSED 10.4.0.11:5432/a-database-with-a-name',
    ]) {
      expect(piecesOf(text).join('')).toBe(text);
    }
  });
});
