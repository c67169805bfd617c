/** Money at one bank, in cents. What is held leaves with `take` or comes back with `release`. */
export class Vault {
  private readonly held = new Map<string, { readonly account: string; readonly amount: number }>();

  constructor(private readonly balances: Map<string, number>) {}

  balanceOf(account: string): number {
    return this.balances.get(account) ?? 0;
  }

  /** Holds an amount under a key; a negative one is put in later. @returns whether there is enough. */
  hold(key: string, account: string, amount: number): boolean {
    const balance = this.balances.get(account);
    if (balance === undefined || balance < amount) return false;
    if (amount > 0) this.balances.set(account, balance - amount);
    this.held.set(key, { account, amount });
    return true;
  }

  take(key: string): void {
    const entry = this.held.get(key);
    if (entry === undefined) return;
    this.held.delete(key);
    if (entry.amount < 0) this.balances.set(entry.account, this.balanceOf(entry.account) - entry.amount);
  }

  release(key: string): void {
    const entry = this.held.get(key);
    if (entry === undefined) return;
    this.held.delete(key);
    if (entry.amount > 0) this.balances.set(entry.account, this.balanceOf(entry.account) + entry.amount);
  }
}
