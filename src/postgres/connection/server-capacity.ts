import type { ParticipantCapacity } from '../../coordinator/participant/participant.js';
import type { ConnectionPools } from './connection-pools.js';
import { rowsOf } from './own-queries.js';

type Row = {
  readonly server: string;
  readonly database: string;
  readonly slots: string;
  readonly slotsInUse: string;
  readonly connections: string;
  readonly connectionsInUse: string;
};

/** Identifies a running server by its identifier and its start: a copy of it has the same identifier. */
const CAPACITY = `
  SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system())::text || '/' ||
      extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text AS server,
    (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())::text AS database,
    pg_catalog.current_setting('max_prepared_transactions') AS slots,
    (SELECT count(*) FROM pg_catalog.pg_prepared_xacts)::text AS "slotsInUse",
    (pg_catalog.current_setting('max_connections')::int
      - pg_catalog.current_setting('superuser_reserved_connections')::int
      - coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0))::text AS connections,
    (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')::text
      AS "connectionsInUse"`;

/** @returns the capacity of a participant's server, and the most that the participant takes of it. */
export async function capacityOf(pools: ConnectionPools, signal: AbortSignal): Promise<ParticipantCapacity> {
  const rows = await pools.completion.run(signal, (client) => rowsOf<Row>(client, CAPACITY));
  const { server, database, slots, slotsInUse, connections, connectionsInUse } = rows[0]!;
  const workConnections = sizeOf(pools.work.pool);
  return {
    server,
    database,
    preparedTransactions: Number(slots),
    preparedTransactionsInUse: Number(slotsInUse),
    connections: Number(connections),
    connectionsInUse: Number(connectionsInUse),
    workConnections,
    ownConnections: workConnections + sizeOf(pools.completion.pool),
  };
}

/** A pool of the user may not state its size: then it has the default of `pg`. */
function sizeOf({ options }: { readonly options: { readonly max?: number } }): number {
  return options.max ?? 10;
}
