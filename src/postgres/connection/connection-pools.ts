import type { Logger } from '@nestjs/common';
import { type ClientConfig, Pool, type PoolClient } from 'pg';
import { type Interruption, ConnectionPool } from './connection-pool.js';
import { OwnClient } from './own-client.js';
import { endAll } from '../../coordinator/end-all.js';
import type { PostgresPools, ResolvedPostgresSettings } from '../options.js';
import { SINCE, sessionOf } from './server-session.js';

/** The two pools of a resource manager: one for the work of branches, and one reserved for completions. */
export interface ConnectionPools {
  readonly work: ConnectionPool;
  readonly completion: ConnectionPool;
  /** Whether other code may change settings in a session of the pool for work when it is opened. */
  readonly hasHooks: boolean;
  /** Closes the pools. Pools of the user stay open, and their given-up sessions are ended within a second. */
  close(): Promise<void>;
}

/**
 * After this silence the operating system checks whether the other end exists: its own default is two hours.
 */
const KEEP_ALIVE_AFTER_MS = 10_000;

/** How long it may take to stop the running work of a connection at the server. */
const INTERRUPTION_MS = 2_000;

/** Creates the pools. No connection is opened yet. */
export function openPools(
  connection: string | ClientConfig | PostgresPools,
  settings: ResolvedPostgresSettings,
  name: string,
  logger: Logger,
): ConnectionPools {
  const given = typeof connection === 'object' && 'completion' in connection;
  const pools = given ? connection : makePools(connection, settings, name);
  const completion = new ConnectionPool(pools.completion, logger);
  const work = new ConnectionPool(pools.work, logger, interruptionBy(completion));
  return {
    work,
    completion,
    hasHooks: given || pools.work.options.onConnect !== undefined,
    close: () => endAll([work, completion].map((pool) => () => (given ? pool.leave() : pool.close()))),
  };
}

/** A number alone may belong to another session by the time the query runs. */
const CANCEL = `
  SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity
  WHERE pid OPERATOR(pg_catalog.=) $1::int AND ${SINCE} OPERATOR(pg_catalog.=) $2::text`;

/** The running work on a connection of one pool is cancelled through a connection of the other. */
function interruptionBy(pool: ConnectionPool): Interruption {
  return {
    cancel: async (client: PoolClient) => {
      const session = sessionOf(client);
      if (session === undefined) return;
      const signal = AbortSignal.timeout(INTERRUPTION_MS);
      await pool.run(signal, (other) => other.query(CANCEL, [session.pid, session.since]));
    },
  };
}

function makePools(
  connection: string | ClientConfig,
  settings: ResolvedPostgresSettings,
  name: string,
): PostgresPools {
  const config = {
    application_name: `dtc ${name}`,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    ...(typeof connection === 'string' ? { connectionString: connection } : connection),
    pipeline: settings.pipelining,
    connectionTimeoutMillis: settings.connectTimeoutMs,
    Client: OwnClient,
  };
  return {
    work: new Pool({ ...config, max: settings.workConnections }),
    // One more holds the claim of the coordinator while the process lives.
    completion: new Pool({ ...config, max: settings.completionConnections + 1 }),
  };
}
