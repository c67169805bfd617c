import { describe, expect, it } from 'vitest';
import { namesDatabases } from './start-databases.js';

describe('A server of its own', () => {
  it('is started only when no variable names a database, directly or by a file', () => {
    expect(namesDatabases({ PORT: '0' })).toBe(false);
    expect(namesDatabases({ ORDER_DATABASE_URL: 'postgres://there/orders' })).toBe(true);
    expect(namesDatabases({ PAYMENT_DATABASE_URL_FILE: '/run/secrets/payment' })).toBe(true);
  });
});
