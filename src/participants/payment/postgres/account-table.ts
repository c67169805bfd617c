import { Injectable } from '@nestjs/common';
import { type Schema, ServiceDatabase } from '../../postgres/service-database.js';
import { SEED_BALANCES } from '../accounts.js';
import type { AccountState, Added, Balances } from '../balances.js';

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

/** PostgreSQL's bigint comes as text. */
interface AddedRow {
  readonly customer_id: string;
  readonly added: string;
}

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

  /** An account that an open transaction has locked is left as it is. */
  async fillUp(levels: Readonly<Record<string, number>>): Promise<Added> {
    const wanted = [Object.keys(levels), Object.values(levels)];
    const opened = await this.database.query<AddedRow>(
      // Without the condition, ON CONFLICT would wait for the open transaction that charges an account.
      `INSERT INTO accounts SELECT * FROM unnest($1::text[], $2::bigint[]) AS wanted (customer_id, level)
       WHERE NOT EXISTS (SELECT FROM accounts WHERE accounts.customer_id = wanted.customer_id)
       ON CONFLICT DO NOTHING RETURNING customer_id, balance AS added`,
      wanted,
    );
    const filled = await this.database.query<AddedRow>(
      `WITH low AS (
         SELECT customer_id, level, level - balance AS added
         FROM accounts JOIN unnest($1::text[], $2::bigint[]) AS wanted (customer_id, level) USING (customer_id)
         WHERE balance < level FOR UPDATE OF accounts SKIP LOCKED
       )
       UPDATE accounts SET balance = level FROM low WHERE accounts.customer_id = low.customer_id
       RETURNING low.customer_id, added`,
      wanted,
    );
    return Object.fromEntries([...opened, ...filled].map((row) => [row.customer_id, Number(row.added)]));
  }
}
