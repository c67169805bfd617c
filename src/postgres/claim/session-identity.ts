import type { ClientBase, CustomTypesConfig, PoolClient } from 'pg';
import { type CoordinatorRun, idPrefixOf } from '../../coordinator/index.js';
import { SINCE, identityOf } from '../connection/server-session.js';

/**
 * The session does nothing for as long as its process lives. When the machine of that is gone, the server finds out within
 * half a minute, and takes the locks back. What it writes is there after a crash of the server.
 */
const SETTINGS = {
  idle_session_timeout: 0,
  tcp_keepalives_idle: 10,
  tcp_keepalives_interval: 5,
  tcp_keepalives_count: 3,
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  synchronous_commit: 'on',
};

/** By this name others know which run holds a lock; everybody may see it in pg_stat_activity. It is no proof of anything. */
export function applicationOf(run: CoordinatorRun): string {
  return `dtc ${idPrefixOf(run).slice(0, -1)}`;
}

/** @returns the identity of the session, as the server itself has it: in between there may be something that tells another. */
export async function configure(client: PoolClient, run: CoordinatorRun): Promise<string> {
  const settings = { application_name: applicationOf(run), ...SETTINGS };
  const calls = Object.keys(settings).map((name, index) => `set_config('${name}', $${index + 1}, false)`);
  const [row] = await textRows<{ pid: string; since: string | null }>(
    client,
    `SELECT pg_backend_pid()::text AS pid,
      (SELECT ${SINCE} FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS since, ${calls.join(', ')}`,
    Object.values(settings).map(String),
  );
  return identityOf(row!);
}

/** What an application sets for its own results with `types` of `pg` changes nothing here. */
const AS_TEXT = { getTypeParser: () => String } as unknown as CustomTypesConfig;

/** @returns rows of which every column is text: what is not is cast in the query. */
export async function textRows<R>(
  client: ClientBase,
  text: string,
  values: readonly unknown[],
): Promise<R[]> {
  const { rows } = await client.query({ text, values: [...values], types: AS_TEXT });
  return rows as R[];
}
