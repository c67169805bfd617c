import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import type { HostileRequest } from './hostile-requests.js';

/** How long a connection is listened to that may never be answered, in milliseconds. */
const PATIENCE_MS = 2_000;

/** Sends what is hostile, and tells what it is answered. */
export class HostileClient {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 32 });
  private readonly port: number;

  constructor(url: string) {
    this.port = Number(new URL(url).port);
  }

  /** @returns the status of the answer; 0 when the connection was closed instead. */
  send({ method, path, headers, body }: HostileRequest): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    const length =
      body === undefined || 'transfer-encoding' in headers
        ? {}
        : { 'content-length': Buffer.byteLength(body) };
    const { agent, port } = this;
    const sent = request({
      host: '127.0.0.1',
      port,
      agent,
      method,
      path,
      headers: { ...headers, ...length } as never,
    });
    sent.once('response', (response: IncomingMessage) => {
      response.resume().once('close', () => resolve(response.statusCode ?? 0));
    });
    sent.once('error', () => resolve(0));
    sent.end(body);
    return promise;
  }

  /** @returns the status in the first line of the answer; 0 when there is none. */
  sendRaw(bytes: string): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    const socket = connect(this.port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
    let answer = '';
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      // One that may be kept open has told what it has to tell.
      if (answer.includes('\r\n\r\n')) socket.destroy();
    });
    socket.on('error', () => {});
    socket.once('close', () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0)));
    return promise;
  }

  /**
   * Opens connections and sends only the start of a request on each.
   *
   * @returns a function that closes them.
   */
  stall(beginnings: readonly string[], times: number): () => void {
    const sockets = Array.from({ length: times }, (_, index) => {
      const socket = connect(this.port, '127.0.0.1', () =>
        socket.write(beginnings[index % beginnings.length]!),
      );
      return socket.on('error', () => {}).resume();
    });
    return () => sockets.forEach((socket) => socket.destroy());
  }

  close(): void {
    this.agent.destroy();
  }
}
