import type { Logger } from '@nestjs/common';
import type { Pool, PoolClient } from 'pg';
import { within } from '../../coordinator/within.js';
import { unlessAborted } from '../../sql/unless-aborted.js';
import { closePool, watchPool } from './close-pool.js';
import { codeOf } from '../sqlstate.js';
import { type GivenUpSessions, SESSIONS_LEFT } from './given-up-sessions.js';
import { cut } from './own-client.js';
import { identify, sessionOf } from './server-session.js';
import { isSpoiled } from './spoiled.js';

/** Stops, at the server, the running work of a connection. */
export interface Interruption {
  /** Cancels the running statement, if there is one. */
  readonly cancel: (client: PoolClient) => Promise<unknown>;
}

/** SQLSTATE `too_many_connections`. */
const TOO_MANY_CONNECTIONS = '53300';

/** How long a connection whose task has failed may take to become idle before it is cut. */
const REST_WITHIN_MS = 500;

/**
 * One pool and its purpose. A connection returns to the pool only when its task has ended and the server has
 * confirmed that no transaction is open on it. Any other connection is in doubt: it is cut, and its session
 * is ended at the server.
 */
export class ConnectionPool {
  /** The cut connections that may still be at the server, shared by all users of the pool. */
  readonly givenUp: GivenUpSessions;

  /** @param interruption stops work that no caller waits for; without it the connection is cut. */
  constructor(
    readonly pool: Pool,
    logger: Logger,
    private readonly interruption?: Interruption,
  ) {
    this.givenUp = watchPool(pool, ({ message }) =>
      logger.warn(`An idle connection to PostgreSQL was lost: ${message}`),
    );
    this.givenUp.enter();
  }

  /**
   * Runs a task on a connection of its own.
   *
   * @param signal when it is aborted, no caller waits for the task any more: its running work is stopped.
   * @throws the error of the task; the reason of the signal; an error that prevents the connection.
   */
  run<T>(signal: AbortSignal, task: (client: PoolClient) => Promise<T>): Promise<T> {
    const room = signal.aborted ? undefined : this.givenUp.room(signal);
    return room === undefined ? this.lend(signal, task) : room.then(() => this.lend(signal, task));
  }

  /** One listener of the signal serves the wait for the connection and the task. */
  private lend<T>(signal: AbortSignal, task: (client: PoolClient) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      let onTask: (() => void) | undefined;
      const onAbort = (): void => {
        onTask?.();
        reject(signal.reason as Error);
      };
      const failed = (error: unknown): void => {
        signal.removeEventListener('abort', onAbort);
        reject(error);
      };
      const use = (client: PoolClient): void => {
        if (signal.aborted) {
          // It was not used yet, so nothing is in doubt.
          client.release();
          return;
        }
        const running = called(task, client);
        onTask = () => void this.putToRest(client, running, signal);
        running.then(
          (result) => {
            if (signal.aborted) return;
            signal.removeEventListener('abort', onAbort);
            if (client.getTransactionStatus() === 'I') giveBack(client);
            else void this.putToRest(client, running, signal);
            resolve(result);
          },
          (error: unknown) => {
            if (signal.aborted) return;
            void this.putToRest(client, running, signal);
            failed(error);
          },
        );
        // The task itself may have aborted it.
        if (signal.aborted) onTask();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      // Its promise keeps the asynchronous context of the caller; a callback would run in that of another.
      this.pool.connect().then((client) => {
        if (signal.aborted || sessionOf(client) !== undefined) use(client);
        else this.admit(client, signal).then(() => use(client), failed);
      }, failed);
    });
  }

  /**
   * Takes a connection out of the pool. The caller returns it.
   *
   * @throws the reason of the signal; an error that prevents the connection.
   */
  async acquire(signal: AbortSignal): Promise<PoolClient> {
    signal.throwIfAborted();
    const room = this.givenUp.room(signal);
    if (room !== undefined) await room;
    const connecting = this.pool.connect();
    const client = await unlessAborted(signal, () => connecting).catch((error: unknown) => {
      connecting.then((late) => late.release(), ignore);
      throw error;
    });
    if (sessionOf(client) === undefined) await this.admit(client, signal);
    return client;
  }

  /**
   * The server must be able to end a later call of a connection on a time-out, so its session is identified
   * first.
   */
  private async admit(client: PoolClient, signal: AbortSignal): Promise<void> {
    try {
      // The pool may have opened it for a caller in its queue, so it may have waited for an earlier session.
      await this.givenUp.fewer(signal);
      await unlessAborted(signal, () => identify(client));
    } catch (error) {
      destroy(client);
      throw error;
    }
  }

  /**
   * Stops the running statement of a connection. Nothing else may be sent on it before this has ended: it
   * would be hit as well.
   *
   * @throws when the server does not answer.
   */
  async cancel(client: PoolClient): Promise<void> {
    await this.interruption?.cancel(client);
  }

  /** Cuts a connection that was taken out of the pool, and ends its session at the server. */
  giveUp(client: PoolClient): void {
    this.givenUp.add(client);
    destroy(client);
  }

  /**
   * Whether an error of {@link acquire} means that there are too few connections, at the server or in the
   * pool.
   */
  lacksConnections(error: unknown): boolean {
    const code = codeOf(error);
    if (code === TOO_MANY_CONNECTIONS || code === SESSIONS_LEFT) return true;
    // The pool's own time-out has no code. The cause is a lack of connections if all of them are open.
    const { options, totalCount } = this.pool;
    return code === undefined && totalCount >= (options.max ?? 10);
  }

  /** Closes the pool. */
  close(): Promise<void> {
    return closePool(this.pool);
  }

  /** Leaves the pool open, for its other users. */
  leave(): Promise<void> {
    return this.givenUp.leave();
  }

  /**
   * Opening another connection takes longer than most transactions. So a connection whose task has failed is
   * kept if its rollback is acknowledged: then every earlier statement has been answered as well.
   */
  private async putToRest(
    client: PoolClient,
    running: Promise<unknown> | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const isGivenUp = signal.aborted;
    if (isGivenUp && this.interruption === undefined) {
      this.giveUp(client);
      return;
    }
    if (await within(REST_WITHIN_MS, this.rollBack(client, running, isGivenUp), () => false)) {
      giveBack(client);
      return;
    }
    this.giveUp(client);
  }

  /** @returns whether no transaction is open, and no late answer of the task can arrive. */
  private async rollBack(
    client: PoolClient,
    running: Promise<unknown> | undefined,
    isGivenUp: boolean,
  ): Promise<boolean> {
    try {
      // A cancellation in transit would hit the next user of the connection, so its answer is awaited.
      if (isGivenUp) await this.interruption?.cancel(client);
      await running?.catch(ignore);
      await client.query('ROLLBACK');
      return client.getTransactionStatus() === 'I';
    } catch {
      // The connection is given up then.
      return false;
    }
  }
}

/** @returns what the task returns, and what it throws as a rejection. */
function called<T>(task: (client: PoolClient) => Promise<T>, client: PoolClient): Promise<T> {
  try {
    return task(client);
  } catch (error) {
    return Promise.reject(error);
  }
}

function giveBack(client: PoolClient): void {
  if (isSpoiled(client)) destroy(client);
  else client.release();
}

/**
 * The server ends the session as soon as it finds the connection closed, which it does not check while it
 * waits for a standby.
 */
function destroy(client: PoolClient): void {
  cut(client);
  client.release(true);
}

function ignore(): void {}
