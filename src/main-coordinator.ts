import { endWithChannel } from './common/end-with-channel.js';
import { startCoordinator } from './coordinator-program.js';
import { endNotStarted } from './start-application.js';

// If a process has started this one with a channel, this one tells it the address, and ends with it.
endWithChannel();
try {
  const app = await startCoordinator(process.env);
  process.send?.({ url: await app.getUrl() });
} catch (error) {
  endNotStarted(error);
}
