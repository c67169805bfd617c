import type { Client, Connection } from 'pg';
import { noteWaits } from './replication.js';

const guarded = new WeakSet<Client>();

/**
 * Sees to it that no error of a connection ends the process, from now until its end. A server may end a session at any
 * moment: while it opens, between its opening and its first use, while it is idle, and while it closes. At each of these
 * moments the callers learn of it by the failure of what they asked; where there is no caller, nothing is lost.
 */
export function guardClient(client: Client): void {
  if (guarded.has(client)) return;
  guarded.add(client);
  client.on('error', ignore);
  noteWaits(client);
  const { connection } = client;
  guardReading(connection);
  // From then on it reads from another stream.
  connection.once('sslconnect', () => guardReading(connection));
}

/**
 * What throws while data is read, as bytes that are no message, or a listener of a row, ends this connection with the error.
 * Without this it would end the process, as there is no caller to throw it to.
 */
function guardReading({ stream }: Connection): void {
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
}

/** Closes a connection at once. A pipelined client that is told to end would wait for what is under way. */
export function cut(client: Client): void {
  client.connection.stream.destroy();
}

function ignore(): void {}
