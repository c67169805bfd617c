import { readConfiguration } from './configuration.js';
import { namesDatabases, startDatabases } from './postgres-server/start-databases.js';
import { endNotStarted, startApplication } from './start-application.js';

const FOLDER = 'data/postgres';

/** A signal during the start is handled at its end, so that no starting server is left behind. */
let isToEnd = false;
const endLater = (): void => {
  isToEnd = true;
};

process.on('SIGTERM', endLater).on('SIGINT', endLater).on('SIGHUP', endLater);
try {
  if (namesDatabases(process.env)) await startApplication(process.env);
  else await startWithServer();
} catch (error) {
  if (!isToEnd) endNotStarted(error);
}
if (isToEnd) process.exit(0);
process.off('SIGTERM', endLater).off('SIGINT', endLater).off('SIGHUP', endLater);

async function startWithServer(): Promise<void> {
  // Problems of the environment are reported before anything is started.
  readConfiguration(process.env);
  const { server, environment } = await startDatabases(FOLDER);
  if (isToEnd) return;
  await startApplication({ ...process.env, ...environment }, { address: server.address, folder: FOLDER });
}
