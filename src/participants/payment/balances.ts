import type { AccountState } from './accounts.js';

/** How much each customer has, as it can be read. */
export abstract class Balances {
  /** @returns the account, or undefined for somebody who has none. */
  abstract find(customerId: string): AccountState | undefined | PromiseLike<AccountState | undefined>;
}
