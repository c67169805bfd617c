import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { careful } from '../../src/microservices/redis-clients.js';

describe('A client of Redis', () => {
  const server = createServer((socket) => socket.on('error', () => {}).resume());

  beforeEach(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });
  afterEach(async () => {
    await once(server.close(), 'close');
  });

  it('goes on after each of several errors of one connection', async () => {
    const { port } = server.address() as AddressInfo;
    const client = careful(
      new Redis(port, '127.0.0.1', { enableReadyCheck: false, disableClientInfo: true, lazyConnect: true }),
    ) as Redis;
    const seen: Error[] = [];
    client.on('error', (error: Error) => seen.push(error));
    await client.connect();

    client.stream.emit('error', new Error('the first alert'));
    client.stream.emit('error', new Error('the second alert'));

    expect(seen.map(({ message }) => message)).toEqual(['the first alert']);
    client.disconnect();
    await once(client, 'end');
  });
});
