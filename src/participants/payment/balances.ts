/** The account of a customer, in cents. `held` of `balance` is authorised for open transactions. */
export interface AccountState {
  readonly balance: number;
  readonly held: number;
}

/** Reads the customers' accounts. */
export abstract class Balances {
  /** @returns the account, or undefined if there is none. */
  abstract find(customerId: string): AccountState | undefined | PromiseLike<AccountState | undefined>;
}
