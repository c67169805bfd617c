import { expect, it } from 'vitest';
import { hasMovingLiteral } from './moving-literals.js';

it.each([
  "INSERT INTO e VALUES ('now')",
  "INSERT INTO e VALUES ($1, ' TODAY ')",
  "SELECT timestamptz '2026-01-02'",
  "SELECT 'no'\n'w'::timestamptz",
  'SELECT $$now$$::timestamptz',
  'SELECT $a$now$a$::timestamptz',
  String.raw`SELECT E'n\157w'::timestamptz`,
  "SELECT 1 -- it's\n, 'now'",
  `SELECT "it's", 'now'`,
  "SELECT '''', 'yesterday'",
])('the value of a literal may change in %j', (text) => {
  expect(hasMovingLiteral(text)).toBe(true);
});

it.each([
  "UPDATE orders SET state = 'paid', n = n + 1 WHERE id = $1",
  "SELECT 'unknown', 'it''s', now()",
  `SELECT "now", "it's 5" FROM t WHERE a = 'x'`,
  'SELECT 1 -- no literal',
  'UPDATE accounts SET balance = balance + $2 WHERE name = $1',
])('no literal of %j changes its value', (text) => {
  expect(hasMovingLiteral(text)).toBe(false);
});
