import type { PoolClient } from 'pg';
import { UNLOCK } from '../branch/session.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import { sendScript } from '../connection/script.js';
import { spoil } from '../connection/spoiled.js';

/**
 * A connection that a group holds from its first statement to its prepare, over several calls. It goes back to its pool by the
 * same rules as that of any other branch.
 */
export class GroupLoan {
  private readonly controller = new AbortController();
  private readonly over = Promise.withResolvers<void>();
  private lent: PoolClient | undefined = undefined;
  private isOver = false;

  /** The connection. @throws when the loan is over. */
  get client(): PoolClient {
    this.controller.signal.throwIfAborted();
    if (this.lent === undefined || this.isOver) throw new Error('The group has no connection any more.');
    return this.lent;
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

  /** Gives the connection back: its transaction has ended. */
  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.over.resolve();
  }

  /** Ends the transaction, whatever is running: it is rolled back, and the session keeps no lock. */
  giveUp(reason: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    this.controller.abort(reason);
    const { lent, over } = this;
    if (lent === undefined) {
      over.resolve();
      return;
    }
    void sendScript(lent, `ROLLBACK; ${UNLOCK}`).then(({ error }) => {
      if (error !== undefined) spoil(lent);
      over.resolve();
    });
  }
}
