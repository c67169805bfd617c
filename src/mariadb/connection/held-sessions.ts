import type { ConnectionPool } from './connection-pool.js';
import type { Session } from './session.js';

/**
 * The sessions that hold a prepared branch each. MariaDB lets no other session end a branch while the one
 * that has prepared it lives, so a decision is sent over the same connection. When that is lost, the server
 * releases the branch, and any session may end it.
 */
export class HeldSessions {
  private readonly byGid = new Map<string, Session>();

  constructor(private readonly pool: ConnectionPool) {}

  /** Keeps a session until the decision on its branch. */
  keep(gid: string, session: Session): void {
    this.byGid.set(gid, session);
    const lose = (): void => {
      if (this.byGid.get(gid) !== session) return;
      this.byGid.delete(gid);
      this.pool.destroy(session);
    };
    session.over.addEventListener('abort', lose, { once: true });
    if (session.over.aborted) lose();
  }

  /** @returns the session of a branch, which belongs to the caller from now on; undefined if none is kept. */
  take(gid: string): Session | undefined {
    const session = this.byGid.get(gid);
    this.byGid.delete(gid);
    return session;
  }

  /** Closes all of them. Their branches stay prepared. */
  close(): void {
    for (const [gid, session] of this.byGid) {
      this.byGid.delete(gid);
      this.pool.destroy(session);
    }
  }
}
