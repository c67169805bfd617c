import type { ClientBase, CustomTypesConfig, PoolClient } from 'pg';
import type { CoordinatorRun } from '../../coordinator/participant/participant.js';
import { applicationOf } from '../connection/own-names.js';
import { SINCE, identityOf } from '../connection/server-session.js';

/**
 * The settings of the session, which is idle while its process lives. If the process's machine fails, the
 * server notices within half a minute and releases the locks. Its writes survive a crash of the server.
 */
const SETTINGS = {
  idle_session_timeout: 0,
  tcp_keepalives_idle: 10,
  tcp_keepalives_interval: 5,
  tcp_keepalives_count: 3,
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  synchronous_commit: 'on',
  // The server reports an interrupted wait for a standby by a warning.
  client_min_messages: 'warning',
};

/** @returns the identity of the session in the server itself: a proxy in between may report another. */
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

/** The application's own `types` of `pg` do not affect these results. */
const AS_TEXT = { getTypeParser: () => String } as unknown as CustomTypesConfig;

/** @returns rows whose columns are all text: other types are cast in the query. */
export async function textRows<R>(
  client: ClientBase,
  text: string,
  values: readonly unknown[],
): Promise<R[]> {
  const { rows } = await client.query({ text, values: [...values], types: AS_TEXT });
  return rows as R[];
}
