import { endWithChannel } from './common/end-with-channel.js';
import { startCoordinator } from './coordinator-program.js';
import { endNotStarted } from './start-application.js';

// A process that has started this one with a channel is told where it listens, and is not outlived.
endWithChannel();
try {
  const app = await startCoordinator(process.env);
  process.send?.({ url: await app.getUrl() });
} catch (error) {
  endNotStarted(error);
}
