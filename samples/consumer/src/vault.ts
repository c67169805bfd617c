/** The money at one bank, in cents. */
export class Vault {
  private readonly held = new Map<string, { readonly account: string; readonly amount: number }>();

  constructor(private readonly balances: Map<string, number>) {}

  balanceOf(account: string): number {
    return this.balances.get(account) ?? 0;
  }

  /** Holds an amount under a key. A negative amount is paid in later. Returns false if the account is unknown or has too little. */
  hold(key: string, account: string, amount: number): boolean {
    const balance = this.balances.get(account);
    if (balance === undefined || balance < amount) return false;
    if (amount > 0) this.balances.set(account, balance - amount);
    this.held.set(key, { account, amount });
    return true;
  }

  /** Makes a held amount final. */
  take(key: string): void {
    const entry = this.held.get(key);
    if (entry === undefined) return;
    this.held.delete(key);
    if (entry.amount < 0) this.balances.set(entry.account, this.balanceOf(entry.account) - entry.amount);
  }

  /** Gives a held amount back. */
  release(key: string): void {
    const entry = this.held.get(key);
    if (entry === undefined) return;
    this.held.delete(key);
    if (entry.amount > 0) this.balances.set(entry.account, this.balanceOf(entry.account) + entry.amount);
  }
}
