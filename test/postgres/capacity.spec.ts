import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isTemporaryRefusal, PostgresResourceManager } from '../../src/postgres/index.js';
import { someBranch } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

let server: PostgresServer;
let databases: TestDatabase[];
const managers: PostgresResourceManager[] = [];

beforeAll(async () => {
  server = await PostgresServer.start({ max_prepared_transactions: 70, max_connections: 60 });
  databases = [await server.createDatabase(), await server.createDatabase()];
});

afterEach(async () => {
  await Promise.all(managers.splice(0).map((manager) => manager.close()));
});

afterAll(() => server.stop());

async function manage(index: number, settings: object = {}): Promise<PostgresResourceManager> {
  const connection = databases[index]!.url;
  const manager = new PostgresResourceManager(`bank-${index}`, { connection, ...settings });
  managers.push(manager);
  await manager.start();
  return manager;
}

describe('The capacity of a database server', () => {
  it('is read from it, and the same server is known from each of its databases', async () => {
    const one = await (await manage(0, { workConnections: 5, completionConnections: 2 })).capacity();
    const other = await (await manage(1)).capacity();

    expect(one).toMatchObject({
      preparedTransactions: 70,
      preparedTransactionsInUse: 0,
      // Three are reserved for superusers.
      connections: 57,
      workConnections: 5,
      ownConnections: 8,
    });
    expect(one.connectionsInUse).toBeGreaterThan(0);
    expect(other.server).toBe(one.server);
    expect(other.database).not.toBe(one.database);
    expect(one.database).toMatch(/^\d+$/);
    expect(one.server).toMatch(/^\d+\/[\d.]+$/);
  });

  it('ends when no connection of the pool is free in time: a refusal that reports it, and nothing is held', async () => {
    const manager = await manage(0, { workConnections: 1, connectTimeoutMs: 200 });
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const first = manager.prepare(someBranch(), async () => {
      begun.resolve();
      await gate.promise;
      return 'read-only';
    });
    await begun.promise;

    const vote = await manager.prepare(someBranch(), () => Promise.resolve('commit'));

    expect(vote).toMatchObject({ vote: 'abort', code: 'NO_CONNECTION', overloaded: true });
    expect(isTemporaryRefusal('NO_CONNECTION')).toBe(true);
    gate.resolve();
    expect(await first).toBe('read-only');
    expect(await databases[0]!.prepared()).toEqual([]);
  });
});
