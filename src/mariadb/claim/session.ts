import type { NameSession } from '../../sql/claim-database.js';
import { unlessAborted } from '../../sql/unless-aborted.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import type { Session } from '../connection/session.js';

/** The longest time that MariaDB lets a session be idle: a year. */
const LONGEST_IDLE_S = 31_536_000;

/** How long a session may take to open after it was asked for. Each caller has its own patience besides. */
const OPEN_WITHIN_MS = 10_000;

/**
 * The session in which a participant's process holds the names of coordinators. It lives as long as one of
 * them is held. Its user lock shows to other processes that it does.
 */
export class ClaimSession implements NameSession {
  private members = 1;
  private isOver = false;
  /** One call at a time: the claims that share the session ask at any moment. */
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly pool: ConnectionPool,
    readonly session: Session,
  ) {}

  static async open(pool: ConnectionPool): Promise<ClaimSession> {
    const signal = AbortSignal.timeout(OPEN_WITHIN_MS);
    const session = await pool.acquire(signal);
    try {
      await unlessAborted(signal, () =>
        session.run(`SET wait_timeout = ${LONGEST_IDLE_S}, innodb_lock_wait_timeout = 1`),
      );
      await unlessAborted(signal, () => session.run('DO GET_LOCK(?, 0)', [session.mark]));
      return new ClaimSession(pool, session);
    } catch (error) {
      pool.cut(session);
      throw error;
    }
  }

  /** Aborted when the connection is lost. */
  get over(): AbortSignal {
    return this.session.over;
  }

  /** @returns whether it could be joined: it has not ended. */
  join(): boolean {
    if (this.isOver || this.over.aborted) return false;
    this.members++;
    return true;
  }

  /** Runs a task of several statements, while no other one uses the session. */
  use<T>(signal: AbortSignal, task: (session: Session) => Promise<T>): Promise<T> {
    const result = this.last.then(() => task(this.session));
    this.last = result.catch(() => {});
    return unlessAborted(signal, () => result);
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.use(signal, (session) => session.rows('SELECT 1 AS one'));
  }

  leave(): Promise<void> {
    if (--this.members === 0) this.cut();
    return Promise.resolve();
  }

  cut(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.pool.destroy(this.session);
  }
}
