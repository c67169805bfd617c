/** The account of a customer, in cents. `held` of `balance` is authorised for open transactions. */
export interface AccountState {
  readonly balance: number;
  readonly held: number;
}

/** How many cents were added, by customer. */
export type Added = Readonly<Record<string, number>>;

/** Reads the customers' accounts, and fills them up. */
export abstract class Balances {
  /** @returns the account, or undefined if there is none. */
  abstract find(customerId: string): AccountState | undefined | PromiseLike<AccountState | undefined>;

  /**
   * Pays money in, outside of any transaction. A customer without an account gets one.
   *
   * @param levels how many cents there are to be on each account, by customer. An account with more keeps
   * them.
   * @returns how many cents were added, by customer, to those that had less and were not being charged at
   * this moment.
   */
  abstract fillUp(levels: Readonly<Record<string, number>>): Added | PromiseLike<Added>;
}
