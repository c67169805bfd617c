import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decisionLogConformance } from '../../../src/coordinator/testing/index.js';
import { PostgresDecisionLog } from '../../../src/postgres/index.js';
import { creationOf } from '../../../src/postgres/log/tables.js';
import { PostgresServer, type TestDatabase } from '../../support/postgres/server.js';
import { EMPTY, backUp } from './members.js';

let server: PostgresServer;
let database: TestDatabase;
let client: Client;

beforeAll(async () => {
  server = await PostgresServer.start();
  database = await server.createDatabase();
  client = new Client(database.url);
  await client.connect();
  await client.query(creationOf('dtc_log'));
});

afterAll(async () => {
  await client.end();
  await server.stop();
});

describe('PostgresDecisionLog', () => {
  const storage = async () => {
    // To create tables takes longer than most cases.
    await client.query(EMPTY);
    const logs: PostgresDecisionLog[] = [];
    return {
      createLog: () => {
        const log = new PostgresDecisionLog({ connection: database.url });
        logs.push(log);
        return log;
      },
      backUp: () => backUp(client),
      remove: async () => {
        for (const log of logs) await log.close();
      },
    };
  };

  it.each(decisionLogConformance(storage, 'shared'))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});
