import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';
import type { AccountState, Added, Balances } from './balances.js';

interface Authorisation {
  readonly customerId: string;
  readonly amount: number;
}

/** The balances at the start, in cents, by customer. */
export const SEED_BALANCES: Readonly<Record<string, number>> = {
  alice: 500_000,
  bob: 100_000,
  carol: 1_000,
};

/**
 * The customers' money, in memory. An authorisation holds its amount in one synchronous step, so two of them
 * cannot hold the same cent: `0 <= held <= balance` holds for every account at every moment.
 */
@Injectable()
export class Accounts implements Balances {
  private readonly accounts = new Map(
    Object.entries(SEED_BALANCES).map(([customerId, balance]) => [customerId, { balance, held: 0 }]),
  );
  private readonly authorisations = new Map<string, Authorisation>();

  find(customerId: string): AccountState | undefined {
    return this.accounts.get(customerId);
  }

  fillUp(levels: Readonly<Record<string, number>>): Added {
    const added: Record<string, number> = {};
    for (const [customerId, wanted] of Object.entries(levels)) {
      const account = this.accounts.get(customerId) ?? { balance: 0, held: 0 };
      if (account.balance >= wanted) continue;
      added[customerId] = wanted - account.balance;
      this.accounts.set(customerId, Object.assign(account, { balance: wanted }));
    }
    return added;
  }

  /**
   * Holds an amount under a key.
   *
   * @param amount in cents.
   * @returns undefined when it is held, otherwise why it is not.
   */
  authorise(
    key: string,
    customerId: string,
    amount: number,
  ): 'UNKNOWN_CUSTOMER' | 'INSUFFICIENT_FUNDS' | undefined {
    assert(!this.authorisations.has(key), 'an authorisation is made once');
    const account = this.accounts.get(customerId);
    if (account === undefined) return 'UNKNOWN_CUSTOMER';
    if (account.balance - account.held < amount) return 'INSUFFICIENT_FUNDS';
    this.authorisations.set(key, { customerId, amount });
    this.change(customerId, 0, amount);
    return undefined;
  }

  /** The amount held under a key is paid. */
  capture(key: string): void {
    const authorisation = this.authorisations.get(key);
    assert(authorisation !== undefined, 'only authorised amounts are captured');
    this.authorisations.delete(key);
    const { customerId, amount } = authorisation;
    this.change(customerId, -amount, -amount);
  }

  /** The amount held under a key, if any, is available to the customer again. */
  release(key: string): void {
    const authorisation = this.authorisations.get(key);
    if (authorisation === undefined) return;
    this.authorisations.delete(key);
    this.change(authorisation.customerId, 0, -authorisation.amount);
  }

  private change(customerId: string, balance: number, held: number): void {
    const account = this.accounts.get(customerId);
    assert(account !== undefined, 'an account stays known');
    account.balance += balance;
    account.held += held;
    assert(0 <= account.held && account.held <= account.balance, 'never overdrawn');
  }
}
