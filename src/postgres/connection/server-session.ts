import type { Client } from 'pg';
import { rowsOf } from './own-queries.js';

/** How the server knows a session: it uses the number again, but not with the same start. */
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

/** Asks the server how it knows the session of a new connection. @throws what stands in the way of the answer. */
export async function identify(client: Client): Promise<void> {
  const [row] = await rowsOf<{ pid: string; since: string }>(client, WHO_AM_I);
  if (row === undefined) throw new Error('PostgreSQL does not list this session in pg_stat_activity.');
  sessions.set(client, row);
}

/** @returns how the server knows the session of a connection, or undefined before {@link identify} has asked. */
export function sessionOf(client: Client): ServerSession | undefined {
  return sessions.get(client);
}
