import { endWithChannel } from '../../src/common/end-with-channel.js';
import { ParticipantRegistry } from '../../src/coordinator/index.js';
import { endNotStarted, startApplication } from '../../src/start-application.js';
import { CrashPoint } from './crash-point.js';

/** The application as it is, in a process of its own, with a crash point around it that its parent can arm. */
endWithChannel();
try {
  const app = await startApplication(process.env);
  const point = CrashPoint.install(app.get(ParticipantRegistry));
  process.on('message', (message) => {
    if (message !== 'arm') return;
    point.arm();
    process.send?.('armed');
  });
  process.send?.(await app.getUrl());
} catch (error) {
  endNotStarted(error);
}
