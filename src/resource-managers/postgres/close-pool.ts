import type { Pool, PoolClient } from 'pg';

/** How long connections may take to say goodbye: an idle one takes a round trip, and only one that hangs takes longer. */
const GOODBYE_MS = 2_000;

/** The connections of each pool that is watched. A pool itself shows only how many there are. */
const connections = new WeakMap<Pool, Set<PoolClient>>();

/** Remembers the connections of a pool from now on, so that {@link closePool} finds those that hang. */
export function watchPool(pool: Pool): void {
  if (connections.has(pool)) return;
  const open = new Set<PoolClient>();
  connections.set(pool, open);
  pool.on('connect', (client) => open.add(client));
  pool.on('remove', (client) => open.delete(client));
}

/**
 * Closes a pool that is watched, and resolves when its connections are gone. A server that does not answer keeps no
 * process from its end: what is still open after a while is cut.
 *
 * @param withinMs how long it may take at most, in milliseconds. @default 2_000
 */
export async function closePool(pool: Pool, withinMs = GOODBYE_MS): Promise<void> {
  const open = connections.get(pool) ?? new Set();
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, withinMs);
  });
  const gone = new Promise<void>((resolve) => {
    const look = (): void => {
      if (open.size === 0) resolve();
    };
    pool.on('remove', look);
    look();
  });
  try {
    await Promise.race([Promise.all([pool.end(), gone]), timeUp]);
  } finally {
    clearTimeout(timer);
    for (const client of open) client.connection.stream.destroy();
  }
}
