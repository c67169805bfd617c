import { describe, expect, it } from 'vitest';
import { controlsTransaction } from './transaction-watch.js';

describe('a text that begins or ends a transaction', () => {
  it.each([
    'BEGIN',
    'begin isolation level serializable',
    'BEGIN READ WRITE',
    'START TRANSACTION',
    'start  transaction read only',
    ' commit;',
    'COMMIT AND CHAIN',
    'COMMIT ;\n',
    'END',
    'ROLLBACK',
    'rollback work',
    'ROLLBACK TRANSACTION AND CHAIN',
    'ABORT',
    "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'",
  ])('is known: %j', (text) => {
    expect(controlsTransaction(text)).toBe(true);
  });
});

describe('a text that leaves the transaction open', () => {
  it.each([
    '',
    'SAVEPOINT s',
    'RELEASE SAVEPOINT s',
    'ROLLBACK TO s',
    'rollback to savepoint s',
    'ROLLBACK WORK TO SAVEPOINT s',
    'ROLLBACK TRANSACTION TO s;',
    'PREPARE p AS SELECT 1',
    'SET TRANSACTION READ ONLY',
    "SELECT 'COMMIT'",
    'UPDATE ends SET commit = 1',
    'ENDED',
  ])('is not taken for one: %j', (text) => {
    expect(controlsTransaction(text)).toBe(false);
  });
});
