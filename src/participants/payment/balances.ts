/** How much a customer has, in cents. `held` of `balance` is authorised for transactions that are open still. */
export interface AccountState {
  readonly balance: number;
  readonly held: number;
}

/** How much each customer has, as it can be read. */
export abstract class Balances {
  /** @returns the account, or undefined for somebody who has none. */
  abstract find(customerId: string): AccountState | undefined | PromiseLike<AccountState | undefined>;
}
