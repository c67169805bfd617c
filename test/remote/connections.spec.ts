import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HttpTransport } from '../../src/remote/index.js';
import { TOKEN } from './support/services.js';

/** How a server answers a request that has come. */
type Reply = (socket: Socket, request: string) => void;

/** A server that answers as it is told, and counts its connections. */
class ScriptedServer {
  reply: Reply = (socket) => void socket.write(answer());
  /** The connections that there were. */
  opened = 0;
  readonly requests: string[] = [];
  readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {
    server.on('connection', (socket) => {
      this.opened++;
      this.sockets.add(socket);
      socket.on('error', () => {}).once('close', () => this.sockets.delete(socket));
      let received = '';
      socket.setEncoding('latin1').on('data', (text: string) => {
        received += text;
        const end = received.indexOf('\r\n\r\n');
        const length = Number(/content-length: (\d+)/i.exec(received)?.[1] ?? 0);
        if (end === -1 || received.length < end + 4 + length) return;
        const request = received;
        received = '';
        this.requests.push(request);
        this.reply(socket, request);
      });
    });
  }

  static async open(): Promise<ScriptedServer> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ScriptedServer(server);
  }

  get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/participants`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

function answer(body = '{"id":0,"kind":"done"}\n', fields = `Content-Length: ${body.length}\r\n`): string {
  return `HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n${fields}\r\n${body}`;
}

describe('The connections to a host', () => {
  let server: ScriptedServer;
  let transport: HttpTransport;

  beforeEach(async () => {
    server = await ScriptedServer.open();
    transport = new HttpTransport(server.address, { credentials: TOKEN, maxConnections: 2 });
  });
  afterEach(async () => {
    transport.close();
    await server.close();
  });

  /** @returns the kinds of the answers to one message. */
  async function send(message = '{}', timeLeftMs = 10_000): Promise<string[]> {
    const kinds: string[] = [];
    const receive = (value: unknown): void => void kinds.push((value as { kind: string }).kind);
    await transport.send(message, receive, timeLeftMs);
    return kinds;
  }

  it('stay open, and a message has its token, its length and no other header', async () => {
    for (let count = 0; count < 10; count++) expect(await send('{"a":"é"}')).toEqual(['done']);
    // One more may be opened while the first one is not free yet.
    expect(server.opened).toBeLessThanOrEqual(2);
    const [first, ...fields] = Buffer.from(server.requests[0]!, 'latin1').toString('utf8').split('\r\n');
    expect(first).toBe('POST /participants/calls HTTP/1.1');
    expect(fields.map((field) => field.toLowerCase()).toSorted()).toEqual(
      [
        '',
        '{"a":"é"}',
        'accept: application/x-ndjson',
        `authorization: bearer ${TOKEN.toLowerCase()}`,
        'connection: keep-alive',
        'content-length: 10',
        'content-type: application/json',
        `host: ${new URL(server.address).host}`,
      ].toSorted(),
    );
    expect(server.requests[0]).toContain(`Bearer ${TOKEN}`);
  });

  it('are as many as allowed, and further messages wait for one', async () => {
    const begun: (() => void)[] = [];
    server.reply = (socket) => void begun.push(() => void socket.write(answer()));
    const sent = [send(), send(), send()];
    await expect.poll(() => begun.length).toBe(2);
    begun.shift()!();
    await expect.poll(() => begun.length).toBe(2);
    for (const end of begun) end();
    expect(await Promise.all(sent)).toEqual([['done'], ['done'], ['done']]);
    expect(server.opened).toBe(2);
  });

  it('carry no further message when more than one answer has come', async () => {
    server.reply = (socket) => void socket.write(answer().repeat(2));
    expect(await send()).toEqual(['done']);
    server.reply = () => {};
    // The second one is no answer to this message.
    await expect(send('{}', 100)).rejects.toThrow('no answer within 100 ms');
    expect(server.opened).toBe(2);
  });

  it('carry no further message when bytes come that were not asked for', async () => {
    expect(await send()).toEqual(['done']);
    const [socket] = server.sockets;
    socket!.write(answer());
    await once(socket!, 'close');
    server.reply = () => {};
    await expect(send('{}', 100)).rejects.toThrow('no answer within 100 ms');
    expect(server.opened).toBe(2);
  });

  it('are not used again after the server has closed them, or has said that it does', async () => {
    expect(await send()).toEqual(['done']);
    const [socket] = server.sockets;
    socket!.end();
    await once(socket!, 'close');
    for (const field of ['Connection: close', 'Keep-Alive: timeout=1']) {
      server.reply = (next) => void next.write(answer('', `${field}\r\nContent-Length: 0\r\n`));
      expect(await send()).toEqual([]);
    }
    server.reply = (next) => void next.end(answer('{"kind":"done"}\n', ''));
    expect(await send()).toEqual(['done']);
    expect(await send()).toEqual(['done']);
    expect(server.opened).toBe(5);
  });

  it('bring no answer when they end before it, or in it', async () => {
    server.reply = (socket) => void socket.end();
    await expect(send()).rejects.toThrow('the connection was closed before an answer');
    server.reply = (socket) => void socket.end(answer('{"kind":"done"}\n', 'Content-Length: 99\r\n'));
    await expect(send()).rejects.toThrow('the answer has broken off');
    server.reply = (socket) => void socket.resetAndDestroy();
    await expect(send()).rejects.toThrow('ECONNRESET');
    server.reply = (socket) => void socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n');
    await expect(send()).rejects.toThrow();
  });

  it('end with the time of their message, also of one that waits, and the next one gets its place', async () => {
    server.reply = () => {};
    const sent = [send('{"n":1}', 200), send('{"n":2}', 200), send('{"n":3}', 50)];
    await expect(Promise.race(sent)).rejects.toThrow('no answer within 50 ms');
    const next = send('{"n":4}');
    await expect.poll(() => server.requests.length).toBe(2);
    server.reply = (socket) => void socket.write(answer());
    for (const late of sent.slice(0, 2)) await expect(late).rejects.toThrow('no answer within 200 ms');
    expect(await next).toEqual(['done']);
    expect(server.requests.some((request) => request.endsWith('{"n":3}'))).toBe(false);
  });

  it.each([false, true])(
    'are not taken by messages whose time was over while they waited (after a pause of the process: %j)',
    async (isPaused) => {
      server.reply = () => {};
      const held = [send('{}', 150), send('{}', 150)];
      await expect.poll(() => server.requests.length).toBe(2);
      const late = Array.from({ length: 20 }, () => send('{}', 20));
      const ends = Promise.allSettled([...held, ...late]);
      const pausedUntil = performance.now() + (isPaused ? 200 : 0);
      while (performance.now() < pausedUntil);
      server.reply = (socket) => void socket.write(answer());
      const next = send();
      for (const end of await ends) expect(end).toMatchObject({ reason: { message: /^no answer within/ } });
      expect(await next).toEqual(['done']);
      expect(server.requests.length).toBe(3);
      // One may be opened in place of each that has ended.
      expect(server.opened).toBeLessThanOrEqual(4);
    },
  );

  it('lead to the host of the address, whatever its path is', async () => {
    const { origin } = new URL(server.address);
    for (const path of ['//elsewhere.invalid', '//elsewhere.invalid/participants/', '/']) {
      const odd = new HttpTransport(`${origin}${path}`, { credentials: TOKEN });
      await odd.send('{}', () => {}, 10_000);
      odd.close();
    }
    expect(server.requests.map((request) => request.split(' ')[1])).toEqual([
      '//elsewhere.invalid/calls',
      '//elsewhere.invalid/participants/calls',
      '/calls',
    ]);
  });

  it('end when a host answers before it has read the message', async () => {
    server.reply = () => {};
    const sent = send(JSON.stringify({ long: 'x'.repeat(20_000_000) }));
    await expect.poll(() => server.opened).toBe(1);
    const [socket] = server.sockets;
    socket!.pause().write('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n');
    await expect(sent).rejects.toThrow('413');
    server.reply = (next) => void next.write(answer());
    expect(await send()).toEqual(['done']);
    expect(server.opened).toBe(2);
  });

  it('end with the transport, and so do the messages on them and those that wait', async () => {
    server.reply = () => {};
    const sent = Promise.allSettled([send(), send(), send()]);
    await expect.poll(() => server.requests.length).toBe(2);
    transport.close();
    for (const end of await sent) {
      expect(end).toMatchObject({ reason: { message: 'the connections to it were closed' } });
    }
    await expect(send()).rejects.toThrow('the connections to it are closed');
    await expect.poll(() => server.sockets.size).toBe(0);
  });

  it('are tried for each message when there is no server', async () => {
    const { address } = server;
    const none = new HttpTransport(address.replace('127.0.0.1', '127.0.0.2'), {
      credentials: TOKEN,
      maxConnections: 1,
    });
    const sent = Promise.allSettled([1, 2, 3].map(() => none.send('{}', () => {}, 10_000)));
    for (const end of await sent) expect(end).toMatchObject({ reason: { code: 'ECONNREFUSED' } });
    none.close();
  });
});
