import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PostgresServer } from '../../src/postgres-server/postgres-server.js';
import { findOwner } from '../../src/postgres-server/programs.js';

let folder: string;
let servers: PostgresServer[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'own-server-'));
  // As root, the server runs as another user, who has to get there.
  await chmod(folder, 0o755);
  servers = [];
});

afterEach(async () => {
  for (const server of servers) server.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

/** What a process does that starts in the folder. */
async function find(): Promise<PostgresServer> {
  const server = await PostgresServer.find(folder);
  servers.push(server);
  return server;
}

async function started(): Promise<PostgresServer> {
  const server = await find();
  await server.start(['orders']);
  return server;
}

async function answers(server: PostgresServer): Promise<boolean> {
  const client = new Client({ connectionString: server.urlOf('orders') });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}

const inCluster = (file: string): string => join(folder, 'cluster', file);

describe('The server that an application brings', () => {
  it('is stopped by its last user, whichever process started it', async () => {
    const first = await started();
    const second = await started();

    first.stop();
    expect(await answers(second)).toBe(true);
    second.stop();
    expect(await answers(second)).toBe(false);

    const third = await started();
    expect(await answers(third)).toBe(true);
  });

  it('is one for all that start at the same moment in a new folder', async () => {
    const [first, second] = await Promise.all([started(), started()]);

    expect(second.address).toBe(first.address);
    expect([await answers(first), await answers(second)]).toEqual([true, true]);
  });

  it('reports the present reason for not starting, and not an earlier one', async () => {
    (await started()).stop();
    const log = await readFile(inCluster('server.log'), 'utf8');
    await writeFile(inCluster('server.log'), `${log}FATAL:  what was wrong long ago\n`);
    await rm(inCluster('PG_VERSION'));

    const start = (await find()).start([]);

    await expect(start).rejects.toThrow(/is not a database cluster directory/);
    await expect(start).rejects.not.toThrow(/long ago/);
  });

  it('is distinguished from another process with the same number after a crash', async () => {
    (await started()).stop();
    const other = spawn('sleep', ['60'], { ...findOwner(), stdio: 'ignore' });
    await once(other, 'spawn');
    const listener = createServer();
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as { port: number };
    listener.close();
    await writeFile(
      inCluster('postmaster.pid'),
      [other.pid, folder, 0, port, '', '127.0.0.1', ''].join('\n'),
    );
    await chmod(inCluster('postmaster.pid'), 0o644);

    const server = await find();
    const start = server.start([]);

    await expect(start).rejects.toThrow(
      new RegExp(`postmaster.pid says that process ${other.pid} is the server, but: .*delete that file`),
    );
    server.stop();
    expect(other.exitCode ?? other.signalCode).toBeNull();
    other.kill();
    await once(other, 'exit');
  });
});
