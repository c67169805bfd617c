import type { Duplex } from 'node:stream';
import type { Client, Pool } from 'pg';
import { within } from '../../coordinator/within.js';
import { GivenUpSessions } from './given-up-sessions.js';
import { guardClient } from './guard-client.js';
import { guardedStream } from './own-client.js';

/**
 * How long connections may take to close: an idle one takes a round trip, and only a hanging one takes
 * longer.
 */
const GOODBYE_MS = 2_000;

/** The connections of a pool that are open, or being opened. A pool itself shows only their number. */
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

  /** Cuts the open connections, and ends the sessions of those in use. */
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
 * Watches the connections of a pool from their creation to their end, so that {@link closePool} finds hanging
 * ones, and no error of them ends the process. Connections that are open now are watched from their next use
 * on.
 *
 * @param onError called when an idle connection is lost. The pool has removed it by then.
 * @returns the given-up sessions of the pool, shared by all its users.
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
 * Closes a watched pool, and resolves when its connections are gone. A server that does not answer must not
 * prevent the end of the process: connections that stay open are cut after a while. Their sessions are then
 * ended at the server, which may take a second more.
 *
 * @param withinMs the time limit, in milliseconds. @default 2_000
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
