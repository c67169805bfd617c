import type { Pool, PoolClient } from 'pg';
import type { CoordinatorRun } from '../../coordinator/participant/participant.js';
import { keyOfRun } from '../../sql/claim.js';
import type { NameLock, NameSession } from '../../sql/claim-database.js';
import { PostgresStartUpError } from '../errors.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import { unlessAborted } from '../../sql/unless-aborted.js';
import { throwIfCutShort, waitsCutShort } from '../connection/replication.js';
import { configure, textRows } from './session-identity.js';

/**
 * The first half of the key of each lock on a name. The other half identifies the coordinator and the
 * participant.
 */
export const LOCKS = 0x64_74_63;

/** How long a session may take to release its locks before its connection is cut. */
const GOODBYE_MS = 1_000;

/** The most ended sessions of this process that are remembered as its own. */
const MAX_ENDED = 1_000;

/** The least number of connections of a pool that are left for commit, rollback and recovery. */
const LEFT_FOR_COMPLETION = 1;

/** The default size of a pool in `pg`. */
const POOL_SIZE = 10;

interface HeldLock {
  readonly over: AbortController;
  /** The number of claims of this process that need it through this session. */
  claims: number;
  /** How often the session holds it at the server. */
  levels: number;
}

/**
 * The sessions of this process that hold names, by their identities at the server, and the owners of ended
 * ones.
 */
const live = new Map<string, ClaimSession>();
const ended = new Map<string, string>();

/** The sessions that share a pool, by their runs. */
const byPool = new WeakMap<Pool, Map<string, Promise<ClaimSession>>>();

/**
 * One session of a run at a server. It holds the names of the coordinator for all participants that share a
 * pool, so that they take only one connection of the pool together.
 */
export class ClaimSession implements NameSession {
  private readonly locks = new Map<number, HeldLock>();
  /** One query at a time: the participants that share the session ask at any moment. */
  private last: Promise<unknown> = Promise.resolve();
  private members = 1;
  private isOver = false;

  private constructor(
    private readonly connections: ConnectionPool,
    private readonly client: PoolClient,
    private readonly run: CoordinatorRun,
    private readonly identity: string,
    private readonly forget: () => void,
  ) {
    live.set(identity, this);
    client.once('end', this.lose);
  }

  /**
   * Joins the session of the run on a pool, or opens it.
   *
   * @throws PostgresStartUpError (`DTC_POSTGRES_POOL_TOO_SMALL`) when no connection of the pool would be
   * left; the reason of the signal; an error that prevents the connection.
   */
  static async join(
    connections: ConnectionPool,
    run: CoordinatorRun,
    participant: string,
    signal: AbortSignal,
  ): Promise<ClaimSession> {
    const sessions = byPool.get(connections.pool) ?? new Map<string, Promise<ClaimSession>>();
    byPool.set(connections.pool, sessions);
    const key = keyOfRun(run);
    for (let known = sessions.get(key); known !== undefined; known = sessions.get(key)) {
      const opening = known;
      // Another caller's failure to open it says nothing about this caller, which has its own patience.
      const session = await unlessAborted(signal, () => opening.catch(() => undefined));
      if (session?.isOver === false) {
        session.members++;
        return session;
      }
      if (sessions.get(key) === opening) sessions.delete(key);
    }
    checkRoom(connections.pool, sessions.size, participant);
    const forget = (): void => {
      if (sessions.get(key) === opening) sessions.delete(key);
    };
    const opening = ClaimSession.open(connections, run, signal, forget);
    sessions.set(key, opening);
    opening.catch(forget);
    return opening;
  }

  private static async open(
    connections: ConnectionPool,
    run: CoordinatorRun,
    signal: AbortSignal,
    forget: () => void,
  ): Promise<ClaimSession> {
    const client = await connections.acquire(signal);
    try {
      const identity = await unlessAborted(signal, () => configure(client, run));
      return new ClaimSession(connections, client, run, identity, forget);
    } catch (error) {
      connections.giveUp(client);
      throw error;
    }
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.query(signal, 'SELECT 1');
  }

  /**
   * A query on the session. Every column of its rows is text.
   *
   * @throws (as a rejection) PostgresBranchError (`DTC_POSTGRES_NOT_REPLICATED`) when its wait for a standby
   * was interrupted.
   */
  query<R>(signal: AbortSignal, text: string, values: readonly unknown[] = []): Promise<R[]> {
    const result = this.last.then(() => this.ask<R>(text, values));
    this.last = result.catch(() => {});
    return unlessAborted(signal, () => result);
  }

