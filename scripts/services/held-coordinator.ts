import { endWithChannel } from '../../src/common/end-with-channel.js';
import { startCoordinator } from '../../src/coordinator-program.js';
import { ParticipantRegistry } from '../../src/coordinator/index.js';
import { endNotStarted } from '../../src/start-application.js';
import { HoldPoint } from '../demo-support/hold-point.js';

/**
 * A coordinator with a hold point. Its parent sends `{ arm }` with the number of a scene, and `{ release:
 * true }`. The coordinator answers `{ armed }`, and `{ held, scene }` with the id of a transaction that is
 * decided, and whose payment has not been told.
 */
endWithChannel();
let point: HoldPoint | undefined;
try {
  const app = await startCoordinator(process.env);
  process.on('message', (message: { arm?: number; release?: true } | null) => {
    const { arm, release } = message ?? {};
    if (release === true) point?.release();
    if (arm === undefined) return;
    point = HoldPoint.install(app.get(ParticipantRegistry));
    point.arm((held) => process.send?.({ held, scene: arm }));
    process.send?.({ armed: arm });
  });
  process.send?.({ url: await app.getUrl() });
} catch (error) {
  endNotStarted(error);
}
