import type { Client, Pool, PoolConfig } from 'pg';
import { within } from '../../coordinator/within.js';
import { GivenUpSessions } from './given-up-sessions.js';
import { cut, guardClient } from './guard-client.js';

/** How long connections may take to say goodbye: an idle one takes a round trip, and only one that hangs takes longer. */
const GOODBYE_MS = 2_000;

/** The connections of a pool that are open, or being opened. A pool itself shows only how many there are. */
class OpenConnections {
  private readonly clients = new Set<Client>();
  private readonly waiting = new Set<() => void>();

  /** Counts a connection until it is closed, and guards it as long. */
  readonly add = (client: Client): void => {
    guardClient(client);
    if (this.clients.has(client)) return;
    this.clients.add(client);
    client.connection.once('end', () => {
      this.clients.delete(client);
      if (this.clients.size === 0) for (const resolve of this.waiting) resolve();
    });
  };

  /** @returns a promise that resolves when none is open. */
  gone(): Promise<void> {
    return new Promise((resolve) => {
      if (this.clients.size === 0) resolve();
      else this.waiting.add(resolve);
    });
  }

  /** Cuts those that are open, and has their sessions ended. */
  cut(givenUp: GivenUpSessions | undefined): void {
    for (const client of this.clients) {
      cut(client);
      givenUp?.add(client);
    }
  }
}

const connections = new WeakMap<Pool, OpenConnections>();
const sessions = new WeakMap<Pool, GivenUpSessions>();

/** A pool makes its clients by the class that it was given. */
type WithClient = Pool & { Client?: new (config?: PoolConfig) => Client };

/**
 * Watches the connections of a pool from their creation to their end, so that {@link closePool} finds those that hang, and no
 * error of them ends the process. Those that are in use at this moment are watched from their next use on.
 *
 * @param onError is told when an idle connection is lost; the pool has removed it by then.
 * @returns the sessions of the pool that are given up; all lanes of the pool share them.
 */
export function watchPool(pool: WithClient, onError: (error: Error) => void): GivenUpSessions {
  const known = sessions.get(pool);
  if (known !== undefined) return known;
  const givenUp = new GivenUpSessions(pool);
  sessions.set(pool, givenUp);
  const open = new OpenConnections();
  connections.set(pool, open);
  pool.on('error', onError);
  const { Client: Given } = pool;
  if (typeof Given === 'function') {
    pool.Client = class extends Given {
      constructor(config?: PoolConfig) {
        super(config);
        open.add(this);
      }
    };
  }
  // For those that were made before. The pool stops listening for their errors right after this event.
  pool.on('acquire', open.add);
  return givenUp;
}

/**
 * Closes a pool that is watched, and resolves when its connections are gone. A server that does not answer keeps no
 * process from its end: what is still open after a while is cut. Its sessions are ended at the server, which may take a
 * second more.
 *
 * @param withinMs how long it may take at most, in milliseconds. @default 2_000
 */
export async function closePool(pool: Pool, withinMs = GOODBYE_MS): Promise<void> {
  const open = connections.get(pool) ?? new OpenConnections();
  try {
    await within(
      withinMs,
      pool.end().then(() => open.gone()),
      () => undefined,
    );
  } finally {
    const givenUp = sessions.get(pool);
    open.cut(givenUp);
    await givenUp?.leave();
  }
}
