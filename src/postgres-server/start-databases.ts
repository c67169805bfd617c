import { PostgresServer } from './postgres-server.js';

/** The databases of the three services, by the variables that name them to the application. */
const DATABASES = {
  ORDER_DATABASE_URL: 'orders',
  INVENTORY_DATABASE_URL: 'inventory',
  PAYMENT_DATABASE_URL: 'payments',
} as const;

/** A server that was started for this process, and its variables for the application. */
export interface StartedDatabases {
  readonly server: PostgresServer;
  readonly environment: Readonly<Record<keyof typeof DATABASES, string>>;
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
export async function startDatabases(folder: string): Promise<StartedDatabases> {
  const server = await PostgresServer.find(folder);
  process.once('exit', () => server.stop());
  await server.start(Object.values(DATABASES));
  const urls = Object.entries(DATABASES).map(([variable, name]) => [variable, server.urlOf(name)]);
  return { server, environment: Object.fromEntries(urls) as StartedDatabases['environment'] };
}
