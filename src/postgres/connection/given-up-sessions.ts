import type { Client, Pool } from 'pg';
import { SafeLogger } from '../../coordinator/gate/safe-logger.js';
import { within } from '../../coordinator/within.js';
import { PostgresBranchError } from '../errors.js';
import { OwnClient, cut } from './own-client.js';
import { rowsOf } from './own-queries.js';
import { SINCE, type ServerSession, identityOf, sessionOf } from './server-session.js';

/**
 * The code of the error that no connection is opened because too many sessions are left at the server.
 * Nothing was done.
 */
export const SESSIONS_LEFT = 'DTC_POSTGRES_SESSIONS_LEFT';

/** How long the server may take to answer one look at the sessions. */
const LOOK_MS = 2_000;

/** The pause between two looks. It doubles up to the longest pause while no session ends. */
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1_000;

/** The longest wait of a caller that needs another connection. */
const ROOM_WITHIN_MS = 1_000;

/** How long the last sessions may take to end when the pool is closed. */
const CLOSE_WITHIN_MS = 1_000;

/** The default size of a pool in `pg`. */
const POOL_SIZE = 10;

/** Tells those sessions to end that still exist, and lists them. */
const END = `
  SELECT pid::text, ${SINCE} AS since, pg_catalog.pg_terminate_backend(pid)::text AS told
  FROM pg_catalog.pg_stat_activity
  JOIN ROWS FROM (pg_catalog.unnest($1::int[]), pg_catalog.unnest($2::text[])) AS given (number, start)
    ON pid OPERATOR(pg_catalog.=) number AND ${SINCE} OPERATOR(pg_catalog.=) start`;

/**
 * The sessions of one pool whose connections were cut here while the server may still be at work for them. A
 * server that waits for a standby does not notice that a connection is closed: without this class its
 * sessions would pile up. Another connection ends each of them, and each counts until the server has removed
 * it. While the number left equals the size of the pool, the pool opens no further connection. So the server
 * has at most twice as many sessions as the pool has connections, and the one session that ends the others.
 *
 * No answer about a branch depends on this class: the tombstone of a branch refuses a prepare that takes
 * effect late.
 */
export class GivenUpSessions {
  private readonly logger = new SafeLogger('PostgreSQL');
  private readonly sessions = new Map<string, ServerSession>();
  /** Wakes callers that wait for a change. */
  private readonly waiting = new Set<() => void>();
  /**
   * Wakes the wait for the next look. The use of the pool does not, since looks would follow each other
   * without a pause.
   */
  private readonly looking = new Set<() => void>();
  private sweeping: Promise<void> | undefined;
  private pauseMs = FIRST_PAUSE_MS;
  private over = new AbortController();
  private users = 0;
  /** From the first user that enters until the last one has left. */
  private isOpen = false;
  private told = 0;
  /** Why the last look failed. */
  private failure: string | undefined;

  constructor(private readonly pool: Pool) {}

  /** The number of given-up sessions that are, or may be, still at the server. */
  get count(): number {
    return this.sessions.size;
  }

  /** One more user of the pool. */
  enter(): void {
    this.users++;
    // The previous last user may still be leaving.
    if (this.isOpen) return;
    this.isOpen = true;
    this.over = new AbortController();
    this.pool.on('release', this.wake);
    this.sweep();
  }

  /**
   * One user of the pool less. After the last one, the remaining sessions are ended within a second, or left
   * to the server.
   */
  async leave(): Promise<void> {
    if (this.users === 0 || --this.users > 0) return;
    if (this.sessions.size > 0) {
      await this.change(CLOSE_WITHIN_MS, () => this.sessions.size === 0, this.over.signal);
    }
    if (this.users > 0) return;
    this.isOpen = false;
    this.pool.off('release', this.wake);
    this.over.abort();
    this.wake();
    await this.sweeping;
  }

  /** The session of a cut connection must be ended at the server. */
  add(client: Client): void {
    const session = sessionOf(client);
    // On a connection whose session is unknown, no query was sent that could make the server wait.
    if (session === undefined) return;
    this.sessions.set(identityOf(session), session);
    this.pauseMs = FIRST_PAUSE_MS;
    for (const look of this.looking) look();
    this.sweep();
  }

  /**
   * Waits until the pool has an idle connection or may open another one.
   *
   * @returns undefined if that is already so. @throws as {@link fewer}.
   */
  room(signal: AbortSignal): Promise<void> | undefined {
    if (this.hasRoom()) return undefined;
    return this.waitUntil(this.hasRoom, signal);
  }

  /**
   * Waits until another connection may be opened.
   *
   * @throws PostgresBranchError (`DTC_POSTGRES_SESSIONS_LEFT`) after a second; the reason of the signal.
   */
  fewer(signal: AbortSignal): Promise<void> {
    return this.waitUntil(() => !this.isFull, signal);
  }

  private async waitUntil(holds: () => boolean, signal: AbortSignal): Promise<void> {
    const isSo = await this.change(ROOM_WITHIN_MS, holds, signal);
    signal.throwIfAborted();
    if (!isSo) throw this.refusal();
  }

  private readonly hasRoom = (): boolean => !this.isFull || this.pool.idleCount > this.pool.waitingCount;

  private get size(): number {
    return this.pool.options?.max ?? POOL_SIZE;
  }

