import type { Logger } from '@nestjs/common';
import { type ClientConfig, Pool, type PoolClient } from 'pg';
import { type Interruption, Lane } from './lane.js';
import type { PostgresPools, ResolvedPostgresSettings } from '../options.js';

/** The two lanes of a resource manager: one for the work of branches, and one that completions have for themselves. */
export interface Lanes {
  readonly work: Lane;
  readonly completion: Lane;
  /** Whether something else may set something in a session of the lane for work when it is opened. */
  readonly hasHooks: boolean;
  /** Closes the pools, unless they were given. */
  close(): Promise<void>;
}

/** After so much silence the operating system asks whether the other end is there: its own default is two hours. */
const KEEP_ALIVE_AFTER_MS = 10_000;

/** How long it may take to stop at the server what a connection is at work on. */
const INTERRUPTION_MS = 2_000;

/** Opens the lanes. No connection is made yet. */
export function openLanes(
  connection: string | ClientConfig | PostgresPools,
  settings: ResolvedPostgresSettings,
  name: string,
  logger: Logger,
): Lanes {
  const given = typeof connection === 'object' && 'completion' in connection;
  const pools = given ? connection : makePools(connection, settings, name);
  const completion = new Lane(pools.completion, logger);
  const work = new Lane(pools.work, logger, interruptionBy(completion));
  return {
    work,
    completion,
    hasHooks: given || pools.work.options.onConnect !== undefined,
    close: async () => {
      if (!given) await Promise.all([work.close(), completion.close()]);
    },
  };
}

/** What a connection of one lane is at work on is stopped from a connection of the other. */
function interruptionBy(lane: Lane): Interruption {
  const call =
    (sql: string) =>
    (client: PoolClient): Promise<unknown> => {
      const { processID } = client as { processID?: number | null };
      return lane.run(AbortSignal.timeout(INTERRUPTION_MS), (other) => other.query(sql, [processID]));
    };
  return { cancel: call('SELECT pg_cancel_backend($1)'), terminate: call('SELECT pg_terminate_backend($1)') };
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
  };
  return {
    work: new Pool({ ...config, max: settings.workConnections }),
    // One more holds the claim of the coordinator for as long as the process lives.
    completion: new Pool({ ...config, max: settings.completionConnections + 1 }),
  };
}
