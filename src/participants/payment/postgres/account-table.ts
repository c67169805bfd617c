import { Injectable } from '@nestjs/common';
import { type Schema, ServiceDatabase } from '../../postgres/service-database.js';
import { SEED_BALANCES } from '../accounts.js';
import type { AccountState } from '../balances.js';
import type { Balances } from '../balances.js';

export const ACCOUNT_SCHEMA: Schema = {
  table: 'accounts',
  statements: [
    {
      text: `
        CREATE TABLE accounts (
          customer_id text PRIMARY KEY,
          balance bigint NOT NULL CHECK (balance >= 0)
        )`,
    },
    {
      text: 'INSERT INTO accounts SELECT * FROM unnest($1::text[], $2::bigint[])',
      values: [Object.keys(SEED_BALANCES), Object.values(SEED_BALANCES)],
    },
  ],
};

/**
 * The customers' money, in PostgreSQL. An account charged by an open transaction is locked, and the change is
 * visible after its commit. So no amount is ever shown as held.
 */
@Injectable()
export class AccountTable implements Balances {
  constructor(private readonly database: ServiceDatabase) {}

  async find(customerId: string): Promise<AccountState | undefined> {
    // PostgreSQL's bigint comes as text.
    const [row] = await this.database.query<{ balance: string }>(
      'SELECT balance FROM accounts WHERE customer_id = $1',
      [customerId],
    );
    return row && { balance: Number(row.balance), held: 0 };
  }
}
