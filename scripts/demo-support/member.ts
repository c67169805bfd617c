import { endWithChannel } from '../../src/common/end-with-channel.js';
import { ParticipantRegistry } from '../../src/coordinator/index.js';
import { endNotStarted, startApplication } from '../../src/start-application.js';
import { HoldPoint } from './hold-point.js';

/**
 * One member: the application with a hold point. Its parent sends `{ arm: 'kill' }` or `{ arm: 'hold' }`, and
 * `{ release: true }`. The member answers `{ armed: true }`, and `{ held }` with the id of the transaction.
 */
endWithChannel();
try {
  const app = await startApplication(process.env);
  const point = HoldPoint.install(app.get(ParticipantRegistry));
  process.on('message', (message: { arm?: 'kill' | 'hold'; release?: true } | null) => {
    const { arm, release } = message ?? {};
    if (release === true) point.release();
    if (arm === undefined) return;
    point.arm((held) => (arm === 'kill' ? process.kill(process.pid, 'SIGKILL') : process.send?.({ held })));
    process.send?.({ armed: true });
  });
  process.send?.({ url: await app.getUrl() });
} catch (error) {
  endNotStarted(error);
}
