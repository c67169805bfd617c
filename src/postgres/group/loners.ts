/** The most kinds of work that are remembered. */
const MOST = 100;

/** How long work that was slow stays out of groups: it may only have waited. */
const SLOW_FOR_MS = 60_000;

/** A member that takes longer than this keeps all others waiting. */
const SLOW_MS = 100;

/** The work that runs on its own, whatever its values are: it was slow, or could not be prepared. */
export class Loners {
  private readonly until = new Map<string, number>();

  has(signature: string): boolean {
    const until = this.until.get(signature);
    if (until === undefined) return false;
    if (until > performance.now()) return true;
    this.until.delete(signature);
    return false;
  }

  /** It has used what a prepared transaction must not, such as a temporary table: a whole group would fail with it. */
  cannotBePrepared(signature: string): void {
    this.note(signature, Infinity);
  }

  /** @param ms how long it took in a group. */
  took(signature: string, ms: number): void {
    if (ms > SLOW_MS) this.note(signature, performance.now() + SLOW_FOR_MS);
  }

  private note(signature: string, until: number): void {
    this.until.delete(signature);
    if (this.until.size === MOST) this.until.delete(this.until.keys().next().value!);
    this.until.set(signature, until);
  }
}
