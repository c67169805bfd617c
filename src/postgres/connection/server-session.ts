import type { Client } from 'pg';
import { rowsOf } from './own-queries.js';

/** Identifies a session at the server, which reuses the number, but not with the same start. */
export interface ServerSession {
  readonly pid: string;
  readonly since: string;
}

/** The start of a session, in a form that does not depend on its settings. */
export const SINCE = 'extract(epoch FROM backend_start)::text';

const WHO_AM_I = `
  SELECT pid::text, ${SINCE} AS since FROM pg_catalog.pg_stat_activity
  WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()`;

const sessions = new WeakMap<Client, ServerSession>();

/** @returns the number and the start as one text. */
export function identityOf({ pid, since }: { readonly pid: string; readonly since: string | null }): string {
  return `${pid} since ${since}`;
}

/**
 * Asks the server for the identity of a new connection's session. @throws an error that prevents the answer.
 */
export async function identify(client: Client): Promise<void> {
  const [row] = await rowsOf<{ pid: string; since: string }>(client, WHO_AM_I);
  if (row === undefined) throw new Error('PostgreSQL does not list this session in pg_stat_activity.');
  sessions.set(client, row);
}

/**
 * @returns the identity of a connection's session at the server, or undefined before {@link identify} has
 * asked.
 */
export function sessionOf(client: Client): ServerSession | undefined {
  return sessions.get(client);
}
