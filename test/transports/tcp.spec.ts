import { once } from 'node:events';
import { type AddressInfo, Socket, createServer } from 'node:net';
import { Logger } from '@nestjs/common';
import { Transport } from '@nestjs/microservices';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { VERSION } from '../../src/coordinator/version.js';
import { MemoryReplicaGuardStore } from '../../src/host/index.js';
import { Books, ledgerOf } from '../remote/support/ledger.js';
import { runOf } from '../support/identity.js';
import { call, messageOf, nextId, transportConformance } from './support/conformance.js';
import { type Replica, transportOver } from './support/rig.js';
import { tcpRig } from './support/tcp-rig.js';

transportConformance(tcpRig());

describe('The connections of TCP', () => {
  const rig = tcpRig();
  let host: Replica;
  beforeAll(async () => {
    await rig.start();
    host = await rig.host([ledgerOf('stock', new Books())], { guard: new MemoryReplicaGuardStore() });
  });
  afterAll(async () => {
    await host.stop();
    await rig.close();
  });

  const { name, logId, epoch, token } = runOf();
  const run = { name, logId, epoch, token, durable: true };
  const calls = [{ method: 'capabilities', timeLeftMs: 1_000 }];
  const message = JSON.stringify({ version: 1, participant: 'stock', run, calls });
  it('are one for each kind of call, and none is left when the transport is closed', async () => {
    const transport = rig.transport();
    for (const kind of ['work', 'completion', 'administration', 'work'] as const) {
      await transport.send(message, () => {}, 5_000, kind);
    }
    expect(rig.balancer.accepted).toBe(3);
    await transport.close();
    await expect.poll(() => rig.balancer.open).toBe(0);
  });

  it('carry each message and each answer at once, and wait for no acknowledgement', async () => {
    const prompt = vi.spyOn(Socket.prototype, 'setNoDelay');
    const transport = rig.transport();
    await transport.send(message, () => {}, 5_000, 'work');
    // One at each end.
    expect(new Set(prompt.mock.contexts).size).toBe(2);
    prompt.mockRestore();
    await transport.close();
  });

  it('are replaced when no answer comes through them any more', async () => {
    const transport = rig.transport();
    await transport.send(message, () => {}, 5_000, 'work');
    rig.balancer.freeze();
    await expect(transport.send(message, () => {}, 100, 'work')).rejects.toThrow('no answer within 100 ms');
    const answers: unknown[] = [];
    await expect
      .poll(() =>
        transport
          .send(message, (answer) => answers.push(answer), 200, 'work')
          .then(() => answers)
          .catch(() => answers),
      )
      .toMatchObject([{ kind: 'capabilities', participant: 'stock', host: { version: VERSION } }]);
    await transport.close();
  });
});

/** A server that answers whatever it gets with a text, or more and more of it. */
async function strangeServer(
  answer: (socket: Socket) => void,
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => answer(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}

describe('A host of TCP that sends without end', () => {
  it('loses its connection after 1 MiB, and its messages end at once', async () => {
    const part = Buffer.alloc(64 * 1024, 'x');
    let sent = 0;
    const server = await strangeServer((socket) => {
      socket.write('900000000#');
      const more = (): void => {
        while (sent < 64 * 1024 * 1024 && !socket.destroyed && socket.write(part)) sent += part.length;
      };
      socket.on('drain', more);
      more();
    });
    const transport = transportOver({
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port: server.port },
    });
    const message = messageOf([call('prepare', nextId())]);
    await expect(transport.send(message, () => {}, 60_000, 'work')).rejects.toThrow(
      'the connection was lost',
    );
    // The sockets of both ends hold some as well.
    expect(sent).toBeLessThan(32 * 1024 * 1024);
    await transport.close();
    await server.close();
  });
});

describe('Bytes of a host of TCP that are no JSON', () => {
  const written: string[] = [];
  beforeEach(() => {
    written.length = 0;
    const write = (line: unknown): number => written.push(String(line));
    Logger.overrideLogger({ log: () => {}, warn: write, error: write });
  });
  afterEach(() => Logger.overrideLogger(false));

  it('makes one short line of the log of a coordinator', async () => {
    const text = `{"no\njson":${'x'.repeat(1_000)}`;
    const server = await strangeServer((socket) => socket.write(`${text.length}#${text}`));
    const transport = transportOver({
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port: server.port },
    });
    const message = messageOf([call('prepare', nextId())]);
    await expect(transport.send(message, () => {}, 60_000, 'work')).rejects.toThrow(
      'the connection was lost',
    );
    expect(written).toEqual([expect.stringMatching(/^A connection to a host has failed: .{1,330}$/)]);
    await transport.close();
    await server.close();
  });
});

describe('A host of TCP that sends no packets of Nest', () => {
  it('ends its messages, and nothing else', async () => {
    const texts = ['no packet', '4#null', '1#5', '8#no JSON.', '8#{"id":7}'];
    const given = [...texts];
    const server = await strangeServer((socket) => socket.write(given.pop()!));
    const client = { transport: Transport.TCP, options: { host: '127.0.0.1', port: server.port } } as const;
    const transports = texts.map(() => transportOver(client));
    const answers: unknown[] = [];
    const sent = transports.map((transport) =>
      transport.send(messageOf([call('prepare', nextId())]), (answer) => answers.push(answer), 500, 'work'),
    );
    await Promise.allSettled(sent);
    expect([answers, given]).toEqual([[], []]);
    for (const transport of transports) await transport.close();
    await server.close();
  });
});
