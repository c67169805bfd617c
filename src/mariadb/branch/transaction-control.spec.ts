import { expect, it } from 'vitest';
import { controlsTransaction } from './transaction-control.js';

it('finds the end of a transaction behind many comments in a short time', () => {
  const comments = '/*! '.repeat(60);
  expect(controlsTransaction(`${comments}SELECT 1`)).toBe(false);
  expect(controlsTransaction(`${comments}COMMIT`)).toBe(true);
});
