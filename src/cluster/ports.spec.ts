import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { portsOf } from './ports.js';

const HOST = '127.0.0.1';
const servers: ReturnType<typeof createServer>[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    const closed = once(server, 'close');
    server.close();
    await closed;
  }
});

async function take(port: number): Promise<number> {
  const server = createServer();
  await once(server.listen(port, HOST), 'listening');
  servers.push(server);
  return (server.address() as AddressInfo).port;
}

/** @returns the first of some free ports in a row. */
async function freeRow(count: number): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const [first] = (await portsOf(0, 1, HOST)) as [number];
    try {
      await portsOf(first, count, HOST);
      return first;
    } catch (error) {
      if (attempt === 20) throw error;
    }
  }
}

describe('the ports of the members', () => {
  it('are those in a row after the first, and stay free', async () => {
    const first = await freeRow(3);

    expect(await portsOf(first, 3, HOST)).toEqual([first, first + 1, first + 2]);
    expect(await take(first + 2)).toBe(first + 2);
  });

  it('are any free ones, and different ones, when the first is 0', async () => {
    const ports = await portsOf(0, 3, HOST);

    expect(new Set(ports).size).toBe(3);
    expect(ports.every((port) => port > 1_023)).toBe(true);
  });

  it('are all named that are in use, with what to do', async () => {
    const first = await freeRow(3);
    await take(first);
    await expect(portsOf(first, 3, HOST)).rejects.toThrow(
      `Port ${first} of 127.0.0.1 is in use (EADDRINUSE). Stop the process that listens there, or set PORT to the first of 3 free ports`,
    );
    await take(first + 2);

    await expect(portsOf(first, 3, HOST)).rejects.toThrow(
      `Ports ${first} and ${first + 2} of 127.0.0.1 are in use (EADDRINUSE). Stop the processes that listen there`,
    );
  });

  it('are refused with the error of the system when the address is not one of this machine', async () => {
    await expect(portsOf(0, 3, '192.0.2.1')).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
  });
});
