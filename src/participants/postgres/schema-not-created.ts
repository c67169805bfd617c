import { PostgresStartUpError } from '../../postgres/index.js';

const REMEDIES: Readonly<Record<string, (role: string) => string>> = {
  // insufficient_privilege
  '42501': (role) =>
    `Run this there as the owner of the schema: GRANT CREATE, USAGE ON SCHEMA public TO "${role}";`,
  // duplicate_table
  '42P07': () => 'Rename the conflicting table, or give the service a database of its own.',
  // no_schema
  '3F000': (role) => `Run this there: CREATE SCHEMA public AUTHORIZATION "${role}";`,
};

/**
 * @returns an error with the database in which the tables of a service could not be created, the cause and
 * the remedy.
 */
export function schemaNotCreated(service: string, url: string, error: unknown): PostgresStartUpError {
  // If the database does not answer, HTTP callers get a general answer. Here the cause matters.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const { code, message } = cause as { code?: unknown; message?: string };
  const { database, role } = placeOf(url);
  const remedy =
    REMEDIES[String(code)]?.(role) ?? 'Check the URL, and that the server is up, and start again.';
  return new PostgresStartUpError(
    'DTC_POSTGRES_SCHEMA',
    service,
    `its tables could not be created in ${database} as ${role}: ${message || String(cause)}` +
      (typeof code === 'string' ? ` (${code})` : ''),
    remedy,
    { cause: error },
  );
}

/** Leaves out the password. */
function placeOf(url: string): { readonly database: string; readonly role: string } {
  const { username, host, pathname } = new URL(url);
  return { database: `${host}${pathname}`, role: decodeURIComponent(username) || 'the user of this process' };
}
