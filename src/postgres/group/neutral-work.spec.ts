import { describe, expect, it } from 'vitest';
import { tableOf } from './neutral-work.js';

describe('the only table of a statement', () => {
  it.each([
    ['UPDATE accounts SET balance = balance + $2 WHERE name = $1', 'accounts'],
    [
      '  update bank.accounts\n SET balance = -1 WHERE id >= $1 AND NOT closed RETURNING id, balance',
      'bank.accounts',
    ],
    ['UPDATE "Accounts" SET "Balance" = $1 WHERE "Id" = $2', '"Accounts"'],
    ['DELETE FROM accounts WHERE id = $1', 'accounts'],
    ['INSERT INTO notes VALUES ($1, 2)', 'notes'],
    ['insert into bank."Notes" (id, "what") values ($1, NULL), (DEFAULT, $2) returning id', 'bank."Notes"'],
  ])('is found in %j', (text, table) => {
    expect(tableOf(text)).toBe(table);
  });

  it.each([
    'SELECT 1',
    "SELECT set_config('role', 'x', true)",
    'UPDATE accounts SET balance = f($1)',
    'UPDATE accounts SET balance = accounts.f WHERE id = $1',
    "UPDATE accounts SET name = 'a'",
    'UPDATE accounts SET balance = $1::money',
    'UPDATE ONLY accounts SET balance = 1',
    'UPDATE accounts SET balance = o FROM other WHERE id = $1',
    'DELETE FROM accounts USING other WHERE id = o',
    'UPDATE accounts SET balance = 1 WHERE CURRENT OF c',
    'UPDATE accounts SET balance = 1from other WHERE id = o',
    'UPDATE accounts SET balance = $1from other WHERE id = o',
    'UPDATE accounts SET balance = a\u00a0b WHERE id = $1',
    'UPDATE\u00a0accounts SET balance = 1',
    'INSERT INTO notes\u00a0VALUES ($1)',
    'WITH x AS (UPDATE other SET a = 1) UPDATE accounts SET balance = 1',
    'UPDATE accounts SET balance = 1 WHERE id = $1; UPDATE other SET a = 1',
    'UPDATE accounts SET balance = 1 -- all',
    'UPDATE accounts SET balance = 1 /* all */',
    'UPDATE accounts SET balance[1] = 1 WHERE id = $1',
    'UPDATE accounts SET U&"b" = 1 WHERE id = $1',
    'INSERT INTO notes SELECT 1',
    'INSERT INTO notes VALUES (f(1))',
    'INSERT INTO notes VALUES ($1 + 1)',
    'INSERT INTO notes VALUES ($1) ON CONFLICT DO NOTHING',
    'INSERT INTO notes DEFAULT VALUES',
    'MERGE INTO notes USING other ON TRUE WHEN MATCHED THEN DELETE',
    'TABLE accounts',
  ])('is not known of %j', (text) => {
    expect(tableOf(text)).toBeUndefined();
  });
});
