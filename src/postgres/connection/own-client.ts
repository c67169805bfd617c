import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Client, type ClientConfig } from 'pg';

/** A client whose stream is known, so that its connection can be closed at once. */
export class OwnClient extends Client {
  readonly stream: Duplex;

  constructor(config: ClientConfig = {}) {
    const stream = config.stream?.() ?? guardedStream();
    // Pools hide the password from enumeration, so it must be named.
    super({ ...config, password: config.password, stream: () => stream });
    this.stream = stream;
  }
}

/**
 * Closes a connection at once, if it is one of ours: a pipelined client that is asked to end waits for
 * running queries. Any other connection is closed by its pool, at the latest when the server has ended its
 * session.
 */
export function cut(client: Client): void {
  if (client instanceof OwnClient) client.stream.destroy();
}

/**
 * Sends everything of one turn of the event loop in one piece, if the connection is one of ours: writing to a
 * socket, and waking up for its data, costs both sides more than a small statement.
 *
 * @returns the result of the sending.
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
 * @returns the stream for a connection. An error while data is read, such as bytes that are not a message,
 * ends the connection with the error. Otherwise it would end the process, since it has no caller. On an
 * encrypted connection only the server can send such bytes, and the error is not caught.
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