  private get isFull(): boolean {
    return this.sessions.size >= this.size;
  }

  private refusal(): PostgresBranchError {
    return new PostgresBranchError(
      SESSIONS_LEFT,
      `${this.sessions.size} sessions whose calls have timed out are still at the server, as many as the pool has ` +
        'connections. So no further connection is opened until some are gone, and the call is tried again later. See in ' +
        'pg_stat_activity what they wait for: usually a synchronous standby that does not answer.',
    );
  }

  /**
   * @returns whether the condition holds, at the latest after a time limit, or when the signal is aborted.
   */
  private async change(withinMs: number, holds: () => boolean, signal: AbortSignal): Promise<boolean> {
    const end = performance.now() + withinMs;
    while (!holds() && !signal.aborted && !this.over.signal.aborted && performance.now() < end) {
      await this.pause(end - performance.now(), signal);
    }
    return holds();
  }

  /** Ends early when something changes, or the signal is aborted. */
  private pause(ms: number, signal: AbortSignal, waiting = this.waiting): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener('abort', wake);
      waiting.add(wake);
    });
  }

  private readonly wake = (): void => {
    for (const wake of this.waiting) wake();
  };

  private sweep(): void {
    if (this.sessions.size === 0 || this.over.signal.aborted) return;
    this.sweeping ??= this.endAll(this.over.signal).finally(() => {
      this.sweeping = undefined;
      this.sweep();
    });
  }

  /** Continues until no session is left, or the pool is closed. It never throws. */
  private async endAll(over: AbortSignal): Promise<void> {
    const helper = new Helper(this.pool, over);
    for (let look = 1; this.sessions.size > 0 && !over.aborted; look++) {
      const isFewer = await this.look(helper);
      this.pauseMs = isFewer ? FIRST_PAUSE_MS : Math.min(this.pauseMs * 2, LONGEST_PAUSE_MS);
      if (look > 1) this.tell();
      if (this.sessions.size > 0 && !over.aborted) await this.pause(this.pauseMs, over, this.looking);
    }
    this.tell();
    helper.close();
  }

  /** @returns whether some are gone. */
  private async look(helper: Helper): Promise<boolean> {
    const given = [...this.sessions];
    try {
      const values = [given.map(([, { pid }]) => pid), given.map(([, { since }]) => since)];
      const left = new Set((await helper.ask<Row>(END, values)).map(identityOf));
      for (const [identity] of given) if (!left.has(identity)) this.sessions.delete(identity);
      this.failure = undefined;
    } catch (error) {
      // They count until the server can be asked.
      this.failure = String(error);
      return false;
    }
    if (this.sessions.size >= given.length) return false;
    this.wake();
    return true;
  }

  /** Logs their number when it has changed, unless they were gone at once. */
  private tell(): void {
    const { size } = this.sessions;
    if (size === this.told) return;
    this.told = size;
    if (size === 0) this.logger.log('No given-up session is left at the server.');
    else {
      const why =
        this.failure === undefined
          ? 'although they were told to end'
          : `because they cannot be ended: ${this.failure}`;
      this.logger.warn(
        `${size} sessions whose calls have timed out are still at the server, ${why}. With ${this.size} no further ` +
          'connection is opened. See in pg_stat_activity what they wait for.',
      );
    }
  }
}

type Row = { readonly pid: string; readonly since: string };

/**
 * The connection of a look at the sessions, outside of the pool, whose connections may all wait for
 * something.
 */
class Helper {
  private own: OwnClient | undefined;

  constructor(
    private readonly pool: Pool,
    private readonly over: AbortSignal,
  ) {}

  /** @throws an error that prevents an answer within {@link LOOK_MS}; the reason of the signal. */
  async ask<R extends Row>(text: string, values: readonly unknown[]): Promise<R[]> {
    try {
      this.own ??= await this.open();
      return await rowsOf<R>(this.own, text, values);
    } catch (error) {
      this.close();
      // If the server has no connection left, an idle one of the pool is used.
      if (this.over.aborted || this.pool.idleCount <= this.pool.waitingCount) throw error;
    }
    const client = await this.pool.connect();
    try {
      const rows = await within(LOOK_MS, rowsOf<R>(client, text, values), noAnswer);
      client.release();
      return rows;
    } catch (error) {
      cut(client);
      client.release(true);
      throw error;
    }
  }

  /** A look waits for no standby: the server ends its session when it finds the connection closed. */
  close(): void {
    if (this.own !== undefined) cut(this.own);
    this.own = undefined;
  }

  private async open(): Promise<OwnClient> {
    const { options } = this.pool;
    const client = new OwnClient({
      ...options,
      // Pools hide this property from enumeration.
      password: options.password,
      pipeline: false,
      connectionTimeoutMillis: LOOK_MS,
      query_timeout: LOOK_MS,
    });
    const close = (): void => cut(client);
    client.on('error', ignore);
    client.once('end', () => {
      this.over.removeEventListener('abort', close);
      if (this.own === client) this.own = undefined;
    });
    this.over.addEventListener('abort', close, { once: true });
    try {
      this.over.throwIfAborted();
      await client.connect();
    } catch (error) {
      close();
      throw error;
    }
    return client;
  }
}

function noAnswer(): never {
  throw new Error(`no answer within ${LOOK_MS} ms`);
}

function ignore(): void {}
