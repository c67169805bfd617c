import type { Client, ClientBase, PoolClient } from 'pg';
import { PostgresBranchError } from '../errors.js';

/**
 * The server's function that waits for a standby. A warning from it means that the wait was interrupted; its
 * code is unspecific.
 */
const WAIT_ROUTINE = 'SyncRepWaitForLSN';

/** The number of interrupted waits on a connection. */
const cutShort = new WeakMap<Client, number>();

/** Counts interrupted waits for a synchronous standby on a connection, from now on. */
export function noteWaits(client: Client): void {
  client.on('notice', ({ routine }) => {
    if (routine === WAIT_ROUTINE) cutShort.set(client, waitsCutShort(client) + 1);
  });
}

/** @returns the number of interrupted waits so far. */
export function waitsCutShort(client: Client): number {
  return cutShort.get(client) ?? 0;
}

/**
 * This server may lose the effect: it answers with success and a warning when the wait for its standby is
 * cancelled.
 *
 * @throws PostgresBranchError (`DTC_POSTGRES_NOT_REPLICATED`) when a wait was interrupted since.
 */
export function throwIfCutShort(client: Client, before: number, what: string): void {
  if (waitsCutShort(client) === before) return;
  throw new PostgresBranchError(
    'DTC_POSTGRES_NOT_REPLICATED',
    `${what} took effect on this server, but its wait for a synchronous standby was cancelled: a failover may lose it. ` +
      'So its result is not known, and it is tried again. Check that the standbys in synchronous_standby_names are up.',
  );
}

/**
 * The level of synchronous_commit at which a result counts: `remote_apply` if that is the default, otherwise
 * `on`. With a lower level the server would not wait for its standbys.
 */
export function replicationLevel(configured: string): string {
  return configured === 'remote_apply' ? configured : 'on';
}

/**
 * Makes the writes of a session wait for the standbys, and makes the server report an interrupted wait. Both
 * may be switched off for a role or a database.
 */
export async function awaitReplicas(client: ClientBase): Promise<void> {
  await client.query(
    `SET client_min_messages = warning; SELECT pg_catalog.set_config('synchronous_commit', ` +
      `CASE pg_catalog.current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)`,
  );
}

const awaiting = new WeakSet<Client>();

/**
 * Runs a task on a session that only runs completions: its writes wait for the standbys, from the first on.
 */
export function awaitingReplicas(client: PoolClient, task: () => Promise<void>): Promise<void> {
  return awaiting.has(client) ? task() : awaitingFrom(client, task);
}

async function awaitingFrom(client: PoolClient, task: () => Promise<void>): Promise<void> {
  const set = awaitReplicas(client);
  if (!client.pipeline) await set;
  const [ready, done] = await Promise.allSettled([set, task()]);
  if (done.status === 'rejected') throw done.reason;
  if (ready.status === 'rejected') throw ready.reason;
  awaiting.add(client);
}

/**
 * A write that waits for the standbys. When its wait has ended regularly, all earlier writes are replicated
 * too.
 */
export const REPLICATED_WRITE = `SELECT pg_catalog.pg_logical_emit_message(true, 'dtc', '')`;
