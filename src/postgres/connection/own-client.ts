import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Client, type ClientConfig } from 'pg';

/** A client of which it is known what its bytes go through, so that its connection can be closed at once. */
export class OwnClient extends Client {
  readonly stream: Duplex;

  constructor(config: ClientConfig = {}) {
    const stream = config.stream?.() ?? guardedStream();
    // Pools keep the password from being listed, so that it has to be named.
    super({ ...config, password: config.password, stream: () => stream });
    this.stream = stream;
  }
}

/**
 * Closes a connection at once, if it is one of ours: a pipelined client that is told to end waits for what is under way. Any
 * other one is closed by its pool, at the latest when the server has ended its session.
 */
export function cut(client: Client): void {
  if (client instanceof OwnClient) client.stream.destroy();
}

/**
 * Has what is sent in one turn of the event loop leave in one piece, if the connection is one of ours: to write to a socket,
 * and to be woken by what comes from it, costs both sides more than the work of a small statement.
 *
 * @returns what the sending gives.
 */
export function together<T>(client: Client, send: () => T): T {
  if (!(client instanceof OwnClient)) return send();
  client.stream.cork();
  try {
    return send();
  } finally {
    client.stream.uncork();
  }
}

/**
 * @returns what a connection is to be made through. What throws while data is read, as bytes that are no message, ends the
 * connection with the error; it would end the process, as there is no caller to throw it to. Where the connection is
 * encrypted only the server can send such bytes, and what throws is not caught.
 */
export function guardedStream(stream: Duplex = new Socket()): Duplex {
  const emit = stream.emit.bind(stream) as (event: string | symbol, ...args: unknown[]) => boolean;
  stream.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event !== 'data') return emit(event, ...args);
    try {
      return emit(event, ...args);
    } catch (error) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
      return true;
    }
  };
  return stream;
}
