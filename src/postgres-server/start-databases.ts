import { PostgresServer } from './postgres-server.js';

/** The databases of the three services, by the variables that name them to the application. */
const DATABASES = {
  ORDER_DATABASE_URL: 'orders',
  INVENTORY_DATABASE_URL: 'inventory',
  PAYMENT_DATABASE_URL: 'payments',
} as const;

/** The same, and the database of the decision log that several members share. */
const DATABASES_OF_MEMBERS = { ...DATABASES, DECISION_LOG_URL: 'decisions' } as const;

/** A server that was started for this process, and its variables for the application. */
export interface StartedDatabases<Variable extends string = keyof typeof DATABASES> {
  readonly server: PostgresServer;
  readonly environment: Readonly<Record<Variable, string>>;
}

/**
 * @returns whether one of the variables that name databases, or files of them, is set: then no server is
 * started.
 */
export function namesDatabases(environment: NodeJS.ProcessEnv): boolean {
  const variables = Object.keys(DATABASES).flatMap((variable) => [variable, `${variable}_FILE`]);
  return variables.some((variable) => environment[variable] !== undefined);
}

/**
 * Starts PostgreSQL with the databases of the three services. It stops as the very last action of this
 * process, when the application is drained and has closed its connections. If another process uses it, that
 * process stops it then.
 *
 * @param folder of the data.
 * @throws PostgresServerError
 */
export function startDatabases(folder: string): Promise<StartedDatabases> {
  return start(folder, DATABASES);
}

/**
 * Starts PostgreSQL with the databases of the three services, and one for the decision log that the members
 * of a coordinator share. Otherwise as {@link startDatabases}.
 *
 * @param folder of the data.
 * @throws PostgresServerError
 */
export function startDatabasesOfMembers(
  folder: string,
): Promise<StartedDatabases<keyof typeof DATABASES_OF_MEMBERS>> {
  return start(folder, DATABASES_OF_MEMBERS);
}

async function start<Variable extends string>(
  folder: string,
  databases: Readonly<Record<Variable, string>>,
): Promise<StartedDatabases<Variable>> {
  const server = await PostgresServer.find(folder);
  process.once('exit', () => server.stop());
  const names = Object.entries<string>(databases);
  await server.start(names.map(([, name]) => name));
  const urls = names.map(([variable, name]) => [variable, server.urlOf(name)]);
  return { server, environment: Object.fromEntries(urls) as Record<Variable, string> };
}
