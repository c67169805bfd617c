import { afterAll, beforeAll, describe } from 'vitest';
import { type RunningCoordinator, folderForDecisions, startModule, startProgram } from './coordinators.js';
import { RestAtClient } from './client.js';
import { ParticipantServer } from './participants.js';
import { restAtTables } from './tables.js';

describe('REST-AT of the module in memory, on Express', () => {
  let participants: ParticipantServer;
  let coordinator: RunningCoordinator;

  beforeAll(async () => {
    participants = await ParticipantServer.start();
    coordinator = await startModule({ allow: [participants.origin] });
  });
  afterAll(async () => {
    await coordinator.close();
    await participants.close();
  });

  restAtTables(() => ({ client: coordinator.client, participants }));
});

describe('REST-AT of the coordinator program with a log in a folder, on Fastify', () => {
  const folder = folderForDecisions();
  let participants: ParticipantServer;
  let coordinator: RunningCoordinator;

  beforeAll(async () => {
    participants = await ParticipantServer.start();
    coordinator = await startProgram(folder.path, participants.origin);
  });
  afterAll(async () => {
    await coordinator.close();
    await participants.close();
    folder.remove();
  });

  restAtTables(() => ({ client: coordinator.client, participants }));
});

/**
 * The URL of another coordinator, to compare it with the tables: `REST_AT_BASE=http://... npx vitest run
 * test/rest-at`.
 */
const others = [process.env['REST_AT_BASE']].filter((base) => base !== undefined);

for (const base of others) {
  describe(`REST-AT at ${base}`, () => {
    let participants: ParticipantServer;

    beforeAll(async () => {
      participants = await ParticipantServer.start(Number(process.env['REST_AT_PORT'] ?? 0));
    });
    afterAll(() => participants.close());

    restAtTables(() => ({ client: new RestAtClient(base), participants }));
  });
}
