import type { PostgresServer } from '../../test/support/postgres/server.js';

/** PostgreSQL is not available on this machine, so there is nothing to measure. */
export class PostgresUnavailableError extends Error {
  constructor(cause: unknown) {
    super(`PostgreSQL could not be started: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
    this.name = 'PostgresUnavailableError';
  }
}

/** Every contender keeps its connections open all the time, although only one contender is at work. */
const SETTINGS = {
  // The measured work is durable: every contender waits for the disk, as in production.
  fsync: 'on',
  max_connections: 1_000,
  max_prepared_transactions: 600,
  shared_buffers: '256MB',
  // A checkpoint during a measurement would slow down the contender that runs at that moment.
  max_wal_size: '4GB',
  checkpoint_timeout: '30min',
};

/**
 * Starts a server, passes it to a measurement, and always stops and deletes it afterwards.
 *
 * @throws PostgresUnavailableError when it does not start.
 */
export async function withServer<Result>(
  measure: (server: PostgresServer) => Promise<Result>,
  settings: Readonly<Record<string, string | number>> = {},
): Promise<Result> {
  const server = await start(settings);
  try {
    return await measure(server);
  } finally {
    await server.stop();
  }
}

async function start(settings: Readonly<Record<string, string | number>>): Promise<PostgresServer> {
  try {
    // The package and the binaries for this platform may both be missing.
    const support = await import('../../test/support/postgres/server.js');
    return await support.PostgresServer.start({ ...SETTINGS, ...settings });
  } catch (error) {
    throw new PostgresUnavailableError(error);
  }
}
