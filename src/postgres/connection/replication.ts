import type { Client, ClientBase, PoolClient } from 'pg';
import { PostgresBranchError } from '../errors.js';

/** The server's function that waits for a standby. A warning of it says that the wait was cut short; its code says nothing. */
const WAIT_ROUTINE = 'SyncRepWaitForLSN';

/** How many waits were cut short on a connection. */
const cutShort = new WeakMap<Client, number>();

/** Notes on a connection, from now on, when a wait for a synchronous standby is cut short. */
export function noteWaits(client: Client): void {
  client.on('notice', ({ routine }) => {
    if (routine === WAIT_ROUTINE) cutShort.set(client, waitsCutShort(client) + 1);
  });
}

/** @returns how many waits were cut short so far. */
export function waitsCutShort(client: Client): number {
  return cutShort.get(client) ?? 0;
}

/**
 * What was done here may be lost with this server: the server answers with success when the wait for its standby is
 * cancelled, and a warning.
 *
 * @throws PostgresBranchError (`DTC_POSTGRES_NOT_REPLICATED`) when a wait was cut short since.
 */
export function throwIfCutShort(client: Client, before: number, what: string): void {
  if (waitsCutShort(client) === before) return;
  throw new PostgresBranchError(
    'DTC_POSTGRES_NOT_REPLICATED',
    `${what} took effect on this server, but its wait for a synchronous standby was cancelled: a failover may lose it. ` +
      'So its result is not known, and it is tried again. Look whether the standbys in synchronous_standby_names are up.',
  );
}

/**
 * The level of synchronous_commit at which a result counts: `remote_apply` where that is the default, else `on`. With any
 * lower one the server would not wait for its standbys.
 */
export function replicationLevel(configured: string): string {
  return configured === 'remote_apply' ? configured : 'on';
}

/**
 * Sees to it that the writes of a session wait for the standbys, and that a wait which is cut short is told. Both may be
 * switched off for a role or a database.
 */
export async function awaitReplicas(client: ClientBase): Promise<void> {
  await client.query(
    `SET client_min_messages = warning; SELECT pg_catalog.set_config('synchronous_commit', ` +
      `CASE pg_catalog.current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)`,
  );
}

const awaiting = new WeakSet<Client>();

/** Does a task on a session that does nothing but completions: its writes wait for the standbys, from the first on. */
export async function awaitingReplicas(client: PoolClient, task: () => Promise<void>): Promise<void> {
  if (awaiting.has(client)) return task();
  const set = awaitReplicas(client);
  if (!client.pipeline) await set;
  const [ready, done] = await Promise.allSettled([set, task()]);
  if (done.status === 'rejected') throw done.reason;
  if (ready.status === 'rejected') throw ready.reason;
  awaiting.add(client);
}

/**
 * A write that waits for the standbys. When it has waited to its end, everything that was written before is replicated too.
 */
export const REPLICATED_WRITE = `SELECT pg_catalog.pg_logical_emit_message(true, 'dtc', '')`;
