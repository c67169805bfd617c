import type { Duplex } from 'node:stream';
import type { Client, Pool } from 'pg';
import { within } from '../../coordinator/within.js';
import { GivenUpSessions } from './given-up-sessions.js';
import { guardClient } from './guard-client.js';
import { guardedStream } from './own-client.js';

/** How long connections may take to say goodbye: an idle one takes a round trip, and only one that hangs takes longer. */
const GOODBYE_MS = 2_000;

/** The connections of a pool that are open, or being opened. A pool itself shows only how many there are. */
class OpenConnections {
  readonly givenUp: GivenUpSessions;
  private readonly streams = new Set<Duplex>();
  private readonly inUse = new Set<Client>();
  private readonly waiting = new Set<() => void>();

  constructor(pool: Pool) {
    this.givenUp = new GivenUpSessions(pool);
    const { options } = pool;
    const given = options?.stream;
    if (options !== undefined) options.stream = () => this.add(guardedStream(given?.()));
    // A pool stops listening for the errors of a connection right after this event.
    pool.on('acquire', (client) => {
      guardClient(client);
      this.inUse.add(client);
    });
    pool.on('release', (_error: unknown, client: Client) => this.inUse.delete(client));
  }

  /** @returns a promise that resolves when none is open. */
  gone(): Promise<void> {
    return new Promise((resolve) => {
      if (this.streams.size === 0) resolve();
      else this.waiting.add(resolve);
    });
  }

  /** Cuts those that are open, and has the sessions ended of those that are in use. */
  cut(): void {
    for (const stream of this.streams) stream.destroy();
    for (const client of this.inUse) this.givenUp.add(client);
  }

  private add(stream: Duplex): Duplex {
    this.streams.add(stream);
    stream.once('close', () => {
      this.streams.delete(stream);
      if (this.streams.size === 0) for (const resolve of this.waiting) resolve();
    });
    return stream;
  }
}

const connections = new WeakMap<Pool, OpenConnections>();

/**
 * Watches the connections of a pool from their creation to their end, so that {@link closePool} finds those that hang, and no
 * error of them ends the process. Those that are open at this moment are watched from their next use on.
 *
 * @param onError is told when an idle connection is lost; the pool has removed it by then.
 * @returns the sessions of the pool that are given up; all lanes of the pool share them.
 */
export function watchPool(pool: Pool, onError: (error: Error) => void): GivenUpSessions {
  const known = connections.get(pool);
  if (known !== undefined) return known.givenUp;
  const open = new OpenConnections(pool);
  connections.set(pool, open);
  pool.on('error', onError);
  return open.givenUp;
}

/**
 * Closes a pool that is watched, and resolves when its connections are gone. A server that does not answer keeps no
 * process from its end: what is still open after a while is cut. Its sessions are ended at the server, which may take a
 * second more.
 *
 * @param withinMs how long it may take at most, in milliseconds. @default 2_000
 */
export async function closePool(pool: Pool, withinMs = GOODBYE_MS): Promise<void> {
  const open = connections.get(pool);
  try {
    await within(
      withinMs,
      pool.end().then(() => open?.gone()),
      () => undefined,
    );
  } finally {
    open?.cut();
    await open?.givenUp.leave();
  }
}