  /**
   * Tries to get a lock; {@link unlock} releases it.
   *
   * @param mode whether others may share it.
   * @returns the lock, or undefined when another session has it.
   */
  async tryLock(
    number: number,
    mode: 'exclusive' | 'shared',
    signal: AbortSignal,
  ): Promise<NameLock | undefined> {
    const known = this.locks.get(number);
    if (known !== undefined) {
      known.claims++;
      return { over: known.over.signal };
    }
    const lock = mode === 'shared' ? 'pg_try_advisory_lock_shared' : 'pg_try_advisory_lock';
    const [row] = await this.query<{ held: string }>(signal, `SELECT ${lock}($1, $2)::text AS held`, [
      LOCKS,
      number,
    ]);
    if (row?.held !== 'true') return undefined;
    // Two callers that ask at the same moment both get it, since they share a session.
    const held = this.locks.get(number) ?? { over: new AbortController(), claims: 0, levels: 0 };
    this.locks.set(number, held);
    held.claims++;
    held.levels++;
    if (this.isOver) held.over.abort();
    return { over: held.over.signal };
  }

  /** Releases a lock, unless another claim needs it through this session. It never throws. */
  async unlock(number: number, mode: 'exclusive' | 'shared'): Promise<void> {
    const held = this.locks.get(number);
    if (held === undefined || --held.claims > 0) return;
    this.locks.delete(number);
    held.over.abort();
    if (this.isOver) return;
    const unlock = mode === 'shared' ? 'pg_advisory_unlock_shared' : 'pg_advisory_unlock';
    try {
      await this.query(
        AbortSignal.timeout(GOODBYE_MS),
        `SELECT ${unlock}($1, $2)::text AS done FROM generate_series(1, $3::int)`,
        [LOCKS, number, held.levels],
      );
    } catch {
      // It is then unknown what the session holds.
      this.cut();
    }
  }

  /** One participant no longer needs the session. With the last one it ends. It never throws. */
  async leave(): Promise<void> {
    if (--this.members > 0 || this.isOver) return;
    this.end();
    try {
      await this.query(AbortSignal.timeout(GOODBYE_MS), 'SELECT pg_advisory_unlock_all()::text AS done');
      this.client.release(true);
    } catch {
      this.connections.giveUp(this.client);
    }
  }

  /** Ends the session at once: it no longer answers. */
  cut(): void {
    if (this.isOver) return;
    this.end();
    this.connections.giveUp(this.client);
  }

  /** @returns the lock of this session. */
  lockOf(number: number): NameLock | undefined {
    const held = this.locks.get(number);
    return held && { over: held.over.signal };
  }

  /** Whether it belongs to this same run. */
  isOf(run: CoordinatorRun): boolean {
    return keyOfRun(this.run) === keyOfRun(run);
  }

  private async ask<R>(text: string, values: readonly unknown[]): Promise<R[]> {
    const before = waitsCutShort(this.client);
    const rows = await textRows<R>(this.client, text, values);
    throwIfCutShort(this.client, before, 'The claim of a run');
    return rows;
  }

  /** The connection was lost. */
  private readonly lose = (): void => {
    if (this.isOver) return;
    this.end();
    this.client.release(true);
  };

  private end(): void {
    this.isOver = true;
    this.client.off('end', this.lose);
    this.forget();
    live.delete(this.identity);
    ended.set(this.identity, keyOfRun(this.run));
    const [eldest] = ended.keys();
    if (ended.size > MAX_ENDED && eldest !== undefined) ended.delete(eldest);
    for (const { over } of this.locks.values()) over.abort();
  }
}

/** @returns the lock of another session of this process for the same run, by its identity at the server. */
export function lockOfSibling(identity: string, run: CoordinatorRun, number: number): NameLock | undefined {
  const session = live.get(identity);
  return session?.isOf(run) === true ? session.lockOf(number) : undefined;
}

/**
 * Whether a session at the server belonged to this same run and has lost its connection, although the server
 * has not noticed.
 */
export function isLeftBehind(identity: string, run: CoordinatorRun): boolean {
  return ended.get(identity) === keyOfRun(run);
}

/** @param open the number of sessions of other runs that already hold a connection of the pool. */
function checkRoom(pool: Pool, open: number, participant: string): void {
  const size = pool.options?.max ?? POOL_SIZE;
  const needed = open + 1 + LEFT_FOR_COMPLETION;
  if (needed <= size) return;
  throw new PostgresStartUpError(
    'DTC_POSTGRES_POOL_TOO_SMALL',
    participant,
    `its pool for completion has ${size} connections and needs ${needed}: ${open + 1} for the claims, one for each run of a ` +
      `coordinator that shares the pool, and ${LEFT_FOR_COMPLETION} for commit, rollback and recovery`,
    `Give the pool at least ${needed} connections (max: ${needed}), or each coordinator a pool of its own.`,
  );
}
