import type { Logger } from '@nestjs/common';
import { type ClientConfig, Pool, type PoolClient } from 'pg';
import type { PostgresPools, ResolvedPostgresSettings } from './options.js';

/**
 * One pool and what it is for. A connection goes back to the pool only if its task has ended well and left no
 * transaction open; any other is in doubt, and destroyed.
 */
export class Lane {
  constructor(
    readonly pool: Pool,
    private readonly logger: Logger,
    /** Ends what a connection is at work on at the server, before it is cut. */
    private readonly terminate?: (client: PoolClient) => Promise<unknown>,
  ) {
    // A connection that is lost while nobody uses it is out of the pool already; without a listener it ends the process.
    pool.on('error', (error) => logger.warn(`An idle connection to PostgreSQL was lost: ${error.message}`));
  }

  /**
   * Runs a task on a connection of its own.
   *
   * @param signal when it is aborted nobody waits for the task any more: its connection is cut and destroyed.
   * @throws what the task throws; the reason of the signal; what stands in the way of a connection.
   */
  async run<T>(signal: AbortSignal, task: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.acquire(signal);
    if (signal.aborted) {
      // It was not used yet, so nothing is in doubt.
      client.release();
      signal.throwIfAborted();
    }
    let connectionError: Error | undefined;
    const onError = (error: Error): void => {
      connectionError = error;
    };
    client.on('error', onError);
    let ended = false;
    try {
      const result = await unlessAborted(signal, () => task(client));
      ended = true;
      return result;
    } finally {
      if (ended && connectionError === undefined && client.getTransactionStatus() === 'I') client.release();
      else if (signal.aborted) void this.abandon(client);
      else destroy(client);
      client.off('error', onError);
    }
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  private async acquire(signal: AbortSignal): Promise<PoolClient> {
    signal.throwIfAborted();
    const connecting = this.pool.connect();
    return unlessAborted(signal, () => connecting).catch((error: unknown) => {
      connecting.then((client) => client.release(), ignore);
      throw error;
    });
  }

  private async abandon(client: PoolClient): Promise<void> {
    // It is released only afterwards, and until then an error of its own must find a listener.
    client.on('error', ignore);
    try {
      await this.terminate?.(client);
    } catch (error) {
      this.logger.debug(`A session of PostgreSQL could not be ended, and is cut: ${String(error)}`);
    }
    destroy(client);
    client.off('error', ignore);
  }
}

/** The two lanes of a resource manager: one for the work of branches, and one that completions have for themselves. */
export interface Lanes {
  readonly work: Lane;
  readonly completion: Lane;
  /** Closes the pools, unless they were given. */
  close(): Promise<void>;
}

/** How long the end of a session at the server may take before its connection is cut all the same. */
const TERMINATION_MS = 2_000;

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
  const work = new Lane(pools.work, logger, (client) => {
    const { processID } = client as { processID?: number | null };
    return completion.run(AbortSignal.timeout(TERMINATION_MS), (other) =>
      other.query('SELECT pg_terminate_backend($1)', [processID]),
    );
  });
  return {
    work,
    completion,
    close: async () => {
      if (!given) await Promise.all([work.close(), completion.close()]);
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
    ...(typeof connection === 'string' ? { connectionString: connection } : connection),
    pipeline: settings.pipelining,
    connectionTimeoutMillis: settings.connectTimeoutMs,
  };
  const given = (config as ClientConfig).options;
  // Should the begin of a branch fail before it takes effect, the statements that are sent behind it would each commit by
  // itself: outside a transaction that says READ WRITE, as ours does, nothing may be written.
  const options = [given, '-c default_transaction_read_only=on'].filter(Boolean).join(' ');
  return {
    work: new Pool({ ...config, options, max: settings.workConnections }),
    completion: new Pool({ ...config, max: settings.completionConnections }),
  };
}

function ignore(): void {}

/** The socket is cut first: a pipelined client that is told to end would wait for what is under way. */
function destroy(client: PoolClient): void {
  client.connection.stream.destroy();
  client.release(true);
}

/** @throws the reason of the signal as soon as it is aborted, whatever becomes of the work. */
async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort!);
  }
}
