import { endWithChannel } from './common/end-with-channel.js';
import { endNotStarted, startApplication } from './start-application.js';

/** One member of a cluster: the application, which ends with the process that has started it. */
endWithChannel();
try {
  const app = await startApplication(process.env);
  process.send?.({ url: await app.getUrl() });
} catch (error) {
  endNotStarted(error);
}
