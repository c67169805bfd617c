import { endNotStarted, startApplication } from './start-application.js';

/** One member of a cluster: the application, which ends with the process that has started it. */
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
try {
  const app = await startApplication(process.env);
  process.send?.({ url: await app.getUrl() });
} catch (error) {
  endNotStarted(error);
}
