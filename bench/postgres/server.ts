import type { PostgresServer } from '../../test/support/postgres/server.js';

/** PostgreSQL cannot be had here, so there is nothing to measure. */
export class PostgresUnavailableError extends Error {
  constructor(cause: unknown) {
    super(`PostgreSQL could not be started: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
    this.name = 'PostgresUnavailableError';
  }
}

/** Every contender has its connections open all the time, though only one is at work. */
const SETTINGS = {
  // The measured work is durable: every contender waits for the disk as in production.
  fsync: 'on',
  max_connections: 1_000,
  max_prepared_transactions: 600,
  shared_buffers: '256MB',
  // A checkpoint in the middle would slow the contender that runs then.
  max_wal_size: '4GB',
  checkpoint_timeout: '30min',
};

/**
 * Starts a server, hands it to a measurement, and stops and deletes it whatever becomes of that.
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
