import type { ParticipantCapacity } from '../../coordinator/participant/participant.js';
import type { ConnectionPools } from './connection-pools.js';

interface Row {
  readonly server: string;
  readonly connections: string;
}

/**
 * @returns the capacity of a participant's server, and the most that the participant takes of it. MariaDB has
 * no limit for prepared branches; but a branch keeps its connection until its decision, so there are no more
 * of them than connections.
 */
export async function capacityOf(
  pools: ConnectionPools,
  database: string,
  signal: AbortSignal,
): Promise<ParticipantCapacity> {
  return pools.completion.run(signal, async (session) => {
    const [row] = await session.rows<Row>(
      `SELECT CONCAT(@@hostname, ':', @@port, '/', @@server_id, '/', @@datadir) AS server,
        CAST(@@max_connections AS CHAR) AS connections`,
    );
    const [threads] = await session.rows<{ Value: string }>(`SHOW GLOBAL STATUS LIKE 'Threads_connected'`);
    const prepared = await session.rows('XA RECOVER');
    const connections = Number(row!.connections);
    return {
      server: row!.server,
      database,
      preparedTransactions: connections,
      preparedTransactionsInUse: Math.min(prepared.length, connections),
      connections,
      connectionsInUse: Number(threads!.Value),
      workConnections: pools.work.size,
      ownConnections: pools.work.size + pools.completion.size,
    };
  });
}
