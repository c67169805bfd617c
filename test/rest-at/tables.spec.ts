import { afterAll, beforeAll, describe } from 'vitest';
import { type RunningCoordinator, folderForDecisions, startModule, startProgram } from './coordinators.js';
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
