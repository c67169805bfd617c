import type { PoolClient } from 'pg';
import { UNLOCK } from '../branch/session.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import { sendScript } from '../connection/script.js';
import { lockReleased, spoil } from '../connection/spoiled.js';

/**
 * A connection that a group holds from its first statement to its prepare, over several calls. It goes back
 * to its pool by the same rules as that of any other branch. The end of the loan is final: nothing is sent
 * for the group after it.
 */
export class GroupLoan {
  private readonly controller = new AbortController();
  private readonly over = Promise.withResolvers<void>();
  private lent: PoolClient | undefined = undefined;
  private hasEnded = false;
  /** Whether no transaction of the group is open any more. */
  private isAtRest = false;
  /** The calls of the group that have not ended: each may be between two of its queries. */
  private calls = 0;

  /** Whether nothing may be sent any more. */
  get isOver(): boolean {
    return this.hasEnded;
  }

  /** Takes a connection. @throws as {@link ConnectionPool.acquire}. */
  async take(pool: ConnectionPool): Promise<void> {
    const taken = Promise.withResolvers<void>();
    const run = pool.run(this.controller.signal, (client) => {
      this.lent = client;
      taken.resolve();
      return this.over.promise;
    });
    // Behind the first moment the holder learns of every end by its own queries.
    run.catch(taken.reject);
    await taken.promise;
  }

  /** Runs one call of the group. The connection does not go back to its pool before it has ended. */
  async during<T>(call: () => Promise<T>): Promise<T> {
    this.calls++;
    try {
      return await call();
    } finally {
      this.calls--;
      this.leave();
    }
  }

  /**
   * Gives the connection to what sends one query. Every query of the group is sent by it.
   *
   * @throws when the loan is over.
   */
  send<T>(query: (client: PoolClient) => T): T {
    this.throwIfOver();
    if (this.lent === undefined) throw new Error('The group has no connection.');
    return query(this.lent);
  }

  /** @throws the reason when the loan is over. */
  throwIfOver(): void {
    this.controller.signal.throwIfAborted();
    if (this.hasEnded) throw new Error('The group has no connection any more.');
  }

  /** Gives the connection back: its transaction has ended. */
  end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    if (this.lent !== undefined) lockReleased(this.lent);
    this.atRest();
  }

  /** Ends the transaction, also while a statement runs: it is rolled back, and the session keeps no lock. */
  giveUp(reason: unknown): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.controller.abort(reason);
    const { lent } = this;
    if (lent === undefined) {
      this.atRest();
      return;
    }
    void sendScript(lent, `ROLLBACK; ${UNLOCK}`).then(({ error }) => {
      if (error === undefined) lockReleased(lent);
      else spoil(lent);
      this.atRest();
    });
  }

  private atRest(): void {
    this.isAtRest = true;
    this.leave();
  }

  private leave(): void {
    if (this.isAtRest && this.calls === 0) this.over.resolve();
  }
}
