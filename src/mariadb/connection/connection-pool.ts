import { type ConnectionOptions, type Pool, type PoolConnection, createPool } from 'mysql2/promise';
import { within } from '../../coordinator/within.js';
import { unlessAborted } from '../../sql/unless-aborted.js';
import { Session, type SessionUse } from './session.js';
import { Slots } from './slots.js';

/** How long connections may take to close. Only a hanging one takes longer than a round trip. */
const GOODBYE_MS = 2_000;

/**
 * One pool and its purpose. A session returns to the pool only when its task has left it clean. Any other one
 * is cut, and ended at the server by {@link onCut}.
 */
export class ConnectionPool {
  private readonly pool: Pool;
  private readonly sessions = new WeakMap<object, Session>();
  private readonly open = new Set<Session>();
  /** One for each connection: the queue of `mysql2` keeps callers that have given up. */
  private readonly slots: Slots;
  private readonly lent = new Set<Session>();
  private isClosed = false;

  /**
   * Opens no connection yet.
   *
   * @param size the most connections.
   * @param use of its sessions.
   * @param onCut is called with a session whose connection was cut while the server may still be at work in
   * it.
   */
  constructor(
    config: ConnectionOptions,
    readonly size: number,
    private readonly use: SessionUse = 'library',
    private readonly onCut: (session: Session) => void = () => {},
  ) {
    this.slots = new Slots(size);
    this.pool = createPool({
      ...config,
      connectionLimit: size,
      waitForConnections: true,
      queueLimit: 0,
      // A session that holds a prepared branch must not be reset: MariaDB then leaves its locks without an
      // owner.
      resetOnRelease: false,
    });
  }

  /**
   * Runs a task on a session of its own. The task must leave it without a transaction.
   *
   * @param signal when it is aborted, no caller waits for the task any more: its session is cut.
   * @throws the error of the task; the reason of the signal; an error that prevents the connection.
   */
  async run<T>(signal: AbortSignal, task: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.acquire(signal);
    try {
      return await unlessAborted(signal, () => task(session));
    } finally {
      // An aborted task may be at work still. Any other has ended, with an answer of the server.
      if (signal.aborted || session.over.aborted) this.cut(session);
      else this.release(session);
    }
  }

  /**
   * Takes a session out of the pool. The caller gives it back with {@link release} or {@link cut}.
   *
   * @throws the reason of the signal; an error that prevents the connection.
   */
  async acquire(signal: AbortSignal): Promise<Session> {
    await this.slots.take(signal);
    const connecting = this.pool.getConnection();
    const connection = await unlessAborted(signal, () => connecting).catch((error: unknown) => {
      const over = connecting.then(
        (late) => late.release(),
        () => {},
      );
      void over.then(() => this.slots.give());
      throw error;
    });
    if (this.isClosed) {
      connection.destroy();
      this.slots.give();
      throw new Error('The participant is closed.');
    }
    const session = this.sessionOf(connection);
    this.lent.add(session);
    try {
      await unlessAborted(signal, () => session.settle());
    } catch (error) {
      this.cut(session);
      throw error;
    }
    return session;
  }

  /** Gives back a session without a transaction. */
  release(session: Session): void {
    if (session.over.aborted) {
      this.destroy(session);
      return;
    }
    session.connection.release();
    this.leave(session);
  }

  /** Cuts a session, and has it ended at the server: a running statement would go on there. */
  cut(session: Session): void {
    const isAtWork = !session.over.aborted;
    this.destroy(session);
    if (isAtWork && !this.isClosed) this.onCut(session);
  }

  /** Closes the connection: the server ends the session, and keeps a prepared branch of it. */
  destroy(session: Session): void {
    this.open.delete(session);
    session.connection.destroy();
    this.leave(session);
  }

  /** Closes all connections. Those that hang are cut. */
  async close(): Promise<void> {
    this.isClosed = true;
    const ended = this.pool.end().catch(() => {});
    await within(GOODBYE_MS, ended, () => {});
    for (const session of this.open) this.destroy(session);
  }

  private leave(session: Session): void {
    if (this.lent.delete(session)) this.slots.give();
  }

  private sessionOf(connection: PoolConnection): Session {
    const core = connection.connection;
    const known = this.sessions.get(core);
    if (known !== undefined) {
      known.givenOutAs(connection);
      return known;
    }
    const session = new Session(connection, this.use);
    this.sessions.set(core, session);
    this.open.add(session);
    session.over.addEventListener('abort', () => this.open.delete(session), { once: true });
    return session;
  }
}
